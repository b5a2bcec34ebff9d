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
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"confidence is {confidence}", expected="a number in (0, 1)", hint="confidence=0.95")
    runs, tasks = array.shape
    rng = np.random.default_rng(seed)
    rows = rng.integers(runs, size=(resamples, runs, tasks))
    resampled = array[rows, np.arange(tasks)].reshape(resamples, runs * tasks)
    estimates = statistic(resampled, axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(estimates, [tail, 1.0 - tail])
    return Interval(float(statistic(array.reshape(1, -1), axis=1)[0]), float(low), float(high), confidence)


def _require_some(count: int) -> None:
    if count == 0:
        raise UsageError("no scores", expected="at least one score", hint="evaluate at least one episode")
