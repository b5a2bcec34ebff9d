"""A batch of packed states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class States:
    """A batch of packed states, batch axis last.

    Attributes:
        floats: `[NF, B]` float64, one row per float scalar of the state.
        ints: `[NI, B]` int64, one row per int or bool scalar.
    """

    floats: np.ndarray
    ints: np.ndarray

    def __len__(self) -> int:
        return int(self.floats.shape[1])

    def __getitem__(self, index: Any) -> States:
        """Returns the chosen columns; an integer gives a batch of one."""
        if isinstance(index, (int, np.integer)):
            index = [int(index)]
        return States(self.floats[:, index], self.ints[:, index])

    def copy(self) -> States:
        return States(self.floats.copy(), self.ints.copy())

    def keys(self) -> list[bytes]:
        """Returns one hashable key per state; equal states have equal keys."""
        rows = np.ascontiguousarray(np.concatenate([self.floats.view(np.int64), self.ints]).T)
        return [row.tobytes() for row in rows]

    @staticmethod
    def concatenate(batches: Sequence[States]) -> States:
        return States(
            np.concatenate([batch.floats for batch in batches], axis=1),
            np.concatenate([batch.ints for batch in batches], axis=1),
        )
