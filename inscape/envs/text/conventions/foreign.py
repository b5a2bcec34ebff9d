"""What the adapters share: packages that may be missing, rewards that may be wrong, global random generators."""

from __future__ import annotations

import importlib
import math
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np

from inscape.errors import UsageError


def package(module: str, install: str) -> Any:
    """Returns an imported module.

    Args:
        module: its name.
        install: what to install where it is missing, as pip takes it.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"the package {module.partition('.')[0]} cannot be imported: {error}",
            expected="it installed",
            hint=f'pip install "{install}"',
        ) from error


def number(reward: Any, who: str) -> float:
    """Returns a reward as a finite float.

    Raises:
        UsageError: it is missing, not a number, or not finite.
    """
    try:
        value = float(reward)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{who} gave the reward {reward!r}", expected="a finite number")
    return value


def known(name: str, names: Iterator[str] | Mapping[str, Any], what: str) -> str:
    """Returns the name, or raises `UsageError` with names that are near it."""
    listed = list(names)
    if name in listed:
        return name
    near = get_close_matches(name, listed, 3, 0.5) or sorted(listed)[:5]
    raise UsageError(f"{what} has no {name!r}", expected=f"one of its {len(listed)}", hint=", ".join(near))


def plain(value: Any) -> Any:
    """Returns infos as JSON can hold them: arrays as lists, NumPy's numbers as Python's, the rest as text."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


class GlobalRandom:
    """Gives an environment that draws from `random` and `numpy.random` generators of its own.

    Inside `with self.own():` the global generators have the state in which the last such block left them. Episodes thus
    depend on their seed only, and the caller's generators are left as they were.
    """

    def __init__(self) -> None:
        self._state: tuple[Any, Any] | None = None

    def seed(self, seed: int) -> None:
        """Starts both generators from a seed."""
        self._state = (random.Random(seed).getstate(), np.random.RandomState(seed % 2**32).get_state())

    @contextmanager
    def own(self) -> Iterator[None]:
        """Puts the environment's generators in place of the global ones."""
        before = (random.getstate(), np.random.get_state())
        if self._state is not None:
            random.setstate(self._state[0])
            np.random.set_state(self._state[1])
        try:
            yield
        finally:
            self._state = (random.getstate(), np.random.get_state())
            random.setstate(before[0])
            np.random.set_state(before[1])
