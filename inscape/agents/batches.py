"""Batches of observations and actions of any space: rows, stacks, counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    pass


def rows_of(observation: Any, at: Any) -> Any:
    """Returns some rows of a batch of observations: an array, or a dictionary of arrays where the space is a Dict."""
    if isinstance(observation, dict):
        return {key: rows_of(part, at) for key, part in observation.items()}
    return observation[at]


def stacked(rows: Sequence[Any]) -> Any:
    """Returns a batch of observations, copied from one or more."""
    if isinstance(rows[0], dict):
        return {key: stacked([row[key] for row in rows]) for key in rows[0]}
    return np.stack([np.asarray(row) for row in rows])


def count_of(observation: Any) -> int:
    """Returns how many observations a batch has."""
    return count_of(next(iter(observation.values()))) if isinstance(observation, dict) else len(observation)
