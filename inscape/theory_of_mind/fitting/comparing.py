"""Models of people compared: bits per choice on choices they were not fitted to, beside AIC, BIC and baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from inscape.errors import UsageError, whole_number
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.fitting.choices import Choices
from inscape.theory_of_mind.fitting.features import varying
from inscape.theory_of_mind.fitting.fit import MindFit
from inscape.theory_of_mind.fitting.likelihood import log_likelihoods, require_choices
from inscape.theory_of_mind.fitting.population import mixed, population_weights, posteriors
from inscape.theory_of_mind.minds import Mind
from inscape.theory_of_mind.observers.checks import check_minds, check_prior

People = Literal["differ", "alike"]
By = Literal["participant", "episode"]
BASELINES = ("frequency in each state", "frequency", "uniform")


@dataclass(frozen=True, eq=False)
class ModelScore:
    """How well one model predicts.

    Attributes:
        name: of the model.
        bits: `[E]` held-out bits of each episode: −log₂ of what it was given before it was seen.
        difference: held-out bits per choice more than the first model's; 0 for that one.
        low, high: bootstrap interval of the difference, resampling participants (one participant: episodes) in pairs.
        log_likelihood: of all choices, fitted to all of them, in nats.
        parameters: how many were fitted to do so.
        choices: how many there are.
    """

    name: str
    bits: Array
    difference: float
    low: float
    high: float
    log_likelihood: float
    parameters: int
    choices: int

    @property
    def bits_per_choice(self) -> float:
        """Held-out."""
        return float(self.bits.sum() / self.choices)

    @property
    def aic(self) -> float:
        """2·parameters − 2·log-likelihood (Akaike 1974)."""
        return 2 * self.parameters - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """parameters·log(choices) − 2·log-likelihood (Schwarz 1978)."""
        return self.parameters * math.log(self.choices) - 2 * self.log_likelihood


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models of the same choices, the first one first, baselines last.

    Attributes:
        scores: by name.
        choices: what was predicted.
        folds: `[E]` in which fold each episode was held out.
        by: what folds keep together.
        people: do they differ, or are they all of one mind.
        level: of the intervals.
    """

    scores: Mapping[str, ModelScore]
    choices: Choices
    folds: Array
    by: By
    people: People
    level: float

    def __getitem__(self, name: str) -> ModelScore:
        return self.scores[name]

    @property
    def best(self) -> str:
        """The model with the fewest held-out bits."""
        return min(self.scores, key=lambda name: self.scores[name].bits_per_choice)

    def rows(self) -> list[dict[str, Any]]:
        """Returns a row for each model: held-out bits per choice, how many more than the first model's, with interval,
        log-likelihood fitted to all choices, how many numbers were fitted, AIC, BIC."""
        return [
            {
                "model": score.name, "bits": score.bits_per_choice, "more": score.difference,
                "low": score.low, "high": score.high, "log-lik.": score.log_likelihood,
                "numbers": score.parameters, "AIC": score.aic, "BIC": score.bic,
            }
            for score in self.scores.values()
        ]  # fmt: skip

    def __str__(self) -> str:
        width = max(map(len, self.scores))
        lines = [f"{'model':<{width}}  {'bits':>7}  {'more':>7}  {'low':>7}  {'high':>7}  {'AIC':>9}  {'BIC':>9}"]
        for s in self.scores.values():
            lines.append(
                f"{s.name:<{width}}  {s.bits_per_choice:7.3f}  {s.difference:+7.3f}  {s.low:+7.3f}  {s.high:+7.3f}  "
                f"{s.aic:9.1f}  {s.bic:9.1f}"
            )
        return "\n".join(lines)


def compare_minds(
    choices: Choices,
    models: Mapping[str, Sequence[Mind] | MindFit],
    *,
    folds: int = 10,
    by: By = "participant",
    people: People = "differ",
    gamma: float | None = None,
    concentration: float = 1.0,
    seed: int = 0,
    resamples: int = 2_000,
    level: float = 0.95,
) -> Comparison:
    """Returns how well models predict choices that they were not fitted to, beside baselines.

        compare_minds(choices, {"full": minds, **lesions(minds, world)})

    A model is a list of minds. With people who differ, how common each mind is (`population_weights`) is estimated on
    the folds that are left; a held-out episode is predicted with what the participant's other choices there tell of
    their mind (by episode), or with what their episodes before it tell (by participant). With people who are alike, the
    mind that is best there predicts. Baselines: a uniform guess among legal actions; how frequent actions are; how
    frequent they are in each state (Laplace's rule, counts fitted to the folds that are left).

    Args:
        choices: what people did.
        models: minds by the model's name, or a fit of them; differences are from the first one.
        folds: how many; at most as many as there are participants (episodes). With 1 participant, by episode.
        by: what a fold keeps together.
        people: `"differ"` or `"alike"`.
        gamma: discount of `PlanningMind`s that have none of their own; None: the world's.
        concentration: how many persons the prior counts for in the population; above 0, so that what nobody showed
            remains possible.
        seed: of folds and bootstrap.
        resamples: of the bootstrap.
        level: of the intervals.

    Raises:
        UsageError: no models; too few participants or episodes to hold some out; or as `fit_minds`.

    Source: prequential and held-out code length: Dawid (1984); the paired bootstrap: Efron & Tibshirani (1993),
        chapter 8.
    """
    require_choices(choices)
    if not isinstance(models, Mapping) or not models:
        raise UsageError(f"models = {models!r}"[:200], expected="{name: minds}, at least one")
    if by not in ("participant", "episode") or people not in ("differ", "alike"):
        raise UsageError(
            f"by = {by!r}, people = {people!r}", expected="by 'participant' or 'episode'; 'differ', 'alike'"
        )
    taken = next((name for name in models if name in BASELINES), None)
    if taken is not None:
        raise UsageError(f"a model called {taken!r}", expected="another name: it is a baseline's")
    if not concentration > 0 or not math.isfinite(concentration):
        raise UsageError(f"concentration = {concentration!r}", expected="a positive number of persons")
    if not 0 < level < 1:
        raise UsageError(f"level = {level!r}", expected="a probability between 0 and 1", hint="0.95")
    if len(choices.participants) == 1:
        by = "episode"
    fold_of = assign_folds(choices, folds, by, seed)
    found: dict[str, tuple[Array, float, int]] = {}
    for name, minds in models.items():
        if isinstance(minds, MindFit) and minds.choices is choices and minds.gamma == gamma:
            hypotheses, prior, table = minds.minds, minds.prior, minds.episode_log_likelihoods
        else:
            listed = minds.minds if isinstance(minds, MindFit) else minds
            hypotheses = check_minds(listed)
            prior = check_prior(None, hypotheses, getattr(listed, "prior", None))
            table = log_likelihoods(choices, hypotheses, gamma)
        bits = held_out_bits(choices, table, prior, fold_of, by, people, concentration)
        found[name] = (bits, *_fitted(choices, table, prior, people, concentration, hypotheses))
    for name in BASELINES:
        found[name] = _baseline(name, choices, fold_of)
    clusters = choices.participant_of if len(choices.participants) > 1 else np.arange(len(choices.episodes))
    rng = np.random.default_rng(whole_number("seed =", seed))
    first, scores = next(iter(found.values()))[0], {}
    drawn = _resampled(clusters, choices.lengths, whole_number("resamples =", resamples, 1), rng)
    for name, (bits, log_likelihood, parameters) in found.items():
        with np.errstate(invalid="ignore"):
            more = np.where(bits == first, 0.0, bits - first)
        difference = float(more.sum() / len(choices))
        low, high = _interval(more, clusters, drawn, level)
        scores[name] = ModelScore(name, bits, difference, low, high, log_likelihood, parameters, len(choices))
    return Comparison(scores, choices, fold_of, by, people, level)


def assign_folds(choices: Choices, folds: int, by: By, seed: int) -> Array:
    """Returns `[E]` numbers of folds of about equal size, participants (episodes) at random.

    By episode, those of a participant are spread over the folds.

    Raises:
        UsageError: fewer than two participants (episodes), or folds.
    """
    count = whole_number("folds =", folds, 2)
    units = len(choices.participants) if by == "participant" else len(choices.episodes)
    if units < 2:
        raise UsageError(
            f"{units} {by} to hold out", expected="two or more",
            hint="an episode (trial) column, or fit_minds, which holds nothing out",
        )  # fmt: skip
    count, rng = min(count, units), np.random.default_rng(whole_number("seed =", seed))
    if by == "participant":
        order = rng.permutation(units)
        place = np.empty(units, np.int64)
        place[order] = np.arange(units)
        return np.asarray(place[choices.participant_of] % count)
    found, begun = np.zeros(units, np.int64), 0
    for n in rng.permutation(len(choices.participants)):
        own = rng.permutation(np.flatnonzero(choices.participant_of == n))
        found[own] = (begun + np.arange(len(own))) % count
        begun += len(own)
    return found


def held_out_bits(
    choices: Choices, table: Array, prior: Array, fold_of: Array, by: By, people: People, concentration: float
) -> Array:
    """Returns `[E]` bits of each episode, predicted by what was fitted to the other folds.

    Args:
        table: `[E, G]` log-likelihoods.
        prior: `[G]`.
        fold_of: `[E]`.
    """
    bits = np.empty(len(table))
    for fold in np.unique(fold_of):
        kept = fold_of != fold
        trained = choices.by_participant(np.where(kept[:, None], table, 0.0))
        if people == "alike":
            weights = np.zeros(len(prior))
            weights[int(np.where(prior > 0, table[kept].sum(axis=0), -np.inf).argmax())] = 1.0
        else:
            some = np.unique(choices.participant_of[kept])
            weights = _population(trained[some], prior, concentration)
        for n in np.unique(choices.participant_of[~kept]):
            known = trained[n]
            for e in np.flatnonzero(~kept & (choices.participant_of == n)):
                if people == "alike":
                    held = weights
                else:
                    usable = np.isfinite(known[weights > 0]).any()
                    held = posteriors(known[None], weights)[0] if usable else weights
                bits[e] = -float(mixed(table[e][None], held)[0]) / math.log(2)
                if by == "participant":
                    known = known + table[e]
    return bits


def _population(of_each: Array, prior: Array, concentration: float) -> Array:
    possible = np.isfinite(np.where(prior > 0, of_each, -np.inf)).any(axis=1)  # the others say nothing of the weights
    return population_weights(of_each[possible], prior, concentration)[0] if possible.any() else prior


def _fitted(
    choices: Choices, table: Array, prior: Array, people: People, concentration: float, minds: Sequence[Mind]
) -> tuple[float, int]:
    """Returns `(log-likelihood, parameters)` fitted to all choices."""
    if people == "alike":
        return float(table.sum(axis=0).max()), len(varying(minds))
    of_each = choices.by_participant(table)
    weights = _population(of_each, prior, concentration)
    held = int((weights > 0.5 / max(1, len(of_each))).sum())  # minds that at least half a person is of
    return float(mixed(of_each, weights).sum()), max(0, held - 1)


def _baseline(name: str, choices: Choices, fold_of: Array) -> tuple[Array, float, int]:
    if name == "uniform":
        return choices.uniform_bits, -float(choices.uniform_bits.sum()) * math.log(2), 0
    in_states = name != "frequency"
    actions = max(len(view.action_names) for view in choices.views)
    offsets = np.cumsum([0, *(len(view.dynamics()) for view in choices.views)])
    bits = np.zeros(len(fold_of))

    def tally(episodes: Array) -> Array:
        table = np.zeros((int(offsets[-1]) if in_states else 1, actions))
        for e in episodes:
            episode = choices.episodes[e]
            rows = episode.states + offsets[episode.world] if in_states else np.zeros(len(episode), np.int64)
            np.add.at(table, (rows, episode.actions), 1.0)
        return table

    def coded(episodes: Array, table: Array) -> None:
        for e in episodes:
            episode = choices.episodes[e]
            legal = choices.views[episode.world].dynamics().legal[episode.states]
            rows = episode.states + offsets[episode.world] if in_states else np.zeros(len(episode), np.int64)
            weights = np.where(legal, table[rows][:, : legal.shape[1]] + 1.0, 0.0)
            share = weights[np.arange(len(episode)), episode.actions] / weights.sum(axis=1)
            bits[e] = -np.log2(share).sum()

    everything = np.arange(len(fold_of))
    whole = tally(everything)
    coded(everything, whole)
    log_likelihood = -float(bits.sum()) * math.log(2)
    for fold in np.unique(fold_of):
        held = np.flatnonzero(fold_of == fold)
        coded(held, whole - tally(held))
    used = whole.sum(axis=1) > 0
    return bits, log_likelihood, int(used.sum()) * (actions - 1)


def _resampled(clusters: Array, lengths: Array, resamples: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Returns `([R, C] how often each cluster is drawn, [R] choices drawn)`."""
    count = int(clusters.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return drawn, drawn @ np.bincount(clusters, lengths, count)


def _interval(more: Array, clusters: Array, drawn: tuple[Array, Array], level: float) -> tuple[float, float]:
    times, choices = drawn
    totals = np.bincount(clusters, np.nan_to_num(more, posinf=0.0, neginf=0.0), times.shape[1])
    means = (times @ totals) / np.maximum(choices, 1)
    if np.isposinf(more).any():  # what was held to be impossible happened: infinite wherever it is drawn
        means = np.where(times @ np.bincount(clusters, np.isposinf(more), times.shape[1]) > 0, np.inf, means)
    if np.isneginf(more).any():
        means = np.where(times @ np.bincount(clusters, np.isneginf(more), times.shape[1]) > 0, -np.inf, means)
    ordered = np.sort(means)
    ends = [round(q * (len(ordered) - 1)) for q in ((1 - level) / 2, (1 + level) / 2)]
    return float(ordered[ends[0]]), float(ordered[ends[1]])
