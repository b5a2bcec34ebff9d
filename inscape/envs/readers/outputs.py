"""Memory for what a step returns: fresh arrays as far as a caller can tell, without asking the system for pages."""

from __future__ import annotations

import math
from typing import Any
from weakref import ref

import numpy as np


class Outputs:
    """Arrays to write to. Large ones lie in the memory of earlier ones that nobody holds any more.

    A large array given back to the system and asked for again at every step costs more than the step: each page of it
    is zeroed again (DoorKey, 16,384 copies: 94 ns a step instead of 45).

    A piece of memory is used again when the array made over it is gone, as a weak reference says. Views, memoryviews
    and tensors of other libraries keep that array: NumPy makes it their base, because its own base is no array but a
    `bytearray`. No reference counts are read: what `sys.getrefcount` returns for an array nobody else holds differs
    between Pythons.

    Args:
        shape: of the arrays.
        dtype: of the arrays.
    """

    LARGE = 1 << 17  # bytes from which memory is used again: below, NumPy and malloc do it, in a fifth of the time
    KEPT = 4  # pieces of memory at most

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._size = math.prod(shape) * self._dtype.itemsize
        self._large = self._size >= self.LARGE
        self._pieces: list[tuple[bytearray, ref[np.ndarray]]] = []

    def take(self) -> np.ndarray:
        """Returns an array nobody else holds, its contents arbitrary."""
        if not self._large:
            return np.empty(self._shape, self._dtype)
        for k, (memory, array) in enumerate(self._pieces):
            if array() is None:
                made: np.ndarray = np.ndarray(self._shape, self._dtype, memory)
                self._pieces[k] = memory, ref(made)
                return made
        if len(self._pieces) == self.KEPT:
            return np.empty(self._shape, self._dtype)
        memory = bytearray(self._size)
        made = np.ndarray(self._shape, self._dtype, memory)
        self._pieces.append((memory, ref(made)))
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Outputs, (self._shape, self._dtype)  # a copy needs memory of its own, and weak references are not copied
