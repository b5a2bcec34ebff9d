"""What an environment may hand over and be handed: every value of its interface against its spaces.

`Contract` knows one environment's spaces. Its methods return a value as the rest of the platform takes it (copied, in
the dtype and shape of the space), or raise `Breach`, which `place` turns into an error that names copy, seed and
step.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import gymnasium as gym
import numpy as np

from inscape.envs.tasks.checking.batches import ARRAY_SPACES
from inscape.errors import UsageError

Array = np.ndarray
_INT64 = np.dtype(np.int64)
MAX = float(np.finfo(np.float32).max)
"""The largest number in single precision, in which networks and replay memories compute."""
MASK_KEYS = ("action_mask", "action_masks")
"""Names under which masks are found: in `info`, as a key of a Dict observation, as a method or an attribute."""
FEW = 12
"""Numbers of an observation up to which Python compares them faster than NumPy does."""

_reported: set[tuple[str, str]] = set()


class EnvironmentFault(UsageError):
    """A third-party environment raised, or handed over what its interface or its spaces exclude."""


class Breach(Exception):
    """A value that the interface or the space excludes: what it is of, what is wrong, and what was expected."""

    def __init__(self, what: str | Breach, wrong: str = "", expected: str = "", hint: str = "") -> None:
        if isinstance(what, Breach):  # tools make an error again from itself
            wrong, expected, hint = what.wrong, what.expected, what.hint
            what = what.what
        super().__init__(what, wrong, expected, hint)
        self.what: str = what
        self.wrong: str = wrong
        self.expected: str = expected
        self.hint: str = hint


class Contract:
    """The interface of one environment.

    Args:
        name: of the environment, for messages.
        observation_space, action_space: its spaces.

    Raises:
        UsageError: one of them is not a Gymnasium space.
    """

    def __init__(self, name: str, observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> None:
        for what, space in (("observation_space", observation_space), ("action_space", action_space)):
            if not isinstance(space, gym.Space):
                raise UsageError(
                    f"the {what} of {name} is {_shown(space)}",
                    expected="a space of gymnasium.spaces",
                    hint=f"set self.{what} in __init__; spaces of the package gym are converted by shimmy",
                )
        self.name, self.observation_space, self.action_space = name, observation_space, action_space
        self.mask_sizes = mask_sizes(action_space)
        discrete = isinstance(observation_space, gym.spaces.Discrete)
        self._discrete = np.dtype(observation_space.dtype).type if discrete else None
        self._low: int = 0
        self._beyond: int = 0
        if discrete:
            self._low, self._beyond = integer_range(observation_space)
        self.numbered = _numbered(action_space)
        self._offsets = np.cumsum([0, *self.mask_sizes[:-1]])

    # ------------------------------------------------------------------------------------------ from the environment

    def observation(self, value: Any) -> Any:
        """Returns an observation, copied, in the dtype and shape of the space."""
        if self._discrete is not None and type(value) in (int, np.int64) and self._low <= value < self._beyond:
            return self._discrete(value)
        return self._conformed(self.observation_space, value, "the observation")

    def _conformed(self, space: gym.Space[Any], value: Any, what: str) -> Any:
        if isinstance(space, gym.spaces.Dict):
            if not isinstance(value, Mapping) or set(value) != set(space.spaces):
                keys = f"has the keys {sorted(map(str, value))}" if isinstance(value, Mapping) else _is(value)
                raise Breach(what, keys, f"a dictionary with the keys {sorted(map(str, space.spaces))}")
            return {key: self._conformed(part, value[key], f"{what} {key!r}") for key, part in space.items()}
        if isinstance(space, gym.spaces.Tuple):
            if not isinstance(value, (tuple, list)) or len(value) != len(space.spaces):
                raise Breach(what, _is(value), f"a tuple of {len(space.spaces)}")
            return tuple(self._conformed(s, v, f"{what} [{k}]") for k, (s, v) in enumerate(zip(space, value)))
        if isinstance(space, ARRAY_SPACES):
            return self._conformed_array(space, value, what)
        kept = str(value) if isinstance(value, np.str_) else copy.deepcopy(value)
        try:
            inside = space.contains(kept)
        except Exception as error:  # a space of the user's own may do anything
            raise Breach(what, f"{_is(value)}, at which {space} raised {error!r}", f"an element of {space}") from error
        if not inside:
            raise Breach(what, _is(value), f"an element of {space}")
        return kept

    def _conformed_array(self, space: gym.Space[Any], value: Any, what: str) -> Any:
        dtype, shape = np.dtype(space.dtype), space.shape or ()
        array = _as_array(value, what, f"{dtype} of shape {shape}")
        if array.shape != shape and not (isinstance(space, gym.spaces.Discrete) and array.size == 1):
            raise Breach(what, f"has the shape {array.shape}", f"{shape}, as {_space(space)} has")
        array = array.reshape(shape)
        if array.dtype != dtype:
            array = _cast(array, dtype, space, what)
        else:
            array = array.copy()
        if array.dtype.kind == "f":
            require_computable(array, what)
        if isinstance(space, gym.spaces.Box):
            if not (np.all(array >= space.low) and np.all(array <= space.high)):
                self.report_out_of_bounds(space, array, what)
        else:
            low, high = integer_range(space)
            if np.any(array < low) or np.any(array >= high):
                raise Breach(what, f"is {_shown(array[()])}", f"a value in {_space(space)}")
        return array[()]

    def report_out_of_bounds(self, space: gym.spaces.Box, array: Array, what: str) -> None:
        """Warns, once for each environment and part of its observations, of numbers out of bounds."""
        if self.out_of_bounds_reported(what):
            return
        _reported.add((self.name, what))
        outside = (array < space.low) | (array > space.high)
        at = tuple(int(k) for k in np.argwhere(outside)[0])
        warnings.warn(
            f"{what} of {self.name} is {array[at]} at {list(at)}, outside its space's bounds {space.low[at]} to "
            f"{space.high[at]}; it is used as it is, and this is reported once",
            stacklevel=2,
        )

    def out_of_bounds_reported(self, what: str = "the observation") -> bool:
        """Returns whether that was reported already."""
        return (self.name, what) in _reported

    def reward(self, value: Any, what: str = "the reward") -> float:
        """Returns a reward as a float."""
        if value is None or isinstance(value, (str, bytes)):
            raise Breach(what, _is(value), "a number")
        array = _as_array(value, what, "a number")
        if array.size != 1 or array.dtype.kind not in "fiub":
            raise Breach(what, _is(value), "one number")
        reward = float(array.reshape(-1)[0])
        if not -MAX <= reward <= MAX:
            raise Breach(what, f"is {_finite_text(reward)}", "a finite number")
        return reward

    def flag(self, value: Any, what: str) -> bool:
        """Returns `terminated` or `truncated` as a boolean."""
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
        if not isinstance(value, (str, bytes)) and value is not None:
            array = _as_array(value, what, "True or False")
            if array.size == 1 and array.dtype.kind in "biu" and array.reshape(-1)[0] in (0, 1):
                return bool(array.reshape(-1)[0])
        raise Breach(what, _is(value), "True or False")

    def info(self, value: Any) -> dict[str, Any]:
        """Returns `info` as a dictionary."""
        if not isinstance(value, Mapping):
            raise Breach("info", _is(value), "a dictionary, {} if there is nothing to say")
        return dict(value)

    def mask(self, value: Any, what: str = "the action mask") -> Array:
        """Returns a mask `[Σ n]` bool from an array or, of several parts, from a sequence of arrays.

        Args:
            value: of Discrete actions `[n]`; of MultiDiscrete and MultiBinary ones flat `[Σ n]`, or `[n]` for each
                part (in a tuple, a list, an array of objects, or `[D, n]` where parts are alike); of numbers 0 and 1.
            what: for messages.
        """
        sizes = self.mask_sizes
        if not sizes:
            raise Breach(what, f"is given for the actions {self.action_space}", "masks of finite actions alone")
        expected = f"[{sum(sizes)}] of True and False"
        if len(sizes) > 1:
            expected += f", or {len(sizes)} arrays of {', '.join(map(str, sizes[:8]))}"
        parts = _parts(value)
        if parts is not None and len(parts) == len(sizes) and all(np.size(p) == n for p, n in zip(parts, sizes)):
            array = np.concatenate([np.asarray(part).reshape(-1) for part in parts])
        else:
            array = _as_array(value, what, expected)
        if array.shape != (sum(sizes),):
            rows = len(sizes) > 1 and array.shape == (len(sizes), sizes[0]) and len(set(sizes)) == 1
            if not rows:
                raise Breach(what, f"has the shape {array.shape}", expected)
            array = array.reshape(-1)
        if array.dtype.kind == "O":
            array = np.array(array.tolist())
        if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
            raise Breach(what, f"is {_shown(value)}", expected, "True or 1 where an action is legal")
        return array.astype(np.bool_)

    def forbidding(self, masks: Array) -> Array:
        """Returns `[B]` bool from masks `[B, Σ n]`: whether a part has no legal choice at all."""
        if len(self.mask_sizes) == 1:
            return np.asarray(~masks.any(axis=1))
        return np.asarray(~np.logical_or.reduceat(masks, self._offsets, axis=1).all(axis=1))

    # -------------------------------------------------------------------------------------------- to the environment

    def action(self, value: Any) -> Any:
        """Returns an action in the dtype and shape of the action space, continuous ones clipped to it.

        Raises:
            UsageError: it has another shape, is not a number, or is a number that stands for no action.
        """
        return self._handed_over(self.action_space, value)

    def _handed_over(self, space: gym.Space[Any], value: Any) -> Any:
        if isinstance(space, gym.spaces.Dict) and isinstance(value, Mapping) and set(value) == set(space.spaces):
            return {key: self._handed_over(part, value[key]) for key, part in space.items()}
        if isinstance(space, gym.spaces.Tuple) and isinstance(value, (tuple, list)) and len(value) == len(space):
            return tuple(self._handed_over(part, item) for part, item in zip(space.spaces, value, strict=True))
        if isinstance(space, ARRAY_SPACES):
            array = self._handed_over_array(space, np.asarray(value)[None], 1)[0]
            return array if space.shape else array[()]
        kept = str(value) if isinstance(value, np.str_) else value
        if not space.contains(kept):
            raise UsageError(f"the action {_shown(value)} for {self.name}", expected=f"an element of {space}")
        return kept

    def actions(self, values: Any, count: int) -> Array | Sequence[Any]:
        """Returns `count` actions, as `action` does, from a batch of them.

        Raises:
            UsageError: as `action`; or there are more or fewer.
        """
        if self.numbered and type(values) is np.ndarray and values.dtype is _INT64 and values.shape == (count,):
            try:  # a look-up takes less than to compare a number with bounds, and to make one of the space's dtype
                return look_up(self.numbered, values.tolist())
            except KeyError:
                pass  # is named below
        if isinstance(self.action_space, ARRAY_SPACES):
            return self._handed_over_array(self.action_space, np.asarray(values), count)
        if len(values) != count:
            raise UsageError(f"{len(values)} actions for {count} copies of {self.name}", expected=f"{count}")
        return [self.action(value) for value in values]

    def _handed_over_array(self, space: gym.Space[Any], array: Array, count: int) -> Array:
        shape = (count, *(space.shape or ()))
        if array.shape != shape:
            raise UsageError(f"actions of shape {array.shape} for {self.name}", expected=f"shape {shape}")
        box = isinstance(space, gym.spaces.Box)
        if array.dtype.kind not in ("fiub" if box else "biu"):
            raise UsageError(f"actions of dtype {array.dtype} for {self.name}", expected=f"{space.dtype} in {space}")
        if isinstance(space, gym.spaces.Box):
            if np.isnan(array).any():
                raise UsageError(f"the action {_shown(array[np.isnan(array)][0])} for {self.name}", expected="a number")
            return in_box(array, space)
        low, high = integer_range(space)
        wrong = (array < low) | (array >= high)
        if wrong.any():
            row = int(np.argmax(wrong.reshape(count, -1).any(axis=1)))
            raise UsageError(f"the action {_shown(array[row])} for {self.name}", expected=f"a value in {space}")
        return array.astype(space.dtype)


def look_up(table: dict[Any, Any], keys: list[Any]) -> Sequence[Any]:
    """Returns the values of some keys; in one call where there are several, in half the time of a loop."""
    return itemgetter(*keys)(table) if len(keys) > 1 else [table[key] for key in keys]


def _numbered(space: gym.Space[Any]) -> dict[Any, Any]:
    """Returns the actions of a Discrete space by their numbers, in its dtype; none of other spaces, or of very many
    actions."""
    if not isinstance(space, gym.spaces.Discrete) or space.n > 10_000:
        return {}
    kind, start = np.dtype(space.dtype).type, int(space.start)
    return {start + k: kind(start + k) for k in range(int(space.n))}


def in_box(array: Array, space: gym.spaces.Box) -> Array:
    """Returns numbers clipped to a Box, in its dtype; in a Box of whole numbers the nearest ones."""
    inside = np.clip(array, space.low, space.high)
    return np.asarray(np.rint(inside) if space.dtype.kind in "iub" and array.dtype.kind == "f" else inside, space.dtype)


def mask_sizes(space: gym.Space[Any]) -> tuple[int, ...]:
    """Returns how many choices each part of an action has; () where actions are not finite choices."""
    if isinstance(space, gym.spaces.Discrete):
        return (int(space.n),)
    if isinstance(space, gym.spaces.MultiDiscrete):
        return tuple(int(n) for n in space.nvec.reshape(-1))
    if isinstance(space, gym.spaces.MultiBinary):
        return (2,) * int(np.prod(space.shape))
    return ()


def integer_range(space: gym.Space[Any]) -> tuple[Any, Any]:
    """Returns the least value, and the one above the largest, of a Discrete, MultiDiscrete or MultiBinary space."""
    if isinstance(space, gym.spaces.Discrete):
        return int(space.start), int(space.start) + int(space.n)
    if isinstance(space, gym.spaces.MultiDiscrete):
        start = np.asarray(space.start, np.int64)
        return start, start + np.asarray(space.nvec, np.int64)
    return 0, 2


def require_computable(array: Array, what: str) -> None:
    """Raises `Breach` unless every number is finite and within single precision."""
    wrong = ~(np.abs(array) <= min(MAX, float(np.finfo(array.dtype).max)))
    if wrong.any():
        at = tuple(int(k) for k in np.argwhere(wrong)[0])
        where = f" at {list(at)}" if at else ""
        raise Breach(what, f"is {_finite_text(float(array[at]))}{where}", "finite numbers")


def _finite_text(number: float) -> str:
    return f"{number:g}, beyond single precision ({MAX:.3g})" if math.isfinite(number) else str(number)


def _cast(array: Array, dtype: np.dtype[Any], space: gym.Space[Any], what: str) -> Array:
    """Returns the numbers in another dtype, where that changes none but by rounding."""
    if array.dtype.kind not in "biuf":
        raise Breach(what, f"has the dtype {array.dtype}", f"{dtype}, as {_space(space)} has")
    if dtype.kind == "f":
        if array.dtype.kind == "f":
            require_computable(array, what)
        return array.astype(dtype)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        require_computable(array, what)
    with np.errstate(invalid="ignore"):
        whole = array.astype(dtype)
    if not np.array_equal(whole.astype(np.float64), array.astype(np.float64)):
        raise Breach(what, f"has the dtype {array.dtype} ({_shown(array)})", f"{dtype}, as {_space(space)} has")
    return whole


def _as_array(value: Any, what: str, expected: str) -> Array:
    if value is None:
        raise Breach(what, "is None", expected)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise Breach(what, "has masked numbers", expected)
    try:
        array = np.asarray(value)
    except Exception as error:  # ragged sequences; whatever __array__ of foreign types raises
        raise Breach(what, f"{_is(value)}, which is no array ({error})", expected) from error
    if array.dtype.kind == "O":
        try:
            array = array.astype(np.float64) if array.size else array
        except Exception as error:  # whatever __float__ of the objects raises
            raise Breach(what, _is(value), expected) from error
    return array


def _parts(value: Any) -> list[Any] | None:
    """Returns the arrays of a mask given part by part; None where it is one array."""
    if isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.dtype == object):
        parts = list(value)
        return parts if parts and all(np.ndim(part) == 1 for part in parts) else None
    return None


def _space(space: gym.Space[Any]) -> str:
    return f"the {type(space).__name__} space" if isinstance(space, gym.spaces.Box) else str(space)


def _is(value: Any) -> str:
    return f"is {_shown(value)}" if value is None else f"is {_shown(value)} ({type(value).__name__})"


def _shown(value: Any) -> str:
    if isinstance(value, (np.number, np.bool_)):
        value = value.item()
    try:
        text = " ".join(repr(value).split())
    except Exception as error:  # whatever the __repr__ of an object of theirs raises
        text = f"an object whose repr raises {type(error).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."
