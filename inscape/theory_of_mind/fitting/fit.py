"""Minds fitted to recorded choices: one for all, one for each, and how they are spread over people."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.fitting.choices import Choices
from inscape.theory_of_mind.fitting.features import path_of, read
from inscape.theory_of_mind.fitting.likelihood import (
    bits_per_choice,
    log_likelihoods,
    refuse_impossible,
    require_choices,
)
from inscape.theory_of_mind.fitting.population import mixed, population_weights, posteriors
from inscape.theory_of_mind.fitting.refining import RefinedMind, refine_mind
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.observers.checks import check_minds, check_prior
from inscape.theory_of_mind.parts.numbers import finite_number
from inscape.theory_of_mind.parts.wanting import fingerprint


@dataclass(frozen=True, eq=False)
class MindFit:
    """G minds fitted to the choices of N participants.

    Attributes:
        choices: what was fitted.
        minds: the G minds.
        prior: `[G]` what is thought of them beforehand.
        episode_log_likelihoods: `[E, G]` log P(choices of an episode | mind), in nats.
        population: `[G]` how common each mind is among people, every participant having one mind throughout; it is the
            prior of `posteriors`.
        population_trace: objective at each round of the expectation maximisation; it never falls.
        gamma: discount of minds that have none of their own; None: the world's.
    """

    choices: Choices
    minds: tuple[Mind, ...]
    prior: Array
    episode_log_likelihoods: Array
    population: Array
    population_trace: Array
    gamma: float | None = None

    def __repr__(self) -> str:
        return (
            f"MindFit({len(self.minds)} minds, {len(self.choices)} choices of {len(self.choices.participants)} "
            f"participants; best for all: {name_of(self.best)}, {self.bits_per_choice:.3f} bits per choice)"
        )

    # ------------------------------------------------------------------------------------------- one mind for all

    @cached_property
    def log_likelihoods(self) -> Array:
        """`[N, G]` log P(all choices of a participant | mind), in nats."""
        return self.choices.by_participant(self.episode_log_likelihoods)

    @property
    def best(self) -> Mind:
        """The mind under which the choices of all participants together are most probable."""
        return self.minds[int(self._pooled.argmax())]

    @property
    def log_likelihood(self) -> float:
        """log P(all choices | `best`), in nats; −inf where no mind could have made all of them."""
        return float(self._pooled.max())

    @property
    def bits_per_choice(self) -> float:
        """Of `best`; infinite where no mind could have made all choices."""
        return bits_per_choice(self.log_likelihood, len(self.choices))

    @cached_property
    def posterior(self) -> Array:
        """`[G]` P(mind | all choices), all participants having the same mind.

        Raises:
            UsageError: no mind could have made all choices.
        """
        if not math.isfinite(self.log_likelihood):
            raise UsageError(
                "no single mind could have made the choices of all participants", expected="posteriors, one for each",
                hint="a lapse, Softmax(beta, lapse=0.01)",
            )  # fmt: skip
        return np.asarray(posteriors(self._pooled[None], self.prior)[0])

    # --------------------------------------------------------------------------------------------- a mind for each

    @cached_property
    def posteriors(self) -> Array:
        """`[N, G]` P(mind of a participant | their choices), `population` being the prior: estimates are drawn towards
        what is common among people (hierarchical, empirical Bayes)."""
        return posteriors(self.log_likelihoods, self.population)

    @property
    def best_of_each(self) -> tuple[Mind, ...]:
        """The N minds under which each participant's choices are most probable."""
        return tuple(self.minds[g] for g in self.log_likelihoods.argmax(axis=1))

    @property
    def bits_per_choice_of_each(self) -> Array:
        """`[N]` of each participant under the best mind of their own."""
        counts = self.choices.by_participant(self.choices.lengths.astype(float))
        return np.asarray(-self.log_likelihoods.max(axis=1) / math.log(2) / np.maximum(counts, 1))

    @property
    def population_bits_per_choice(self) -> float:
        """Every participant's mind unknown, drawn from `population`."""
        return bits_per_choice(float(mixed(self.log_likelihoods, self.population).sum()), len(self.choices))

    @property
    def uniform_bits_per_choice(self) -> float:
        """Of a uniform guess among the legal actions."""
        return float(self.choices.uniform_bits.sum() / len(self.choices))

    def marginal(self, f: str | Callable[[Mind], Any], probabilities: ArrayLike | None = None) -> dict[Any, Any]:
        """Returns how a feature of the minds is spread: `{value: probability}`, in order of first appearance.

        Args:
            f: a function of a mind, or a path such as `"wants"`, `"beta"` or `"plans.discount.k"`.
            probabilities: `[…, G]`: `posterior`, `posteriors`; None: `population`.
        """
        weights = self.population if probabilities is None else np.asarray(probabilities, np.float64)
        if weights.shape[-1:] != (len(self.minds),):
            raise UsageError(f"probabilities of shape {weights.shape}", expected=f"[…, {len(self.minds)}]")
        groups: dict[Any, tuple[Any, list[int]]] = {}
        for g, mind in enumerate(self.minds):
            value = f(mind) if callable(f) else read(mind, f)
            groups.setdefault(_key(value), (_label(value), []))[1].append(g)
        found = {label: weights[..., members].sum(axis=-1) for label, members in groups.values()}
        return found if weights.ndim > 1 else {label: float(value) for label, value in found.items()}

    def estimate(self, f: str | Callable[[Mind], float]) -> Array:
        """Returns `[N]` each participant's posterior mean of a number of the minds, such as `"beta"`."""
        values = np.array([float(f(mind) if callable(f) else read(mind, path_of(f))) for mind in self.minds])
        return np.asarray(self.posteriors @ values)

    # ------------------------------------------------------------------------------------------- numbers refined

    def refine(self, *parameters: str, level: float = 0.95, intervals: Any = "profile") -> RefinedMind:
        """Returns `best` with its numbers fitted to the choices of all participants (see `refine_mind`)."""
        return refine_mind(self.choices, self.best, parameters, gamma=self.gamma, level=level, intervals=intervals)

    def refine_each(self, *parameters: str, level: float = 0.95, intervals: Any = "profile") -> dict[str, RefinedMind]:
        """Returns for each participant their best mind, with its numbers fitted to their choices."""
        found = {}
        for n, (participant, mind) in enumerate(zip(self.choices.participants, self.best_of_each)):
            own = self.choices.select(np.flatnonzero(self.choices.participant_of == n))
            found[participant] = refine_mind(own, mind, parameters, gamma=self.gamma, level=level, intervals=intervals)
        return found

    @cached_property
    def _pooled(self) -> Array:
        return np.asarray(self.episode_log_likelihoods.sum(axis=0))


def fit_minds(
    choices: Choices,
    minds: Sequence[Mind],
    *,
    prior: ArrayLike | None = None,
    gamma: float | None = None,
    concentration: float = 1.0,
) -> MindFit:
    """Returns minds fitted to recorded choices: the best for all, for each participant, and how common they are.

        fit = fit_minds(read_choices("people.csv", world), grid(wants=[…], chooses=[…], plans=…))
        fit.best, fit.posteriors, fit.refine("beta", "lapse")

    Args:
        choices: what people did (`read_choices`, `choices_of`, `simulate_choices`).
        minds: G hypotheses; the points of a `grid`, or any others.
        prior: `[G]` probabilities; None: that of the grid, else uniform.
        gamma: discount of `PlanningMind`s that have none of their own; None: the world's.
        concentration: how many persons the prior counts for when the population is estimated; 0: maximum likelihood.

    Raises:
        UsageError: no choices, no minds, or as `Observer`.
        ImpossibleEvidenceError: none of the minds could have made a choice (naming it).
    """
    require_choices(choices)
    hypotheses = check_minds(minds)
    weights = check_prior(prior, hypotheses, getattr(minds, "prior", None) if prior is None else None)
    table = log_likelihoods(choices, hypotheses, gamma)
    refuse_impossible(choices, table, hypotheses, gamma)
    of_each = choices.by_participant(table)
    lost = np.isneginf(np.where(weights > 0, of_each, -np.inf)).all(axis=1)
    if lost.any():
        raise UsageError(
            f"no single mind could have made all choices of {choices.participants[int(np.argmax(lost))]}",
            expected="minds that can", hint="a lapse, Softmax(beta, lapse=0.01); Switching goals; or more minds",
        )  # fmt: skip
    concentration = finite_number("concentration", concentration, "in persons")
    population, trace = population_weights(of_each, weights, concentration)
    return MindFit(choices, hypotheses, weights, table, population, trace, gamma)


def _key(value: Any) -> Any:
    try:
        key = fingerprint(value)
        hash(key)
    except TypeError:
        return repr(value)
    return key


def _label(value: Any) -> Any:
    holds_arrays = isinstance(value, tuple) and any(isinstance(entry, np.ndarray) for entry in value)
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return repr(value) if holds_arrays else value
