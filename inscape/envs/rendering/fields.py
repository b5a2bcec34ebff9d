"""The drawing of worlds that define none: a table of the state's fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Rect, Scene, Shape, Text


def default_scene(fields: Mapping[str, Any], name: str = "") -> Scene:
    """Returns a table of a state's fields, for worlds that define no `draw`: name, value, and a bar.

    Bars run from the middle, left for negative values, on the scale v / (1 + |v|): every finite value fits and small
    ones stay visible, with no need to know the field's range. Booleans are a lamp; tuples a row of small bars.

    Args:
        fields: field name to number, bool or tuple of numbers, as in a world's `State._asdict()`.
        name: the world's name, written above.
    """
    top = 1.0 if name else 0.4
    width, height = 10.0, top + 0.8 * max(1, len(fields)) + 0.2
    shapes: list[Shape] = [Text(0.4, 0.55, name, 0.32, "ink", "start")] if name else []
    for index, (field, value) in enumerate(fields.items()):
        y = top + 0.8 * index + 0.4
        if index:
            shapes.append(Line(0.4, y - 0.4, width - 0.4, y - 0.4, "line", 0.02))
        shapes.append(Text(0.4, y, str(field)[:18], 0.24, "muted", "start"))
        shapes.extend(_field_shapes(value, y))
    return Scene(width, height, tuple(shapes))


def _field_shapes(value: Any, y: float) -> list[Shape]:
    """Returns value and bar of one field, its row centred at height `y`."""
    if isinstance(value, bool | np.bool_):
        lamp = Circle(7.6, y, 0.16, "green" if value else "paper", "muted", 0.04, "moving")
        return [Text(5.2, y, str(bool(value)), 0.24, "ink", "end", "moving"), lamp]
    if isinstance(value, tuple | list | np.ndarray):
        numbers = [float(v) for v in value]
        step = 4.0 / max(1, len(numbers))
        shapes: list[Shape] = [Text(5.2, y, f"{len(numbers)} values", 0.24, "ink", "end", "static")]
        for index, number in enumerate(numbers):
            shapes.append(_bar(5.6 + step * index, step * 0.8, number, y))
        return shapes
    number = float(value)
    text = str(int(number)) if number.is_integer() and abs(number) < 1e9 else f"{number:.4g}"
    groove = Rect(5.6, y - 0.14, 4.0, 0.28, "line", radius=0.06)
    axis = Line(7.6, y - 0.2, 7.6, y + 0.2, "muted", 0.02)
    return [groove, axis, Text(5.2, y, text, 0.24, "ink", "end", "moving"), _bar(5.6, 4.0, number, y)]


def _bar(left: float, width: float, number: float, y: float) -> Rect:
    reach = (
        0.0 if math.isnan(number) else math.copysign(1.0, number) if math.isinf(number) else number / (1 + abs(number))
    )
    length = abs(reach) * width / 2
    start = left + width / 2 - (length if reach < 0 else 0.0)
    return Rect(start, y - 0.14, max(length, 0.03), 0.28, "blue" if reach >= 0 else "red", layer="moving")
