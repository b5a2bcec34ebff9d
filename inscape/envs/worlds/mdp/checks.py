"""Settings of tabular worlds, checked where they enter."""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.errors import UsageError


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Returns `value` as an int in [low, high]; refuses anything else."""
    good = isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= low
    if not good or (high is not None and value > high):
        wanted = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise UsageError(f"{name} = {value!r}", expected=f"an integer {wanted}")
    return int(value)


def probability(name: str, value: Any) -> float:
    """Returns `value` as a float in [0, 1]; refuses anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise UsageError(f"{name} = {value!r}", expected="a probability in [0, 1]")
    return float(value)


def number(name: str, value: Any) -> float:
    """Returns `value` as a finite float; refuses anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        raise UsageError(f"{name} = {value!r}", expected="a finite number")
    return float(value)


def flag(name: str, value: Any) -> bool:
    """Returns `value` as a bool; refuses anything but True and False."""
    if not isinstance(value, (bool, np.bool_)):
        raise UsageError(f"{name} = {value!r}", expected="True or False")
    return bool(value)
