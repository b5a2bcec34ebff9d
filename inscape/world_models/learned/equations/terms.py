"""Candidate terms of equations: products of numbers, of a sine or cosine, of what the action says and of changes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.world_models.learned.equations.readings import Readings

Array = np.ndarray[Any, Any]
TRIG = ("", "s", "c", "ss", "sc")
"""Polynomials of a sine and a cosine up to degree 2; cos² is 1 − sin²."""


@dataclass(frozen=True)
class Term:
    """A product.

    Attributes:
        powers: variables that are factors, as often as they are.
        trig: `"s"` for a sine, `"c"` for a cosine of `frequency` times variable `angle`; a letter per factor.
        angle, frequency: see `trig`.
        codes: the action's codes that are factors.
        change: a variable whose change in this step is a factor, or None.
        following: variables whose values after the step are factors.
    """

    powers: tuple[int, ...] = ()
    trig: str = ""
    angle: int = 0
    frequency: int = 1
    codes: tuple[int, ...] = ()
    change: int | None = None
    following: tuple[int, ...] = ()

    @property
    def cost(self) -> float:
        """How complex it is: one more than its factors; multiples of an angle count too."""
        factors = len(self.powers) + len(self.trig) + len(self.codes) + len(self.following)
        return 1.0 + factors + (self.change is not None) + (self.frequency - 1) * len(self.trig)

    def values(self, data: Readings) -> Array:
        """Returns the `[N]` values."""
        result = np.ones(len(data))
        for k in self.powers:
            result = result * data.before[:, k]
        for k in self.following:
            result = result * (data.before[:, k] + data.change[:, k])
        for letter in self.trig:
            wave = np.sin if letter == "s" else np.cos
            result = result * wave(self.frequency * data.before[:, self.angle])
        for k in self.codes:
            result = result * data.codes[:, k]
        return result * data.change[:, self.change] if self.change is not None else result

    def text(self, names: Sequence[str], codes: Sequence[str]) -> str:
        """Returns it as Python; sines and cosines as `sin_name` or `sin2_name`; changes as `d_name`; "" for 1."""
        wave = {"s": "sin", "c": "cos"}
        times = "" if self.frequency == 1 else str(self.frequency)
        parts = [f"{wave[letter]}{times}_{names[self.angle]}" for letter in self.trig]
        parts += [names[k] for k in self.powers] + [f"next_{names[k]}" for k in self.following]
        parts += [codes[k] for k in self.codes]
        parts += [f"d_{names[self.change]}"] if self.change is not None else []
        return " * ".join(parts)


def monomials(numbers: Sequence[int], degree: int) -> Iterator[tuple[int, ...]]:
    """Yields products of variables up to a degree, each as the sorted tuple of its factors; () is 1."""
    for size in range(degree + 1):
        yield from itertools.combinations_with_replacement(numbers, size)


def simple_terms(data: Readings, known: Sequence[int]) -> list[Term]:
    """Returns terms linear in numbers, their values after the step where an equation is known, and the action."""
    numbers = [k for k, v in enumerate(data.variables) if not v.is_angle]
    terms = [Term()] + [Term(powers=(k,)) for k in numbers]
    terms += [Term(following=(k,)) for k in known if k in numbers]
    return terms + [Term(codes=(k,)) for k in range(data.codes.shape[1])]


def wave_terms(data: Readings, known: Sequence[int], angle: int, frequency: int, degree: int = 2) -> list[Term]:
    """Returns products of numbers up to `degree`, sine and cosine of one variable up to degree 2, and at most one code;
    and of each known change with the sine and cosine."""
    numbers = [k for k, v in enumerate(data.variables) if not v.is_angle]
    codes = [(), *((k,) for k in range(data.codes.shape[1]))]
    terms = [
        Term(powers, trig, angle, frequency if trig else 1, code)
        for trig in TRIG
        for powers in monomials(numbers, degree)
        for code in codes
    ]
    return terms + [Term((), trig, angle, frequency if trig else 1, change=k) for k in known for trig in TRIG]


def reward_terms(data: Readings) -> list[Term]:
    """Returns products of two of: variables before, variables after, codes."""
    every = range(len(data.variables))
    free = [k for k in every if not data.variables[k].is_angle]
    terms = [Term(powers) for powers in monomials(every, 2)]
    terms += [Term(codes=codes) for codes in monomials(range(data.codes.shape[1]), 2) if codes]
    terms += [Term(following=powers) for powers in monomials(free, 2) if powers]
    return terms + [Term((), trig, k) for k in every for trig in ("s", "c")]
