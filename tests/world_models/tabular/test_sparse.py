"""The sparse prior, summed out in closed form, against the sum written out over all supports and a grid of laws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from inscape import rollout
from inscape.world_models import bits, exact_bits, fit_model, make_model
from inscape.world_models.tabular.sparse import drawn, information, posterior, predictive


@pytest.mark.parametrize("counts", [(), (3,), (2, 1), (5, 5, 4)])
def test_predictions_are_those_of_all_supports(counts: tuple[int, ...]) -> None:
    size, seen = 5, len(counts)
    mass, predicted = 0.0, np.zeros(size)
    whole = np.array([*counts, *[0] * (size - seen)], float)
    total = whole.sum()
    for k in range(1, size + 1):
        for support in itertools.combinations(range(size), k):
            inside = np.isin(np.arange(size), support)
            if (whole[~inside] > 0).any():
                continue
            prior = 2.0**-k / math.comb(size, k)
            equal = prior * k**-total
            other = prior * math.exp(
                math.lgamma(k) - math.lgamma(k + total) + sum(math.lgamma(1 + n) for n in whole[inside])
            )
            mass += equal + other
            predicted += equal * inside / k + other * inside * (1 + whole) / (k + total)
    predicted /= mass
    probability, others = predictive(counts, size)
    assert np.allclose(probability, predicted[:seen]) and others == pytest.approx(predicted[seen:].sum(), abs=1e-12)
    assert probability.sum() + others == pytest.approx(1.0)


def test_draws_have_the_mean_that_is_predicted_and_information_is_their_spread() -> None:
    rng, counts, size = np.random.default_rng(0), (4, 2), 6
    laws = [drawn(counts, size, rng) for _ in range(20_000)]
    probability, others = predictive(counts, size)
    assert np.allclose(np.mean([law for law, _ in laws], axis=0), probability, atol=0.01)
    assert np.mean([left for _, left in laws]) == pytest.approx(others, abs=0.01)
    k, equal, _ = posterior((30, 30, 30), 16)
    assert k[equal.argmax()] == 3 and equal.max() > 0.8
    assert information((), 16) > information((1,), 16) > information((30, 30, 30), 16) >= 0


def test_fewer_bits_from_few_samples() -> None:
    episodes, judged = rollout("random", "FrozenLake", 100, seed=1), rollout("random", "FrozenLake", 50, seed=2)
    models = [make_model("tabular", "FrozenLake", prior=prior) for prior in ("dirichlet", "sparse")]
    for model in models:
        fit_model(model, episodes)
    assert bits(models[1], judged).per_step < bits(models[0], judged).per_step
    assert exact_bits(models[1], "FrozenLake").excess < exact_bits(models[0], "FrozenLake").excess
