"""Minds: the hypotheses an observer holds about what makes an agent act as it does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from inscape.errors import UsageError, closest

Backup = Literal["soft-eval", "maxent", "hard"]
BACKUPS: tuple[str, ...] = get_args(Backup)

Axis = Literal["goal", "beta", "backup", "params"]
AXES: tuple[str, ...] = get_args(Axis)


@dataclass(frozen=True, eq=False)
class Mind:
    """One hypothesis: an agent that plans for `goal` and chooses by P(a|s) ∝ exp(β·Q(s,a)).

    Two minds are equal when all four fields are, tables in them compared by value.

    Raises:
        UsageError: beta is negative, not a number or infinite; or the backup is not one of the three.

    Source: Baker, Saxe & Tenenbaum (2009), Action understanding as inverse planning, Cognition 113(3).
    """

    goal: Any
    """What the mind wants: the name of one of the world's purposes, or a `Purpose` of the world."""
    beta: float
    """Rationality β ≥ 0, per unit of reward: 0 acts uniformly, large values act almost optimally."""
    backup: Backup
    """How Q is backed up: the agent evaluates its own soft policy, or log-sum-exp, or the maximum. No default."""
    params: Any = None
    """The dynamics the mind believes in, a `Params` of the world; None: the true ones."""

    def __post_init__(self) -> None:
        number = isinstance(self.beta, (int, float, np.integer, np.floating)) and not isinstance(self.beta, bool)
        if not number or not math.isfinite(self.beta) or self.beta < 0:
            raise UsageError(
                f"beta is {self.beta!r}",
                expected="a finite number, 0 or larger, per unit of reward",
                hint="0 for random actions, 25 for nearly the best ones",
            )
        if self.backup not in BACKUPS:
            raise UsageError(
                f"backup is {self.backup!r}",
                expected=", ".join(BACKUPS),
                hint=closest(str(self.backup), BACKUPS),
            )
        object.__setattr__(self, "beta", float(self.beta))

    @property
    def key(self) -> tuple[Any, ...]:
        """A hashable value that tells minds apart: what equality and hashing use."""
        return (fingerprint(self.goal), self.beta, self.backup, fingerprint(self.params))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mind) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def name(self) -> str:
        """The mind in a few words, for legends and messages."""
        belief = "" if self.params is None else f", believing {self.params}"
        return f"{self.goal}, β={self.beta:g}, {self.backup}{belief}"


def minds_grid(
    goals: Iterable[Any], betas: Iterable[float], backups: Iterable[str], params: Iterable[Any] = (None,)
) -> list[Mind]:
    """Returns every combination as a list of `Mind`s, the first axis varying slowest.

    A single goal, beta or backup may be given bare. `params` are beliefs about the dynamics (None: the true ones).

    Raises:
        UsageError: an axis is empty, or an entry is not what `Mind` takes.
    """
    axes = [_entries(axis) for axis in (goals, betas, backups, params)]
    for name, entries in zip(AXES, axes):
        if not entries:
            raise UsageError(f"the grid of minds has no {name}", expected=f"at least one {name}")
    return [Mind(*values) for values in itertools.product(*axes)]


def fingerprint(value: Any) -> Any:
    """Returns a hashable stand-in for a purpose or for parameters, which may hold arrays: equal iff they are."""
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, tuple):
        # the type's name tells Reach(1) from Avoid(1), which compare equal as tuples
        return (type(value).__qualname__, *(fingerprint(entry) for entry in value))
    return value


def _entries(axis: Any) -> list[Any]:
    """A bare entry is a word, a number or a named tuple; anything else is a collection of entries."""
    if isinstance(axis, (str, int, float, np.number)) or hasattr(axis, "_fields") or axis is None:
        return [axis]
    return list(axis)
