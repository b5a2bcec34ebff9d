"""A map of values, drawn: the world's picture, a tint for each value, an arrow for each optimal action."""

from __future__ import annotations

import html

from inscape.envs.rendering.scene import PALETTE, Circle, Line, Polygon, Rect, Shape, Text
from inscape.experiments.numbers import number_text
from inscape.experiments.report.sections import MapCell, MapSection

FAINTEST, STRONGEST = 0.05, 0.6
"""Opacity of the tint of the lowest and of the highest value."""
MOST_COLUMNS_WITH_NUMBERS, MOST_COLUMNS_WITH_ARROWS = 12, 40


def map_html(section: MapSection) -> str:
    """Returns the map as a `<figure>`, with a legend."""
    scene, cells = section.scene, section.cells
    values = [cell.value for cell in cells]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    columns = len({cell.x for cell in cells})
    parts = [shape_svg(shape) for shape in scene.layer("static")]
    for cell in cells:
        share = (cell.value - low) / (high - low) if high > low else 0.0
        parts.append(_cell_svg(cell, section.side, FAINTEST + (STRONGEST - FAINTEST) * share, columns, max(-low, high)))
    label = html.escape(section.title, quote=True)
    legend = (
        f'<figcaption><span>{number_text(low)}</span><i aria-hidden="true"></i><span>{number_text(high)}</span>'
        "</figcaption>"
    )
    return (
        f'<figure class="map"><div class="pan" tabindex="0" role="region" aria-label="{label}">'
        f'<svg viewBox="0 0 {scene.width:g} {scene.height:g}" style="min-width:{_least_width(columns)}px" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg></div>{legend}</figure>'
    )


def _least_width(columns: int) -> int:
    """Returns how many pixels a map must have at least to be read; a narrower page lets it be moved sideways."""
    wide = 44 if columns <= MOST_COLUMNS_WITH_NUMBERS else 22 if columns <= MOST_COLUMNS_WITH_ARROWS else 4
    return min(1000, wide * columns)


def _cell_svg(cell: MapCell, side: float, opacity: float, columns: int, largest: float) -> str:
    x, y, half = cell.x, cell.y, side / 2
    title = f"<title>{html.escape(cell.label)}</title>" if cell.label else ""
    parts = [
        f'<rect class="tint" x="{x - half:g}" y="{y - half:g}" width="{side:g}" height="{side:g}" '
        f'fill-opacity="{opacity:.3f}">{title}</rect>'
    ]
    numbered = columns <= MOST_COLUMNS_WITH_NUMBERS
    middle = y - 0.12 * side if numbered else y
    if columns <= MOST_COLUMNS_WITH_ARROWS:
        for right, down in cell.directions:
            parts.append(_arrow_svg(x, middle, right, down, side * (0.24 if numbered else 0.36)))
        if cell.words and not cell.directions:
            word = html.escape("/".join(cell.words)[:10])
            parts.append(f'<text x="{x:g}" y="{middle:g}" font-size="{0.2 * side:g}">{word}</text>')
    if numbered:
        digits = 2 if largest < 10 else 1 if largest < 100 else 0
        number = f"{round(cell.value, digits) + 0.0:.{digits}f}".replace("-", "−")
        parts.append(f'<text x="{x:g}" y="{y + 0.33 * side:g}" font-size="{0.23 * side:g}">{number}</text>')
    return "".join(parts)


def _arrow_svg(x: float, y: float, right: float, down: float, length: float) -> str:
    """Returns an arrow from the middle of a cell."""
    tip = x + right * length, y + down * length
    back = x + right * length * 0.45, y + down * length * 0.45
    wing = 0.3 * length
    corners = (tip, (back[0] - down * wing, back[1] + right * wing), (back[0] + down * wing, back[1] - right * wing))
    points = " ".join(f"{px:.3f},{py:.3f}" for px, py in corners)
    return (
        f'<line x1="{x:g}" y1="{y:g}" x2="{back[0]:.3f}" y2="{back[1]:.3f}" stroke-width="{0.2 * length:.3f}"/>'
        f'<polygon points="{points}"/>'
    )


def shape_svg(shape: Shape) -> str:
    """Returns one shape of a scene, its colours those of the page's palette."""
    if isinstance(shape, Text):
        anchor = f' text-anchor="{shape.anchor}"'
        look = f'font-size="{shape.size * 1.4:g}" style="fill:{_color(shape.fill)}"{anchor}'
        return f'<text class="own" x="{shape.x:g}" y="{shape.y:g}" {look}>{html.escape(shape.text)}</text>'
    fill = "none" if isinstance(shape, Line) or shape.fill is None else _color(shape.fill)
    stroke = f";stroke:{_color(shape.stroke)};stroke-width:{shape.line_width:g}" if shape.stroke else ""
    look = f'style="fill:{fill}{stroke}"'
    if isinstance(shape, Rect):
        box = f'x="{shape.x:g}" y="{shape.y:g}" width="{shape.width:g}" height="{shape.height:g}"'
        return f'<rect {box} rx="{shape.radius:g}" {look}/>'
    if isinstance(shape, Circle):
        return f'<circle cx="{shape.x:g}" cy="{shape.y:g}" r="{shape.radius:g}" {look}/>'
    if isinstance(shape, Line):
        return f'<line x1="{shape.x1:g}" y1="{shape.y1:g}" x2="{shape.x2:g}" y2="{shape.y2:g}" {look}/>'
    assert isinstance(shape, Polygon)
    points = " ".join(f"{x:g},{y:g}" for x, y in shape.points)
    return f'<polygon points="{points}" {look}/>'


def _color(name: str) -> str:
    return f"var(--p-{name})" if name in PALETTE else html.escape(name, quote=True)
