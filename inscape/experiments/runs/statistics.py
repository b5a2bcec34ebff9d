"""Point estimates and bootstrap intervals for scores of agents.

Source: Agarwal, Schwarzer, Castro, Courville & Bellemare (2021), "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", NeurIPS: the interquartile mean and the stratified bootstrap (section 4). Percentile interval:
Efron (1979), Annals of Statistics 7(1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inscape.errors import UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A point estimate with a confidence interval, in the units of the scores."""

    estimate: float
    low: float
    high: float
    confidence: float = 0.95

    def __str__(self) -> str:
        return f"{self.estimate:.4g} [{self.low:.4g}, {self.high:.4g}]"


def mean(values: Floats, axis: int | None = None) -> Any:
    """Arithmetic mean along `axis`, or of everything."""
    return np.mean(values, axis=axis)


def interquartile_mean(values: ArrayLike, axis: int | None = None) -> Any:
    """Mean of the middle half: ⌊n/4⌋ values are cut from each end, the rest is averaged.

    Args:
        values: scores, any shape.
        axis: axis to reduce; None flattens first.

    Returns:
        Scalar, or an array without `axis`.
    """
    array = np.asarray(values, dtype=np.float64)
    if axis is None:
        array, axis = array.reshape(-1), 0
    count = array.shape[axis]
    _require_some(count)
    cut = count // 4
    middle = np.sort(array, axis=axis).take(np.arange(cut, count - cut), axis=axis)
    return middle.mean(axis=axis)


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[..., Any] = mean,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap of a statistic of independent scores.

    Args:
        values: `[N]` scores, finite.
        statistic: function of `(array, axis)`, for instance `mean` or `interquartile_mean`.
        confidence: coverage in (0, 1).
        resamples: number of resamples, each of N values drawn with replacement.
        seed: seed of the resampling; the interval is a function of its arguments.

    Returns:
        The statistic of `values` and its interval. A single score has an interval of no width.

    Raises:
        UsageError: no scores, a score that is not finite, or confidence outside (0, 1).
    """
    return stratified_bootstrap_interval(
        np.asarray(values, dtype=np.float64).reshape(-1, 1), statistic, confidence, resamples, seed
    )


def stratified_bootstrap_interval(
    scores: ArrayLike,
    statistic: Callable[..., Any] = interquartile_mean,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Bootstrap over runs, separately within each task (stratum): tasks are fixed, runs are a sample.

    Args:
        scores: `[N, K]` scores of N runs on each of K tasks, finite; normalised by the caller if tasks differ in scale.
        statistic: function of `(array, axis)` applied to all N·K scores of a resample.
        confidence: coverage in (0, 1).
        resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        The statistic over all scores and its percentile interval.

    Raises:
        UsageError: as `bootstrap_interval`.
    """
    array = np.asarray(scores, dtype=np.float64)
    _require_some(array.size)
    if not np.isfinite(array).all():
        bad = array[~np.isfinite(array)][0]
        raise UsageError(f"a score is {bad}", expected="finite scores", hint="look at the run that produced it")
    _require_confidence(confidence)
    runs, tasks = array.shape
    rng = np.random.default_rng(seed)
    rows = rng.integers(runs, size=(resamples, runs, tasks))
    resampled = array[rows, np.arange(tasks)].reshape(resamples, runs * tasks)
    estimates = statistic(resampled, axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(estimates, [tail, 1.0 - tail])
    return Interval(float(statistic(array.reshape(1, -1), axis=1)[0]), float(low), float(high), confidence)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """Returns how probable it is that a run of X scores higher than one of Y on the same task, averaged over tasks.

    The Mann–Whitney statistic U/(N·M) in each task: ties count half.

    Args:
        x: `[N, K]` scores of N runs of X on each of K tasks; `[N]` for one task.
        y: `[M, K]` scores of Y.

    Raises:
        UsageError: no scores, or not the same number of tasks.

    Source: Agarwal et al. (2021), section 4.3; Mann & Whitney (1947).
    """
    first, second = _tables(x, y)
    return float(_improvement(first[None], second[None])[0])


def improvement_interval(
    x: ArrayLike, y: ArrayLike, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Returns `probability_of_improvement` with its stratified bootstrap interval: runs of both are resampled.

    Args:
        x, y: as there.
        confidence: coverage in (0, 1).
        resamples: number of resamples.
        seed: of the resampling.
    """
    first, second = _tables(x, y)
    _require_confidence(confidence)
    rng = np.random.default_rng(seed)
    tasks = np.arange(first.shape[1])
    estimates = np.empty(resamples)
    batch = max(1, int(2e6) // (len(first) * len(second) * len(tasks)))
    for begin in range(0, resamples, batch):
        count = min(batch, resamples - begin)
        one = first[rng.integers(len(first), size=(count, *first.shape)), tasks]
        other = second[rng.integers(len(second), size=(count, *second.shape)), tasks]
        estimates[begin : begin + count] = _improvement(one, other)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(estimates, [tail, 1.0 - tail])
    return Interval(float(_improvement(first[None], second[None])[0]), float(low), float(high), confidence)


def _improvement(x: Floats, y: Floats) -> Floats:
    """`[B, N, K]` and `[B, M, K]` → `[B]`."""
    higher = x[:, :, None] > y[:, None]
    same = x[:, :, None] == y[:, None]
    return np.asarray((higher + 0.5 * same).mean(axis=(1, 2, 3)))


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Returns `[T]` the share of runs, over all tasks, that score more than each threshold.

    Args:
        scores: `[N, K]` scores of N runs on each of K tasks, normalised; `[N]` for one task.
        thresholds: `[T]`.

    Raises:
        UsageError: no scores.

    Source: Agarwal et al. (2021), section 4.2: score distributions.
    """
    array = np.asarray(scores, np.float64)
    _require_some(array.size)
    return np.asarray((array.reshape(-1, 1) > np.asarray(thresholds, np.float64).reshape(1, -1)).mean(axis=0))


def optimality_gap(scores: ArrayLike, target: float = 1.0, axis: int | None = None) -> Any:
    """Returns by how much runs fall short of a target score on average; what exceeds it counts as the target.

    Args:
        scores: any shape.
        target: the score from which on more does not count.
        axis: axis to reduce; None reduces all.

    Source: Agarwal et al. (2021), section 4.3.
    """
    array = np.asarray(scores, np.float64)
    _require_some(array.size)
    return target - np.minimum(array, target).mean(axis=axis)


def _tables(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    first, second = (np.asarray(v, np.float64) for v in (x, y))
    first, second = (v[:, None] if v.ndim == 1 else v for v in (first, second))
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise UsageError(f"scores of shapes {first.shape} and {second.shape}", expected="[N, K] and [M, K]")
    _require_some(first.size)
    _require_some(second.size)
    if np.isnan(first).any() or np.isnan(second).any():
        raise UsageError("a score is NaN", expected="numbers", hint="look at the run that produced it")
    return first, second


def _require_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"confidence is {confidence}", expected="a number in (0, 1)", hint="confidence=0.95")


def _require_some(count: int) -> None:
    if count == 0:
        raise UsageError("no scores", expected="at least one score", hint="evaluate at least one episode")
