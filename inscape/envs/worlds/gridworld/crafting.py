"""A grid with a tree of tools: wood, a bench, three pickaxes, and a diamond at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from inscape.envs.rendering.scene import Circle, Polygon, Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.envs.worlds.mdp.checks import number, whole
from inscape.errors import UsageError, closest

MAPS = {
    "7x7": ("T.....R", ".S.#.R.", "...#...", "..B#..I", ".......", "##.####", "T.....D"),
    "5x5": ("T..RR", ".S...", "..B.#", "..#.I", "T.#D."),
}
LETTERS = ".TRIDB#"
FLOOR, TREE, ROCK, ORE, GEM, BENCH, WALL = range(7)
GROUND = ("floor", "tree", "rock", "iron", "diamond", "place for a bench", "wall")
NORTH, SOUTH, WEST, EAST, COLLECT, BUILD, WOOD_PICKAXE, STONE_PICKAXE, IRON_PICKAXE = range(9)
OFFSETS = ((-1, 0), (1, 0), (0, -1), (0, 1))
ACHIEVEMENTS = ("wood", "bench", "wood pickaxe", "stone", "stone pickaxe", "iron", "iron pickaxe", "diamond")
ALL = (1 << len(ACHIEVEMENTS)) - 1
# by row: what is done; by column: the ground it takes, achievements it takes (bits), change of wood, stone and iron,
# the achievement (a bit), whether it is done once only. Rows 0 to 4 are collecting from a ground of that number.
RECIPES = (
    (FLOOR, ALL + 1, 0, 0, 0, 0, 0),  # takes what nobody has: nothing lies on the floor
    (TREE, 0, 1, 0, 0, 1, 0),
    (ROCK, 0b0000100, 0, 1, 0, 8, 0),
    (ORE, 0b0010000, 0, 0, 1, 32, 0),
    (GEM, 0b1000000, 0, 0, 0, 128, 1),
    (BENCH, 0, -2, 0, 0, 2, 1),
    (BENCH, 0b0000010, -1, 0, 0, 4, 1),
    (BENCH, 0b0000010, -1, -1, 0, 16, 1),
    (BENCH, 0b0000010, -1, -1, -1, 64, 1),
)
LARGEST = 4096  # cells


class CraftingState(NamedTuple):
    """Where the agent is and what it has.

    Attributes:
        place: its cell: row · width + column.
        wood, stone, iron: pieces it carries.
        achieved: bit k: the k-th of `ACHIEVEMENTS`; tools and the bench stay.
    """

    place: int
    wood: int
    stone: int
    iron: int
    achieved: int


class CraftingParams(NamedTuple):
    """The grid and the recipes.

    Attributes:
        ground: `[C]` what each cell is.
        after: `[9, C]` the cell each action leads to; those that are no moves stay.
        recipes: `[9, 7]` see `RECIPES`.
        starts: `[N]` cells where episodes begin.
        width: cells per row.
        carry: pieces of each kind that can be carried.
    """

    ground: np.ndarray
    after: np.ndarray
    recipes: np.ndarray
    starts: np.ndarray
    width: int
    carry: int


class CraftingPurpose(NamedTuple):
    """What is wanted: achievements (bits), what each pays, and what a step costs."""

    wanted: int
    goal_reward: float
    step_cost: float


class Crafting(World):
    """Collect wood, build a bench, make three pickaxes, each of which opens the next material, and find the diamond.

    Two pieces of wood build the bench. There, a piece of wood makes a wooden pickaxe, which breaks rock; wood and
    stone make a stone pickaxe, which breaks iron; wood, stone and iron make an iron pickaxe, which frees the diamond.
    Trees, rocks and iron do not run out.

    Actions: `north`, `south`, `west`, `east`, `collect` what is here, `build bench`, `make wood pickaxe`, `make stone
        pickaxe`, `make iron pickaxe`. All are allowed everywhere; what is not possible changes nothing.
    Observations: MultiDiscrete: the cell; pieces of wood, of stone, of iron; for each of the eight achievements 0 or 1.
    Rewards: `goal_reward` for each wanted achievement, once; `step_cost` subtracted at every step.
    Start: on any of the map's cells S alike, with nothing.
    End: terminated when all that is wanted is achieved; truncated after 200 steps.

    Args:
        map: `7x7`, `5x5`, or rows of letters with / between them: `.` floor, `#` wall, `S` start, `T` tree, `R` rock,
            `I` iron, `D` diamond, `B` a place for the bench.
        goal: `all` achievements, or one: `wood`, `bench`, `wood pickaxe`, `stone`, `stone pickaxe`, `iron`, `iron
            pickaxe`, `diamond`; in this order, a curriculum.
        carry: pieces of each kind that can be carried, at least 2.
        goal_reward, step_cost: rewards.

    Source: original; the tree of tools and the counting of achievements after Hafner (2022), "Benchmarking the
        spectrum of agent capabilities" (Crafter), ICLR, much reduced.
    Version history: v0, first.
    """

    State = CraftingState
    Params = CraftingParams
    Purpose = CraftingPurpose
    actions = (
        "north", "south", "west", "east", "collect", "build bench",
        "make wood pickaxe", "make stone pickaxe", "make iron pickaxe",
    )  # fmt: skip
    max_episode_steps = 200
    gamma = 0.99

    def setup(
        self,
        map: str | Sequence[str] = "7x7",
        goal: str = "all",
        carry: int = 2,
        goal_reward: float = 1.0,
        step_cost: float = 0.0,
    ) -> tuple[CraftingParams, CraftingPurpose]:
        rows = _read_map(map)
        if goal != "all" and goal not in ACHIEVEMENTS:
            raise UsageError(
                f"goal = {goal!r}", expected=f"all, {', '.join(ACHIEVEMENTS)}", hint=closest(str(goal), ACHIEVEMENTS)
            )
        text = "".join(rows)
        ground = np.array([LETTERS.index("." if letter == "S" else letter) for letter in text], np.int64)
        params = CraftingParams(
            ground=ground,
            after=_after(ground.reshape(len(rows), -1)),
            recipes=np.array(RECIPES, np.int64),
            starts=np.flatnonzero([letter == "S" for letter in text]),
            width=len(rows[0]),
            carry=whole("carry", carry, 2, 100),
        )
        wanted = ALL if goal == "all" else 1 << ACHIEVEMENTS.index(goal)
        return params, CraftingPurpose(wanted, number("goal_reward", goal_reward), number("step_cost", step_cost))

    @staticmethod
    def initial_branches(params: CraftingParams) -> int:
        return len(params.starts)

    @staticmethod
    def initial(params: CraftingParams, branch: int) -> tuple[float, CraftingState]:
        return 1.0 / len(params.starts), CraftingState(params.starts[branch], 0, 0, 0, 0)

    @staticmethod
    def transition(
        params: CraftingParams, state: CraftingState, action: int, branch: int
    ) -> tuple[float, CraftingState]:
        ground = params.ground[state.place]
        row = (ground if ground <= GEM else FLOOR) if action == COLLECT else max(action, BUILD)
        recipe = params.recipes[row]
        needs, gives = recipe[1], recipe[5]
        wood, stone, iron = state.wood + recipe[2], state.stone + recipe[3], state.iron + recipe[4]
        possible = (action >= COLLECT) & (ground == recipe[0]) & ((state.achieved & needs) == needs)
        possible &= (recipe[6] == 0) | ((state.achieved & gives) == 0)
        possible &= (min(wood, min(stone, iron)) >= 0) & (max(wood, max(stone, iron)) <= params.carry)
        return 1.0, CraftingState(
            params.after[action, state.place],
            wood if possible else state.wood,
            stone if possible else state.stone,
            iron if possible else state.iron,
            state.achieved | (gives if possible else 0),
        )

    @staticmethod
    def reward(
        params: CraftingParams,
        purpose: CraftingPurpose,
        state: CraftingState,
        action: int,
        next_state: CraftingState,
    ) -> float:
        new = next_state.achieved & ~state.achieved & purpose.wanted
        return (purpose.goal_reward if new != 0 else 0.0) - purpose.step_cost

    @staticmethod
    def terminal(params: CraftingParams, purpose: CraftingPurpose, state: CraftingState) -> bool:
        return (state.achieved & purpose.wanted) == purpose.wanted

    @staticmethod
    def observation(params: CraftingParams, state: CraftingState) -> tuple[int, ...]:
        a = state.achieved
        return (
            state.place, state.wood, state.stone, state.iron,
            a & 1, (a >> 1) & 1, (a >> 2) & 1, (a >> 3) & 1, (a >> 4) & 1, (a >> 5) & 1, (a >> 6) & 1, (a >> 7) & 1,
        )  # fmt: skip

    @staticmethod
    def observations(params: CraftingParams) -> tuple[int, ...]:
        return (len(params.ground), *(params.carry + 1,) * 3, *(2,) * len(ACHIEVEMENTS))

    @staticmethod
    def state_of(params: CraftingParams, observation: Sequence[int]) -> CraftingState:
        place, wood, stone, iron, *bits = (int(entry) for entry in observation)
        return CraftingState(place, wood, stone, iron, sum(bit << k for k, bit in enumerate(bits)))

    @staticmethod
    def purposes(params: CraftingParams, purpose: CraftingPurpose) -> dict[str, CraftingPurpose]:
        """Returns a goal for each achievement."""
        return {name: purpose._replace(wanted=1 << k) for k, name in enumerate(ACHIEVEMENTS)}

    @staticmethod
    def describe(params: CraftingParams, purpose: CraftingPurpose, state: CraftingState) -> str:
        row, column = divmod(int(state.place), params.width)
        built = bool(state.achieved & 2)
        sites = [
            f"{_name(kind, built)} {', '.join(_cell(cell, params.width) for cell in cells)}"
            for kind in (TREE, ROCK, ORE, GEM, BENCH)
            if len(cells := np.flatnonzero(params.ground == kind))
        ]
        ways = [name for k, name in enumerate(Crafting.actions[:4]) if params.after[k, state.place] != state.place]
        tools = [name for k, name in enumerate(ACHIEVEMENTS) if "pickaxe" in name and state.achieved >> k & 1]
        wanted = [name for k, name in enumerate(ACHIEVEMENTS) if purpose.wanted >> k & 1]
        return " | ".join(
            [
                f"at {row} {column} ({_name(int(params.ground[state.place]), built)})",
                f"can go {', '.join(ways) or 'nowhere'}",
                f"carrying {state.wood} wood, {state.stone} stone, {state.iron} iron",
                f"tools: {', '.join(tools) or 'none'}",
                f"achieved: {_listed(state.achieved)}",
                "row and column of " + "; ".join(sites or ["nothing"]),
                f"goal: {'everything' if purpose.wanted == ALL else ', '.join(wanted)}",
            ]
        )

    @staticmethod
    def draw(params: CraftingParams, purpose: CraftingPurpose, state: CraftingState) -> Scene:
        width, height = params.width, len(params.ground) // params.width
        shapes: list[Shape] = [Rect(0, 0, width, height, fill="paper")]
        for cell, kind in enumerate(params.ground.tolist()):
            row, column = divmod(cell, width)
            shapes += _cell_shapes(kind, column, row, bool(state.achieved & 2))
        x, y = Crafting.place(params, state)
        shapes.append(Circle(x, y, 0.3, fill="agent", stroke="ink", layer="moving"))
        has = f"wood {state.wood}  stone {state.stone}  iron {state.iron}"
        shapes.append(Text(width / 2, height + 0.3, has, size=0.36, fill="ink", layer="moving"))
        done = f"{bin(state.achieved).count('1')} of {len(ACHIEVEMENTS)} achieved"
        shapes.append(Text(width / 2, height + 0.8, done, size=0.36, fill="muted", layer="moving"))
        return Scene(width, height + 1.1, tuple(shapes))

    @staticmethod
    def place(params: CraftingParams, state: CraftingState) -> tuple[float, float]:
        row, column = divmod(state.place, params.width)
        return column + 0.5, row + 0.5


def _read_map(source: str | Sequence[str]) -> tuple[str, ...]:
    """Returns the rows of a map given by name, by text or by rows."""
    if isinstance(source, str):
        if source not in MAPS and not set("/\n") & set(source) and set(source) - set(LETTERS) - {"S"}:
            raise UsageError(
                f"no map named {source!r}",
                expected=f"{', '.join(MAPS)}, or rows of letters with / between them",
                hint=closest(source, MAPS),
            )
        rows = MAPS.get(source) or tuple(source.strip().replace("\n", "/").split("/"))
    else:
        rows = tuple(str(row) for row in source)
    rows = tuple(row.strip() for row in rows)
    if not rows or not rows[0] or len({len(row) for row in rows}) > 1:
        raise UsageError(f"the map {rows!r}", expected="rows of equal length", hint="fill short rows with . (floor)")
    unknown = sorted(set("".join(rows)) - set(LETTERS) - {"S"})
    if unknown:
        raise UsageError(
            f"unknown letter {unknown[0]!r} in the map",
            expected=". floor, # wall, S start, T tree, R rock, I iron, D diamond, B place for the bench",
        )
    if not any("S" in row for row in rows):
        raise UsageError("the map has no start", expected="at least one cell S", hint="write S where episodes begin")
    if len(rows) * len(rows[0]) > LARGEST:
        raise UsageError(f"a map of {len(rows)} × {len(rows[0])} cells", expected=f"{LARGEST:,} cells at most")
    return rows


def _after(ground: np.ndarray) -> np.ndarray:
    """Returns `[9, C]` the cell each action leads to, of `[H, W]` ground."""
    height, width = ground.shape
    after = np.tile(np.arange(height * width), (len(Crafting.actions), 1))
    for action, (down, right) in enumerate(OFFSETS):
        for cell in range(height * width):
            row, column = cell // width + down, cell % width + right
            if 0 <= row < height and 0 <= column < width and ground[row, column] != WALL:
                after[action, cell] = row * width + column
    return after


def _name(kind: int, built: bool) -> str:
    return "bench" if kind == BENCH and built else GROUND[kind]


def _cell(cell: Any, width: int) -> str:
    row, column = divmod(int(cell), width)
    return f"{row} {column}"


def _listed(achieved: int) -> str:
    return ", ".join(name for k, name in enumerate(ACHIEVEMENTS) if achieved >> k & 1) or "nothing"


def _cell_shapes(kind: int, x: int, y: int, built: bool) -> list[Shape]:
    """Returns what a cell looks like."""
    cell = Rect(x + 0.02, y + 0.02, 0.96, 0.96, fill="wall" if kind == WALL else "start", radius=0.06)
    if kind == TREE:
        crown = Polygon(((x + 0.5, y + 0.1), (x + 0.85, y + 0.68), (x + 0.15, y + 0.68)), fill="green")
        return [cell, Rect(x + 0.43, y + 0.66, 0.14, 0.24, fill="wood"), crown]
    if kind in (ROCK, ORE):
        stone: list[Shape] = [cell, Circle(x + 0.5, y + 0.5, 0.36, fill="muted")]
        return stone if kind == ROCK else [*stone, *(Circle(x + a, y + b, 0.09, fill="orange") for a, b in SPECKS)]
    if kind == GEM:
        points = ((x + 0.5, y + 0.14), (x + 0.82, y + 0.5), (x + 0.5, y + 0.86), (x + 0.18, y + 0.5))
        return [cell, Polygon(points, fill="teal", stroke="ink")]
    if kind == BENCH:
        return [cell, Rect(x + 0.15, y + 0.2, 0.7, 0.6, fill="wood" if built else None, stroke="wood", line_width=0.06)]
    return [cell]


SPECKS = ((0.38, 0.4), (0.62, 0.45), (0.48, 0.64))
