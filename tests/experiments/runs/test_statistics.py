import numpy as np
import pytest
from scipy import stats

from inscape.errors import UsageError
from inscape.experiments.runs.statistics import (
    bootstrap_interval,
    interquartile_mean,
    mean,
    stratified_bootstrap_interval,
)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 10, 101])
def test_interquartile_mean_is_scipys_trimmed_mean(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-12)


def test_interquartile_mean_along_an_axis() -> None:
    values = np.random.default_rng(0).normal(size=(6, 9))
    np.testing.assert_allclose(interquartile_mean(values, axis=1), [interquartile_mean(row) for row in values])


def test_interquartile_mean_ignores_one_wild_score() -> None:
    assert interquartile_mean([1.0, 1.0, 1.0, 1e9]) == 1.0


def test_bootstrap_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).exponential(size=60)
    ours = bootstrap_interval(values, mean, resamples=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.estimate == pytest.approx(values.mean())
    assert abs(ours.low - theirs.low) < 0.05 * width
    assert abs(ours.high - theirs.high) < 0.05 * width


def test_bootstrap_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(300):
        interval = bootstrap_interval(rng.normal(size=50), resamples=400, seed=trial)
        covered += interval.low <= 0.0 <= interval.high
    assert 0.90 <= covered / 300 <= 0.98


def test_stratified_interval_does_not_widen_with_differences_between_tasks() -> None:
    rng = np.random.default_rng(4)
    runs = rng.normal(scale=0.1, size=(10, 3))
    near = stratified_bootstrap_interval(runs, mean)
    apart = stratified_bootstrap_interval(runs + np.array([0.0, 100.0, 1000.0]), mean)
    assert apart.high - apart.low == pytest.approx(near.high - near.low, abs=1e-9)
    pooled = bootstrap_interval((runs + np.array([0.0, 100.0, 1000.0])).ravel())
    assert pooled.high - pooled.low > 100 * (apart.high - apart.low)


def test_same_seed_same_interval_and_other_seed_another() -> None:
    values = np.arange(20.0)
    assert bootstrap_interval(values, seed=5) == bootstrap_interval(values, seed=5)
    assert bootstrap_interval(values, seed=5) != bootstrap_interval(values, seed=6)


def test_one_score_has_an_interval_of_no_width() -> None:
    interval = bootstrap_interval([3.0])
    assert (interval.low, interval.estimate, interval.high) == (3.0, 3.0, 3.0)


@pytest.mark.parametrize(
    ("values", "confidence", "said"),
    [([], 0.95, "no scores"), ([1.0, np.nan], 0.95, "nan"), ([1.0, np.inf], 0.95, "inf"), ([1.0, 2.0], 1.0, "1.0")],
)
def test_wrong_input_is_refused(values: list[float], confidence: float, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        bootstrap_interval(values, confidence=confidence)
