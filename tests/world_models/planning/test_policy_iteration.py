"""Policy iteration and the linear programme find what value iteration finds."""

from __future__ import annotations

import numpy as np
import pytest

from inscape import UsageError, World, make_world, solve
from inscape.world_models import (
    TabularModel,
    linear_programme,
    policy_iteration,
    return_distribution,
    value_iteration,
)
from tests.world_models.planning.test_finite_horizon import random_model

WORLDS = ["FrozenLake8x8", "CliffWalking", "RiverSwim"]


@pytest.mark.parametrize("method", ["policy-iteration", "linear-programme"])
@pytest.mark.parametrize("name", WORLDS)
def test_three_routes_to_the_values_of_worlds(name, method):
    expected = solve(name, 0.95, tolerance=1e-10)
    found = solve(name, 0.95, method=method)
    assert np.abs(found.values - expected.values).max() <= found.error_bound + expected.error_bound
    assert found.error_bound < 1e-6
    assert np.array_equal(found.optimal_actions(1e-7), expected.optimal_actions(1e-7))


@pytest.mark.quick(every=8)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.99, 0.9999])
def test_three_routes_to_the_values_of_random_tables(seed, gamma):
    model = random_model(12, 3, seed, terminal=(5,) if seed % 2 else ())
    expected = value_iteration(model, gamma, 1e-9)
    for found in (policy_iteration(model, gamma), linear_programme(model, gamma)):
        assert np.abs(found.values - expected.values).max() <= found.error_bound + expected.error_bound


def test_where_every_policy_ends_there_may_be_no_discount():
    P = np.zeros((2, 4, 4))
    for s in range(3):  # action 0 goes on for certain, action 1 in half of the cases and else ends
        P[0, s, s + 1] = 1.0
        P[1, s, s + 1] = P[1, s, 3] = 0.5 if s < 2 else 0.0
        P[1, s, 3] += 1.0 if s == 2 else 0.0
    model = TabularModel.from_arrays(P, np.array([[-1, -1.9], [-1, -0.2], [-5, -6], [0, 0]]), terminal=3)
    for found in (policy_iteration(model, 1.0), linear_programme(model, 1.0), value_iteration(model, 1.0)):
        assert found.values == pytest.approx([-3.25, -2.7, -5, 0])
        assert found.error_bound < 1e-12


def test_from_a_policy_of_ones_own():
    model = random_model(12, 3, 1)
    best = value_iteration(model, 0.9, 1e-10)
    assert policy_iteration(model, 0.9, initial_policy=best.policy).iterations == 1
    with pytest.raises(UsageError, match=r"initial_policy of shape \[3\]"):
        policy_iteration(model, 0.9, initial_policy=np.zeros(3, int))
    with pytest.raises(UsageError, match="illegal action 7 in state 0"):
        policy_iteration(model, 0.9, initial_policy=np.full(12, 7))


def test_stopped_early_it_says_how_far_it_got():
    model = TabularModel.from_world(make_world("FrozenLake8x8"))
    early = policy_iteration(model, 0.99, max_iterations=1)
    exact = value_iteration(model, 0.99, 1e-10)
    assert early.iterations == 1
    assert 1e-3 < np.abs(early.values - exact.values).max() <= early.error_bound


def test_dawdling_for_ever_is_for_value_iteration():
    for method in ("policy-iteration", "linear-programme"):
        with pytest.raises(UsageError, match='method="value-iteration"'):
            solve("CliffWalking", 1.0, method=method)
    assert solve("CliffWalking", 1.0).values @ TabularModel.from_world(make_world("CliffWalking")).initial == -13


def test_solve_takes_what_a_user_has():
    world = make_world("FrozenLake")
    expected = value_iteration(world, world.gamma).values
    for given in ("FrozenLake", world, TabularModel.from_world(world)):
        assert solve(given).values == pytest.approx(expected, abs=1e-9)
    assert isinstance(world, World)
    with pytest.raises(UsageError, match="did you mean 'policy-iteration'"):
        solve(world, method="policy_iteration")
    with pytest.raises(UsageError, match="has no law to solve"):
        solve("CartPole-v1")
    with pytest.raises(UsageError, match="2 players"):
        solve("TicTacToe")
    with pytest.raises(UsageError, match="gamma = 2"):
        solve(world, 2)
    with pytest.raises(UsageError, match="tolerance = 0"):
        solve(world, tolerance=0)


@pytest.mark.parametrize("unit", [1e-12, 1e-9, 1e9])
def test_linear_programmes_do_not_depend_on_the_unit_of_rewards(unit):
    # HiGHS takes what is below its tolerance of 1e-7 for nothing
    rng = np.random.default_rng(3)
    P, R = rng.dirichlet(np.ones(3), (2, 3)), rng.normal(size=(3, 2))
    ours, scaled = TabularModel.from_arrays(P, R), TabularModel.from_arrays(P, R * unit)
    expected = solve(ours, 0.9, method="policy-iteration").values
    found = solve(scaled, 0.9, method="linear-programme")
    assert found.values / unit == pytest.approx(expected, rel=1e-9)
    assert found.error_bound <= 1e-9 * unit
    gain = solve(scaled, criterion="average", method="linear-programme")
    assert gain.gain / unit == pytest.approx(solve(ours, criterion="average").gain, rel=1e-9)
    assert gain.error_bound <= 1e-9 * unit
    policy = np.eye(2)[solve(ours, 0.9).policy]
    returns, other = (return_distribution(m, policy, 0.9, horizon=4) for m in (ours, scaled))
    assert other.mean / unit == pytest.approx(returns.mean, rel=1e-9)  # 0 in units of 1e-12: ten decimals were kept


def test_matrices_are_refused_with_the_way_to_give_them():
    for given in (np.ones((2, 1, 1)), {0: {0: [(1.0, 0, 0.0, False)]}}, [[[1.0]]]):
        with pytest.raises(UsageError, match=r"TabularModel.from_arrays\(P, R\)"):
            solve(given, 0.9)
    with pytest.raises(UsageError, match="P has complex numbers"):
        TabularModel.from_arrays(np.ones((2, 1, 1), complex), [0.0])
