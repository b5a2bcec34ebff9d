"""How a mind chooses among action values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.parts.numbers import finite_number, probability
from inscape.world_models.planning.choice import boltzmann_log_probs
from inscape.world_models.planning.dynamic_programming import ties

TIE = 1e-9
"""Actions whose values differ by less, relative to their size, are equally good."""


@dataclass(frozen=True)
class Softmax:
    """P(a|s) ∝ exp(β·Q(s,a)); in a share `lapse` of all steps, any legal action alike.

    The mind plans as one that chooses by β (what its backup says); it does not foresee its lapses.

    Raises:
        UsageError: beta is negative, not a number or infinite; lapse is not in [0, 1].

    Source: Luce (1959), "Individual Choice Behavior"; lapses: Wichmann & Hill (2001), Perception & Psychophysics 63(8).
    """

    beta: float
    """Rationality β ≥ 0, per unit of reward: 0 acts uniformly, large values act almost optimally."""
    lapse: float = 0.0
    """Probability that the mind's attention lapses and it takes any legal action."""

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "beta",
            finite_number("beta", self.beta, "per unit of reward", "0 for random actions, 25 for nearly the best ones"),
        )
        object.__setattr__(self, "lapse", probability("lapse", self.lapse))

    def log_probs(self, q_values: Array, legal: Array) -> Array:
        """Returns `[..., A]` log π of `[..., A]` values; −inf where not `legal` (`[..., A]` bool)."""
        chosen = boltzmann_log_probs(q_values, self.beta, legal)
        if self.lapse == 0.0:
            return chosen
        any_legal = boltzmann_log_probs(np.zeros(legal.shape), 0.0, legal)
        with np.errstate(divide="ignore"):
            return np.asarray(np.logaddexp(np.log1p(-self.lapse) + chosen, np.log(self.lapse) + any_legal))

    def __str__(self) -> str:
        return f"β={self.beta:g}" + (f", lapse {self.lapse:g}" if self.lapse else "")


@dataclass(frozen=True)
class Best:
    """The best action, β = ∞; actions that are equally good, alike.

    Every backup then is the hard one: a mind that only takes the best values what follows by the best.
    """

    def log_probs(self, q_values: Array, legal: Array) -> Array:
        """Returns `[..., A]` log π of `[..., A]` values; −inf where not `legal` (`[..., A]` bool)."""
        values = np.where(legal, q_values, -np.inf)
        # a state without a finite value is refused as the soft choice refuses it
        boltzmann_log_probs(q_values, 0.0, legal)
        best = ties(values, TIE) & legal
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(best / best.sum(axis=-1, keepdims=True)))

    def __str__(self) -> str:
        return "the best action"


Chooses = Softmax | Best


def check_chooses(given: object) -> Chooses:
    """Returns how a mind chooses, or refuses what is no such part."""
    if isinstance(given, (Softmax, Best)):
        return given
    raise UsageError(f"chooses = {given!r}", expected="Softmax(beta, lapse=0.0) or Best()")
