"""Settings of games, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.errors import UsageError


def finite_number(where: str, value: Any) -> float:
    """Returns the value as a float.

    Raises:
        UsageError: it is no finite number.
    """
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not np.isfinite(value):
        raise UsageError(f"{where} = {value!r}", expected="a finite number")
    return float(value)


def whole_number(where: str, value: Any, low: int, high: int | None = None) -> int:
    """Returns the value as an int.

    Raises:
        UsageError: it is no integer, or outside `low` … `high`.
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        raise UsageError(
            f"{where} = {value!r}", expected=f"an integer of at least {low}" + (f", at most {high}" if high else "")
        )
    return int(value)
