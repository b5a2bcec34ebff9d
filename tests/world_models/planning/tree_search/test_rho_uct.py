"""ρUCT: searches a context tree and leaves it as it was."""

import numpy as np
import pytest

from inscape import UsageError, rollout
from inscape.world_models import RhoUCT, fit_model, make_model, make_planner


def test_it_prefers_what_pays_and_leaves_the_model_bit_for_bit():
    """RiverSwim of two places: swimming right pays 1 in the second, left 0.005 in the first."""
    model = make_model("context-tree", "RiverSwim", depth=6, rewards=4)
    fit_model(model, rollout("random", "RiverSwim", episodes=3, seed=0))
    before = model.state_dict()
    state = model.init(np.array([5]))
    plan = make_planner("rho-uct", num_simulations=60, horizon=2).plan(model, state, np.random.default_rng(0))[0]
    assert plan.action == 1 and plan.visit_counts.sum() == 60
    after = model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    again = RhoUCT(num_simulations=60, horizon=2).plan(model, state, np.random.default_rng(0))[0]
    assert np.array_equal(again.action_values, plan.action_values)


def test_other_models_are_refused():
    with pytest.raises(UsageError, match="ContextTreeModel"):
        RhoUCT().plan(make_model("tabular", "FrozenLake"), np.zeros(1), np.random.default_rng(0))
    with pytest.raises(UsageError, match="horizon"):
        RhoUCT(horizon=0)
