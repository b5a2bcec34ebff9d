"""Whether the numbers of an observation, or of a batch, are within the bounds of their space and single precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from inscape.envs.tasks.checking.batches import ARRAY_SPACES
from inscape.envs.tasks.checking.contract import FEW, MAX, Contract, integer_range

Array = np.ndarray
_less_equal = np.less_equal


class Numbers:
    """Numbers of an observation, or of a batch, against their bounds and the limits of single precision.

    Args:
        low, high: bounds, in the shape and dtype of what is checked; kept as attributes.
    """

    def __init__(self, low: Array, high: Array) -> None:
        self.low, self.high = low, high
        self._within = np.empty((2, *low.shape), np.bool_)
        self._below, self._above = self._within

    def suspicious(self, array: Array) -> bool:
        """Returns whether a number is out of bounds or not a number (NaN compares as False)."""
        _less_equal(array, self.high, self._below)
        _less_equal(self.low, array, self._above)
        # bytes are searched many times as fast as `all` works where numbers are few
        return b"\0" in self._within.tobytes()


class Rows:
    """A batch of observations of few numbers each, joined from their bytes and compared with their bounds at once.

    Args:
        shape, dtype: of the batch, `(B, ...)`.
        numbers: bounds of the batch; None where every number is within them.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], numbers: Numbers | None) -> None:
        # beside the numbers stand their bounds: one comparison of (numbers, lows) with (highs, numbers)
        whole = np.zeros((3, *shape), dtype)
        self._batch, self._bytes = whole[1], memoryview(whole[1].reshape(-1).view(np.uint8))
        self._bounded = numbers is not None
        if numbers is not None:
            whole[0], whole[2] = numbers.high, numbers.low
        self._numbers_lows, self._highs_numbers = whole[1:], whole[:2]
        self._within = np.ones((2, *shape), np.bool_)

    def joined(self, rows: list[bytes]) -> tuple[Array, bool]:
        """Returns the batch, and whether a number is out of bounds or not a number (NaN compares as False)."""
        self._bytes[:] = b"".join(rows)
        if not self._bounded:
            return self._batch.copy(), False
        _less_equal(self._numbers_lows, self._highs_numbers, self._within)
        # bytes are searched many times as fast as `all` works where numbers are few
        return self._batch.copy(), b"\0" in self._within.tobytes()


def numbers_check(contract: Contract, batch: tuple[int, ...]) -> tuple[Callable[..., bool] | None, Numbers | None]:
    """Returns how the numbers of observations are checked: a function of the few numbers of one, or a `Numbers`.

    Args:
        contract: the environment's.
        batch: `(B,)`, or () for one observation.
    """
    space = contract.observation_space
    if isinstance(space, (gym.spaces.MultiDiscrete, gym.spaces.MultiBinary)):
        first, beyond = integer_range(space)
        low, high = (np.broadcast_to(bound, space.shape) for bound in (first, np.asarray(beyond) - 1))
    elif not isinstance(space, gym.spaces.Box) or space.dtype.kind == "b" or not space.low.size:
        return None, None
    else:
        limits: Any = np.finfo(space.dtype) if space.dtype.kind == "f" else np.iinfo(space.dtype)
        low, high = space.low, space.high
        if contract.out_of_bounds_reported():
            low, high = np.full_like(low, limits.min), np.full_like(high, limits.max)
        if space.dtype.kind == "f":
            low, high = np.clip(low, -MAX, MAX), np.clip(high, -MAX, MAX)
        elif (low <= limits.min).all() and (high >= limits.max).all():
            return None, None
    if space.dtype.kind == "f" and not batch and len(space.shape) == 1 and 0 < space.shape[0] <= FEW:
        return inside(low.tolist(), high.tolist()), None
    shape = (*batch, *space.shape)
    # in C order: of broadcast bounds NumPy would keep theirs, and comparing takes four times as long
    return None, Numbers(*(np.array(np.broadcast_to(bound, shape), space.dtype, order="C") for bound in (low, high)))


def inside(lows: list[float], highs: list[float]) -> Callable[..., bool]:
    """Returns a function of n numbers that says whether each is within its bounds; NaN is not.

    Comparisons are written out for four numbers at a time, which takes two thirds of the time of a loop.
    """
    bounds: Any = [bound for pair in zip(lows[:4], highs[:4], strict=True) for bound in pair]
    if len(lows) == 1:
        a, b = bounds
        return lambda w: a <= w <= b
    if len(lows) == 2:
        a, b, c, d = bounds
        return lambda w, x: a <= w <= b and c <= x <= d
    if len(lows) == 3:
        a, b, c, d, e, f = bounds
        return lambda w, x, y: a <= w <= b and c <= x <= d and e <= y <= f
    a, b, c, d, e, f, g, h = bounds
    if len(lows) == 4:
        return lambda w, x, y, z: a <= w <= b and c <= x <= d and e <= y <= f and g <= z <= h
    others = inside(lows[4:], highs[4:])
    return lambda w, x, y, z, *more: a <= w <= b and c <= x <= d and e <= y <= f and g <= z <= h and others(*more)


def array_of(space: gym.Space[Any]) -> tuple[Any, Any, tuple[int, ...]]:
    """Returns type, dtype and shape of observations that need no conversion; (None, …) where each does."""
    if isinstance(space, ARRAY_SPACES) and space.shape:
        return np.ndarray, np.dtype(space.dtype), space.shape
    return None, None, ()
