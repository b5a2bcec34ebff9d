"""How an observation of whole numbers says where one stands: rows and columns, or one number and a width."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.world_models.learned.program.transitions import Transitions

Array = np.ndarray[Any, Any]

COMPASS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""Directions clockwise from north, as (rows, columns); number 8 is to stay."""
COMPASS_NAMES = ("NORTH", "NORTH_EAST", "EAST", "SOUTH_EAST", "SOUTH", "SOUTH_WEST", "WEST", "NORTH_WEST", "STAY")
STAY = 8
MOST_CELLS = 10_000


@dataclass(frozen=True)
class Geometry:
    """Which numbers of an observation are the place, and how large the map is.

    Attributes:
        position: one field (cell = row · width + column), or two (row, column).
        others: the fields that are no place: what is carried, what is open.
        height, width: of the map, in cells.
    """

    position: tuple[int, ...]
    others: tuple[int, ...]
    height: int
    width: int

    @property
    def cells(self) -> int:
        return self.height * self.width

    def cell_of(self, observations: Array) -> Array:
        """Returns `[N]` cells of `[N, F]` observations."""
        if len(self.position) == 1:
            return np.asarray(observations[:, self.position[0]])
        row, column = self.position
        return np.asarray(observations[:, row] * self.width + observations[:, column])

    def neighbours(self) -> tuple[Array, Array]:
        """Returns `[9, cells]` where each direction leads, itself where that is off the map; and whether it is."""
        row, column = np.divmod(np.arange(self.cells), self.width)
        to, off = np.empty((9, self.cells), np.int64), np.zeros((9, self.cells), np.bool_)
        to[STAY] = np.arange(self.cells)
        for direction, (down, right) in enumerate(COMPASS):
            there, beside = row + down, column + right
            off[direction] = (there < 0) | (there >= self.height) | (beside < 0) | (beside >= self.width)
            to[direction] = np.where(off[direction], to[STAY], there * self.width + beside)
        return to, off


def candidates(
    data: Transitions, names: Sequence[str], sizes: Sequence[int], shape: tuple[int, int] | None, most: int = 3
) -> list[Geometry]:
    """Returns the readings of observations under which most transitions are steps to a cell beside, best first.

    Args:
        data: what was seen.
        names: of the F fields.
        sizes: how many values each field takes, 0 where that is not known.
        shape: height and width of the map, where the user gave one.
        most: how many to return.
    """
    found = []
    for order, geometry in enumerate(_readings(data, names, sizes, shape)):
        here, there = geometry.cell_of(data.before), geometry.cell_of(data.after)
        down = np.abs(there // geometry.width - here // geometry.width)
        right = np.abs(there % geometry.width - here % geometry.width)
        beside = np.where(down + right <= 1, 1.0, np.where((down <= 1) & (right <= 1), 0.5, 0.0))
        moved = here != there
        others = list(geometry.others)
        changed = (data.before[:, others] != data.after[:, others]).any(axis=1)
        explained = float((data.count * np.where(changed, 0.5 * beside, beside))[moved | ~changed].sum())
        # both axes seen in use count for a width; among equals the squarest map
        uneven = abs(np.log(geometry.height / geometry.width))
        found.append((-explained, order if len(geometry.position) == 2 else uneven, order, geometry))
    return [row[-1] for row in sorted(found, key=lambda row: row[:3])][:most]


def _readings(
    data: Transitions, names: Sequence[str], sizes: Sequence[int], shape: tuple[int, int] | None
) -> Iterator[Geometry]:
    both = np.concatenate([data.before, data.after, data.starts])
    if not len(both) or both.min(initial=0) < 0:
        return
    extent = [max(size, int(top) + 1) for size, top in zip(sizes, both.max(axis=0), strict=True)]
    count = len(names)
    for first, second in itertools.combinations(range(count), 2):
        row, column = (second, first) if _is_across(names[first], names[second]) else (first, second)
        height, width = shape or (extent[row], extent[column])
        fits = extent[row] <= height and extent[column] <= width
        if fits and 1 < height * width <= MOST_CELLS:
            others = tuple(k for k in range(count) if k not in (row, column))
            yield Geometry((row, column), others, height, width)
    for cell in range(count):
        others = tuple(k for k in range(count) if k != cell)
        steps = np.abs(data.after[:, cell] - data.before[:, cell])
        likely = sorted({int(step) + more for step in steps if step > 1 for more in (-1, 0, 1)} - {0, 1})
        widths = [shape[1]] if shape else [width for width in likely if width <= extent[cell]] or [extent[cell]]
        for width in widths:
            height = shape[0] if shape else -(-extent[cell] // width)
            if extent[cell] <= height * width and 1 < height * width <= MOST_CELLS:
                yield Geometry((cell,), others, height, width)


def _is_across(first: str, second: str) -> bool:
    """Returns whether two names say that the first is the column, as (x, y) do."""
    return first.rstrip("_0123456789") in ("x", "col", "column") and second.rstrip("_0123456789") in ("y", "row")
