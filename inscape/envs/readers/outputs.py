"""Memory for what a step returns: fresh arrays as far as a caller can tell, without asking the system for pages."""

from __future__ import annotations

from typing import Any

import numpy as np


class Outputs:
    """Arrays to write to. Large ones share memory with earlier ones that nobody holds any more.

    A large array given back to the system and asked for again at every step costs more than the step: each page of it
    is zeroed anew (DoorKey, 16,384 copies: 94 ns a step instead of 45).

    Memory comes back when the last array over it is gone, views, memoryviews and tensors of other libraries included.
    No reference counts are read (what `sys.getrefcount` returns for an array nobody else holds differs between
    Pythons): each array has an owner of its own as its base, whose finalizer returns the memory.

    Args:
        shape: of the arrays.
        dtype: of the arrays.
    """

    LARGE = 1 << 16  # bytes from which memory is used again
    KEPT = 4  # pieces of free memory kept at most

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self._shape, self._dtype = shape, dtype
        self._free: list[np.ndarray] = []
        self._large = int(np.prod(shape)) * np.dtype(dtype).itemsize >= self.LARGE

    def take(self) -> np.ndarray:
        """Returns an array nobody else holds, its contents arbitrary."""
        if not self._large:
            return np.empty(self._shape, self._dtype)
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(self._shape, self._dtype)
        return np.asarray(_Lease(memory, self._free))


class _Lease:
    """Owns a piece of memory while an array over it exists: NumPy keeps the object whose interface it reads."""

    __slots__ = ("__array_struct__", "_free", "_memory")

    def __init__(self, memory: np.ndarray, free: list[np.ndarray]) -> None:
        self._memory, self._free = memory, free
        self.__array_struct__ = memory.__array_struct__

    def __del__(self) -> None:
        if len(self._free) < Outputs.KEPT:
            self._free.append(self._memory)
