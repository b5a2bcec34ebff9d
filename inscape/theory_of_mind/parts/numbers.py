"""Numbers that parts are made of, checked where they are given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from inscape.errors import UsageError


def finite_number(name: str, value: Any, unit: str = "", hint: str = "") -> float:
    """Returns a finite number of at least 0 as a float.

    Raises:
        UsageError: it is no number, negative, or not finite.
    """
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        expected = "a finite number, 0 or larger" + (f", {unit}" if unit else "")
        raise UsageError(f"{name} is {value!r}", expected=expected, hint=hint)
    return float(value)


def probability(name: str, value: Any) -> float:
    """Returns a probability as a float.

    Raises:
        UsageError: it is no number from 0 to 1.
    """
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise UsageError(f"{name} = {value!r}", expected="a probability from 0 to 1")
    return float(value)
