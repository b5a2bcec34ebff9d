"""Many purposes over one dynamics: each as if it were alone."""

import numpy as np
import pytest

from benchmarks.certificates import large
from inscape import UsageError, make_world
from inscape.world_models import TabularModel, batched_value_iteration, purpose_tables, value_iteration
from tests.world_models.helpers import random_model


def test_each_purpose_of_a_world_has_the_values_it_has_alone():
    lake = make_world("FrozenLake")
    purposes = [lake.purpose._replace(goal=cell) for cell in (15, 3, 8)]
    dynamics, rewards, terminal = purpose_tables(lake, purposes)
    found = batched_value_iteration(dynamics, 0.95, rewards, terminal, 1e-9)
    for g, purpose in enumerate(purposes):
        alone = value_iteration(TabularModel.from_world(lake, purpose), 0.95, 1e-9)
        np.testing.assert_allclose(found.values[g], alone.values, atol=2e-9)
        np.testing.assert_allclose(found.q_values[g], alone.q_values, atol=2e-9)
        assert found.error_bound[g] <= 1e-9
        assert (found.optimal_actions()[g].sum(axis=1) >= 1).all()
    assert found.policy.shape == (3, 16)


def test_large_tables_give_the_same_and_rows_do_not_influence_each_other():
    model, rng = random_model(1), np.random.default_rng(0)
    rewards, terminal = rng.normal(size=(5, 7, 3)), rng.random((5, 7)) < 0.3
    small = batched_value_iteration(model, 0.9, rewards, terminal, 1e-9)
    other = large(lambda: batched_value_iteration(model, 0.9, rewards[::-1], terminal[::-1], 1e-9))
    np.testing.assert_allclose(other.values[::-1], small.values, atol=2e-9)
    assert (small.values[terminal | model.terminal] == 0).all()
    illegal = ~model.legal & ~(terminal | model.terminal)[:, :, None]
    assert np.isneginf(small.q_values[illegal]).all()


def test_rewards_of_states_and_the_model_s_own_ends():
    model = random_model(2)
    of_states = np.random.default_rng(0).normal(size=(2, 7))
    found = batched_value_iteration(model, 0.9, of_states)
    again = batched_value_iteration(model, 0.9, np.repeat(of_states[:, :, None], 3, axis=2), model.terminal)
    np.testing.assert_array_equal(found.values, again.values)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rewards": np.zeros((2, 6, 3))}, r"rewards of shape \[2, 6, 3\]"),
        ({"rewards": np.full((1, 7, 3), np.nan)}, "the reward of purpose 0 in state 1 for action 0 is nan"),
        ({"terminal": np.zeros((2, 7))}, "terminal of shape"),
        ({"gamma": 1.0}, "gamma = 1 for a batch"),
        ({"gamma": np.nan}, "gamma = nan"),
        ({"tolerance": 0.0}, "tolerance = 0"),
    ],
)
def test_bad_input(changed, message):
    with pytest.raises(UsageError, match=message):
        batched_value_iteration(random_model(0), **{"gamma": 0.9, "rewards": np.zeros((1, 7, 3)), **changed})


def test_purposes_that_pay_no_number_are_named():
    lake = make_world("FrozenLake")
    with pytest.raises(UsageError, match="under purpose 1"):
        purpose_tables(lake, [lake.purpose, lake.purpose._replace(goal_reward=float("inf"))])
