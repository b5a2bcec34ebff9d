"""Scenes: what a world looks like, as a display list that pygame, the report and any other reader can draw.

A world's `draw` returns a `Scene` in its own units (a grid cell is 1 × 1, y grows downwards). Shapes carry names of
colours from one palette, so that every world looks of a family, and a layer: `"static"` shapes do not depend on the
state, `"moving"` ones do. An imagined state is drawn by its moving shapes alone, faded.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from inscape.errors import UsageError, closest

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
    "yellow": "#d9b53a",
    "wood": "#c9a26d",
    "player0": "#e08b2c",
    "player1": "#3b76af",
    "player2": "#b65f9e",
    "player3": "#2f9b74",
    "player4": "#5fbfd2",
    "player5": "#75503f",
}
"""Colours a shape may name, on a light ground.

Ground and things: `paper` (the page), `line` (grid lines), `ink` (outlines, text), `muted` (less important text),
`wall`, `ice`, `water`, `goal`, `danger`, `start`, `wood` (boards, furniture). One agent alone: `agent`. Players, the
same in every world: `player0` … `player5`, for colour-blind eyes too (`player0` is the `agent`'s colour; more than
six start again, see `player_color`). Anything else: `blue orange green red purple teal yellow`.
"""

DARK_PALETTE: dict[str, str] = {
    "paper": "#22252c",
    "line": "#3a3e48",
    "ink": "#e8e6df",
    "muted": "#9a9ca5",
    "wall": "#6b7080",
    "ice": "#2f4a5c",
    "water": "#2f6492",
    "goal": "#4db482",
    "danger": "#d96a51",
    "start": "#4c4534",
    "agent": "#f0a04b",
    "blue": "#6f9bcf",
    "orange": "#f79a45",
    "green": "#74bd6c",
    "red": "#ee7b7d",
    "purple": "#ab8bd0",
    "teal": "#46bcbc",
    "yellow": "#e6c65a",
    "wood": "#8a6b42",
    "player0": "#f0a04b",
    "player1": "#6aa3dc",
    "player2": "#d587bf",
    "player3": "#4dc096",
    "player4": "#7fd6e6",
    "player5": "#b58a75",
}
"""The same names on a dark ground, for readers that follow the viewer's colour scheme (the report)."""


NUM_PLAYER_COLORS = 6


def player_color(player: int) -> str:
    """Returns the palette name of a player's colour."""
    return f"player{player % NUM_PLAYER_COLORS}"


def color_of(name: str) -> str:
    """Returns the `#rrggbb` of a palette name, or of a literal `#rrggbb`.

    Raises:
        UsageError: neither a palette name nor a literal colour.
    """
    if name in PALETTE:
        return PALETTE[name]
    if re.fullmatch(r"#[0-9a-fA-F]{6}", name):
        return name
    near = closest(name, PALETTE)
    raise UsageError(
        f"unknown colour {name!r}", expected=f"#rrggbb, or one of the palette: {', '.join(PALETTE)}",
        hint=near if near.startswith("did") else "",
    )  # fmt: skip


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
    """Circle around (x, y)."""

    x: float
    y: float
    radius: float
    fill: str | None = None
    stroke: str | None = None
    line_width: float = 0.03
    layer: Layer = "static"


@dataclass(frozen=True)
class Line:
    """Straight line from (x1, y1) to (x2, y2)."""

    x1: float
    y1: float
    x2: float
    y2: float
    stroke: str = "ink"
    line_width: float = 0.03
    layer: Layer = "static"


@dataclass(frozen=True)
class Polygon:
    """Closed polygon through its corners `points`, (x, y) each."""

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
    """A drawing of one state: `width` × `height` scene units; static shapes are painted first, then moving ones,
    each in the order given (so that a reader can paint the static layer once for a whole episode)."""

    width: float
    height: float
    shapes: tuple[Shape, ...] = field(default_factory=tuple)

    def layer(self, name: Layer) -> tuple[Shape, ...]:
        """Returns the shapes of one layer, in order."""
        return tuple(shape for shape in self.shapes if shape.layer == name)

    def to_json(self) -> dict[str, Any]:
        """Returns the scene as JSON values; each shape has its class name under `kind`."""
        return {
            "width": self.width,
            "height": self.height,
            "shapes": [{"kind": type(s).__name__.lower(), **asdict(s)} for s in self.shapes],
        }
