"""Bakker's T-maze: a sign at the start tells which way to turn at the far end of a corridor."""

from __future__ import annotations

from typing import NamedTuple

from inscape.envs.rendering.scene import Circle, Polygon, Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.errors import UsageError

LONGEST = 100
NORTH, SOUTH, EAST, WEST = range(4)
PERCEPTS = (
    "at the start; a sign points north",
    "at the start; a sign points south",
    "in the corridor",
    "at the junction",
    "at the end of an arm",
)
SIGN_SOUTH, CORRIDOR, JUNCTION, ARM = 1, 2, 3, 4  # numbers of PERCEPTS


class TMazeState(NamedTuple):
    """Which arm the goal is in (0 north, 1 south), and the place: 0 the start, `length` the junction, then the arms."""

    goal: int
    place: int


class TMazeParams(NamedTuple):
    """Moves from the start to the junction."""

    length: int


class TMazePurpose(NamedTuple):
    """Rewards for coming to the goal, for coming to the other arm's end, and for a move into a wall."""

    goal_reward: float
    wrong_reward: float
    still_reward: float


class TMaze(World):
    """A corridor leads from the start east to a junction with two arms; a sign at the start shows the goal's arm.

    The sign is seen at the start alone and the corridor looks the same all along, so that only who remembers it knows
    where to turn. Without memory the best sum of rewards is the mean of the two arms', (4 − 0.1)/2 = 1.95; with it, 4.

    Actions: `north` (0), `south` (1), `east` (2), `west` (3). Moves into walls stay.
    Observations: Discrete(5): the start with a sign to the north (0) or south (1), the corridor (2), the junction (3),
        the end of an arm (4). The source has the first four as the bits 011, 110, 101 and 010.
    Rewards: 4 on coming to the goal, −0.1 on coming to the end of the other arm, −0.1 for standing still.
    Start: at the western end of the corridor; the goal in either arm alike.
    End: terminated at the end of either arm; truncated after 200 steps.

    Args:
        length: moves from the start to the junction, 1 to 100; the source has 5 to 70.
        goal_reward: reward on coming to the goal.
        wrong_reward: reward on coming to the end of the other arm.
        still_reward: reward for a move into a wall.

    Source: Bakker (2001), "Reinforcement learning with long short-term memory", NIPS 14: its T-maze without noise.
    Version history: v0, first.
    """

    State = TMazeState
    Params = TMazeParams
    Purpose = TMazePurpose
    actions = ("north", "south", "east", "west")
    initial_branches = 2
    max_episode_steps = 200
    gamma = 0.98

    def setup(
        self, length: int = 10, goal_reward: float = 4.0, wrong_reward: float = -0.1, still_reward: float = -0.1
    ) -> tuple[TMazeParams, TMazePurpose]:
        if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length <= LONGEST:
            raise UsageError(f"length = {length!r}", expected=f"a whole number from 1 to {LONGEST}")
        rewards = {"goal_reward": goal_reward, "wrong_reward": wrong_reward, "still_reward": still_reward}
        for name, value in rewards.items():
            if not (isinstance(value, (int, float)) and abs(value) < float("inf")):
                raise UsageError(f"{name} = {value!r}", expected="a finite number")
        return TMazeParams(length), TMazePurpose(**{name: float(value) for name, value in rewards.items()})

    @staticmethod
    def initial(params: TMazeParams, branch: int) -> tuple[float, TMazeState]:
        return 0.5, TMazeState(branch, 0)

    @staticmethod
    def transition(params: TMazeParams, state: TMazeState, action: int, branch: int) -> tuple[float, TMazeState]:
        step = 1 if (action == EAST) & (state.place < params.length) else 0
        step = -1 if (action == WEST) & (state.place > 0) else step
        turns = (action <= SOUTH) & (state.place == params.length)
        return 1.0, TMazeState(state.goal, state.place + (1 + action if turns else step))

    @staticmethod
    def reward(
        params: TMazeParams, purpose: TMazePurpose, state: TMazeState, action: int, next_state: TMazeState
    ) -> float:
        found = next_state.place == params.length + 1 + state.goal
        at_end = purpose.goal_reward if found else purpose.wrong_reward
        on_way = purpose.still_reward if next_state.place == state.place else 0.0
        return at_end if next_state.place > params.length else on_way

    @staticmethod
    def terminal(params: TMazeParams, purpose: TMazePurpose, state: TMazeState) -> bool:
        return state.place > params.length

    @staticmethod
    def observation(params: TMazeParams, state: TMazeState) -> int:
        beyond = JUNCTION if state.place == params.length else ARM
        on_way = CORRIDOR if state.place < params.length else beyond
        return state.goal if state.place == 0 else on_way

    @staticmethod
    def observations(params: TMazeParams) -> int:
        return len(PERCEPTS)

    @staticmethod
    def describe_observation(params: TMazeParams, purpose: TMazePurpose, observation: int) -> str:
        """Returns what is perceived, as text."""
        return (
            "a corridor leads east to a junction with an arm to the north and one to the south; a sign at the start "
            f"points to the arm with the goal | you are {PERCEPTS[observation]}"
        )

    @staticmethod
    def describe(params: TMazeParams, purpose: TMazePurpose, state: TMazeState) -> str:
        return TMaze.describe_observation(params, purpose, TMaze.observation(params, state))

    @staticmethod
    def draw(params: TMazeParams, purpose: TMazePurpose, state: TMazeState) -> Scene:
        n = params.length
        width, height = n + 1.4, 3.4
        shapes: list[Shape] = [Rect(0, 0, width, height, fill="wall")]
        for place in range(n + 3):
            x, y = _centre(n, place)
            fill = "start" if place == 0 else "paper"
            shapes.append(Rect(x - 0.5, y - 0.5, 1, 1, fill=fill, stroke="line", line_width=0.02))
        x, y = _centre(n, n + 1 + state.goal)
        shapes.append(Rect(x - 0.42, y - 0.42, 0.84, 0.84, fill="goal", radius=0.08, layer="moving"))
        # the sign stands beside the start, in the wall, so that the agent does not hide it
        x, way = _centre(n, 0)[0], 1 - 2 * state.goal
        y = 1.7 - way * 0.85
        shapes.append(
            Polygon(((x, y - way * 0.28), (x + 0.34, y + way * 0.2), (x - 0.34, y + way * 0.2)), fill="goal",
                    layer="moving")
        )  # fmt: skip
        shapes.append(Circle(*_centre(n, state.place), 0.3, fill="agent", stroke="ink", layer="moving"))
        return Scene(width, height, tuple(shapes))

    @staticmethod
    def draw_view(params: TMazeParams, purpose: TMazePurpose, state: TMazeState) -> Scene:
        shown = TMaze.observation(params, state)
        shapes: list[Shape] = [Rect(0, 0, 3.4, 4.1, fill="wall")]
        openings = (((1, 0),), ((1, 0),), ((1, 0), (-1, 0)), ((-1, 0), (0, 1), (0, -1)), ())
        for right, down in ((0, 0), *openings[shown]):
            shapes.append(Rect(1.2 + right, 1.2 + down, 1, 1, fill="paper", stroke="line", line_width=0.02))
        if shown <= SIGN_SOUTH:
            way = 1 - 2 * shown
            y = 1.7 - way * 0.85
            shapes.append(Polygon(((1.7, y - way * 0.28), (2.04, y + way * 0.2), (1.36, y + way * 0.2)), fill="goal"))
        shapes.append(Circle(1.7, 1.7, 0.3, fill="agent", stroke="ink", layer="moving"))
        shapes.append(Text(1.7, 3.75, PERCEPTS[shown].partition(";")[0], 0.26, "paper"))
        return Scene(3.4, 4.1, tuple(shapes))

    @staticmethod
    def place(params: TMazeParams, state: TMazeState) -> tuple[float, float]:
        return _centre(params.length, state.place)


def _centre(length: int, place: int) -> tuple[float, float]:
    """Returns the middle of a place in the scene; the arms are above and below the junction."""
    return min(place, length) + 0.7, 1.7 + (place == length + 2) - (place == length + 1)
