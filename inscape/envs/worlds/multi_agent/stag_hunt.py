"""A stag for those who hunt together, hares for those who do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from inscape.envs.law.tools import replaced
from inscape.envs.rendering.scene import Circle, Polygon, Scene
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.grid_moves import (
    MOVES,
    STAY,
    at,
    cells_of,
    floor_shapes,
    middle,
    moves_table,
    neighbours_table,
    own_first,
    per_player,
    player_shapes,
    read_rows,
    require,
    settled,
    with_care,
)
from inscape.errors import UsageError

MAPS: dict[str, tuple[str, ...]] = {
    "meadow": ("S...S", ".....", "H.T.H", ".....", "S...S"),
    "forest": ("S..#..S", "..#H#..", ".......", "#..T..#", ".......", "..#H#..", "S..#..S"),
}


class StagHuntState(NamedTuple):
    """The hunters' cells (row · width + column) and the stag's."""

    cells: tuple[int, ...]
    stag: int


class StagHuntParams(NamedTuple):
    """How all move.

    Attributes:
        after: `[5, cells]` the cell a move leads to.
        near: `[cells, cells]` bool, are they neighbours.
        walls, hares: `[cells]` bool, what stands there.
        starts: the hunters' first cells.
        lair: the stag's first cell.
        needed: hunters next to the stag that catch it.
        wander: probability that the stag moves.
        width: columns of the map.
    """

    after: np.ndarray
    near: np.ndarray
    walls: np.ndarray
    hares: np.ndarray
    starts: tuple[int, ...]
    lair: int
    needed: int
    wander: float
    width: int


class StagHuntPurpose(NamedTuple):
    """What is wanted.

    Attributes:
        care: each hunter's weight of what the others gain (0 selfish, 1 prosocial).
        stag, hare: gained by each hunter who takes part in catching the stag, by the one who catches a hare.
        risk: lost at every step by a hunter next to a stag that is not caught.
        step_cost: lost by everyone at every step.
    """

    care: tuple[float, ...]
    stag: float
    hare: float
    risk: float
    step_cost: float


class StagHunt(World):
    """Hunters on a grid catch a stag together, or a hare each alone.

    The map: `#` wall, `.` floor, `S` hunters' first cells in reading order, `T` the stag's, `H` hares, which stand.

    Actions: `left`, `down`, `right`, `up`, `stay`, all hunters at once. No two share a cell or swap cells: of those
        who would, all stay where they were (and so do those who wanted a cell that is not left because of it).
        Nobody enters the stag's cell. Then the stag, unless it is caught, moves with probability `wander` in one of
        the four directions alike; it stays where a wall, a hunter or a hare is in its way.
    Observations: MultiDiscrete, for each hunter: its own cell, the others' in their order, the stag's.
    Rewards: `stag` to every hunter next to a caught stag, `hare` to a hunter who comes upon a hare; −`risk` for being
        next to a stag that is not caught; −`step_cost`. To its own gain a hunter adds `care` times the others'.
    Start: the map's.
    End: terminated when the stag or a hare is caught; truncated after 50 steps.

    Args:
        map: a name (`meadow`, `forest`) or rows with `/` between them.
        hunters: 2 to 6 players; the map must have as many cells `S`.
        needed: hunters next to the stag that catch it, 1 to 4.
        wander: probability in [0, 1] that the stag moves; 0 is a stag that stands.
        care: weight of the others' gains: one number, or one per hunter.
        stag, hare, risk, step_cost: rewards.

    Source: Yoshida, Dolan & Friston (2008), "Game theory of mind", PLoS Computational Biology 4(12): the spatial hunt
        that ends with a catch; Peysakhovich & Lerer (2018), "Prosocial learning agents solve generalized stag hunts
        better than selfish ones", AAMAS: stag 5, hare 1, a loss for hunting the stag alone, prosocial rewards. The
        map is original.
    Version history: v0, first.
    """

    State = StagHuntState
    Params = StagHuntParams
    Purpose = StagHuntPurpose
    actions = MOVES
    players = 2
    simultaneous = True
    branches = 5
    lengths = dict.fromkeys(("cells", "starts", "care"), 2)
    max_episode_steps = 50

    @classmethod
    def sized(cls, hunters: int = 2, **settings: Any) -> dict[str, Any]:
        require("hunters", hunters, 2, 6, whole=True)
        return {"players": int(hunters), "lengths": dict.fromkeys(cls.lengths, int(hunters))}

    def setup(
        self,
        map: str | Sequence[str] = "meadow",
        hunters: int = 2,
        needed: int = 2,
        wander: float = 0.5,
        care: float | Sequence[float] = 0.0,
        stag: float = 5.0,
        hare: float = 1.0,
        risk: float = 0.0,
        step_cost: float = 0.0,
    ) -> tuple[StagHuntParams, StagHuntPurpose]:
        rows = read_rows(map, MAPS, "#.STH")
        require("needed", needed, 1, min(4, hunters), whole=True)
        require("wander", wander, 0, 1)
        for name, value in (("stag", stag), ("hare", hare), ("risk", risk), ("step_cost", step_cost)):
            require(name, value, -1e12, 1e12)
        starts, lairs = cells_of(rows, "S"), cells_of(rows, "T")
        if len(starts) < hunters or len(lairs) != 1:
            raise UsageError(
                f"the map has {len(starts)} cells S and {len(lairs)} cells T",
                expected=f"a cell S for each of {hunters} hunters, and one T",
            )
        text = "".join(rows)
        after = moves_table(rows)
        params = StagHuntParams(
            after=after,
            near=neighbours_table(after),
            walls=np.array([letter == "#" for letter in text]),
            hares=np.array([letter == "H" for letter in text]),
            starts=tuple(starts[:hunters]),
            lair=lairs[0],
            needed=int(needed),
            wander=float(wander),
            width=len(rows[0]),
        )
        return params, StagHuntPurpose(
            per_player("care", care, hunters), float(stag), float(hare), float(risk), float(step_cost)
        )

    @staticmethod
    def initial(params: StagHuntParams, branch: int) -> tuple[float, StagHuntState]:
        return 1.0, StagHuntState(params.starts, params.lair)

    @staticmethod
    def transition(
        params: StagHuntParams, state: StagHuntState, action: tuple[int, ...], branch: int
    ) -> tuple[float, StagHuntState]:
        targets = state.cells
        for k in range(len(state.cells)):
            to = params.after[action[k], state.cells[k]]
            targets = replaced(targets, k, state.cells[k] if to == state.stag else to)
        cells = settled(state.cells, targets)
        to = params.after[branch, state.stag]
        blocked = (hunters_near(params, cells, state.stag) >= params.needed) | params.hares[to]
        for k in range(len(cells)):
            blocked |= cells[k] == to
        probability = 1.0 - params.wander if branch == STAY else 0.25 * params.wander
        return probability, StagHuntState(cells, state.stag if blocked else to)

    @staticmethod
    def reward(
        params: StagHuntParams,
        purpose: StagHuntPurpose,
        state: StagHuntState,
        action: tuple[int, ...],
        next_state: StagHuntState,
    ) -> tuple[float, ...]:
        caught = hunters_near(params, next_state.cells, next_state.stag) >= params.needed
        gains = purpose.care
        for k in range(len(gains)):
            gained = 0.0 - purpose.step_cost
            if params.near[next_state.cells[k], next_state.stag]:
                gained += purpose.stag if caught else -purpose.risk
            if params.hares[next_state.cells[k]]:
                gained += purpose.hare
            gains = replaced(gains, k, gained)
        return with_care(gains, purpose.care)

    @staticmethod
    def terminal(params: StagHuntParams, purpose: StagHuntPurpose, state: StagHuntState) -> bool:
        over = hunters_near(params, state.cells, state.stag) >= params.needed
        for k in range(len(state.cells)):
            over |= params.hares[state.cells[k]]
        return over

    @staticmethod
    def observation(params: StagHuntParams, state: StagHuntState, player: int) -> tuple[int, ...]:
        return (*own_first(state.cells, player), state.stag)

    @staticmethod
    def observations(params: StagHuntParams) -> tuple[int, ...]:
        return (len(params.walls),) * (len(params.starts) + 1)

    @staticmethod
    def purposes(params: StagHuntParams, purpose: StagHuntPurpose) -> dict[str, StagHuntPurpose]:
        count = len(params.starts)
        return {
            "selfish": purpose._replace(care=(0.0,) * count),
            "prosocial": purpose._replace(care=(1.0,) * count),
            "the stag": purpose._replace(hare=0.0),
            "hares": purpose._replace(stag=0.0),
        }

    @staticmethod
    def describe(params: StagHuntParams, purpose: StagHuntPurpose, state: StagHuntState) -> str:
        hunters = " | ".join(f"hunter {k} {at(cell, params.width)}" for k, cell in enumerate(state.cells))
        hares = ", ".join(at(int(cell), params.width) for cell in np.flatnonzero(params.hares))
        return (
            f"{hunters} | stag {at(state.stag, params.width)} | hares {hares} | {params.needed} hunters next to the "
            f"stag get {purpose.stag:g} each, a hare is worth {purpose.hare:g}"
        )

    @staticmethod
    def draw(params: StagHuntParams, purpose: StagHuntPurpose, state: StagHuntState) -> Scene:
        width = params.width
        height = len(params.walls) // width
        rows = ["".join("#" if params.walls[r * width + c] else "." for c in range(width)) for r in range(height)]
        shapes = floor_shapes(rows)
        for cell in np.flatnonzero(params.hares).tolist():
            x, y = middle(cell, width)
            shapes.append(Circle(x, y + 0.12, 0.2, fill="muted", stroke="ink"))
            for ear in (-0.1, 0.1):  # two ears above a round body
                top = ((x + ear - 0.06, y), (x + 1.4 * ear, y - 0.36), (x + ear + 0.06, y))
                shapes.append(Polygon(top, fill="muted", stroke="ink"))
        x, y = middle(state.stag, width)
        shapes.append(Circle(x, y + 0.1, 0.26, fill="wood", stroke="ink", line_width=0.04, layer="moving"))
        for side in (-1, 1):  # antlers
            horn = ((x + 0.08 * side, y - 0.1), (x + 0.36 * side, y - 0.44), (x + 0.2 * side, y - 0.06))
            shapes.append(Polygon(horn, fill="wood", stroke="ink", layer="moving"))
        for k, cell in enumerate(state.cells):
            shapes += player_shapes(k, cell, width)
        return Scene(width, height, tuple(shapes))


def hunters_near(params: StagHuntParams, cells: tuple[int, ...], stag: int) -> int:
    """Returns how many hunters are next to the stag (compiled with the law)."""
    count = 0
    for k in range(len(cells)):
        count += params.near[cells[k], stag]
    return count
