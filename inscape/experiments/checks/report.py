"""What the checks are made of: one `Check` each, collected in a `CheckReport`; refusals; the chi-square test."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Check:
    """One check: `passed` is None when it was skipped; `message` says what was found, or why it was skipped."""

    name: str
    passed: bool | None
    message: str = ""


@dataclass
class CheckReport:
    """What was checked, and each check in the order made."""

    subject: str
    checks: list[Check] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.passed is not False for check in self.checks)

    @property
    def failures(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.passed is False]

    def run(self, name: str, function: Callable[[], Any]) -> bool:
        """Makes one check: `function` raises `Failed` or `Skipped`; any other exception is a finding."""
        try:
            function()
        except Skipped as skipped:
            self.checks.append(Check(name, None, str(skipped)))
            return True
        except Failed as failed:
            self.checks.append(Check(name, False, str(failed)))
            return False
        except Exception as error:  # whatever the code under test raises is a finding
            self.checks.append(Check(name, False, f"{type(error).__name__}: {error}"))
            return False
        self.checks.append(Check(name, True))
        return True

    def skip(self, name: str, reason: str) -> None:
        """Notes a check as not made."""
        self.checks.append(Check(name, None, reason))


class Failed(Exception):
    """A promise of the contract is broken; the message says what was found."""


class Skipped(Exception):
    """A check does not apply; the message says why."""


def require(condition: Any, message: str) -> None:
    """Raises `Failed` unless the condition holds."""
    if not condition:
        raise Failed(message)


def same(left: Any, right: Any) -> bool:
    """Returns whether two answers, numbers, arrays, sequences or dictionaries of them, are equal; NaN equals NaN."""
    if isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        return np.array_equal(left, right, equal_nan=np.asarray(left).dtype.kind == "f")
    if isinstance(left, (list, tuple)):
        return isinstance(right, (list, tuple)) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return bool(left == right or (left != left and right != right))


def chi_square_deviation(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns how many standard deviations the counts lie from the probabilities, by the chi-square statistic.

    Outcomes expected fewer than five times are pooled. The chi-square variable is made normal by a cube root.

    Source: Wilson & Hilferty (1931), PNAS 17(12).

    Args:
        counts: `[K]` how often each outcome was seen.
        probabilities: `[K]` summing to one.

    Returns:
        Standard normal deviate; infinite when an impossible outcome was seen.
    """
    if counts[probabilities <= 0].any():
        return math.inf
    expected = probabilities * counts.sum()
    rare = expected < 5
    if rare.any():
        expected = np.append(expected[~rare], expected[rare].sum())
        counts = np.append(counts[~rare], counts[rare].sum())
    counts, expected = counts[expected > 0], expected[expected > 0]
    freedom = len(expected) - 1
    if freedom == 0:
        return 0.0
    statistic = float(((counts - expected) ** 2 / expected).sum())
    spread = 2.0 / (9.0 * freedom)
    return float(((statistic / freedom) ** (1.0 / 3.0) - (1.0 - spread)) / math.sqrt(spread))


DEVIATIONS = 6.0
"""Deviations from its probabilities at which a sample is called wrong: a false alarm in 10⁹ checks."""
