"""Small tables and lines for notebooks: what `_repr_html_` returns, in the colours of the page it stands in.

Text is escaped here and nowhere else: callers hand over plain text. No scripts, no style sheets, no colours but the
page's own, so that light and dark themes, Jupyter and marimo show it alike.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np

MOST_ROWS = 40
"""Rows shown of a longer table: the first and the last."""
_CELL = "padding:1px 12px 1px 0;border:0;background:none;color:inherit;vertical-align:top;"
_FAINT = "opacity:.65"


def number(value: float, digits: int = 4) -> str:
    """Returns a number as text, with a real minus sign; a dash for one that is not finite."""
    if not math.isfinite(value):
        return "–"
    return f"{value + 0.0:.{digits}g}".replace("-", "−")


def text(value: object) -> str:
    """Returns plain text, fit to stand in HTML."""
    return html.escape(str(value))


def block(title: str, *parts: str, note: str = "") -> str:
    """Returns a title with what stands below it.

    Args:
        title: plain text.
        parts: HTML made by this module.
        note: plain text, faint, at the end.
    """
    below = f'<div style="{_FAINT};font-size:90%">{text(note)}</div>' if note else ""
    return (
        '<div style="font-size:13px;line-height:1.45;color:inherit;max-width:100%;overflow-x:auto">'
        + (f'<div style="font-weight:600">{text(title)}</div>' if title else "")
        + f"{''.join(part for part in parts if part)}{below}</div>"
    )


def line(plain: str) -> str:
    """Returns a line of plain text."""
    return f"<div>{text(plain)}</div>"


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[str] = (), best: int = -1) -> str:
    """Returns a table.

    Args:
        columns: their names; none: a table without a head.
        rows: plain text, or numbers.
        numbers: names of the columns to be flush right.
        best: number of the row in bold; −1 for none.
    """
    right = [name in numbers for name in columns]

    def cell(tag: str, value: object, column: int, style: str = "") -> str:
        side = "right" if column < len(right) and right[column] else "left"
        shown = number(float(value)) if isinstance(value, (float, np.floating)) else str(value)
        return f'<{tag} style="{_CELL}text-align:{side};{style}">{text(shown)}</{tag}>'

    shown = list(enumerate(rows))
    if len(rows) > MOST_ROWS:
        half = MOST_ROWS // 2
        left_out = [f"… {len(rows) - MOST_ROWS:,} more", *[""] * (len(columns) - 1)]
        shown = [*shown[:half], (-2, left_out), *shown[-half:]]
    head = "".join(cell("th", name, k, f"font-weight:400;{_FAINT}") for k, name in enumerate(columns) if any(columns))
    body = "".join(
        '<tr style="background:none">'
        + "".join(cell("td", value, k, "font-weight:600" if index == best else "") for k, value in enumerate(row))
        + "</tr>"
        for index, row in shown
    )
    head = f'<tr style="background:none">{head}</tr>' if head else ""
    return f'<table style="border-collapse:collapse;margin:2px 0;border:0;color:inherit">{head}{body}</table>'


def bar(share: float, width: int = 120) -> str:
    """Returns a bar filled to a share from 0 to 1."""
    share = min(1.0, max(0.0, share if math.isfinite(share) else 0.0))
    return (
        f'<svg width="{width}" height="10" role="img" aria-label="{share:.0%}" style="vertical-align:middle">'
        f'<rect width="{width}" height="10" fill="currentColor" opacity=".15"/>'
        f'<rect width="{width * share:.1f}" height="10" fill="currentColor" opacity=".6"/></svg>'
    )


def curve(x: Sequence[float], y: Sequence[float], width: int = 260, height: int = 56) -> str:
    """Returns a line through points, with its lowest and highest value; nothing for fewer than two finite points."""
    points = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if len(points) < 2:
        return ""
    across, up = [a for a, _ in points], [b for _, b in points]
    left, wide = min(across), (max(across) - min(across)) or 1.0
    low, tall = min(up), (max(up) - min(up)) or 1.0
    drawn = " ".join(
        f"{4 + (width - 8) * (a - left) / wide:.1f},{height - 4 - (height - 8) * (b - low) / tall:.1f}"
        for a, b in points
    )
    label = f"from {number(up[0])} to {number(up[-1])}"
    return (
        '<div style="display:flex;align-items:stretch;gap:6px;margin:2px 0">'
        f'<svg width="{width}" height="{height}" role="img" aria-label="{label}">'
        f'<rect width="{width}" height="{height}" fill="currentColor" opacity=".06"/>'
        f'<polyline points="{drawn}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
        f'<div style="display:flex;flex-direction:column;justify-content:space-between;font-size:85%;{_FAINT}">'
        f"<span>{number(max(up))}</span><span>{number(min(up))}</span></div></div>"
    )


def share_lines(names: Sequence[str], shares: Sequence[Sequence[float]], width: int = 260, height: int = 72) -> str:
    """Returns how shares from 0 to 1 change over steps, a line each, told apart by their dashes.

    Args:
        names: plain text, one for each line.
        shares: `[N][T]`.
    """
    if not names or len(shares[0]) < 2:
        return ""
    steps = len(shares[0]) - 1
    dashes = ("", "5 3", "1.5 2.5", "8 3 2 3", "2 6", "12 4")
    lines, legend = [], []
    for k, (name, values) in enumerate(zip(names, shares, strict=True)):
        drawn = " ".join(
            f"{4 + (width - 8) * t / steps:.1f},{height - 4 - (height - 8) * min(1.0, max(0.0, float(value))):.1f}"
            for t, value in enumerate(values)
        )
        look = f'stroke="currentColor" stroke-width="1.5" stroke-dasharray="{dashes[k % len(dashes)]}" fill="none"'
        lines.append(f'<polyline points="{drawn}" {look}/>')
        legend.append(
            f'<span style="white-space:nowrap"><svg width="28" height="8"><line x1="0" y1="4" x2="28" y2="4" {look}/>'
            f"</svg> {text(name)}</span>"
        )
    return (
        f'<svg width="{width}" height="{height}" role="img" aria-label="shares by step">'
        f'<rect width="{width}" height="{height}" fill="currentColor" opacity=".06"/>{"".join(lines)}</svg>'
        f'<div style="display:flex;flex-wrap:wrap;gap:2px 12px;font-size:90%">{"".join(legend)}</div>'
    )
