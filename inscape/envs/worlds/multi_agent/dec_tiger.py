"""The tiger problem for two who hear different things and cannot speak."""

from __future__ import annotations

from typing import NamedTuple

from inscape.envs.rendering.scene import Circle, Polygon, Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.checks import finite_number
from inscape.errors import UsageError

LISTEN = 0
DOORS = ("left", "right")
NOTHING = 2


class DecTigerState(NamedTuple):
    """The door the tiger is behind, and the door each player heard it behind (2: nothing was heard yet)."""

    tiger: int
    first: int
    second: int


class DecTigerParams(NamedTuple):
    """How likely each player hears the tiger behind its own door, when both listen."""

    accuracy: float


class DecTigerPurpose(NamedTuple):
    """What both get: see `DecTiger`."""

    listen: float
    treasure: float
    together: float
    apart: float
    alone: float
    attacked: float


class DecTiger(World):
    """Two stand before two doors, a tiger behind one and treasure behind the other; each listens or opens a door.

    Actions, at once: `listen` (0), `open left` (1), `open right` (2).
    Observations, of each player: Discrete(3): the door the last sound came from, or 2: nothing heard yet. When both
        listen, each hears the tiger behind its own door with probability `accuracy`, independently; after a door was
        opened the sounds tell nothing.
    Rewards, the same for both: −2 when both listen; 20 when both open the door with the treasure, −50 when both open
        the tiger's, −100 for different doors; when one opens and the other listens 9 for the treasure, −101 for the
        tiger.
    Start: the tiger behind either door alike.
    End: never terminated: after a door is opened the tiger is placed again at random; truncated after 100 steps.

    Args:
        accuracy: probability in [0, 1] of hearing the tiger behind its own door.
        listen: reward when both listen.
        treasure: reward when both open the door with the treasure.
        together: reward when both open the tiger's door.
        apart: reward when they open different doors.
        alone: reward when one opens the door with the treasure and the other listens.
        attacked: reward when one opens the tiger's door and the other listens.

    Source: Nair, Tambe, Yokoo, Pynadath & Marsella (2003), "Taming decentralized POMDPs: towards efficient policy
        computation for multiagent settings", IJCAI, section 3, tables 1 to 3.
    Version history: v0, first.
    """

    State = DecTigerState
    Params = DecTigerParams
    Purpose = DecTigerPurpose
    actions = ("listen", "open left", "open right")
    players = 2
    simultaneous = True
    branches = 8
    initial_branches = 2
    max_episode_steps = 100
    gamma = 1.0

    def setup(
        self,
        accuracy: float = 0.85,
        listen: float = -2.0,
        treasure: float = 20.0,
        together: float = -50.0,
        apart: float = -100.0,
        alone: float = 9.0,
        attacked: float = -101.0,
    ) -> tuple[DecTigerParams, DecTigerPurpose]:
        if not 0.0 <= finite_number("DecTiger.accuracy", accuracy) <= 1.0:
            raise UsageError(f"DecTiger.accuracy = {accuracy}", expected="a probability from 0 to 1")
        rewards = (listen, treasure, together, apart, alone, attacked)
        names = DecTigerPurpose._fields
        return DecTigerParams(float(accuracy)), DecTigerPurpose(
            *(finite_number(f"DecTiger.{name}", value) for name, value in zip(names, rewards, strict=True))
        )

    @staticmethod
    def initial(params: DecTigerParams, branch: int) -> tuple[float, DecTigerState]:
        return 0.5, DecTigerState(branch, NOTHING, NOTHING)

    @staticmethod
    def transition(
        params: DecTigerParams, state: DecTigerState, action: tuple[int, int], branch: int
    ) -> tuple[float, DecTigerState]:
        tiger, first, second = branch // 4, branch // 2 % 2, branch % 2
        if action[0] != LISTEN or action[1] != LISTEN:
            return 0.125, DecTigerState(tiger, first, second)
        p = 1.0 if tiger == state.tiger else 0.0
        p *= params.accuracy if first == state.tiger else 1.0 - params.accuracy
        p *= params.accuracy if second == state.tiger else 1.0 - params.accuracy
        return p, DecTigerState(state.tiger, first, second)

    @staticmethod
    def reward(
        params: DecTigerParams,
        purpose: DecTigerPurpose,
        state: DecTigerState,
        action: tuple[int, int],
        next_state: DecTigerState,
    ) -> tuple[float, float]:
        if action[0] == LISTEN and action[1] == LISTEN:
            both = purpose.listen
        elif action[0] == action[1]:
            both = purpose.together if action[0] - 1 == state.tiger else purpose.treasure
        elif action[0] != LISTEN and action[1] != LISTEN:
            both = purpose.apart
        else:
            opened = action[0] + action[1] - 1
            both = purpose.attacked if opened == state.tiger else purpose.alone
        return both, both

    @staticmethod
    def observation(params: DecTigerParams, state: DecTigerState, player: int) -> int:
        return state.first if player == 0 else state.second

    @staticmethod
    def observations(params: DecTigerParams) -> int:
        return 3

    @staticmethod
    def describe_observation(params: DecTigerParams, purpose: DecTigerPurpose, observation: int) -> str:
        """Returns what is perceived, as text."""
        heard = "nothing heard yet" if observation == NOTHING else f"last sound: {DOORS[observation]} door"
        return (
            "a tiger is behind one of the doors left, right, treasure behind the other | another player listens, and "
            f"cannot be heard | {heard} | when both listen each is right {100 * params.accuracy:.0f}% of the time; "
            "after a door is opened all starts again"
        )

    @staticmethod
    def describe(params: DecTigerParams, purpose: DecTigerPurpose, state: DecTigerState) -> str:
        heard = ", ".join(
            f"player {k} heard {'nothing' if door == NOTHING else DOORS[door]}"
            for k, door in enumerate((state.first, state.second))
        )
        return f"the tiger is behind the {DOORS[state.tiger]} door | {heard}"

    @staticmethod
    def draw(params: DecTigerParams, purpose: DecTigerPurpose, state: DecTigerState) -> Scene:
        return _scene(state.tiger, (state.first, state.second))

    @staticmethod
    def draw_view(params: DecTigerParams, purpose: DecTigerPurpose, state: DecTigerState, player: int) -> Scene:
        heard = state.first if player == 0 else state.second
        return _scene(-1, (heard, NOTHING) if player == 0 else (NOTHING, heard))


def _scene(tiger: int, heard: tuple[int, int]) -> Scene:
    """Returns the doors, the tiger where it is known (−1: it is not), and below them what each player heard last."""
    shapes: list[Shape] = [Rect(0, 0, 4, 4, fill="paper")]
    for door, name in enumerate(DOORS):
        x = 0.5 + 2 * door
        shapes += [Rect(x, 0.5, 1, 1.8, fill="wall"), Text(x + 0.5, 2.6, name, size=0.3)]
        if door == tiger:
            shapes.append(Polygon(((x + 0.2, 1.8), (x + 0.8, 1.8), (x + 0.5, 1.0)), fill="danger", layer="moving"))
    for player, door in enumerate(heard):
        if door != NOTHING:
            shapes.append(Circle(1.0 + 2 * door, 3.0 + 0.6 * player, 0.2, fill=f"player{player}", layer="moving"))
    return Scene(4, 4, tuple(shapes))
