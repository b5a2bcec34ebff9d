"""What worlds of several players on one grid share: reading maps, moving at the same time, drawing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inscape.envs.law.tools import replaced
from inscape.envs.rendering.scene import Circle, Rect, Shape, Text, player_color
from inscape.errors import UsageError

MOVES = ("left", "down", "right", "up", "stay")
"""Names of the first five actions of every world on a grid, in the order of GridWorld's."""
OFFSETS = ((0, -1), (1, 0), (0, 1), (-1, 0), (0, 0))
"""(rows down, columns right) of each move."""
STAY = 4


# ------------------------------------------------------------------------------------------- called by law functions


def settled(cells: tuple[int, ...], targets: tuple[int, ...], swaps: bool = False) -> tuple[int, ...]:
    """Returns where players end who stood on `cells` and all set out for `targets` at once.

    No two players share a cell or (unless `swaps`) trade places: of those who would, all stay where they were; so do
    those who wanted a cell that is not left because of it, and so on. The rule is the same for every player, whatever
    their order, and a train of players may move on together.
    """
    count = len(cells)
    ends = targets
    for _ in range(count - 1):  # a round that changes something holds back at least one more player
        before = ends
        for i in range(count):
            held = False
            for j in range(count):
                if i != j:
                    held |= before[i] == before[j]
                    held |= (not swaps) & (before[i] == cells[j]) & (before[j] == cells[i])
            ends = replaced(ends, i, cells[i] if held else before[i])
    return ends


def own_first(items: tuple[int, ...], player: int) -> tuple[int, ...]:
    """Returns one item per player with `player`'s in front, the others in their order."""
    arranged = replaced(items, 0, items[player])
    for k in range(1, len(items)):
        arranged = replaced(arranged, k, items[k - 1] if k <= player else items[k])
    return arranged


def with_care(gains: tuple[float, ...], care: tuple[float, ...]) -> tuple[float, ...]:
    """Returns each player's gain plus `care` times what the others gained, r_i + c_i · Σ_{j≠i} r_j.

    Source: Peysakhovich & Lerer (2018), prosocial rewards; care −1 makes a game of two one of pure conflict.
    """
    total = 0.0
    for k in range(len(gains)):
        total += gains[k]
    rewards = gains
    for k in range(len(gains)):
        rewards = replaced(rewards, k, gains[k] + care[k] * (total - gains[k]))
    return rewards


# ------------------------------------------------------------------------------------------- called by `setup`


def read_rows(source: str | Sequence[str], maps: dict[str, tuple[str, ...]], letters: str) -> tuple[str, ...]:
    """Returns the rows of a map given by name, as one text with `/` or line breaks between rows, or as rows.

    Raises:
        UsageError: no rows; rows of different lengths; a letter that is not among `letters`.
    """
    if isinstance(source, str):
        rows = maps[source] if source in maps else tuple(source.strip("\n").replace("\n", "/").split("/"))
        if len(rows) == 1 and source not in maps:
            raise UsageError(
                f"no map named {source!r}", expected=f"{', '.join(maps)}, or rows with / between them, such as S./.S"
            )
    else:
        rows = tuple(str(row) for row in source)
    if not rows or not rows[0]:
        raise UsageError("the map is empty", expected="rows of letters with / between them")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise UsageError(
                f"row {number} of the map has {len(row)} cells and row 1 has {len(rows[0])}: {row!r}",
                expected="rows of equal length",
            )
        for column, letter in enumerate(row, 1):
            if letter not in letters:
                raise UsageError(
                    f"unknown letter {letter!r} in row {number}, column {column} of the map",
                    expected="one of " + " ".join(letters),
                )
    return rows


def cells_of(rows: Sequence[str], letter: str) -> list[int]:
    """Returns the cells that carry `letter`, in reading order."""
    return [cell for cell, found in enumerate("".join(rows)) if found == letter]


def moves_table(rows: Sequence[str], barred: str = "#", torus: bool = False) -> np.ndarray:
    """Returns `[5, cells]` int64: the cell each move leads to; against the edge or a `barred` letter one stays.

    Args:
        torus: moves across an edge come back on the opposite side.
    """
    height, width = len(rows), len(rows[0])
    after = np.empty((len(OFFSETS), height * width), np.int64)
    for k, (down, right) in enumerate(OFFSETS):
        for row in range(height):
            for column in range(width):
                to = row + down, column + right
                if torus:
                    to = to[0] % height, to[1] % width
                inside = 0 <= to[0] < height and 0 <= to[1] < width
                free = inside and rows[to[0]][to[1]] not in barred and rows[row][column] not in barred
                after[k, row * width + column] = to[0] * width + to[1] if free else row * width + column
    return after


def neighbours_table(after: np.ndarray) -> np.ndarray:
    """Returns `[cells, cells]` bool: does one move lead from the one to the other (a cell is not its own neighbour)."""
    cells = after.shape[1]
    near = np.zeros((cells, cells), np.bool_)
    for k in range(STAY):
        near[np.arange(cells), after[k]] = True
    np.fill_diagonal(near, False)
    return near


def placements(cells: Sequence[int], count: int, number: int, seed: int) -> np.ndarray:
    """Returns `[number, count]` int64: `number` ways to place `count` things on different `cells`, drawn by `seed`."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.choice(np.asarray(cells, np.int64), count, replace=False) for _ in range(number)])


def require(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    """Raises UsageError unless `value` is a number (`whole`: an integer) from `low` to `high`."""
    kinds: tuple[type, ...] = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    number = isinstance(value, kinds) and not isinstance(value, bool)
    if not (number and low <= value <= high):  # type: ignore[operator]
        kind = "an integer" if whole else "a number"
        raise UsageError(f"{name} = {value!r}", expected=f"{kind} from {low} to {high}" if high < 1e9 else kind)


def per_player(name: str, value: float | Sequence[float], players: int) -> tuple[float, ...]:
    """Returns one number per player from one for all of them or a sequence.

    Raises:
        UsageError: another number of values, or values that are not finite.
    """
    values = tuple(value) if isinstance(value, (Sequence, np.ndarray)) else (value,) * players
    if len(values) != players:
        raise UsageError(f"{name} has {len(values)} values", expected=f"one number, or {players}: one per player")
    for item in values:
        require(name, item, -1e12, 1e12)
    return tuple(float(item) for item in values)


# ------------------------------------------------------------------------------------------- called by `draw`


def floor_shapes(rows: Sequence[str], walls: str = "#") -> list[Shape]:
    """Returns the ground: one light square per cell, walls dark."""
    shapes: list[Shape] = [Rect(0, 0, len(rows[0]), len(rows), fill="paper")]
    for y, row in enumerate(rows):
        for x, letter in enumerate(row):
            ground = "wall" if letter in walls else "paper"
            shapes.append(Rect(x, y, 1, 1, fill=ground, stroke="line", line_width=0.02))
    return shapes


def middle(cell: int, width: int) -> tuple[float, float]:
    """Returns the middle of a cell in scene units."""
    row, column = divmod(int(cell), width)
    return column + 0.5, row + 0.5


def player_shapes(player: int, cell: int, width: int, label: str = "") -> list[Shape]:
    """Returns a player: a disc of its colour, with a short label."""
    x, y = middle(cell, width)
    shapes: list[Shape] = [Circle(x, y, 0.34, fill=player_color(player), stroke="ink", line_width=0.04, layer="moving")]
    if label:
        shapes.append(Text(x, y, label, size=0.32, fill="paper", layer="moving"))
    return shapes


def at(cell: int, width: int) -> str:
    """Returns a cell as text."""
    row, column = divmod(int(cell), width)
    return f"row {row} column {column}"
