"""How a report writes numbers: one rule for tables, axes, titles and captions.

Whole numbers in full, in groups of three; others to four digits; what stands together (an estimate and its interval,
the ticks of an axis, a column of like numbers) to the same decimals; the minus sign is −, a missing number –.
`page.js` follows the same rule (`format`, `tickLabels`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

DIGITS = 4
"""Significant digits of a number that stands alone."""

MOST_DECIMALS = 6
GROUP = "\u202f"
"""A narrow space between groups of three digits."""


def number_text(value: float, decimals: int | None = None) -> str:
    """Returns a number as a reader sees it.

    Args:
        value: any number.
        decimals: digits after the point; None: what the number itself needs.
    """
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if abs(value) >= 1e15 or (decimals is None and 0 < abs(value) < 1e-4):
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    if decimals is None:
        decimals = 0 if float(value).is_integer() else _needed(value)
        text = f"{value:,.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{value:,.{decimals}f}"
    if not text.strip("-0.,"):
        text = text.lstrip("-")  # no minus before what is shown as zero
    return text.replace(",", GROUP).replace("-", "−")


def _needed(value: float) -> int:
    """Returns the decimals that show `DIGITS` digits of a number that is not 0."""
    return max(0, DIGITS - 1 - math.floor(math.log10(abs(value))))


def interval_decimals(values: Sequence[float]) -> int:
    """Returns the decimals for an estimate and its bounds: two digits of the interval's width, three of the largest.

    Whole numbers need none.
    """
    finite = [v for v in values if math.isfinite(v)]
    if not finite or all(float(v).is_integer() for v in finite):
        return 0
    largest, width = max(map(abs, finite)), max(finite) - min(finite)
    wanted = 2 - math.floor(math.log10(largest)) if largest > 0 else 0
    if width > 0:
        wanted = max(wanted, 1 - math.floor(math.log10(width)))
    return min(MOST_DECIMALS, max(0, wanted))


def column_decimals(values: Sequence[float]) -> int | None:
    """Returns the decimals that a column of numbers shares; None where they are too unlike to share any."""
    finite = [v for v in values if math.isfinite(v)]
    sizes = [abs(v) for v in finite if v != 0]
    if not sizes or all(float(v).is_integer() for v in finite):
        return 0
    wanted = max(0, DIGITS - 1 - math.floor(math.log10(max(sizes))))
    return wanted if wanted <= MOST_DECIMALS and round(min(sizes) * 10**wanted) >= 1 else None
