"""Batches of observations in memory that several processes share, a row for each copy of an environment.

Observations of `Box`, `Discrete`, `MultiDiscrete` and `MultiBinary` spaces, and such parts of Dict and Tuple spaces,
are written where they belong; parts of other spaces (Text, Sequence, Graph, …) are handed over beside them.

The memory is an open file without a name: nothing has to be removed, whichever process is killed when.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from inscape.envs.tasks.checking.batches import ARRAY_SPACES, objects

Array = np.ndarray
_ALIGNMENT = 64
"""Bytes of a cache line: arrays begin at multiples, so that no line is written by two processes for two arrays."""


class SharedMemory:
    """Bytes that several processes see.

    Args:
        size: how many; 0 to take those of `handle`.
        handle: the file descriptor of memory made in another process; None makes new memory.

    Attributes:
        handle: the file descriptor, to be passed on to other processes.
        buffer: the bytes.
    """

    def __init__(self, size: int = 0, handle: int | None = None) -> None:
        if handle is None:
            handle = _unnamed_file()
            os.ftruncate(handle, max(1, size))
        self.handle = handle
        self.buffer = mmap.mmap(handle, 0)

    def array(self, offset: int, dtype: Any, shape: tuple[int, ...]) -> Array:
        """Returns an array that lies in the memory from `offset` on."""
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self.buffer, dtype, count, offset).reshape(shape)

    def close(self) -> None:
        """Closes the file; the memory goes with the last array in it."""
        handle, self.handle = self.handle, -1
        if handle >= 0:
            os.close(handle)


def _unnamed_file() -> int:
    if hasattr(os, "memfd_create"):  # Linux
        return os.memfd_create("inscape")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Sizes:
    """Hands out places in memory that is still to be made."""

    def __init__(self) -> None:
        self.total = 0

    def place(self, dtype: Any, shape: tuple[int, ...]) -> int:
        """Returns the offset of an array's bytes."""
        offset = self.total
        size = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
        self.total += -(-max(1, size) // _ALIGNMENT) * _ALIGNMENT
        return offset


@dataclass(frozen=True)
class _Leaf:
    """A part of an observation that is no Dict and no Tuple: where it is in it, and where in memory (-1: nowhere)."""

    path: tuple[Any, ...]
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def is_shared(self) -> bool:
        return self.offset >= 0


class RowLayout:
    """Where the parts of `[count, ...]` observations of a space lie in shared memory.

    Args:
        space: of one copy's observations; with several players, of one player's.
        count: how many copies.
        sizes: hands out the memory.
        players: `(M,)` where an observation has a row for each of M players.
        shared: False leaves everything to be handed over beside the memory (to measure what it is good for).
    """

    def __init__(
        self, space: gym.Space[Any], count: int, sizes: Sizes, players: tuple[int, ...] = (), shared: bool = True
    ) -> None:
        self.count, self.players = count, players
        self._shared = shared
        self.leaves: list[_Leaf] = []
        self._plan = self._planned(space, (), sizes)

    def _planned(self, space: gym.Space[Any], path: tuple[Any, ...], sizes: Sizes) -> Any:
        """Returns the shape of a batch: dicts and tuples, with the number of a leaf in each place."""
        if isinstance(space, gym.spaces.Dict):
            return {key: self._planned(part, (*path, key), sizes) for key, part in space.items()}
        if isinstance(space, gym.spaces.Tuple):
            return tuple(self._planned(part, (*path, k), sizes) for k, part in enumerate(space.spaces))
        if isinstance(space, ARRAY_SPACES):
            dtype, shape = np.dtype(space.dtype).str, (*self.players, *(space.shape or ()))
            offset = sizes.place(dtype, (self.count, *shape)) if self._shared else -1
            self.leaves.append(_Leaf(path, dtype, shape, offset))
        else:
            self.leaves.append(_Leaf(path, "O", self.players, -1))
        return len(self.leaves) - 1

    @property
    def is_complete(self) -> bool:
        """Whether every part lies in shared memory."""
        return all(leaf.is_shared for leaf in self.leaves)

    def batch(self, values: Sequence[Any]) -> Any:
        """Returns a batch from the arrays of its leaves, in order."""
        return _filled(self._plan, values)


def _filled(plan: Any, values: Sequence[Any]) -> Any:
    if isinstance(plan, dict):
        return {key: _filled(part, values) for key, part in plan.items()}
    if isinstance(plan, tuple):
        return tuple(_filled(part, values) for part in plan)
    return values[plan]


class Rows:
    """Observations of all copies, as one process sees them.

    Args:
        layout: where they lie.
        memory: the memory they lie in.
    """

    def __init__(self, layout: RowLayout, memory: SharedMemory) -> None:
        self.layout = layout
        self._views = [
            memory.array(leaf.offset, leaf.dtype, (layout.count, *leaf.shape)) if leaf.is_shared else None
            for leaf in layout.leaves
        ]
        whole = len(layout.leaves) == 1 and layout.leaves[0].path == () and layout.leaves[0].is_shared
        self._only: Array | None = self._views[0] if whole else None

    def write(self, row: int, observation: Any) -> list[Any] | None:
        """Writes an observation; returns the parts that have no place in the memory, None where each has one."""
        if self._only is not None:
            self._only[row] = observation
            return None
        beside = []
        for leaf, view in zip(self.layout.leaves, self._views, strict=True):
            part = observation
            for key in leaf.path:
                part = part[key]
            if view is None:
                beside.append(part)
            else:
                view[row] = part
        return beside or None

    def copied(self, beside: Sequence[list[Any] | None]) -> Any:
        """Returns `[count, ...]`, copied.

        Args:
            beside: for each row what `write` returned.
        """
        if self._only is not None:
            return self._only.copy()
        values: list[Any] = []
        number = 0
        for leaf, view in zip(self.layout.leaves, self._views, strict=True):
            if view is not None:
                values.append(view.copy())
                continue
            column = [row[number] if row is not None else None for row in beside]
            number += 1
            values.append(objects(column) if leaf.dtype == "O" and not leaf.shape else _array(column, leaf))
        return self.layout.batch(values)

    def saved(self, low: int, high: int) -> list[Array | None]:
        """Returns a copy of the rows from `low` to `high`, for `take`."""
        return [None if view is None else view[low:high].copy() for view in self._views]

    def take(self, low: int, rows: Sequence[Array | None], which: Array) -> None:
        """Writes some of the rows that `saved` returned for `low` on; `which` are counted from there."""
        for view, kept in zip(self._views, rows, strict=True):
            if view is not None and kept is not None:
                view[low + which] = kept[which]

    @property
    def arrays(self) -> list[Array]:
        """The arrays in the memory, `[count, ...]` each."""
        return [view for view in self._views if view is not None]


def _array(column: Sequence[Any], leaf: _Leaf) -> Array:
    array = np.zeros((len(column), *leaf.shape), leaf.dtype)
    for row, value in enumerate(column):
        if value is not None:
            array[row] = value
    return array
