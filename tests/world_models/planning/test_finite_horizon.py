"""Backward induction: against enumeration of policies, value iteration, and closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from inscape import UsageError, make_world, solve
from inscape.world_models import (
    BeliefModel,
    TabularModel,
    alpha_vectors,
    backward_induction,
    boltzmann_log_probs,
    soft_backward_induction,
    soft_value_iteration,
    value_iteration,
)


def random_model(states=4, actions=2, seed=0, terminal=()):
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.full(states, 0.4), (actions, states))
    return TabularModel.from_arrays(P, rng.normal(size=(states, actions)), terminal=terminal or None)


def test_it_is_the_best_of_all_policies():
    model = random_model(3, 2, seed=3)
    horizon = 2
    best = np.full(3, -np.inf)
    P = np.zeros((3, 2, 3))
    for s, a, k in np.ndindex(model.next_state.shape):
        P[s, a, model.next_state[s, a, k]] += model.probability[s, a, k]
    R = model.expected_reward()
    rows = np.arange(3)
    for choices in itertools.product(range(2), repeat=3 * horizon):
        stages = np.array(choices).reshape(horizon, 3)
        values = np.array([1.0, 2.0, 3.0])
        for policy in stages[::-1]:
            values = R[rows, policy] + 0.9 * P[rows, policy] @ values
        best = np.maximum(best, values)
    found = backward_induction(model, horizon, 0.9, final_values=np.array([1.0, 2.0, 3.0]))
    assert found.values[0] == pytest.approx(best, abs=1e-12)
    assert found.values.shape == (3, 3)
    assert found.policy.shape == (2, 3)


def test_long_horizons_become_value_iteration():
    model = TabularModel.from_world(make_world("FrozenLake"))
    found = backward_induction(model, 1500, 0.95)
    exact = value_iteration(model, 0.95, 1e-12)
    assert np.abs(found.values[0] - exact.values).max() < 1e-11
    assert np.allclose(found.q_values[0], exact.q_values)
    assert found.optimal_actions()[0].sum(axis=1).tolist() == exact.optimal_actions().sum(axis=1).tolist()


def test_the_probability_of_reaching_the_goal_grows_with_the_steps():
    found = solve("FrozenLake", horizon=100)
    start = found.values[:, 0]
    assert np.all(np.diff(start) <= 1e-15)  # fewer steps to go, less
    assert found.values[-6, 0] == 0  # the goal is six steps away
    assert found.values[-7, 0] == pytest.approx(3 * 3.0**-6)  # three ways around the holes


class TestDiscount:
    """Without gamma: what the world states, with a horizon too; else 1."""

    @pytest.mark.parametrize(("name", "gamma"), [("RiverSwim", 0.95), ("FrozenLake", 1.0), ("Tiger", 0.95)])
    def test_of_a_world(self, name, gamma):
        world = make_world(name)
        without, given = (solve(world, g, horizon=4, full_information=True) for g in (None, gamma))
        assert without.gamma == gamma
        assert np.array_equal(without.values, given.values)

    def test_of_a_class_that_inherits_one_and_of_an_instance(self):
        class Longer(type(make_world("RiverSwim"))):
            pass

        assert solve(Longer(), horizon=2).gamma == 0.95
        lake = make_world("FrozenLake")
        lake.gamma = 0.5
        assert solve(lake, horizon=2).gamma == 0.5

    def test_of_tables(self):
        assert solve(TabularModel.from_world(make_world("RiverSwim")), horizon=2).gamma == 1.0

    def test_of_a_file(self, tmp_path):
        file = tmp_path / "two.mdp"
        file.write_text("discount: 0.5\nvalues: reward\nstates: 1\nactions: 1\nT: 0\nidentity\nR: 0 : 0 : 0 1\n")
        assert solve(str(file), horizon=3).values[0].tolist() == [1.75]

    def test_of_beliefs(self):
        assert alpha_vectors("Tiger", 2)[-1].problem.gamma == 0.95
        assert solve(BeliefModel.from_world(make_world("Tiger")), horizon=2).problem.gamma == 1.0


@pytest.mark.parametrize("backup", ["soft-eval", "maxent", "hard"])
def test_soft_backups_become_soft_value_iteration(backup):
    model = random_model(5, 3, seed=1, terminal=(4,))
    found = soft_backward_induction(model, 400, 2.0, backup, 0.9)
    exact = soft_value_iteration(model, 0.9, 2.0, backup, 1e-12)
    assert np.abs(found.values[0] - exact.values).max() < 1e-10
    assert np.abs(np.exp(found.log_policy[0]) - np.exp(exact.log_policy)).max() < 1e-9


def test_the_last_stage_chooses_by_reward_alone():
    model = random_model(5, 3, seed=2)
    found = soft_backward_induction(model, 3, 1.5, "maxent", 0.9)
    expected = boltzmann_log_probs(model.expected_reward(), 1.5)
    assert found.log_policy[2] == pytest.approx(expected)


def kl_objective(model, policies, prior, beta, gamma):
    """Returns `[S]`: E[return] − (1/β) Σ γʰ KL(π_h ‖ π₀) of given policies `[H, S, A]`, stage by stage."""
    values = np.zeros(model.num_states)
    for policy in policies[::-1]:
        ahead = np.einsum("sak,sak->sa", model.probability * model.continuation, values[model.next_state])
        with np.errstate(divide="ignore", invalid="ignore"):
            kl = np.where(policy > 0, policy * np.log(policy / prior), 0.0).sum(axis=1)
        values = (policy * (model.expected_reward() + gamma * ahead)).sum(axis=1) - kl / beta
        values = np.where(model.terminal, 0.0, values)
    return values


def test_a_prior_gives_the_exact_optimum_of_kl_regularised_return():
    model, rng = random_model(4, 3, seed=5, terminal=(3,)), np.random.default_rng(0)
    prior = rng.dirichlet(np.ones(3), 4)
    prior[1] = [0.0, 0.3, 0.7]  # what the prior never does is never done
    found = soft_backward_induction(model, 4, 1.3, "maxent", 0.9, prior=prior)
    policies = np.exp(found.log_policy)
    assert np.all(policies[:, 1, 0] == 0)
    assert kl_objective(model, policies, prior, 1.3, 0.9) == pytest.approx(found.values[0], abs=1e-12)
    for _ in range(200):  # no other policy does better
        other = policies * np.exp(0.3 * rng.normal(size=policies.shape))
        other /= other.sum(axis=2, keepdims=True)
        assert np.all(kl_objective(model, other, prior, 1.3, 0.9) <= found.values[0] + 1e-12)


def test_a_prior_without_a_horizon():
    model, rng = random_model(4, 3, seed=6), np.random.default_rng(1)
    prior = rng.dirichlet(np.ones(3), 4)
    found = soft_value_iteration(model, 0.9, 2.0, "maxent", 1e-12, prior=prior)
    staged = soft_backward_induction(model, 500, 2.0, "maxent", 0.9, prior=prior)
    assert found.values == pytest.approx(staged.values[0], abs=1e-10)
    logits = np.log(prior) + 2.0 * found.q_values
    assert np.exp(found.log_policy) == pytest.approx(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), abs=1e-9)
    uniform = soft_value_iteration(model, 0.9, 2.0, "maxent", 1e-12, prior=np.full((4, 3), 1 / 3))
    entropy = soft_value_iteration(model, 0.9, 2.0, "maxent", 1e-12)
    assert uniform.log_policy == pytest.approx(entropy.log_policy, abs=1e-9)
    assert uniform.values == pytest.approx(entropy.values - np.log(3) / 2.0 / 0.1, abs=1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"horizon": -1}, "horizon = -1"),
        ({"horizon": 1.5}, "horizon = 1.5"),
        ({"horizon": True}, "horizon = True"),
        ({"horizon": 3, "gamma": 1.1}, "gamma = 1.1"),
        ({"horizon": 3, "final_values": np.zeros(3)}, r"final_values of shape \[3\]"),
        ({"horizon": 3, "final_values": np.full(4, np.nan)}, "finite"),
    ],
)
def test_wrong_arguments_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        backward_induction(random_model(), **given)


def test_wrong_priors_are_refused():
    model = random_model()
    with pytest.raises(UsageError, match="a prior with backup 'hard'"):
        soft_backward_induction(model, 2, 1.0, "hard", prior=np.full((4, 2), 0.5))
    with pytest.raises(UsageError, match=r"policy of shape \(4,\)"):
        soft_value_iteration(model, 0.9, 1.0, "maxent", prior=np.ones(4))
    with pytest.raises(UsageError, match="sum to one"):
        soft_value_iteration(model, 0.9, 1.0, "maxent", prior=np.ones((4, 2)))


def test_a_horizon_of_nothing_is_the_end():
    found = backward_induction(random_model(), 0, final_values=np.arange(4.0))
    assert found.values.tolist() == [[0, 1, 2, 3]]
    assert found.policy.shape == (0, 4)
