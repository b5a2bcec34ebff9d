"""How a move can go astray: the grammar of slips, and the numbers their probabilities are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from inscape.world_models.learned.program.geometry import STAY

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Slip:
    """A way to go astray.

    Attributes:
        name: what it is called.
        turns: eighths of a turn, clockwise; `STAY`: the move fails. The first entry is 0: as meant.
        shares: how the probability of going astray is divided among the others.
        words: in a sentence of the program's text.
    """

    name: str
    turns: tuple[int, ...]
    shares: tuple[Fraction, ...]
    words: str

    def heading(self, heading: int, branch: int) -> int:
        """Returns the direction in which branch number `branch` of a move `heading` goes."""
        turn = self.turns[branch]
        return STAY if STAY in (heading, turn) else (heading + turn) % 8


def _alike(name: str, turns: tuple[int, ...], words: str) -> Slip:
    return Slip(name, (0, *turns), (Fraction(1, len(turns)),) * len(turns), words)


FIRM = Slip("firm", (0,), (), "moves go as meant")
SLIPS: tuple[Slip, ...] = (
    _alike("sideways", (6, 2), "to the left or to the right of where they were meant, alike"),
    _alike("fail", (STAY,), "nowhere"),
    _alike("others", (6, 2, 4), "in one of the three other directions, alike"),
    _alike("back", (4,), "backwards"),
    _alike("left", (6,), "to the left of where they were meant"),
    _alike("right", (2,), "to the right of where they were meant"),
    _alike("diagonal", (7, 1), "by 45° to the left or to the right, alike"),
)
SLIP_BITS = math.log2(1 + len(SLIPS))
BY_NAME = {slip.name: slip for slip in (FIRM, *SLIPS)}


def _fractions() -> dict[Fraction, float]:
    """Returns the probabilities that the grammar can name, each with its prior.

    Six tenths of the prior lie on the commonest six, a quarter on nine more, a tenth on all others whose denominator is
    at most 12, or 20; the last twentieth is for numbers that have no name (`FREE`).
    """
    common = [Fraction(1, 5), Fraction(1, 10), Fraction(1, 3), Fraction(2, 3), Fraction(1, 2), Fraction(4, 5)]
    usual = [Fraction(text) for text in ("1/4", "3/10", "2/5", "3/4", "1/20", "3/20", "3/5", "9/10", "7/10")]
    rare = {Fraction(k, d) for d in (*range(2, 13), 20, 100) for k in range(1, d) if d <= 20 or k <= 5}
    rest = sorted(rare - set(common) - set(usual))
    prior = dict.fromkeys(common, 0.6 / len(common)) | dict.fromkeys(usual, 0.25 / len(usual))
    return prior | dict.fromkeys(rest, 0.1 / len(rest))


FRACTIONS = _fractions()
FREE = 0.05
"""Prior of a probability that is no fraction of the grammar, uniform on (0, 1)."""
_NAMED = np.array([float(fraction) for fraction in FRACTIONS])
_NAMED_BITS = -np.log2(np.array(list(FRACTIONS.values())))


@dataclass(frozen=True)
class Chance:
    """The probability of going astray: a fraction of the grammar, or a number.

    Attributes:
        value: the probability.
        bits: what it costs to name it, the precision of a number included.
        fraction: None for a number.
        error: standard error of a number; 0 for a fraction.
    """

    value: float
    bits: float
    fraction: Fraction | None
    error: float = 0.0


def chances(meant: Array, astray: Array, count: Array, most: int = 6) -> list[tuple[float, Chance]]:
    """Returns the likeliest probabilities p of going astray, each with its bits: −log₂ Π ((1 − p)·meant + p·astray)ⁿ.

    Args:
        meant, astray: `[N]` probability of what was seen if the move went as meant, or astray.
        count: `[N]` how often.
        most: how many to return, best first; data and the name of p both count.
    """
    named = _bits(_NAMED, meant, astray, count)
    order = np.argsort(named + _NAMED_BITS, kind="stable")[:most]
    keys = list(FRACTIONS)
    found = [(float(named[k]), Chance(float(_NAMED[k]), float(_NAMED_BITS[k]), keys[k])) for k in order]
    value, error = _estimate(meant, astray, count)
    # a number is named to within its standard error: Laplace's approximation of the uniform prior's evidence
    bits = -math.log2(FREE) - math.log2(min(1.0, math.sqrt(2 * math.pi) * error))
    found.append((float(_bits(np.array([value]), meant, astray, count)[0]), Chance(value, bits, None, error)))
    return sorted(found, key=lambda one: one[0] + one[1].bits)[:most]


def _bits(p: Array, meant: Array, astray: Array, count: Array) -> Array:
    with np.errstate(divide="ignore"):
        logs = np.log2((1 - p)[:, None] * meant + p[:, None] * astray)
    return np.asarray(-(np.where(count > 0, logs, 0.0) * count).sum(axis=1))


def _estimate(meant: Array, astray: Array, count: Array) -> tuple[float, float]:
    """Returns the maximum-likelihood p, inside (0, 1), and its standard error, by expectation–maximisation."""
    p, total = 0.5, max(float(count.sum()), 1.0)
    for _ in range(100):
        share = p * astray / np.maximum((1 - p) * meant + p * astray, 1e-300)
        p = min(max(float((count * share).sum()) / total, 0.5 / (total + 1)), 1 - 0.5 / (total + 1))
    slope = (astray - meant) / np.maximum((1 - p) * meant + p * astray, 1e-300)
    information = float((count * slope**2).sum())
    return round(p, 6), 1 / math.sqrt(information) if information > 0 else 1.0
