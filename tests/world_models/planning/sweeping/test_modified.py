"""Modified policy iteration in large tables: its certificate holds, and it agrees with what solves small ones."""

import numpy as np
import pytest

from benchmarks.certificates import exact_values, excess, large, random_problem, violations
from inscape.errors import UsageError
from inscape.world_models import TabularModel, policy_evaluation, value_iteration
from inscape.world_models.planning.problem import Problem
from inscape.world_models.planning.sweeping import modified
from tests.world_models.helpers import random_model


@pytest.mark.slow
@pytest.mark.compiled
def test_certificates_of_ten_thousand_problems_hold():
    assert [wrong for seed in range(10_000) for wrong in violations(seed)] == []


@pytest.mark.compiled
def test_certificates_hold():
    for seed in range(200):
        model, gamma, tolerance = random_problem(seed)
        exact, doubt = exact_values(model, gamma)
        for sweeps in (1, 1_000):
            found = large(lambda: value_iteration(model, gamma, tolerance, sweeps))  # noqa: B023
            assert excess(found, exact, doubt) == 0.0, seed
            assert found.iterations <= sweeps


def garnet(states: int, actions: int, width: int, ends: float) -> TabularModel:
    rng = np.random.default_rng(0)
    P = np.zeros((actions, states, states))
    rows = np.arange(states)[:, None]
    for a in range(actions):
        np.add.at(P[a], (rows, rng.integers(0, states, (states, width))), rng.dirichlet(np.ones(width), states))
    return TabularModel.from_arrays(
        P, rng.normal(size=(states, actions)), terminal=np.flatnonzero(rng.random(states) < ends), layout="ASS,SA"
    )


@pytest.mark.parametrize("ends", [0.0, 0.1])
def test_few_sweeps_suffice_where_a_chain_mixes(ends):
    """By the largest change alone, some 150 sweeps: 0.99^150 = 0.2."""
    model = garnet(60, 3, 4, ends)
    found = large(lambda: value_iteration(model, 0.99, 1e-6))
    assert found.error_bound <= 1e-6
    assert found.iterations < 25
    np.testing.assert_allclose(found.values, value_iteration(model, 0.99, 1e-10).values, atol=1e-6)


def test_bounds_hold_where_all_rewards_are_alike():
    """Without ends, one sweep knows the values; with them, 0 is among the changes."""
    going = garnet(20, 2, 3, 0.0)
    going = TabularModel(**{**vars(going), "reward": np.full(going.reward.shape, -1.0)})
    found = large(lambda: value_iteration(going, 0.9, 1e-9))
    assert found.iterations == 1
    np.testing.assert_allclose(found.values, -10.0, atol=1e-9)
    ending = garnet(20, 2, 3, 0.2)
    ending = TabularModel(
        **{**vars(ending), "reward": np.where(ending.terminal[:, None, None], 0.0, -1.0) + 0 * ending.reward}
    )
    found = large(lambda: value_iteration(ending, 0.9, 1e-9))
    assert found.values[ending.terminal].tolist() == [0.0] * int(ending.terminal.sum())
    np.testing.assert_allclose(found.values, value_iteration(ending, 0.9, 1e-12).values, atol=1e-9)


@pytest.mark.parametrize("gamma", [0.0, 0.9, 0.99])
def test_policies_are_evaluated_as_in_small_tables(gamma):
    model = random_model(3)
    policy = np.random.default_rng(0).random(model.legal.shape) * model.legal
    policy[np.arange(len(policy)) % 2 == 0] *= policy[np.arange(len(policy)) % 2 == 0] == policy[
        np.arange(len(policy)) % 2 == 0
    ].max(axis=1, keepdims=True)
    policy /= policy.sum(axis=1, keepdims=True)
    found = large(lambda: policy_evaluation(model, policy, gamma))
    np.testing.assert_allclose(found, policy_evaluation(model, policy, gamma), atol=1e-9)


def test_an_absorbing_state_is_summed_in_closed_form():
    steps = np.minimum(np.arange(60) + 1, 59)
    P = np.zeros((2, 60, 60))
    P[0, np.arange(60), steps] = P[1, np.arange(60), np.maximum(np.arange(60) - 1, 0)] = 1.0
    model = TabularModel.from_arrays(P, (np.arange(60) == 59).astype(float), layout="ASS")
    found = large(lambda: value_iteration(model, 0.999, 1e-9))
    assert found.iterations < 40
    np.testing.assert_allclose(found.values, 1000.0 * 0.999 ** (59 - np.arange(60)), rtol=1e-12)


def test_entries_of_probability_0_may_lead_nowhere():
    model = random_model(0)
    nowhere = np.where(model.probability > 0, model.next_state, -1).astype(np.int32)
    same = TabularModel(**{**vars(model), "next_state": nowhere})
    np.testing.assert_array_equal(
        large(lambda: value_iteration(same, 0.9)).values, large(lambda: value_iteration(model, 0.9)).values
    )


def test_bounds_know_what_they_certify():
    model = garnet(20, 2, 3, 0.0)
    bounds = Problem.of(model, 0.9).bounds()
    assert bounds.shifts
    np.testing.assert_allclose(bounds.of(-1.0, 2.0), (-10.0, 20.0))
    np.testing.assert_allclose(bounds.of(1.0, 2.0), (10.0, 20.0))
    ending = Problem.of(garnet(20, 2, 3, 0.2), 0.9).bounds()
    assert not ending.shifts
    np.testing.assert_allclose(ending.of(1.0, 2.0), (1.0, 20.0))  # V rises by no less than the least change


def test_all_states_terminal():
    model = TabularModel.from_arrays(np.ones((1, 1, 1)), np.zeros(1), terminal=[0], layout="ASS")
    found = modified.solve(Problem.of(model, 0.9), Problem.of(model, 0.9).bounds(), 1e-6, 10)
    assert found.values.tolist() == [0.0]
    assert found.error_bound <= 1e-12


@pytest.mark.parametrize("solver", [large, lambda call: call()])
def test_values_beyond_the_largest_number_are_refused(solver):
    model = TabularModel.from_arrays(np.full((1, 2, 2), 0.5), np.full(2, 1e308), layout="ASS")
    with pytest.raises(UsageError, match="exceed the largest number"), np.errstate(all="ignore"):
        solver(lambda: value_iteration(model, 0.99))


def corridor(length: int, astray: float) -> TabularModel:
    """Steps to the left or right, some astray, each for a cost; at the right end is a prize, and the end."""
    here, P = np.arange(length), np.zeros((2, length, length))
    for a, step in enumerate((-1, 1)):
        P[a, here, np.clip(here + step, 0, length - 1)] += 1.0 - astray
        P[a, here, np.clip(here - step, 0, length - 1)] += astray
    R = np.full((2, length, length), -0.01)
    R[:, :, -1] = 1.0
    return TabularModel.from_arrays(P, R, layout="ASS", terminal=[length - 1])


@pytest.mark.parametrize("astray", [0.05, 0.1])
def test_passes_outwards_take_fewer_sweeps(astray, monkeypatch):
    model = corridor(120, astray)
    found = large(lambda: value_iteration(model, 0.99, 1e-6))
    monkeypatch.setattr(modified, "FAR", 1_000)
    assert found.iterations < 0.8 * large(lambda: value_iteration(model, 0.99, 1e-6)).iterations
    exact = value_iteration(model, 0.99, 1e-11).values
    assert np.abs(found.values - exact).max() <= found.error_bound <= 1e-6


def test_policies_are_evaluated_outwards():
    model = corridor(60, 0.2)
    exact = value_iteration(model, 0.99, 1e-11)
    found = large(lambda: policy_evaluation(model, np.eye(2)[exact.policy], 0.99))
    np.testing.assert_allclose(found, exact.values, atol=1e-9)


def test_certificates_hold_where_passes_outwards_do_not_help(monkeypatch):
    """Made from as few distances as there are, most of them have to give up."""
    monkeypatch.setattr(modified, "FAR", 0)
    for seed in range(16):
        model, gamma, tolerance = random_problem(seed)
        exact, doubt = exact_values(model, gamma)
        for sweeps in (1, 3, 1_000):
            found = large(lambda: value_iteration(model, gamma, tolerance, sweeps))  # noqa: B023
            assert excess(found, exact, doubt) == 0.0, seed
            assert found.iterations <= sweeps
