"""Food trucks on a campus: what a student believes and wants shows in where the student goes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from inscape.envs.rendering.scene import Circle, Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.errors import UsageError, closest

# The three campuses of the source's first experiment: a wall with a gap at both ends, in the east, in the west.
MAPS = {
    "both": ("..............2", "...............", ".#############.", ".S.....S.....S.", "1.............."),
    "east": ("..............2", "...............", "##############.", ".S.....S.....S.", "1.............."),
    "west": ("..............2", "...............", ".##############", ".S.....S.....S.", "1.............."),
}
LETTERS = {"#": "wall", ".": "ground", "S": "start", "1": "first parking spot", "2": "second parking spot"}
TRUCKS = ("nothing", "Korean", "Lebanese", "Mexican")
PARKED = {"-": (0,), "K": (1,), "L": (2,), "M": (3,), "?": (0, 1, 2, 3)}
NOT_IN_VIEW = len(TRUCKS)
MOVES = {"stay": (0, 0), "west": (-1, 0), "east": (1, 0), "south": (0, 1), "north": (0, -1)}
STAY, EAT = 0, 5
TRUCK_COLORS = ("paper", "red", "teal", "purple")


class FoodTrucksState(NamedTuple):
    """The student's cell (the number of cells: gone, having eaten), the trucks parked at the two spots (0 nothing,
    1 Korean, 2 Lebanese, 3 Mexican), and what was just seen: bit 0 the first spot, bit 1 the second."""

    cell: int
    first: int
    second: int
    seen: int


class FoodTrucksParams(NamedTuple):
    """The campus.

    Attributes:
        walls: `[cells]` bool.
        after: `[5, cells]` the cell a move leads to.
        sight: `[2, cells + 1]` probability of seeing each spot from each cell; 0 for one who is gone.
        starts: `[n]` start cells, equally likely.
        trucks: `[m, 2]` what may be parked at the two spots, all alike.
        spots: the cells of the two spots.
        width: columns of the map.
    """

    walls: np.ndarray
    after: np.ndarray
    sight: np.ndarray
    starts: np.ndarray
    trucks: np.ndarray
    spots: tuple[int, int]
    width: int


class FoodTrucksPurpose(NamedTuple):
    """Rewards for eating at each truck, and the cost of every action but staying."""

    korean: float
    lebanese: float
    mexican: float
    step_cost: float


class FoodTrucks(World):
    """A student looks for lunch on a campus where trucks park at two spots and a wall blocks the view.

    The map: `#` wall, `.` ground, `S` start (several: equally likely), `1` and `2` the parking spots.

    Actions: `stay` (0), `west`, `east`, `south`, `north`, `eat` (5). Moves into walls and off the map stay; eating
        works where a truck is parked.
    Observations: MultiDiscrete: the student's cell, row · width + column (the number of cells: gone, having eaten),
        then for each spot what was seen there: 0 nothing, 1 Korean, 2 Lebanese, 3 Mexican, 4 not in view. A spot is
        seen with the probability that is the share of its square in view from the middle of the student's square.
    Rewards: `korean`, `lebanese` or `mexican` for eating there; `step_cost` subtracted for every action but `stay`.
    Start: a cell `S`; trucks as `parked` says.
    End: terminated after eating at a truck; truncated after 100 steps.

    Args:
        map: `both`, `east` or `west` (where the wall leaves a gap), or the rows of a map (a list, or one text with line
            breaks or `/` between rows).
        parked: what is parked at spots 1 and 2: `K`, `L`, `M`, `-` (nothing) or `?` for each. What `?` stands for is
            any truck that is not parked at the other spot, or nothing, all alike (but never nothing at both).
        korean, lebanese, mexican: rewards.
        step_cost: subtracted for every action but staying.

    Source: Baker, Jara-Ettinger, Saxe & Tenenbaum (2017), "Rational quantitative attribution of beliefs, desires and
        percepts in human mentalizing", Nature Human Behaviour 1, 0064, experiment 1: campuses, starts, actions, costs
        and what can be seen from where are those of the authors' program (rewards there: −20 to 100).
    Version history: v0, first.
    """

    State = FoodTrucksState
    Params = FoodTrucksParams
    Purpose = FoodTrucksPurpose
    actions = (*MOVES, "eat")
    branches = 4
    max_episode_steps = 100
    gamma = 0.99

    def setup(
        self,
        map: str | Sequence[str] = "both",
        parked: str = "K?",
        korean: float = 20.0,
        lebanese: float = 60.0,
        mexican: float = 100.0,
        step_cost: float = 1.0,
    ) -> tuple[FoodTrucksParams, FoodTrucksPurpose]:
        numbers = {"korean": korean, "lebanese": lebanese, "mexican": mexican, "step_cost": step_cost}
        for name, value in numbers.items():
            if not (isinstance(value, (int, float)) and math.isfinite(value)):
                raise UsageError(f"{name} = {value!r}", expected="a finite number")
        rows = _read_map(map)
        text, width = "".join(rows), len(rows[0])
        walls = np.array([letter == "#" for letter in text])
        spots = (text.index("1"), text.index("2"))
        params = FoodTrucksParams(
            walls=walls,
            after=_moves_table(rows),
            sight=np.array([[*_view(walls, width, spot), 0.0] for spot in spots]),
            starts=np.array([cell for cell, letter in enumerate(text) if letter == "S"], np.int64),
            trucks=_arrangements(parked),
            spots=spots,
            width=width,
        )
        return params, FoodTrucksPurpose(**{name: float(value) for name, value in numbers.items()})

    @staticmethod
    def initial_branches(params: FoodTrucksParams) -> int:
        return 4 * len(params.starts) * len(params.trucks)

    @staticmethod
    def initial(params: FoodTrucksParams, branch: int) -> tuple[float, FoodTrucksState]:
        start, trucks = (branch >> 2) % len(params.starts), (branch >> 2) // len(params.starts)
        cell, seen = params.starts[start], branch & 3
        probability = _seeing(params, cell, seen) / (len(params.starts) * len(params.trucks))
        return probability, FoodTrucksState(cell, params.trucks[trucks, 0], params.trucks[trucks, 1], seen)

    @staticmethod
    def transition(
        params: FoodTrucksParams, state: FoodTrucksState, action: int, branch: int
    ) -> tuple[float, FoodTrucksState]:
        move = action if action < EAT else STAY
        gone = params.after.shape[1]
        leaves = state.cell == gone or (action == EAT and _truck_at(params, state) > 0)
        # one who is gone has no place in the table: the first cell stands in, and is not used
        cell = gone if leaves else params.after[move, 0 if leaves else state.cell]
        return _seeing(params, cell, branch), FoodTrucksState(cell, state.first, state.second, branch)

    @staticmethod
    def reward(
        params: FoodTrucksParams,
        purpose: FoodTrucksPurpose,
        state: FoodTrucksState,
        action: int,
        next_state: FoodTrucksState,
    ) -> float:
        truck = _truck_at(params, state) if action == EAT else 0
        food = purpose.korean if truck == 1 else (purpose.lebanese if truck == 2 else purpose.mexican)
        return (food if truck > 0 else 0.0) - (0.0 if action == STAY else purpose.step_cost)

    @staticmethod
    def terminal(params: FoodTrucksParams, purpose: FoodTrucksPurpose, state: FoodTrucksState) -> bool:
        return bool(state.cell == params.after.shape[1])

    @staticmethod
    def observation(params: FoodTrucksParams, state: FoodTrucksState) -> tuple[int, int, int]:
        first = state.first if state.seen & 1 else NOT_IN_VIEW
        second = state.second if state.seen & 2 else NOT_IN_VIEW
        return state.cell, first, second

    @staticmethod
    def observations(params: FoodTrucksParams) -> tuple[int, int, int]:
        return len(params.walls) + 1, NOT_IN_VIEW + 1, NOT_IN_VIEW + 1

    @staticmethod
    def purposes(params: FoodTrucksParams, purpose: FoodTrucksPurpose) -> dict[str, FoodTrucksPurpose]:
        """Returns the preference orders: the world's three rewards, given to the trucks in every order."""
        rewards = sorted((purpose.korean, purpose.lebanese, purpose.mexican), reverse=True)
        named = {}
        for order in itertools.permutations(TRUCKS[1:]):
            given = {truck.lower(): reward for truck, reward in zip(order, rewards)}
            named[" > ".join(order)] = purpose._replace(**given)
        return named

    @staticmethod
    def describe_observation(
        params: FoodTrucksParams, purpose: FoodTrucksPurpose, observation: tuple[int, int, int]
    ) -> str:
        """Returns what is perceived, as text."""
        cell, *seen = (int(entry) for entry in observation)
        likes = f"Korean {purpose.korean:g}, Lebanese {purpose.lebanese:g}, Mexican {purpose.mexican:g}"
        if cell == len(params.walls):
            return f"gone, having eaten | worth {likes}"
        row, column = divmod(cell, params.width)
        spots = []
        for number, (spot, content) in enumerate(zip(params.spots, seen), 1):
            spot_row, spot_column = divmod(spot, params.width)
            what = "not in view" if content == NOT_IN_VIEW else TRUCKS[content]
            spots.append(f"spot {number} at row {spot_row} column {spot_column}: {what}")
        ways = ", ".join(name for k, name in enumerate(MOVES) if k != STAY and params.after[k, cell] != cell)
        return f"student at row {row} column {column}, free ways {ways} | {' | '.join(spots)} | worth {likes}"

    @staticmethod
    def describe(params: FoodTrucksParams, purpose: FoodTrucksPurpose, state: FoodTrucksState) -> str:
        return FoodTrucks.describe_observation(params, purpose, FoodTrucks.observation(params, state))

    @staticmethod
    def draw(params: FoodTrucksParams, purpose: FoodTrucksPurpose, state: FoodTrucksState) -> Scene:
        width, height = params.width, len(params.walls) // params.width
        shapes: list[Shape] = [Rect(0, 0, width, height, fill="paper")]
        for cell, wall in enumerate(params.walls):
            row, column = divmod(cell, width)
            fill = "wall" if wall else "yellow" if cell in params.spots else None
            shapes.append(Rect(column, row, 1, 1, fill=fill, stroke="line", line_width=0.02))
        for bit, (spot, truck) in enumerate(zip(params.spots, (state.first, state.second))):
            row, column = divmod(spot, width)
            if truck:
                color = TRUCK_COLORS[truck]
                shapes.append(Rect(column + 0.08, row + 0.14, 0.84, 0.72, fill="paper", stroke=color, line_width=0.1,
                                   radius=0.12, layer="moving"))  # fmt: skip
                if state.seen >> bit & 1:  # a truck out of view is an outline
                    shapes.append(Rect(column + 0.08, row + 0.14, 0.84, 0.72, fill=color, radius=0.12, layer="moving"))
                ink = "paper" if state.seen >> bit & 1 else color
                shapes.append(Text(column + 0.5, row + 0.5, TRUCKS[truck][0], size=0.42, fill=ink, layer="moving"))
        if state.cell < len(params.walls):
            row, column = divmod(state.cell, width)
            at_truck = state.cell in params.spots  # then in the corner, so that the truck's letter can be read
            x, y, radius = (column + 0.77, row + 0.77, 0.2) if at_truck else (column + 0.5, row + 0.5, 0.3)
            shapes.append(Circle(x, y, radius, fill="agent", stroke="ink", layer="moving"))
        return Scene(width, height, tuple(shapes))

    @staticmethod
    def place(params: FoodTrucksParams, state: FoodTrucksState) -> tuple[float, float] | None:
        if state.cell >= len(params.walls):
            return None
        row, column = divmod(state.cell, params.width)
        return column + 0.5, row + 0.5


def _seeing(params: FoodTrucksParams, cell: int, seen: int) -> float:
    """Returns the probability of seeing just the spots whose bits are set in `seen` (compiled with the law)."""
    first, second = params.sight[0, cell], params.sight[1, cell]
    return float((first if seen & 1 else 1.0 - first) * (second if seen & 2 else 1.0 - second))


def _truck_at(params: FoodTrucksParams, state: FoodTrucksState) -> int:
    """Returns the truck where the student is, 0 for none (compiled with the law)."""
    here = state.first if state.cell == params.spots[0] else 0
    return state.second if state.cell == params.spots[1] else here


def _read_map(source: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(source, str):
        if source in MAPS:
            return MAPS[source]
        if "/" not in source and "\n" not in source:
            raise UsageError(f"no map named {source!r}", expected="a name, or rows with / between them",
                             hint=closest(source, MAPS))  # fmt: skip
        source = source.strip().replace("/", "\n").split("\n")
    rows = tuple(str(row).strip() for row in source)
    for number, row in enumerate(rows, 1):
        if not row or len(row) != len(rows[0]):
            raise UsageError(f"row {number} of the map is {row!r}", expected="rows of equal length")
        for column, letter in enumerate(row, 1):
            if letter not in LETTERS:
                raise UsageError(
                    f"unknown letter {letter!r} in row {number}, column {column} of the map",
                    expected=", ".join(f"{letter} {meaning}" for letter, meaning in LETTERS.items()),
                )
    text = "".join(rows)
    for letter in "12":
        if text.count(letter) != 1:
            raise UsageError(f"the map has {text.count(letter)} cells {letter!r}", expected="one of each parking spot")
    if "S" not in text:
        raise UsageError("the map has no start", expected="at least one cell S")
    return rows


def _arrangements(parked: str) -> np.ndarray:
    """Returns `[m, 2]` the pairs of trucks that may be parked."""
    if not (isinstance(parked, str) and len(parked) == 2 and all(letter in PARKED for letter in parked)):
        raise UsageError(f"parked = {parked!r}", expected="two of K, L, M, - and ?, such as K?")
    pairs = [pair for pair in itertools.product(*(PARKED[letter] for letter in parked)) if _may_be(pair, parked)]
    if not pairs:
        raise UsageError(f"parked = {parked!r}", expected="a truck at one spot or the other, not the same at both")
    return np.array(pairs, np.int64)


def _may_be(pair: tuple[int, ...], parked: str) -> bool:
    return pair != (0, 0) and (pair[0] != pair[1] or pair[0] == 0)


def _moves_table(rows: Sequence[str]) -> np.ndarray:
    height, width = len(rows), len(rows[0])
    after = np.empty((len(MOVES), height * width), np.int64)
    for k, (right, down) in enumerate(MOVES.values()):
        for row in range(height):
            for column in range(width):
                to_row, to_column = row + down, column + right
                free = 0 <= to_row < height and 0 <= to_column < width and rows[to_row][to_column] != "#"
                after[k, row * width + column] = (to_row * width + to_column) if free else row * width + column
    return after


# ------------------------------------------------------------------------------------------- what is seen from where


def _view(walls: np.ndarray, width: int, spot: int) -> list[float]:
    """Returns, for every cell, the share of the spot's square that is in view from the middle of the cell.

    Walls block the view; the share is the area of the isovist (the region in view) within the spot's square.
    """
    blocks = [divmod(int(cell), width) for cell in np.flatnonzero(walls)]
    return [
        0.0 if walls[cell] else _share_in_view(divmod(cell, width), divmod(spot, width), blocks)
        for cell in range(len(walls))
    ]


def _share_in_view(here: tuple[int, int], spot: tuple[int, int], blocks: Sequence[tuple[int, int]]) -> float:
    if here == spot:
        return 1.0
    x, y = here[1] + 0.5, here[0] + 0.5
    square = _corners(spot, x, y)
    # angles are measured from the direction to the spot's middle, so that none near it wraps around
    ahead = math.atan2(spot[0] + 0.5 - y, spot[1] + 0.5 - x)
    low, high = min(map(_angle(ahead), square)), max(map(_angle(ahead), square))
    edges = {low, high}
    squares = [_corners(block, x, y) for block in blocks]
    for corners in squares:
        edges |= {angle for angle in map(_angle(ahead), corners) if low < angle < high}
    share = 0.0
    ordered = sorted(edges)
    for left, right in itertools.pairwise(ordered):  # between two corners a ray is blocked everywhere or nowhere
        if right - left < 1e-12:
            continue
        middle = ahead + (left + right) / 2
        direction = math.cos(middle), math.sin(middle)
        reach = _entry(square, direction)
        if not any(_entry(corners, direction) < reach for corners in squares):
            share += _area(_wedge(square, ahead + left, ahead + right))
    return round(share, 12)  # all and nothing are whole numbers: what cannot happen has probability 0


def _corners(cell: tuple[int, int], x: float, y: float) -> list[tuple[float, float]]:
    """Returns the corners of a cell's square, seen from (x, y)."""
    row, column = cell
    return [(column + dx - x, row + dy - y) for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1))]


def _angle(ahead: float) -> Any:
    return lambda corner: math.remainder(math.atan2(corner[1], corner[0]) - ahead, math.tau)


def _entry(corners: Sequence[tuple[float, float]], direction: tuple[float, float]) -> float:
    """Returns how far along a ray from the origin it enters an axis-parallel rectangle; infinity if it misses it."""
    near, far = 0.0, math.inf
    for axis in (0, 1):
        low, high = min(c[axis] for c in corners), max(c[axis] for c in corners)
        d = direction[axis]
        if abs(d) < 1e-15:
            if not low < 0 < high:
                return math.inf
            continue
        first, last = sorted((low / d, high / d))
        near, far = max(near, first), min(far, last)
    return near if near < far else math.inf


def _wedge(corners: list[tuple[float, float]], left: float, right: float) -> list[tuple[float, float]]:
    """Returns the part of a convex polygon that lies between two rays from the origin."""
    kept = _half(corners, (-math.sin(left), math.cos(left)))
    return _half(kept, (math.sin(right), -math.cos(right)))


def _half(corners: list[tuple[float, float]], inward: tuple[float, float]) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    sides = [x * inward[0] + y * inward[1] for x, y in corners]
    for k, (corner, side) in enumerate(zip(corners, sides)):
        previous, before = corners[k - 1], sides[k - 1]
        if (side > 0) != (before > 0):
            t = before / (before - side)
            kept.append((previous[0] + t * (corner[0] - previous[0]), previous[1] + t * (corner[1] - previous[1])))
        if side > 0:
            kept.append(corner)
    return kept


def _area(corners: list[tuple[float, float]]) -> float:
    return abs(sum(corners[k - 1][0] * y - x * corners[k - 1][1] for k, (x, y) in enumerate(corners))) / 2
