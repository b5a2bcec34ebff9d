"""Curves and episodes as compact JSON for the page: distinct layers, places and styles once, the rest as columns."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inscape.envs.rendering.scene import Circle, Line, Polygon, Rect, Scene, Shape, color_of
from inscape.experiments.report.sections import (
    Curve,
    CurvesSection,
    Floats,
    ImaginationOverlay,
    Picture,
    PlayerEpisode,
    PlayerSection,
    PosteriorOverlay,
    SearchOverlay,
)

JSON = Any

MAX_CURVE_POINTS = 400
"""Longer curves are averaged in bins: a screen has no more pixels."""

MAX_SEARCH_CELLS = 150
"""Visited places kept per frame, the most visited first."""


def pack_curves(section: CurvesSection) -> JSON:
    return {
        "yLabel": section.y_label,
        "references": [[name, _finite(value)] for name, value in section.references if math.isfinite(value)],
        "yRange": None if section.y_range is None else [_finite(value) for value in section.y_range],
        "xEnd": _finite(section.x_end),
        "curves": [
            {**_pack_curve(curve), "color": number if curve.color is None else curve.color}
            for number, curve in enumerate(section.curves)
        ],
    }


def _pack_curve(curve: Curve) -> JSON:
    parts = {part: binned(getattr(curve, part)) for part in ("steps", "mean", "low", "high", "seconds")}
    packed = {part: [_finite(v) for v in values] if len(values) else None for part, values in parts.items()}
    for part in ("steps", "mean"):  # always lists, also for a curve without points
        packed[part] = packed[part] or []
    return {"name": curve.name, **packed}


def binned(values: Floats | np.ndarray) -> np.ndarray:
    """Returns the values, averaged in at most `MAX_CURVE_POINTS` bins of neighbours; gaps within a bin are left out."""
    array = np.asarray(values, dtype=np.float64)  # a gap, None, becomes NaN
    if len(array) <= MAX_CURVE_POINTS:
        return array
    bins = np.array_split(array, MAX_CURVE_POINTS)
    return np.array([np.mean(part[np.isfinite(part)]) if np.isfinite(part).any() else math.nan for part in bins])


def _finite(value: float | None) -> float | int | None:
    """Returns a JSON number of at most six digits, or None for what is not one."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{float(value):.6g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


class _Pool:
    """Distinct values in order of first use; `[value]` is a value's index."""

    def __init__(self) -> None:
        self.items: list[JSON] = []
        self._index: dict[Any, int] = {}

    def index(self, key: Any, pack: Callable[[], JSON]) -> int:
        if key not in self._index:
            self._index[key] = len(self.items)
            self.items.append(pack())
        return self._index[key]


@dataclass(frozen=True)
class _Pools:
    """What the episodes of one player share."""

    statics: _Pool = field(default_factory=_Pool)
    movings: _Pool = field(default_factory=_Pool)
    styles: _Pool = field(default_factory=_Pool)
    places: _Pool = field(default_factory=_Pool)

    def static(self, scene: Scene | Picture) -> int:
        if isinstance(scene, Picture):
            size = (scene.width, scene.height)
            return self.statics.index(size, lambda: [*size, []])
        shapes = scene.layer("static")
        key = (scene.width, scene.height, shapes)
        return self.statics.index(key, lambda: [_finite(scene.width), _finite(scene.height), self.pack(shapes)])

    def drawn(self, scene: Scene | Picture) -> int:
        """Returns the index of what moves in a scene, or of all that a picture shows."""
        return self.picture(scene) if isinstance(scene, Picture) else self.moving(scene.layer("moving"))

    def picture(self, picture: Picture) -> int:
        uri = f"data:image/webp;base64,{base64.b64encode(picture.webp).decode()}"
        style = ("image", None, None, 0, 0)
        shape = [self.styles.index(style, lambda: style), 0, 0, picture.width, picture.height, uri]
        return self.movings.index(picture, lambda: [shape])

    def moving(self, shapes: tuple[Shape, ...]) -> int:
        return self.movings.index(shapes, lambda: self.pack(shapes))

    def place(self, x: float, y: float) -> int:
        return self.places.index((_short(x), _short(y)), lambda: [_short(x), _short(y)])

    def pack(self, shapes: Iterable[Shape]) -> JSON:
        return [self.shape(shape) for shape in shapes]

    def shape(self, shape: Shape) -> JSON:
        """Returns `[style, numbers…]`: what shapes have in common is a style, kept once."""
        kind = type(shape).__name__.lower()
        width = 0.0
        extra: JSON = 0
        numbers: list[JSON]
        if isinstance(shape, Rect):
            numbers, extra = [shape.x, shape.y, shape.width, shape.height], _short(shape.radius)
        elif isinstance(shape, Circle):
            numbers = [shape.x, shape.y, shape.radius]
        elif isinstance(shape, Line):
            numbers = [shape.x1, shape.y1, shape.x2, shape.y2]
        elif isinstance(shape, Polygon):
            numbers = [number for point in shape.points for number in point]
        else:
            numbers, extra = [shape.x, shape.y, shape.text], (_short(shape.size), shape.anchor)
        fill, stroke = getattr(shape, "fill", None), getattr(shape, "stroke", None)
        for name in (fill, stroke):
            if name is not None:
                color_of(name)  # an unknown colour is refused here, not shown as black there
        width = _short(getattr(shape, "line_width", 0.0)) if stroke is not None else 0
        style = (kind, fill, stroke, width, extra)
        return [self.styles.index(style, lambda: style), *(n if isinstance(n, str) else _short(n) for n in numbers)]


def _short(value: float) -> float | int:
    """Returns a scene coordinate to a thousandth of a unit: a pixel at a thousand pixels per unit."""
    rounded = round(float(value), 3)
    return int(rounded) if rounded.is_integer() else rounded


def pack_player(section: PlayerSection) -> JSON:
    """Returns a player's episodes as the page reads them: pools of distinct layers, places and styles, and columns."""
    pools = _Pools()
    episodes = [_pack_episode(episode, pools) for episode in section.episodes]
    return {
        "fps": section.fps,
        "sideBySide": section.side_by_side,
        "overlays": list(section.overlays),
        "statics": pools.statics.items,
        "movings": pools.movings.items,
        "styles": pools.styles.items,
        "places": pools.places.items,
        "episodes": episodes,
    }


def _pack_episode(episode: PlayerEpisode, pools: _Pools) -> JSON:
    frames = episode.frames
    actions = _Pool()

    def action_index(name: str) -> int:
        return actions.index(name, lambda: name)

    ground = [pools.static(frame.scene) for frame in frames]
    searched = [frame.search for frame in frames if frame.search is not None]
    packed = {
        "title": episode.title,
        "agent": episode.agent,
        "outcome": episode.outcome,
        "color": episode.color,
        "ground": ground[:1] if len(set(ground)) == 1 else ground,
        "moving": [pools.drawn(frame.scene) for frame in frames],
        "action": [action_index(frame.action) if frame.action else -1 for frame in frames],
        "reward": [_finite(frame.reward) for frame in frames],
        "caption": [frame.caption for frame in frames] if any(frame.caption for frame in frames) else None,
        "search": {
            "radius": _short(searched[0].radius),
            "frames": [_pack_search(frame.search, pools, action_index) for frame in frames],
        }
        if searched
        else None,
        "imagination": [_pack_imagination(frame.imagination, pools) for frame in frames]
        if any(frame.imagination for frame in frames)
        else None,
        "posterior": _pack_posterior([frame.posterior for frame in frames], pools, action_index),
    }
    packed["actions"] = actions.items  # last: the overlays name actions too
    return packed


def _pack_search(search: SearchOverlay | None, pools: _Pools, action_index: Callable[[str], int]) -> JSON:
    if search is None:
        return None
    most = sorted(search.cells, key=lambda cell: -cell[2])[:MAX_SEARCH_CELLS]
    cells = [number for x, y, visits in most for number in (pools.place(x, y), int(visits))]
    return [cells, [[action_index(name), int(visits), _rounded(value)] for name, visits, value in search.actions]]


def _pack_imagination(imagination: ImaginationOverlay | None, pools: _Pools) -> JSON:
    if imagination is None:
        return None
    return [[pools.moving(shapes) for shapes in future] for future in imagination.futures]


def _pack_posterior(
    overlays: Sequence[PosteriorOverlay | None], pools: _Pools, action_index: Callable[[str], int]
) -> JSON:
    first = next((overlay for overlay in overlays if overlay is not None), None)
    if first is None:
        return None
    return {
        "names": list(first.names),
        "places": [None if place is None else [_short(place[0]), _short(place[1])] for place in first.places],
        "radius": _short(first.radius),
        "probabilities": [None if o is None else [_rounded(p) or 0 for p in o.probabilities] for o in overlays],
        "next": [
            [[action_index(name), _rounded(p) or 0] for name, p in o.next_action] if o and o.next_action else None
            for o in overlays
        ],
        "bits": [None if o is None or o.bits is None else _rounded(o.bits) for o in overlays],
        "expected": [
            None if o is None else [number for x, y, n in o.expected for number in (pools.place(x, y), _rounded(n))]
            for o in overlays
        ]
        if any(overlay and overlay.expected for overlay in overlays)
        else None,
    }


def _rounded(value: float) -> float | int | None:
    """Returns a value to four digits, enough for a bar and its label; None where it is not finite."""
    if not math.isfinite(value):
        return None
    short = float(f"{float(value):.4g}")
    return int(short) if short.is_integer() else round(short, 5)
