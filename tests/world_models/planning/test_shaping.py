"""Shaping by potentials, and rewards that are none; ε-soft policies; values by stages."""

from __future__ import annotations

import numpy as np
import pytest

from inscape import UsageError, make_world, solve
from inscape.world_models import (
    TabularModel,
    backward_induction,
    epsilon_soft_optimum,
    policy_evaluation,
    shaped,
    shaping_report,
    stage_values,
)
from tests.world_models.planning.test_finite_horizon import random_model


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gamma", [0.9, 0.5])
def test_a_potential_changes_no_policy_and_is_found_again(seed, gamma):
    model = random_model(7, 3, seed, terminal=(2,) if seed % 2 else ())
    phi = np.random.default_rng(seed).normal(0, 3, 7)
    new = shaped(model, phi, gamma)
    before, after = solve(model, gamma, tolerance=1e-10), solve(new, gamma, tolerance=1e-10)
    assert (before.optimal_actions(1e-7) == after.optimal_actions(1e-7)).all()
    assert after.values == pytest.approx(np.where(model.terminal, 0, before.values - phi), abs=1e-8)
    report = shaping_report(model, new, gamma)
    assert report.is_potential_based
    assert report.potential == pytest.approx(np.where(model.terminal, 0, phi), abs=1e-8)
    assert not report.changed.any()
    assert "every optimal policy stays optimal" in str(report)


def test_a_world_is_shaped_by_a_function_of_its_state():
    world = make_world("CliffWalking")
    model = shaped(world, lambda state: -float(abs(3 - state.cell // 12) + abs(11 - state.cell % 12)), 1.0)
    before, after = solve(world, 1.0), solve(model, 1.0)
    assert float(model.initial @ after.values) == pytest.approx(float(model.initial @ before.values) + 11, abs=1e-6)


def bicycle(reward):
    """Returns a ring of four states with a goal behind state 3, and a reward for each step forward."""
    P, R, F = np.zeros((2, 5, 5)), np.zeros((2, 5, 5)), np.zeros((5, 5))
    for s in range(4):
        P[0, s, (s + 1) % 4] = 1.0
        P[1, s, 4 if s == 3 else s] = 1.0
        F[s, (s + 1) % 4] = reward
    R[1, 3, 4] = 1.0
    return TabularModel.from_arrays(P, R, layout="ASS", terminal=[4], initial=0), F


def test_riding_in_circles_is_reported():
    """Randløv & Alstrøm (1998): a bicycle rewarded for riding towards the goal rides in circles."""
    model, extra = bicycle(0.5)
    report = shaping_report(model, extra, 0.9)
    assert not report.is_potential_based
    assert report.changed.tolist() == [False, False, False, True, False]
    assert (report.policy[3], report.new_policy[3]) == (1, 0)
    assert report.loss[3] == pytest.approx(1.0)
    assert "it changes the policy in 1 states; in state 3 from action 1 to 0, which loses 1" in str(report)
    harmless = shaping_report(model, 0.01 * extra, 0.9)
    assert harmless.potential is None
    assert not harmless.changed.any()
    assert "though here every optimal policy stays optimal" in str(harmless)


def test_around_a_cycle_without_discount_a_shaping_sums_to_nothing():
    outcomes = {s: {0: [(1.0, (s + 1) % 4, -1.0, False)], 1: [(1.0, s, -2.0, True)]} for s in range(4)}
    model = TabularModel.from_arrays(outcomes, initial=0)
    phi = np.array([1.0, -2.0, 0.5, 4.0])
    new = shaped(model, phi, 1.0)
    assert shaping_report(model, new, 1.0).potential == pytest.approx(phi)
    new.reward[0, 0] += 0.25
    assert shaping_report(model, new, 1.0).residual > 0.05


def test_extra_rewards_of_every_shape():
    model = random_model(5, 3, 0)
    by_action = np.zeros((5, 3))
    by_action[:, 1] = 5.0
    dense = np.repeat(by_action[:, :, None], 5, axis=2)
    found = [shaping_report(model, extra, 0.9) for extra in (by_action, dense)]
    assert found[0].residual == pytest.approx(found[1].residual)
    constant = shaping_report(model, np.ones((5, 3)), 0.9)
    assert constant.potential == pytest.approx(np.full(5, -10.0))


@pytest.mark.parametrize("seed", range(4))
def test_no_soft_policy_is_better_than_the_soft_optimum(seed):
    model, rng, epsilon = random_model(5, 3, seed, terminal=(1,) if seed % 2 else ()), np.random.default_rng(seed), 0.3
    found = epsilon_soft_optimum(model, 0.9, epsilon, 1e-10)
    assert policy_evaluation(model, found.probabilities, 0.9) == pytest.approx(found.values, abs=1e-8)
    assert found.probabilities[~model.terminal].min() >= epsilon / 3 - 1e-12
    for _ in range(50):
        other = (1 - epsilon) * np.eye(3)[rng.integers(0, 3, 5)] + epsilon / 3
        assert (policy_evaluation(model, other, 0.9) <= found.values + 1e-8).all()
    assert epsilon_soft_optimum(model, 0.9, 0.0).values == pytest.approx(solve(model, 0.9).values, abs=1e-5)
    uniform = policy_evaluation(model, np.full((5, 3), 1 / 3), 0.9)
    assert epsilon_soft_optimum(model, 0.9, 1.0, 1e-9).values == pytest.approx(uniform, abs=1e-7)


def test_near_the_cliff_the_soft_optimum_keeps_away():
    """Sutton & Barto (2018), example 6.6: with exploration the safe path is the better one."""
    greedy, soft = solve("CliffWalking", 0.99), epsilon_soft_optimum(make_world("CliffWalking"), 0.99, 0.3)
    start = int(make_world("CliffWalking").dynamics().initial.argmax())
    assert soft.values[start] < greedy.values[start]
    table = TabularModel.from_world(make_world("CliffWalking"))
    daring = 0.7 * np.eye(4)[greedy.policy] + 0.3 / 4
    assert policy_evaluation(table, daring, 0.99)[start] < soft.values[start] - 1


def test_values_by_stages():
    model, rng = random_model(6, 2, 2, terminal=(5,)), np.random.default_rng(0)
    best = backward_induction(model, 7, 0.95)
    assert stage_values(model, np.eye(2)[best.policy], 7, 0.95) == pytest.approx(best.values)
    mixed = rng.dirichlet(np.ones(2), 6)
    long = stage_values(model, mixed, 400, 0.9)[0]
    assert long == pytest.approx(policy_evaluation(model, mixed, 0.9), abs=1e-8)


def test_what_is_wrong_is_named():
    model = random_model(4, 2, 0)
    with pytest.raises(UsageError, match=r"a potential of shape \[3\]"):
        shaped(model, np.zeros(3), 0.9)
    with pytest.raises(UsageError, match="a function, of a model without a world"):
        shaped(model, lambda state: 0.0, 0.9)
    with pytest.raises(UsageError, match="gamma = 2"):
        shaped(model, np.zeros(4), 2)
    with pytest.raises(UsageError, match="by action or by next state"):
        shaping_report(TabularModel.from_arrays(np.full((2, 2, 2), 0.5), 0.0, layout="ASS"), np.zeros((2, 2)), 0.9)
    with pytest.raises(UsageError, match="with other outcomes"):
        shaping_report(model, random_model(4, 2, 1), 0.9)
    with pytest.raises(UsageError, match=r"an extra reward of shape \[2\]"):
        shaping_report(model, np.zeros(2), 0.9)
    with pytest.raises(UsageError, match="not a finite number"):
        shaping_report(random_model(4, 2, 0), np.full((4, 2), np.nan), 0.9)
    with pytest.raises(UsageError, match=r"epsilon = 1\.5"):
        epsilon_soft_optimum(model, 0.9, 1.5)
    with pytest.raises(UsageError, match="a policy of 3 stages"):
        stage_values(model, np.zeros((3, 4, 2)), 5)
    with pytest.raises(UsageError, match="horizon = -1"):
        stage_values(model, np.full((4, 2), 0.5), -1)
    with pytest.raises(UsageError, match="sum to one"):
        stage_values(model, np.full((4, 2), 0.6), 2)
