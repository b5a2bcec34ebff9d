"""Predictions: how well an observer foresees what an agent does, in bits, and whether its confidence is earned.

Sources: prequential code length: Dawid (1984), "Statistical theory: the prequential approach"; reliability diagrams:
Murphy & Winkler (1977), Applied Statistics 26(1); expected calibration error: Naeini, Cooper & Hauskrecht (2015), AAAI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.minds import Mind
from inscape.theory_of_mind.observers.numbering import episodes_of

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class PredictionScore:
    """Predictions of an agent's actions against what it did, in bits per action: smaller is better.

    Attributes:
        bits: `[N]` −log₂ of the probability the observer gave each action before it saw it, trajectories in order.
        uniform_bits: `[N]` the same for a uniform guess among the legal actions.
        frequency_bits: `[N]` the same for a guess by how often each action was taken before, in all trajectories: of
            the legal ones in proportion to n(a) + 1/2.
        mind_bits: `[N, G]` the same for each single mind, known from the start; infinite where it rules the action out;
            `[N, 0]` for an observer that does not know what its minds do.
        minds: the G minds.
    """

    bits: Array
    uniform_bits: Array
    frequency_bits: Array
    mind_bits: Array
    minds: tuple[Mind, ...]

    @property
    def bits_per_action(self) -> float:
        """The observer's, learning who acts as it goes."""
        return float(self.bits.mean())

    @property
    def uniform_bits_per_action(self) -> float:
        """Of a predictor that knows the rules and nothing about minds."""
        return float(self.uniform_bits.mean())

    @property
    def frequency_bits_per_action(self) -> float:
        """Of a predictor that counts actions and looks at nothing else."""
        return float(self.frequency_bits.mean())

    @property
    def best_mind(self) -> Mind:
        """The single mind that explains all actions best, chosen in hindsight."""
        return self.minds[int(self._totals.argmin())]

    @property
    def best_mind_bits_per_action(self) -> float:
        """Of the best single mind.

        On one trajectory the observer pays at most −log₂ prior(best mind) bits more than this, in total.
        """
        return float(self._totals.min() / len(self.bits))

    @property
    def _totals(self) -> Array:
        if not self.mind_bits.shape[1]:
            raise UsageError("an observer that does not know what each mind does", expected="one that has single minds")
        return np.asarray(self.mind_bits.sum(axis=0))


def score_predictions(observer: Any, trajectories: Sequence[Trajectory]) -> PredictionScore:
    """Returns how well the observer predicts each trajectory, beginning each with what it believes now.

    The observer itself stays as it is.

    Args:
        observer: any observer of whole states: exact, particles, planned, neural.
        trajectories: what was done.

    Raises:
        UsageError: there are no actions; or as `Observer.posterior_over`.

    Source: (n + 1/2), of frequencies: Krichevsky & Trofimov (1981), IEEE Transactions on Information Theory 27(2).
    """
    bits, uniform, per_mind, allowed, taken = [], [], [], [], []
    for trajectory in episodes_of(trajectories):
        numbered = observer.state_indices(trajectory)
        legal, actions = observer.legal_along(numbered)
        bits.append(observer.bits_per_action(numbered))
        uniform.append(np.log2(legal.sum(axis=1)))
        known = callable(getattr(observer, "bits_per_mind", None))
        per_mind.append(observer.bits_per_mind(numbered) if known else np.empty((len(actions), 0)))
        allowed.append(legal)
        taken.append(actions)
    if not sum(map(len, bits)):
        raise UsageError(f"{len(bits)} trajectories without a single action", expected="at least one action to score")
    frequency = _frequency_bits(np.concatenate(allowed), np.concatenate(taken))
    return PredictionScore(
        np.concatenate(bits), np.concatenate(uniform), frequency, np.concatenate(per_mind), tuple(observer.minds)
    )


def _frequency_bits(legal: Array, actions: Array) -> Array:
    """Returns `[N]` bits of actions `[N]` by how often each was taken before; `legal` is `[N, A]`."""
    counts = np.full(legal.shape[1], 0.5)
    bits = np.empty(len(actions))
    for t, action in enumerate(actions):
        bits[t] = np.log2(counts[legal[t]].sum() / counts[action])
        counts[action] += 1
    return bits


@dataclass(frozen=True, eq=False)
class Calibration:
    """A reliability diagram: of the things said to have probability p, which share came true?

    Attributes:
        confidence: `[bins]` mean probability given in each bin; NaN where the bin is empty.
        frequency: `[bins]` share that came true; NaN where the bin is empty.
        count: `[bins]` how many probabilities fell into each bin.
        standard_error: `[bins]` of frequency − confidence, rows being independent and the probabilities of one row not;
            NaN where the bin is empty.
    """

    confidence: Array
    frequency: Array
    count: Array
    standard_error: Array

    @property
    def error(self) -> float:
        """Expected calibration error: |frequency − confidence|, averaged over all probabilities given."""
        gap = np.abs(np.nan_to_num(self.frequency - self.confidence))
        return float((gap * self.count).sum() / self.count.sum())

    def holds(self, points: float = 0.02, errors: float = 3.0) -> Array:
        """Returns `[bins]` bool: is the frequency within the larger of `points` and `errors` standard errors of what
        was said? True where the bin is empty."""
        allowed = np.maximum(points, errors * np.nan_to_num(self.standard_error))
        return np.asarray(np.abs(np.nan_to_num(self.frequency - self.confidence)) <= allowed)


def calibration(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = 10) -> Calibration:
    """Returns how earned the probabilities were, every class of every row counting as one statement.

    Args:
        probabilities: `[N, C]` distributions: posteriors over minds, or predictions of actions.
        outcomes: `[N]` the class that came true: the mind that acted, or the action taken.
        bins: number of equally wide bins of [0, 1].

    Raises:
        UsageError: shapes disagree, rows are not distributions, or an outcome is out of range.
    """
    given, came = np.asarray(probabilities, np.float64), np.asarray(outcomes)
    if given.ndim != 2 or came.shape != given.shape[:1] or not given.size:
        raise UsageError(f"probabilities {given.shape} with outcomes {came.shape}", expected="[N, C] and [N], N ≥ 1")
    wrong = ~((given >= 0).all(axis=1) & (np.abs(given.sum(axis=1) - 1) <= 1e-6))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(f"probabilities[{row}] = {given[row].tolist()}", expected="a distribution")
    if came.dtype.kind not in "iu" or ((came < 0) | (came >= given.shape[1])).any():
        raise UsageError(f"outcomes {came!r}", expected=f"class numbers from 0 to {given.shape[1] - 1}")
    if bins < 1:
        raise UsageError(f"bins = {bins}", expected="at least 1")
    hits = came[:, None] == np.arange(given.shape[1])
    which = np.minimum((given * bins).astype(np.int64), bins - 1).ravel()
    count = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0/0 in an empty bin is NaN, as documented
        confidence = np.bincount(which, given.ravel(), bins) / count
        frequency = np.bincount(which, hits.ravel(), bins) / count
        # the probabilities of a row fall and rise together: their deviations are summed before they are squared
        place = which + bins * np.repeat(np.arange(len(given)), given.shape[1])
        summed = np.bincount(place, (hits - given).ravel(), bins * len(given)).reshape(-1, bins)
        error = np.sqrt((summed**2).sum(axis=0)) / count
    return Calibration(confidence, frequency, count, error)
