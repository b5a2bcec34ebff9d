"""A picture of a recovered grid: what its cells are called, and where one stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inscape.envs.rendering.scene import Circle, Rect, Scene, Shape, Text

FILLS = {"#": "wall", "F": "ice", "G": "goal", "H": "water"}


def draw_grid(kinds: np.ndarray[Any, Any], width: int, letters: Sequence[str], cell: int) -> Scene:
    """Returns the scene of a map of kinds, each shown by its letter."""
    height = len(kinds) // width
    shapes: list[Shape] = [Rect(0, 0, width, height, fill="paper")]
    for number, kind in enumerate(kinds.tolist()):
        row, column = divmod(number, width)
        letter = letters[kind]
        fill = FILLS.get(letter, "paper")
        shapes.append(Rect(column, row, 1, 1, fill=fill, stroke="line", line_width=0.02))
        if letter not in "#F.":
            shapes.append(Text(column + 0.5, row + 0.5, letter, size=0.45, fill="ink"))
    row, column = divmod(cell, width)
    shapes.append(Circle(column + 0.5, row + 0.5, 0.3, fill="agent", stroke="ink", layer="moving"))
    return Scene(width, height, tuple(shapes))
