"""What an entry is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Printed:
    """Numbers that are printed somewhere.

    Attributes:
        source: book, paper or documentation.
        place: table, figure, equation, section, or file.
        what: the numbers are of.
        numbers: as printed.
        digits: after the decimal point, as printed.
        compute: returns the same numbers, computed here.
    """

    source: str
    place: str
    what: str
    numbers: Any
    digits: int
    compute: Callable[[], Any]

    @property
    def count(self) -> int:
        return int(np.size(self.numbers))

    def check(self) -> None:
        """Raises AssertionError unless what is computed is what is printed, to half a unit of its last digit."""
        printed, computed = np.asarray(self.numbers, float), np.asarray(self.compute(), float)
        assert printed.shape == computed.shape, f"{self.what}: {printed.shape} numbers printed, {computed.shape} found"
        apart = np.abs(printed - computed)
        # books round halves either way
        assert (apart <= 0.5 * 10.0**-self.digits * (1 + 1e-9) + 1e-11).all(), f"{self.what}: {computed.tolist()}"
