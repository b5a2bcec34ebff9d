"""Scenes: what a world looks like, as a display list that pygame, the report and any other reader can draw.

A world's `draw` returns a `Scene` in its own units (a grid cell is 1 × 1, y grows downwards). Shapes carry names of
colours from one palette, so that every world looks of a family, and a layer: `"static"` shapes do not depend on the
state, `"moving"` ones do. An imagined state is drawn by its moving shapes alone, faded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Layer = Literal["static", "moving"]

PALETTE: dict[str, str] = {
    "paper": "#f7f5f0",
    "line": "#d9d4c7",
    "ink": "#2b2d33",
    "muted": "#8a8c93",
    "wall": "#4a4e5a",
    "ice": "#d6e8f2",
    "water": "#5b8db8",
    "goal": "#3f9d6b",
    "danger": "#c8553d",
    "start": "#e9dfc6",
    "agent": "#e08b2c",
    "blue": "#4c78a8",
    "orange": "#f58518",
    "green": "#54a24b",
    "red": "#e45756",
    "purple": "#8c6bb1",
    "teal": "#2a9d9d",
}


@dataclass(frozen=True)
class Rect:
    """Axis-parallel rectangle, top left corner (x, y)."""

    x: float
    y: float
    width: float
    height: float
    fill: str | None = None
    stroke: str | None = None
    line_width: float = 0.03
    radius: float = 0.0
    layer: Layer = "static"


@dataclass(frozen=True)
class Circle:
    x: float
    y: float
    radius: float
    fill: str | None = None
    stroke: str | None = None
    line_width: float = 0.03
    layer: Layer = "static"


@dataclass(frozen=True)
class Line:
    x1: float
    y1: float
    x2: float
    y2: float
    stroke: str = "ink"
    line_width: float = 0.03
    layer: Layer = "static"


@dataclass(frozen=True)
class Polygon:
    points: tuple[tuple[float, float], ...]
    fill: str | None = None
    stroke: str | None = None
    line_width: float = 0.03
    layer: Layer = "static"


@dataclass(frozen=True)
class Text:
    """Text centred at (x, y); `size` is the height of a capital letter in scene units, roughly."""

    x: float
    y: float
    text: str
    size: float = 0.4
    fill: str = "ink"
    anchor: Literal["start", "middle", "end"] = "middle"
    layer: Layer = "static"


Shape = Rect | Circle | Line | Polygon | Text


@dataclass(frozen=True)
class Scene:
    """A drawing of one state: `width` × `height` scene units, shapes painted in order."""

    width: float
    height: float
    shapes: tuple[Shape, ...] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """Returns the scene as JSON values; each shape has its class name under `kind`."""
        return {
            "width": self.width,
            "height": self.height,
            "shapes": [{"kind": type(s).__name__.lower(), **asdict(s)} for s in self.shapes],
        }
