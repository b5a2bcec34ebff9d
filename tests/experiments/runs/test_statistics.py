import numpy as np
import pytest
from scipy import stats

from inscape.errors import UsageError
from inscape.experiments.runs.statistics import (
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    mean,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
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


# ------------------------------------------------------------------------------------- published figures of rliable

X, Y = np.array([[1, 2], [2, 2], [1, 1], [2, 1]]), np.array([[1, 1], [2, 2], [3, 3]])
"""The scores of rliable's own tests (google-research/rliable, tests/rliable/metrics_test.py), runs × tasks."""


def test_the_figures_of_rliables_own_tests() -> None:
    assert interquartile_mean(X) == 1.5 and mean(X) == 1.5
    assert interquartile_mean(Y) == 2.0 and mean(Y) == 2.0
    assert probability_of_improvement(X, Y) == pytest.approx(1 / 3, abs=1e-15)


def test_the_figures_rliable_finds_on_shared_data() -> None:
    """As rliable 1.2.0 prints them, its intervals from 50,000 and 20,000 resamples."""
    k = np.arange(60).reshape(10, 6)
    x = np.abs(np.sin(1.7 * k + 0.3)) * (1 + 0.1 * np.arange(6))
    y = np.abs(np.cos(0.9 * k)) * (1 + 0.05 * np.arange(6))
    assert interquartile_mean(x) == pytest.approx(0.8350252766049084, abs=1e-14)
    assert interquartile_mean(y) == pytest.approx(0.7736785516807685, abs=1e-14)
    assert optimality_gap(x) == pytest.approx(0.2792015456829051, abs=1e-14)
    assert optimality_gap(y, 0.8) == pytest.approx(0.18779637570844143, abs=1e-14)
    assert probability_of_improvement(x, y) == pytest.approx(0.54, abs=1e-14)
    profile = performance_profile(x, np.linspace(0.0, 1.2, 7))
    np.testing.assert_allclose(profile, [1, 0.9, 0.75, 38 / 60, 0.6, 0.4, 7 / 60], atol=1e-14)
    for statistic, low, high in ((interquartile_mean, 0.69211937, 0.95483089), (mean, 0.68480157, 0.88258723)):
        interval = stratified_bootstrap_interval(x, statistic, resamples=20_000)
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.02 * (high - low))
    interval = improvement_interval(x, y, resamples=4_000)
    assert (interval.low, interval.high) == pytest.approx((0.42833333, 0.64666667), abs=0.05 * (0.64667 - 0.42833))


def test_improvement_and_the_interquartile_mean_are_scipys() -> None:
    rng = np.random.default_rng(7)
    x, y = rng.integers(0, 6, (15, 4)).astype(float), rng.integers(0, 7, (11, 4)).astype(float)  # with ties
    by_task = [stats.mannwhitneyu(x[:, j], y[:, j]).statistic / (15 * 11) for j in range(4)]
    assert probability_of_improvement(x, y) == pytest.approx(np.mean(by_task), abs=1e-12)
    for count in (1, 3, 4, 5, 10, 61):
        values = rng.normal(size=count)
        assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-12)
