"""McCallum's cheese maze: a mouse that feels only the walls next to it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from inscape.envs.rendering.scene import Circle, Polygon, Rect, Scene, Shape
from inscape.envs.world import World
from inscape.errors import UsageError

# (column, row) of each cell, numbered as in the source: a corridor with three passages down from it
PLACES = ((0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (0, 1), (2, 1), (4, 1), (0, 2), (4, 2), (2, 2))
CHEESE = 10
MOVES = {"north": (0, -1), "south": (0, 1), "east": (1, 0), "west": (-1, 0)}
PERCEPTS = (
    "walls north and west",
    "walls north and south",
    "a wall north",
    "walls north and east",
    "walls east and west",
    "walls east, south and west",
    "the cheese",
)
# what is felt in each cell, as a number of PERCEPTS
FELT = (0, 1, 2, 1, 3, 4, 4, 4, 5, 5, 6)


class CheeseMazeState(NamedTuple):
    """The mouse's cell, 0 to 10; 10 is the cheese."""

    cell: int


class CheeseMazeParams(NamedTuple):
    """How the mouse moves.

    Attributes:
        after: `[4, 11]` the cell a move leads to.
        felt: `[11]` what is felt there.
        restarts: whether the mouse, having found the cheese, is put back into the maze.
    """

    after: np.ndarray
    felt: np.ndarray
    restarts: bool


class CheeseMazePurpose(NamedTuple):
    """Reward on coming to the cheese."""

    cheese_reward: float = 10.0


class CheeseMaze(World):
    """A mouse looks for cheese and feels only which sides of its cell are walls.

    The maze has eleven cells: a corridor of five, and a passage of two down from its first, third and fifth cell. The
    cheese lies at the end of the middle one; the cells to its left and right feel alike.

    Actions: `north` (0), `south` (1), `east` (2), `west` (3). Moves into walls stay.
    Observations: Discrete(7): the walls around the cell, or the cheese. Eleven cells give seven observations.
    Rewards: 10 on coming to the cheese.
    Start: any cell but the cheese's, all alike.
    End: with `restarts`, never terminated: at the cheese every action puts the mouse back to the start; else terminated
        at the cheese. Truncated after 100 steps.

    Args:
        restarts: whether the task goes on after the cheese is found, as in the source.
        cheese_reward: reward on coming to the cheese.

    Source: McCallum (1993), "Overcoming incomplete perception with utile distinction memory", ICML; as in Littman,
        Cassandra & Kaelbling (1995), "Learning policies for partially observable environments": transitions,
        observations and rewards equal Cassandra's cheese.95.POMDP entry for entry.
    Version history: v0, first.
    """

    State = CheeseMazeState
    Params = CheeseMazeParams
    Purpose = CheeseMazePurpose
    actions = tuple(MOVES)
    branches = 10
    initial_branches = 10
    max_episode_steps = 100
    gamma = 0.95

    def setup(self, restarts: bool = True, cheese_reward: float = 10.0) -> tuple[CheeseMazeParams, CheeseMazePurpose]:
        if not isinstance(restarts, (bool, np.bool_)):
            raise UsageError(f"restarts = {restarts!r}", expected="True or False")
        if not (isinstance(cheese_reward, (int, float)) and np.isfinite(cheese_reward)):
            raise UsageError(f"cheese_reward = {cheese_reward!r}", expected="a finite number")
        number = {place: cell for cell, place in enumerate(PLACES)}
        after = [
            [number.get((column + right, row + down), cell) for cell, (column, row) in enumerate(PLACES)]
            for right, down in MOVES.values()
        ]
        params = CheeseMazeParams(np.array(after, np.int64), np.array(FELT, np.int64), bool(restarts))
        return params, CheeseMazePurpose(float(cheese_reward))

    @staticmethod
    def initial(params: CheeseMazeParams, branch: int) -> tuple[float, CheeseMazeState]:
        return 0.1, CheeseMazeState(branch)

    @staticmethod
    def transition(
        params: CheeseMazeParams, state: CheeseMazeState, action: int, branch: int
    ) -> tuple[float, CheeseMazeState]:
        if state.cell == CHEESE:
            return 0.1, CheeseMazeState(branch)
        return (1.0 if branch == 0 else 0.0), CheeseMazeState(params.after[action, state.cell])

    @staticmethod
    def reward(
        params: CheeseMazeParams,
        purpose: CheeseMazePurpose,
        state: CheeseMazeState,
        action: int,
        next_state: CheeseMazeState,
    ) -> float:
        return purpose.cheese_reward if next_state.cell == CHEESE else 0.0

    @staticmethod
    def terminal(params: CheeseMazeParams, purpose: CheeseMazePurpose, state: CheeseMazeState) -> bool:
        return state.cell == CHEESE and not params.restarts

    @staticmethod
    def observation(params: CheeseMazeParams, state: CheeseMazeState) -> int:
        return int(params.felt[state.cell])

    @staticmethod
    def observations(params: CheeseMazeParams) -> int:
        return len(PERCEPTS)

    @staticmethod
    def describe_observation(params: CheeseMazeParams, purpose: CheeseMazePurpose, observation: int) -> str:
        """Returns what is perceived, as text."""
        return f"a mouse in a small maze looks for the cheese | it feels {PERCEPTS[observation]}"

    @staticmethod
    def describe(params: CheeseMazeParams, purpose: CheeseMazePurpose, state: CheeseMazeState) -> str:
        return CheeseMaze.describe_observation(params, purpose, FELT[state.cell])

    @staticmethod
    def draw(params: CheeseMazeParams, purpose: CheeseMazePurpose, state: CheeseMazeState) -> Scene:
        shapes: list[Shape] = [Rect(0, 0, 5.4, 3.4, fill="wall")]
        for column, row in PLACES:
            shapes.append(Rect(column + 0.2, row + 0.2, 1, 1, fill="paper", stroke="line", line_width=0.02))
        x, y = _centre(CHEESE)
        shapes.append(Polygon(((x - 0.38, y + 0.3), (x + 0.38, y + 0.3), (x + 0.38, y - 0.3)), fill="yellow"))
        shapes.append(Circle(x + 0.16, y + 0.12, 0.09, fill="paper"))
        x, y = _centre(state.cell)
        for side in (-1, 1):
            shapes.append(Circle(x + side * 0.2, y - 0.22, 0.15, fill="agent", stroke="ink", layer="moving"))
        shapes.append(Circle(x, y + 0.02, 0.27, fill="agent", stroke="ink", layer="moving"))
        return Scene(5.4, 3.4, tuple(shapes))

    @staticmethod
    def place(params: CheeseMazeParams, state: CheeseMazeState) -> tuple[float, float]:
        return _centre(state.cell)


def _centre(cell: int) -> tuple[float, float]:
    column, row = PLACES[cell]
    return column + 0.7, row + 0.7
