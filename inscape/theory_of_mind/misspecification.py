"""Is one of these minds true at all? A check of predictions, and an alternative that can become any policy."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inscape.errors import UsageError, whole_number
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.observers.exact import ExactObserver
from inscape.theory_of_mind.observers.numbering import episodes_of

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory


@dataclass(frozen=True)
class PredictiveCheck:
    """How surprised an observer was, beside how surprised it expected to be.

    Attributes:
        bits: Σ −log₂ P(action | all before it) of what was done.
        expected_bits: the mean of that, if actions were drawn from the predictions.
        z: (bits − expected_bits) / their standard deviation: large where what was done is no draw from any mixture of
            the minds. 0 where nothing could surprise.
        p_value: share of simulated action sequences that surprise at least as much.
    """

    bits: float
    expected_bits: float
    z: float
    p_value: float


def predictive_check(
    observer: ExactObserver, trajectories: Sequence[Trajectory], simulations: int = 10_000, seed: int = 0
) -> PredictiveCheck:
    """Returns a check of the observer's one-step predictions along episodes, each begun with what it believes now.

    If one of the minds is true, weighed as the observer weighs them, Σ(−log P(aₜ) − H(Pₜ)) is a martingale: a large z,
    or a small p-value, says that no mixture of the minds acts like this. The observer stays as it is.

    Args:
        observer: an exact one.
        trajectories: what was done.
        simulations: draws of action sequences, in the states that were visited, for the p-value.
        seed: of these draws.

    Raises:
        UsageError: there are no actions; or as `Observer.posterior_over`.

    Source: posterior predictive checks: Gelman, Meng & Stern (1996), Statistica Sinica 6; one step ahead: Dawid (1984).
    """
    count, seed = whole_number("simulations =", simulations, 1), whole_number("seed =", seed)
    predicted, taken = [], []
    for trajectory in episodes_of(trajectories):
        numbered = observer.state_indices(trajectory)
        predicted.append(observer.predicted_over(numbered))
        taken.append(numbered.actions)
    if not sum(map(len, taken)):
        raise UsageError("trajectories without a single action", expected="at least one action to check")
    probs, actions = np.concatenate(predicted), np.concatenate(taken)
    logs = -np.log2(np.where(probs > 0, probs, 1.0))
    mean = (probs * logs).sum(axis=1)
    variance = float(((probs * logs**2).sum(axis=1) - mean**2).clip(0).sum())
    bits = float(logs[np.arange(len(actions)), actions].sum())
    expected = float(mean.sum())
    z = (bits - expected) / np.sqrt(variance) if variance > 1e-20 else 0.0
    rng, total = np.random.default_rng(seed), np.zeros(count)
    edges = np.cumsum(probs, axis=1)
    for t in range(len(actions)):
        drawn = np.minimum((rng.random(count)[:, None] * edges[t, -1] > edges[t]).sum(axis=1), probs.shape[1] - 1)
        total += logs[t, drawn]
    share = (1.0 + float((total >= bits - 1e-9).sum())) / (1.0 + count)
    return PredictiveCheck(bits, expected, float(z), share)


def none_of_these(
    observer: ExactObserver, trajectory: Trajectory | Sequence[Trajectory], prior: float = 0.1, weight: float = 0.5
) -> Array:
    """Returns `[T + 1]` the probability that none of the minds acts here, before the first action and after each.

    The alternative has a policy of its own that nobody planned: in every state a distribution over the legal actions,
    Dirichlet(`weight`, …, `weight`) beforehand, so that P(a | s) = (n(s, a) + weight) / (n(s) + weight·legal).
    Where every mind rules out what was done, it is one of none of them. The observer stays as it is.

    Args:
        observer: an exact one.
        trajectory: what was done; or several episodes of one agent, over which evidence and counts add up: T is then
            the number of all their actions.
        prior: probability of the alternative beforehand.
        weight: of the Dirichlet distribution; 1/2 is Krichevsky & Trofimov's.

    Raises:
        UsageError: prior or weight out of range.

    Source: Krichevsky & Trofimov (1981), IEEE Transactions on Information Theory 27(2).
    """
    if not 0 < prior < 1:
        raise UsageError(f"prior = {prior!r}", expected="a probability between 0 and 1")
    if not weight > 0 or not np.isfinite(weight):
        raise UsageError(f"weight = {weight!r}", expected="a positive number")
    watch, counts = copy.copy(observer), np.zeros(observer.dynamics.legal.shape)
    legal = observer.dynamics.legal.sum(axis=1)
    odds = [np.log(prior) - np.log1p(-prior)]
    for episode in episodes_of(trajectory):
        numbered = watch.state_indices(episode)
        theirs = watch.log_evidence_along(numbered) if np.isfinite(odds[-1]) else np.full(1, -np.inf)
        for t, (s, a) in enumerate(zip(numbered.states, numbered.actions)):
            if np.isposinf(odds[-1]) or not np.isfinite(theirs[t + 1]):  # every mind rules out what was done
                odds.append(np.inf)
                continue
            own = np.log((counts[s, a] + weight) / (counts[s].sum() + weight * legal[s]))
            counts[s, a] += 1
            odds.append(odds[-1] + own - (theirs[t + 1] - theirs[t]))
        if np.isfinite(odds[-1]):
            watch.observe(numbered)
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(odds, -700, 700))))
