"""What the control tasks share."""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.errors import UsageError


def single(x: float) -> float:
    """Returns `x` rounded to single precision, as a double (compiled with the laws that name it).

    Sums and products of two singles, computed in double precision and rounded by this, are the single-precision ones.
    """
    return float(np.float64(np.float32(x)))


def require_positive(world: str, params: Any, *names: str) -> None:
    """Checks that the named parameters are above 0.

    Raises:
        UsageError: one is not.
    """
    for name in names:
        value = getattr(params, name)
        if not value > 0:
            raise UsageError(f"{world}.{name} = {value!r}", expected="a number above 0")
