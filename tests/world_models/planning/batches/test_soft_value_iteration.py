"""Many Boltzmann-rational agents over one dynamics: each as if it were alone, however it is solved."""

import numpy as np
import pytest

from benchmarks.certificates import large
from inscape import UsageError
from inscape.world_models import TabularModel, batched_soft_value_iteration, soft_value_iteration
from inscape.world_models.planning.batches import soft_value_iteration as batched
from inscape.world_models.planning.kernels.tables import soft_lanes
from tests.world_models.helpers import random_model


@pytest.fixture
def side_by_side(monkeypatch):
    """Solves every batch in lanes, as plain Python where kernels are."""
    monkeypatch.setattr(batched, "is_plain", lambda: False)
    monkeypatch.setattr(batched, "LEAST_WORK", 0)


def purposes(seed, model, count=3):
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=(count, *model.legal.shape))
    return rewards, rng.random((count, model.num_states)) < 0.2


@pytest.mark.parametrize("backup", ["soft-eval", "maxent"])
def test_agents_side_by_side_have_the_values_they_have_alone(side_by_side, backup):
    model = random_model(1)
    rewards, terminal = purposes(0, model)
    beta, purpose = np.array([0.5, 3.0, 20.0, 2.0]), np.array([0, 1, 2, 2])
    found = batched_soft_value_iteration(model, 0.95, beta, backup, rewards, terminal, 1e-11, purpose=purpose)
    for g in range(4):
        over = terminal[purpose[g]] | model.terminal
        alone = soft_value_iteration(of_purpose(model, rewards[purpose[g]], over), 0.95, beta[g], backup, 1e-11)
        np.testing.assert_allclose(found.values[g], alone.values, atol=1e-9)
        np.testing.assert_allclose(found.q_values[g][~over], alone.q_values[~over], atol=1e-9)
        assert (found.q_values[g][over] == 0).all()
        assert found.residual[g] <= 1e-11
        assert found.error_bound[g] <= 1e-9 if backup == "maxent" else np.isinf(found.error_bound[g])


def of_purpose(model, reward, terminal):
    from dataclasses import replace

    from inscape.world_models.tabular.model import absorb

    paid = np.broadcast_to(reward[:, :, None], model.next_state.shape)
    going = model.continuation * ~terminal[model.next_state]
    next_state, probability, paid, going = absorb(model.next_state, model.probability, paid, going, terminal)
    return replace(
        model, next_state=next_state, probability=probability, reward=paid, continuation=going, terminal=terminal
    )


def test_where_sweeps_never_settle_it_is_said_and_no_other_fixed_point_returned(side_by_side):
    """Asadi & Littman (2017): the backup need not contract. The least of 4,000 random problems whose sweeps cycle."""
    next_state, reward = [[2, 0], [1, 3], [0, 1], [0, 0]], [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    model = TabularModel.from_arrays(np.eye(4)[np.array(next_state)], np.array(reward), layout="SAS,SA")
    given = model, 0.99, [8.0, 0.1], "soft-eval", np.stack([reward, reward]), None, 1e-8, 900
    with pytest.raises(UsageError, match="still change by"):
        large(lambda: batched_soft_value_iteration(*given))


def test_exponential_is_exact_to_thirteen_digits():
    exponential = getattr(soft_lanes.exponential, "py_func", soft_lanes.exponential)
    x = -np.concatenate([np.linspace(0, 43.9, 500), np.geomspace(1e-300, 1e-3, 100)])
    np.testing.assert_allclose([exponential(v) for v in x], np.exp(x), rtol=5e-14)
    assert exponential(-44.1) == 0.0 and exponential(-np.inf) == 0.0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"backup": "hard"}, "backup 'hard' of soft agents"),
        ({"backup": "max"}, "backup = 'max'"),
        ({"beta": -1.0}, "beta = -1"),
        ({"beta": [1.0, 2.0]}, r"beta of shape \[2\]"),
        ({"beta": "cold"}, "beta = 'cold'"),
        ({"backup": "maxent", "beta": 0.0}, "beta = 0 with backup 'maxent'"),
        ({"tolerance": [0.0]}, "tolerance = 0"),
        ({"purpose": [1]}, r"purpose = \[1\]"),
        ({"rewards": np.full((1, 7, 3), np.inf)}, "the reward of purpose 0"),
        ({"gamma": 2.0}, "gamma = 2"),
    ],
)
def test_bad_input(changed, message):
    given = {"gamma": 0.9, "beta": 1.0, "backup": "soft-eval", "rewards": np.zeros((1, 7, 3)), **changed}
    with pytest.raises(UsageError, match=message):
        batched_soft_value_iteration(random_model(0), **given)


@pytest.mark.compiled
def test_compiled_lanes_agree_with_sweeps():
    model = random_model(3, states=600, actions=4, width=2)
    rewards, terminal = purposes(1, model, 5)
    beta = np.array([0.0, 1.0, 4.0, 16.0, 64.0])
    found = batched_soft_value_iteration(model, 0.97, beta, "soft-eval", rewards, terminal, 1e-10)
    for g in range(5):
        alone = soft_value_iteration(
            of_purpose(model, rewards[g], terminal[g] | model.terminal), 0.97, beta[g], "soft-eval", 1e-11
        )
        np.testing.assert_allclose(found.values[g], alone.values, atol=1e-8)
        assert found.residual[g] <= 1e-10
