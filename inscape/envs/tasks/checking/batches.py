"""Batches of observations and actions of any space: rows, stacks, counts.

A batch of a `Box`, `Discrete`, `MultiDiscrete` or `MultiBinary` space is an array `[B, ...]`; of a Dict space a
dictionary of batches, of a Tuple space a tuple of batches; of any other space (Text, Sequence, Graph, …) an array `[B]`
of objects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import create_empty_array

ARRAY_SPACES = (gym.spaces.Box, gym.spaces.Discrete, gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)
"""Spaces whose elements are arrays of one shape and dtype."""


def mapped(change: Callable[[np.ndarray], np.ndarray], batch: Any) -> Any:
    """Returns a batch whose arrays are changed, each by itself."""
    if isinstance(batch, dict):
        return {key: mapped(change, part) for key, part in batch.items()}
    return tuple(mapped(change, part) for part in batch) if isinstance(batch, tuple) else change(batch)


def folded(batch: Any, shape: tuple[int, ...], axes: int = 1) -> Any:
    """Returns a batch with other leading axes, `[*shape, ...]` instead of its first `axes`."""
    return mapped(lambda array: np.ascontiguousarray(array).reshape(*shape, *array.shape[axes:]), batch)


def spread(batch: Any, rows: np.ndarray, count: int) -> Any:
    """Returns `[count, ...]` with the elements of a batch in these rows; the others hold anything."""

    def one(array: np.ndarray) -> np.ndarray:
        whole = np.zeros((count, *array.shape[1:]), array.dtype)
        whole[rows] = array
        return whole

    return mapped(one, batch)


def zero_of(space: gym.Space[Any]) -> Any:
    """Returns the element of a space that stands for nothing: zeros, the least of numbered values, an empty text."""
    if isinstance(space, gym.spaces.Dict):
        return {key: zero_of(part) for key, part in space.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(zero_of(part) for part in space.spaces)
    if isinstance(space, (gym.spaces.Discrete, gym.spaces.MultiDiscrete)):
        return np.asarray(space.start, space.dtype)
    if isinstance(space, ARRAY_SPACES):
        return np.zeros(space.shape or (), space.dtype)
    if isinstance(space, gym.spaces.Text):
        return ""
    return create_empty_array(space, n=None)  # type: ignore[arg-type]  # None: of one element


def rows_of(batch: Any, at: Any) -> Any:
    """Returns some rows of a batch; one element for one index."""
    if isinstance(batch, dict):
        return {key: rows_of(part, at) for key, part in batch.items()}
    if isinstance(batch, tuple):
        return tuple(rows_of(part, at) for part in batch)
    return batch[at]


def stacked(rows: Sequence[Any]) -> Any:
    """Returns a batch, copied from one or more elements."""
    first = rows[0]
    if isinstance(first, dict):
        return {key: stacked([row[key] for row in rows]) for key in first}
    if isinstance(first, tuple):
        return tuple(stacked([row[k] for row in rows]) for k in range(len(first)))
    if isinstance(first, (np.ndarray, np.generic, int, float)):
        return np.stack([np.asarray(row) for row in rows])
    return objects(rows)


def batch_of(space: gym.Space[Any], rows: Sequence[Any]) -> Any:
    """Returns a batch of elements of a space, copied from none or more."""
    if isinstance(space, gym.spaces.Dict):
        return {key: batch_of(part, [row[key] for row in rows]) for key, part in space.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(batch_of(part, [row[k] for row in rows]) for k, part in enumerate(space.spaces))
    if isinstance(space, ARRAY_SPACES):
        return np.array(rows, space.dtype).reshape(len(rows), *(space.shape or ()))
    return objects(rows)


def objects(values: Sequence[Any]) -> np.ndarray:
    """Returns `[B]` with an object in each entry, also where these are arrays of one shape."""
    array = np.empty(len(values), object)
    for row, value in enumerate(values):
        array[row] = value
    return array


def count_of(batch: Any) -> int:
    """Returns how many elements a batch has."""
    if isinstance(batch, dict):
        return count_of(next(iter(batch.values())))
    return count_of(batch[0]) if isinstance(batch, tuple) else len(batch)


def leading_shape(batch: Any, axes: int) -> tuple[int, ...]:
    """Returns the first `axes` dimensions that all arrays of a batch share."""
    while isinstance(batch, (dict, tuple)):
        batch = next(iter(batch.values())) if isinstance(batch, dict) else batch[0]
    return tuple(batch.shape[:axes])


def copied(batch: Any) -> Any:
    """Returns a copy of a batch."""
    if isinstance(batch, dict):
        return {key: copied(part) for key, part in batch.items()}
    return tuple(copied(part) for part in batch) if isinstance(batch, tuple) else np.array(batch)


def is_array_space(space: gym.Space[Any]) -> bool:
    """Returns whether a batch of the space is one array of numbers."""
    return isinstance(space, ARRAY_SPACES)


def is_one(observation: Any, space: gym.Space[Any]) -> bool:
    """Returns whether it is one element of a space, and not a batch of them: by its axes, or by its type."""
    if type(observation) is np.ndarray and isinstance(space, ARRAY_SPACES):  # first, for it is asked at every step
        return observation.ndim == len(space._shape or ())
    if isinstance(space, gym.spaces.Dict):
        key = next(iter(space.spaces), "")
        return isinstance(observation, Mapping) and key in observation and is_one(observation[key], space[key])
    if isinstance(space, gym.spaces.Tuple):
        parts = isinstance(observation, (tuple, list)) and len(observation) == len(space.spaces)
        return bool(parts and len(observation) and is_one(observation[0], space.spaces[0]))
    if isinstance(space, ARRAY_SPACES):
        axes = observation.ndim if hasattr(observation, "ndim") else np.ndim(observation)
        return bool(axes == len(space.shape or ()))
    if isinstance(space, gym.spaces.Text):
        return isinstance(observation, str)
    return not isinstance(observation, np.ndarray) or observation.dtype != object


def alike(one: gym.Space[Any], other: gym.Space[Any]) -> bool:
    """Returns whether arrays of one space could be of the other, whatever their bounds; spaces of parts always are."""
    if not (isinstance(one, ARRAY_SPACES) and isinstance(other, ARRAY_SPACES)):
        return True
    sizes: list[Any] = [getattr(space, "nvec", getattr(space, "n", None)) for space in (one, other)]
    if isinstance(one, gym.spaces.Box) or isinstance(other, gym.spaces.Box):
        sizes = [None, None]
    kinds = isinstance(one, gym.spaces.Discrete) == isinstance(other, gym.spaces.Discrete)
    return kinds and one.shape == other.shape and bool(np.array_equal(sizes[0], sizes[1]))
