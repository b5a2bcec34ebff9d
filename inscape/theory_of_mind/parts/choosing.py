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


@dataclass(frozen=True)
class Proportional:
    """P(a|s) ∝ prior(a)·Q(s,a), Q ≥ 0: the ratio rule. Where Q is a probability of success it is matched.

    Where no action is worth anything, the prior decides. A mind that plans does not foresee that it chooses so.

    Raises:
        UsageError: a prior that is negative, not finite or all 0; values below 0 when it is asked to choose.

    Source: Luce (1959), "Individual Choice Behavior", chapter 1.
    """

    prior: tuple[float, ...] | None = None
    """Weight of each action beforehand; None: each alike."""

    def __post_init__(self) -> None:
        if self.prior is None:
            return
        try:
            prior = tuple(float(weight) for weight in self.prior)
        except (TypeError, ValueError) as error:
            raise UsageError(f"prior = {self.prior!r}", expected="a weight for each action") from error
        if not np.isfinite(prior).all() or min(prior, default=-1.0) < 0 or not max(prior) > 0:
            raise UsageError(f"prior = {self.prior!r}", expected="weights of at least 0, not all 0")
        object.__setattr__(self, "prior", prior)

    def log_probs(self, q_values: Array, legal: Array) -> Array:
        """Returns `[..., A]` log π of `[..., A]` values; −inf where not `legal` (`[..., A]` bool)."""
        values = np.where(legal, q_values, 0.0)
        boltzmann_log_probs(q_values, 0.0, legal)  # a state without a finite value is refused as by the soft choice
        if (values < 0).any():
            raise UsageError(f"a value of {values.min():g} where one chooses in proportion to it", expected="0 or more")
        if self.prior is not None and len(self.prior) != legal.shape[-1]:
            raise UsageError(
                f"a prior of {len(self.prior)} weights", expected=f"{legal.shape[-1]}, one for each action"
            )
        prior = legal * (1.0 if self.prior is None else np.array(self.prior))
        weights = prior * values
        for instead in (prior, legal):  # nothing is worth anything; nor does the prior allow anything
            weights = np.where((weights > 0).any(axis=-1, keepdims=True), weights, instead)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(weights / weights.sum(axis=-1, keepdims=True)))

    def __str__(self) -> str:
        return "in proportion to values" + ("" if self.prior is None else " and a prior")


Chooses = Softmax | Best | Proportional


def check_chooses(given: object) -> Chooses:
    """Returns how a mind chooses, or refuses what is no such part."""
    if isinstance(given, (Softmax, Best, Proportional)):
        return given
    raise UsageError(f"chooses = {given!r}", expected="Softmax(beta, lapse=0.0), Best() or Proportional(prior=None)")
