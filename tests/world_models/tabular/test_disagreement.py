"""The information that an outcome gives about the law, against draws from the posterior."""

from __future__ import annotations

import numpy as np

from inscape import rollout
from inscape.world_models import fit_model, make_model


def test_it_is_the_mean_divergence_of_drawn_laws_from_their_mean() -> None:
    model = make_model("tabular", "FrozenLake", concentration=2.0)
    fit_model(model, rollout("random", "FrozenLake", 40, seed=0))
    rng = np.random.default_rng(0)
    for state, action in ((0, 0), (1, 2)):
        counts = np.zeros(16)
        outcomes = model._counts[state][action]
        counts[: len(outcomes)] = [outcome.count for outcome in outcomes.values()]
        alpha = counts + 2.0 / 16
        draws = np.maximum(rng.dirichlet(alpha, 40_000), 1e-300)
        expected = (draws * np.log(draws / (alpha / alpha.sum()))).sum(axis=1).mean()
        assert abs(model.disagreement([state], [action])[0] - expected) < 0.01
    untried = make_model("tabular", "FrozenLake")
    assert untried.disagreement([0], [0])[0] > model.disagreement([0], [0])[0] > 0
