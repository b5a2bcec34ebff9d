"""Unknown kinds of people: a mixture of minds, by expectation maximisation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from inscape.errors import UsageError, whole_number
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.fitting.choices import Choices
from inscape.theory_of_mind.fitting.comparing import assign_folds
from inscape.theory_of_mind.fitting.features import read
from inscape.theory_of_mind.fitting.likelihood import log_likelihoods, refuse_impossible, require_choices
from inscape.theory_of_mind.fitting.population import mixed, population_weights, posteriors
from inscape.theory_of_mind.fitting.refining import MindSearch, parameters_of
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.observers.checks import check_minds, check_prior

Each = Literal["mind", "distribution"]
MOST_ROUNDS = 1_000
TIE = 1e-4
"""Share of held-out bits by which numbers of kinds are taken to be equally good."""
SETTLED = 1e-9
"""Gain of a round, relative to the bound, below which it is taken to have settled."""


@dataclass(frozen=True, eq=False)
class MindMixture:
    """K kinds of people, found in the choices of N participants.

    Attributes:
        choices: what was fitted.
        minds: G minds; kinds are made of them (refined ones: the K minds of the kinds).
        shares: `[K]` how common each kind is, most common first.
        components: `[K, G]` what minds a kind has: one, with probability 1, or a distribution.
        responsibilities: `[N, K]` P(kind | choices) of each participant.
        bound: `[rounds]` what each round of the expectation maximisation reached: log-likelihood of all choices, in
            nats (for distributions with the logarithm of their prior); it never falls.
        each: what a kind is, `"mind"` or `"distribution"`.
        held_out: bits per choice of participants not fitted to, for each number of kinds that was tried.
    """

    choices: Choices
    minds: tuple[Mind, ...]
    shares: Array
    components: Array
    responsibilities: Array
    bound: Array
    each: Each
    held_out: Mapping[int, float] = field(default_factory=dict)

    @property
    def kinds(self) -> int:
        """K."""
        return len(self.shares)

    @property
    def kind_of(self) -> Array:
        """`[N]` the most probable kind of each participant."""
        return np.asarray(self.responsibilities.argmax(axis=1))

    @property
    def mind_of_kind(self) -> tuple[Mind, ...]:
        """The K minds most probable within each kind."""
        return tuple(self.minds[g] for g in self.components.argmax(axis=1))

    def members(self, kind: int) -> tuple[str, ...]:
        """Returns the participants whose most probable kind it is."""
        return tuple(name for name, k in zip(self.choices.participants, self.kind_of) if k == kind)

    def __str__(self) -> str:
        lines = [f"{self.kinds} kinds of people:"]
        for k, mind in enumerate(self.mind_of_kind):
            within = "" if self.each == "mind" else f" ({self.components[k].max():.2f} of its minds)"
            lines.append(f"  {self.shares[k]:.3f}  {name_of(mind)}{within}: {len(self.members(k))} participants")
        return "\n".join(lines)


def mixture_of_minds(
    choices: Choices,
    minds: Sequence[Mind],
    kinds: int | Sequence[int] = (1, 2, 3, 4),
    *,
    each: Each = "mind",
    refine: Sequence[str] = (),
    gamma: float | None = None,
    folds: int = 10,
    restarts: int = 10,
    concentration: float = 1.0,
    seed: int = 0,
) -> MindMixture:
    """Returns the kinds of people that explain choices best, and how many there are.

        mixture_of_minds(choices, grid(…), kinds=(1, 2, 3)).shares

    Every participant is of one kind. A kind is one of the minds (`each="mind"`), or a distribution from which the mind
    of every episode is drawn anew (`each="distribution"`: people who often want this and sometimes that). Of several
    numbers of kinds, the smallest is taken whose held-out bits are within one standard error, of paired differences, of
    the fewest.

    Args:
        choices: what people did.
        minds: what kinds are made of.
        kinds: how many, or numbers to choose from.
        each: what a kind is.
        refine: numbers of each kind's mind (see `refine_mind`) that are fitted, once kinds are found among the minds.
        gamma: discount of `PlanningMind`s that have none of their own; None: the world's.
        folds: participants are held out in so many groups.
        restarts: beginnings of the expectation maximisation, of which the best end is taken.
        concentration: weight of the prior within a distribution, in episodes: Dirichlet(1 + concentration·prior).
        seed: of folds and beginnings.

    Raises:
        UsageError: more kinds than minds or participants; or as `fit_minds`.

    Source: Dempster, Laird & Rubin (1977), Journal of the Royal Statistical Society B 39(1), section 4.3; kinds by
        cross-validated likelihood: Smyth (2000), Statistics and Computing 10(1); within one standard error: Breiman et
        al. (1984), section 3.4.3.
    """
    require_choices(choices)
    if each not in ("mind", "distribution"):
        raise UsageError(f"each = {each!r}", expected="'mind' or 'distribution'")
    if refine and each == "distribution":
        raise UsageError("refine with distributions over minds", expected="each='mind'")
    hypotheses = check_minds(minds)
    given = [kinds] if isinstance(kinds, (int, np.integer)) and not isinstance(kinds, bool) else kinds
    if isinstance(given, (bool, str)) or not hasattr(given, "__iter__") or not list(given):
        raise UsageError(f"kinds = {kinds!r}", expected="a number of kinds, or several to choose from")
    people = len(choices.participants)
    # as many kinds as there are minds tell all apart; distributions over the minds may be more
    most = min(people, len(hypotheses) if each == "mind" else people)
    numbers = sorted({whole_number("kinds =", number, 1, most) for number in given})
    prior = check_prior(None, hypotheses, getattr(minds, "prior", None))
    table = log_likelihoods(choices, hypotheses, gamma)
    refuse_impossible(choices, table, hypotheses, gamma)
    em = _Expectation(choices, table, prior, each, concentration)
    rng = np.random.default_rng(whole_number("seed =", seed))
    tries = whole_number("restarts =", restarts, 1)
    held_out: dict[int, float] = {}
    chosen = numbers[0]
    if len(numbers) > 1:
        fold_of = assign_folds(choices, folds, "participant", seed)
        bits = {k: em.held_out(k, fold_of, tries, rng) for k in numbers}
        held_out = {k: float(found.sum() / len(choices)) for k, found in bits.items()}
        chosen = _fewest(bits)
    everybody = np.ones(people, np.bool_)
    shares, components, bound = em.best(chosen, everybody, tries, rng)
    order = np.argsort(-shares, kind="stable")
    shares, components = shares[order], components[order]
    responsibilities = posteriors(em.by_kind(components), shares)
    found = MindMixture(choices, hypotheses, shares, components, responsibilities, bound, each, held_out)
    return _refined(found, list(refine), gamma) if refine else found


class _Expectation:
    """Expectation maximisation over kinds.

    Args:
        table: `[E, G]` log-likelihoods of episodes.
    """

    def __init__(self, choices: Choices, table: Array, prior: Array, each: Each, concentration: float) -> None:
        self.choices, self.table, self.prior, self.each = choices, table, prior, each
        self.people = choices.by_participant(table)
        self.added = concentration * prior if each == "distribution" else np.zeros(len(prior))

    def by_kind(self, components: Array) -> Array:
        """Returns `[N, K]` log P(choices | kind)."""
        if self.each == "mind":
            return self.people[:, components.argmax(axis=1)]
        return self.choices.by_participant(np.stack([mixed(self.table, component) for component in components], axis=1))

    def best(self, kinds: int, who: Array, tries: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Returns `(shares, components, bound)` of the best of several beginnings, fitted to participants `who [N]`."""
        found = [self.run(start, who) for start in self.starts(kinds, who, tries, rng)]
        return max(found, key=lambda one: float(one[2][-1]))

    def starts(self, kinds: int, who: Array, tries: int, rng: np.random.Generator) -> list[Array]:
        """Returns `[K, G]` first components: the most common minds, then those of participants at random."""
        weights, _ = population_weights(self.people[who], self.prior, 1.0, 200)
        seeds = [np.argsort(-weights, kind="stable")[:kinds]]
        own = self.people[who].argmax(axis=1)
        for _ in range(tries - 1):
            picked = own[rng.permutation(len(own))[:kinds]]
            seeds.append(np.append(picked, rng.integers(len(self.prior), size=kinds - len(picked))))
        count = len(self.prior)
        if self.each == "mind":
            return [np.eye(count)[seed] for seed in seeds]
        return [
            0.5 * np.eye(count)[np.resize(seed, kinds)] + 0.5 * rng.dirichlet(np.ones(count), kinds) for seed in seeds
        ]

    def run(self, components: Array, who: Array) -> tuple[Array, Array, Array]:
        """Returns `(shares [K], components [K, G], bound [rounds])` once they have settled."""
        shares = np.full(len(components), 1 / len(components))
        trace: list[float] = []
        episodes = who[self.choices.participant_of]
        held = self.added > 0
        for _ in range(MOST_ROUNDS):
            of_kind = self.by_kind(components)[who]
            prior = float((self.added[held] * np.log(components[:, held])).sum())
            trace.append(float(mixed(of_kind, shares).sum()) + prior)
            gain = trace[-1] - trace[-2] if len(trace) > 1 and math.isfinite(trace[-2]) else math.inf
            if gain <= SETTLED * max(1.0, abs(trace[-1])):
                other = self._instead_of_twins(components, shares, who) if self.each == "mind" else None
                if other is None:
                    break
                components = other
                continue
            possible = np.isfinite(of_kind).any(axis=1, keepdims=True)  # of no kind: says nothing, or draws one there
            with np.errstate(invalid="ignore"):
                owns = np.where(possible, posteriors(of_kind, shares), 1 / len(shares))
            shares = owns.mean(axis=0)
            components = self._components(components, owns, who, episodes)
        return shares, components, np.array(trace)

    def _components(self, components: Array, owns: Array, who: Array, episodes: Array) -> Array:
        if self.each == "mind":
            with np.errstate(invalid="ignore"):
                weighed = np.where(owns[:, :, None] > 0, owns[:, :, None] * self.people[who][:, None], 0.0)
            return np.asarray(np.eye(len(self.prior))[weighed.sum(axis=0).argmax(axis=1)])
        owner = (np.cumsum(who) - 1)[self.choices.participant_of[episodes]]
        made = []
        for k, component in enumerate(components):
            expected = (owns[owner, k, None] * posteriors(self.table[episodes], component)).sum(axis=0) + self.added
            made.append(expected / expected.sum())
        return np.array(made)

    def _instead_of_twins(self, components: Array, shares: Array, who: Array) -> Array | None:
        """Returns kinds of which none is another's double, if that raises the bound: it becomes another mind."""
        minds = components.argmax(axis=1)
        twins = [k for k in range(len(minds)) if minds[k] in minds[:k]]
        if not twins:
            return None
        k, people = twins[-1], self.people[who]
        now = float(mixed(people[:, minds], shares).sum())
        best, reached = -1, now + SETTLED * max(1.0, abs(now))
        for g in np.setdiff1d(np.arange(len(self.prior)), minds):
            tried = minds.copy()
            tried[k] = g
            bound = float(mixed(people[:, tried], shares).sum())
            if bound > reached:
                best, reached = int(g), bound
        if best < 0:
            return None
        changed = components.copy()
        changed[k] = np.eye(len(self.prior))[best]
        return changed

    def held_out(self, kinds: int, fold_of: Array, tries: int, rng: np.random.Generator) -> Array:
        """Returns `[N]` bits of each participant, kinds being fitted to those of the other folds."""
        fold = np.zeros(len(self.people), np.int64)
        fold[self.choices.participant_of] = fold_of
        bits = np.empty(len(self.people))
        for f in np.unique(fold):
            who = fold != f
            count = min(kinds, int(who.sum()))
            shares, components, _ = self.best(count, who, tries, rng)
            bits[~who] = -mixed(self.by_kind(components)[~who], shares) / math.log(2)
        return bits


def _fewest(bits: Mapping[int, Array]) -> int:
    """Returns the smallest number of kinds within one standard error of the fewest bits."""
    best = min(bits, key=lambda k: (float(bits[k].sum()), k))
    for k, found in sorted(bits.items()):
        if k >= best or not np.isfinite(found).all():
            continue
        more = found - bits[best]
        error = more.std(ddof=1) / math.sqrt(len(more)) if len(more) > 1 else math.inf
        if more.mean() <= max(error, TIE * bits[best].mean()):
            return k
    return best


def _refined(found: MindMixture, parameters: list[str], gamma: float | None) -> MindMixture:
    """Returns a mixture whose minds have their numbers fitted: each round raises every kind's weighed likelihood."""
    minds = list(found.mind_of_kind)
    shares, choices, bound = found.shares, found.choices, list(found.bound)
    people = choices.by_participant(np.concatenate([log_likelihoods(choices, [m], gamma) for m in minds], axis=1))
    for _ in range(50):
        owns = posteriors(people, shares)
        shares = owns.mean(axis=0)
        for k, mind in enumerate(minds):
            weights = owns[choices.participant_of, k]
            mind, paths = parameters_of(mind, parameters, choices)
            search = MindSearch(choices, mind, paths, gamma, np.where(weights > 1e-12, weights, 0.0))
            start = np.array([scale.inward(float(read(mind, path))) for scale, path in zip(search.scales, paths)])
            better = search.at(search.best(start)[0])
            column = choices.by_participant(log_likelihoods(choices, [better], gamma))[:, 0]
            with np.errstate(invalid="ignore"):
                gained = np.where(owns[:, k] > 0, owns[:, k] * (column - people[:, k]), 0.0).sum()
            if gained > 0:
                minds[k], people[:, k] = better, column
        bound.append(float(mixed(people, shares).sum()))
        if bound[-1] - bound[-2] <= 1e-7 * max(1.0, abs(bound[-1])):
            break
    return replace(
        found, minds=tuple(minds), shares=shares, components=np.eye(len(minds)),
        responsibilities=posteriors(people, shares), bound=np.array(bound),
    )  # fmt: skip
