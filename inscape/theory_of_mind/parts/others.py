"""What a mind takes the other players to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.parts.choosing import Best, Chooses
from inscape.theory_of_mind.parts.numbers import finite_number


@dataclass(frozen=True)
class Uniform:
    """The others take every legal action alike."""

    def __str__(self) -> str:
        return "uniform others"


@dataclass(frozen=True)
class LevelK:
    """The others think k levels deep, so that the mind itself is of level k + 1 (see `level_k`)."""

    k: int
    base: Any = "uniform"
    chooses: Chooses = field(default_factory=Best)

    def __post_init__(self) -> None:
        _check_level(self.k)

    def __str__(self) -> str:
        return f"others of level {self.k}"


@dataclass(frozen=True)
class Hierarchy:
    """The others are of levels 0 to k, in the proportions of Poisson(tau) (see `cognitive_hierarchy`)."""

    k: int
    tau: float
    base: Any = "uniform"
    chooses: Chooses = field(default_factory=Best)

    def __post_init__(self) -> None:
        _check_level(self.k)
        object.__setattr__(self, "tau", finite_number("tau", self.tau))

    def __str__(self) -> str:
        return f"others of levels up to {self.k}, τ={self.tau:g}"


def _check_level(k: Any) -> None:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 0:
        raise UsageError(f"level {k!r}", expected="a whole number, 0 or more")


def check_others(given: Any) -> Any:
    """Returns what the others are taken to be: a part, or a tuple of (player, mind) pairs for a mapping.

    Raises:
        UsageError: it is neither.
    """
    if given is None or isinstance(given, (Uniform, LevelK, Hierarchy)):
        return given
    if isinstance(given, Mapping) and given:
        pairs = tuple(given.items())
        if all(isinstance(p, (int, np.integer)) and callable(getattr(mind, "controller", None)) for p, mind in pairs):
            return pairs
    raise UsageError(
        f"others = {given!r}",
        expected="Uniform(), LevelK(k), Hierarchy(k, tau), {player: Mind}, or None",
    )
