from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inscape import solve
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models import (
    BeliefModel,
    TabularModel,
    backward_induction,
    boltzmann_log_probs,
    boltzmann_value,
    policy_evaluation,
    soft_value_iteration,
    value_iteration,
)
from inscape.world_models.planning.dynamic_programming import BACKUPS
from tests.world_models.helpers import policy_iteration, random_model

seeds = st.integers(0, 2**31)


@given(seeds, st.floats(0.0, 0.995), st.sampled_from([0.0, 0.6]), st.floats(1e-9, 1.0))
@settings(max_examples=60, deadline=None)
def test_bound_holds_and_is_reached(seed: int, gamma: float, ending: float, tolerance: float) -> None:
    model = random_model(seed, ending=ending)
    exact = policy_iteration(model, gamma)
    found = value_iteration(model, gamma, tolerance)
    assert np.abs(found.values - exact).max() <= found.error_bound + 1e-11  # the linear solve's own rounding
    assert found.error_bound <= tolerance


@given(seeds, st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_bound_is_honest_when_stopped_early(seed: int, sweeps: int) -> None:
    model = random_model(seed)
    found = value_iteration(model, 0.9, 1e-9, max_iterations=sweeps)
    assert found.iterations <= sweeps + 1
    assert np.abs(found.values - policy_iteration(model, 0.9)).max() <= found.error_bound


@given(seeds)
@settings(max_examples=25, deadline=None)
def test_bound_holds_without_discount_where_every_policy_ends(seed: int) -> None:
    model = random_model(seed, ending=0.5)
    found = value_iteration(model, 1.0, 1e-6)
    assert np.abs(found.values - policy_iteration(model, 1.0)).max() <= found.error_bound <= 1e-6


def test_frozen_lake_equals_policy_iteration() -> None:
    model = TabularModel.from_world(resolve_task("FrozenLake8x8").world)
    found = value_iteration(model, 0.99, 1e-10)
    np.testing.assert_allclose(found.values, policy_iteration(model, 0.99), atol=1e-10)
    assert found.values[0] == pytest.approx(0.41464, abs=1e-5)  # the value reported for Gymnasium's 8x8 map at 0.99
    np.testing.assert_allclose(found.q_values.max(axis=1), found.values, atol=1e-9)


def test_staying_for_long_is_no_slower() -> None:
    model = random_model(6, ending=0.2)
    next_state, probability = model.next_state.copy(), model.probability.copy()
    next_state[3], probability[3] = 3, [1.0, 0.0, 0.0]  # a trap that pays for ever
    continuation = model.continuation.copy()
    continuation[3] = 1.0
    trap = replace(model, next_state=next_state, probability=probability, continuation=continuation)
    found = value_iteration(trap, 0.999999, 1e-3)
    assert found.iterations < 1000
    expected = trap.expected_reward()[3][trap.legal[3]].max() / 1e-6
    assert abs(found.values[3] - expected) <= found.error_bound + 1e-3


def test_a_tolerance_below_rounding_ends_and_says_so() -> None:
    found = value_iteration(random_model(1), 0.99, 1e-300)
    assert 1e-300 < found.error_bound < 1e-9


def test_without_discount_a_policy_that_never_ends_is_named() -> None:
    model = random_model(3)
    stay = model.next_state.copy()
    stay[4, 0] = 4
    reward = model.reward.copy()
    reward[4, 0] = 0.5
    loop = replace(model, next_state=stay, continuation=np.where(stay == 4, 1.0, model.continuation), reward=reward)
    with pytest.raises(UsageError, match="from state 4 on reward adds up without end"):
        value_iteration(loop, 1.0, 1e-6)


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan")])
def test_refuses_gamma(gamma: float) -> None:
    with pytest.raises(UsageError, match="gamma"):
        value_iteration(random_model(0), gamma)


def test_policy_evaluation_of_the_greedy_policy_is_the_optimum() -> None:
    model = random_model(5, states=30)
    found = value_iteration(model, 0.95, 1e-10)
    values = policy_evaluation(model, np.eye(model.num_actions)[found.policy], 0.95)
    np.testing.assert_allclose(values, found.values, atol=1e-9)


@given(seeds, st.floats(0.0, 0.99))
@settings(max_examples=30, deadline=None)
def test_policy_evaluation_equals_a_linear_solve(seed: int, gamma: float) -> None:
    model = random_model(seed)
    rng = np.random.default_rng(seed)
    policy = model.legal * rng.random((model.num_states, model.num_actions))
    policy /= policy.sum(axis=1, keepdims=True)
    chain = np.zeros((model.num_states, model.num_states))
    weight = gamma * policy[:, :, None] * model.probability * model.continuation
    np.add.at(chain, (np.arange(model.num_states)[:, None, None], model.next_state), weight)
    exact = np.linalg.solve(np.eye(model.num_states) - chain, (policy * model.expected_reward()).sum(axis=1))
    np.testing.assert_allclose(policy_evaluation(model, policy, gamma), exact, atol=1e-9)


def test_policy_evaluation_without_discount_counts_idling_as_nothing() -> None:
    model = TabularModel.from_world(resolve_task("FrozenLake", {"slip": 0.0}).world)
    left = np.eye(4)[np.zeros(16, int)]
    np.testing.assert_array_equal(policy_evaluation(model, left, 1.0), np.zeros(16))


def test_policy_evaluation_refuses_illegal_and_unnormalised_policies() -> None:
    model = random_model(2)
    with pytest.raises(UsageError, match="sum to one"):
        policy_evaluation(model, np.full((7, 3), 0.5), 0.9)
    s, a = np.argwhere(~model.legal & ~model.terminal[:, None])[0]
    policy = np.eye(3)[np.zeros(7, int)]
    policy[s] = np.eye(3)[a]
    with pytest.raises(UsageError, match=f"illegal action {a}"):
        policy_evaluation(model, policy, 0.9)


@pytest.mark.parametrize("backup", BACKUPS)
@pytest.mark.parametrize("beta", [0.3, 3.0])
def test_soft_values_agree_with_the_choice_rule(backup: str, beta: float) -> None:
    model = random_model(11, states=12)
    found = soft_value_iteration(model, 0.9, beta, backup, tolerance=1e-10)  # type: ignore[arg-type]
    going = ~model.terminal
    q, legal = found.q_values[going], model.legal[going]
    np.testing.assert_array_equal(found.log_policy[going], boltzmann_log_probs(q, beta, legal))
    if backup == "hard":
        expected = q.max(axis=1)
    elif backup == "maxent":
        expected = np.log(np.where(legal, np.exp(beta * (q - q.max())), 0).sum(axis=1)) / beta + q.max()
    else:
        expected = boltzmann_value(q, beta, legal)
    np.testing.assert_allclose(found.values[going], expected, atol=1e-8)
    assert (found.values[~going] == 0).all()


def test_soft_eval_is_the_value_of_its_own_policy() -> None:
    model = TabularModel.from_world(resolve_task("FrozenLake").world)
    found = soft_value_iteration(model, 0.99, 20.0, "soft-eval", tolerance=1e-12)
    values = policy_evaluation(model, np.exp(found.log_policy), 0.99)
    np.testing.assert_allclose(found.values, values, atol=1e-9)
    assert found.error_bound == np.inf


def test_the_backups_approach_the_optimum_as_beta_grows() -> None:
    model = random_model(8)
    best = value_iteration(model, 0.9, 1e-9).values
    for backup in BACKUPS:
        found = soft_value_iteration(model, 0.9, 3000.0, backup)
        np.testing.assert_allclose(found.values, best, atol=0.01)
    worse = soft_value_iteration(model, 0.9, 0.0, "soft-eval").values
    assert (worse <= best + 1e-9).all()
    assert worse.sum() < best.sum() - 0.1


@pytest.mark.parametrize(
    ("beta", "backup", "message"),
    [(-1.0, "hard", "beta"), (float("nan"), "maxent", "beta"), (0.0, "maxent", "infinite"), (1.0, "soft", "backup")],
)
def test_soft_value_iteration_refuses(beta: float, backup: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        soft_value_iteration(random_model(0), 0.9, beta, backup)  # type: ignore[arg-type]


def test_it_takes_tables_and_refuses_what_has_none() -> None:
    task = resolve_task("FrozenLake")
    values = value_iteration(task.world, 0.9).values
    for model in (TabularModel.from_world(task.world), task.world):
        np.testing.assert_array_equal(value_iteration(model, 0.9).values, values)
    with pytest.raises(UsageError, match=r"value iteration was given an environment[\s\S]*env.unwrapped.world"):
        value_iteration(task.env(), 0.9)
    with pytest.raises(UsageError, match=r"value iteration was given a task[\s\S]*task.world"):
        value_iteration(task, 0.9)
    with pytest.raises(UsageError, match=r"needs a model with tabular\(\), and BeliefModel has none"):
        value_iteration(BeliefModel.from_world(resolve_task("Tiger").world), 0.9)


@pytest.mark.quick("FrozenLake", "FrozenLake8x8", "DynaMaze")
@pytest.mark.parametrize(
    "name",
    ["FrozenLake", "FrozenLake8x8", "CliffWalking", pytest.param("Taxi", marks=pytest.mark.compiled), "DynaMaze"],
)
def test_policy_evaluation_without_discount_ends_at_the_limit_of_double_precision(name: str) -> None:
    """Uniform play takes thousands of steps and earns some −10⁵ in places: 1e-10 cannot be had there."""
    table = TabularModel.from_world(resolve_task(name).world)
    policy = table.legal / table.legal.sum(axis=1, keepdims=True)
    values = policy_evaluation(table, policy, 1.0)
    live = ~table.terminal
    weight = policy[:, :, None] * table.probability * table.continuation
    chain = np.zeros((table.num_states, table.num_states))
    rows = np.broadcast_to(np.arange(table.num_states)[:, None, None], weight.shape)
    np.add.at(chain, (rows, table.next_state), weight)
    earned = (policy * table.expected_reward()).sum(axis=1)
    reachable = ends_some_time(chain, live)
    exact = np.zeros(table.num_states)
    inside = np.ix_(reachable, reachable)
    exact[reachable] = np.linalg.solve(np.eye(reachable.sum()) - chain[inside], earned[reachable])
    np.testing.assert_allclose(values[reachable], exact[reachable], rtol=1e-8, atol=1e-10)


def ends_some_time(chain: np.ndarray, live: np.ndarray) -> np.ndarray:
    """Returns `[S]` bool: states from which the chain ends some time with probability above 0."""
    ends = live & (chain.sum(axis=1) < 1.0 - 1e-9)
    for _ in range(len(chain)):
        ends = ends | (live & ((chain > 0) & ends[None]).any(axis=1))
    return ends


@pytest.mark.parametrize("unit", [1e-9, 1e-4, 1.0, 1e6])
def test_ties_do_not_depend_on_the_unit_of_rewards(unit):
    """In units of 1e-9 every action was listed as optimal, and the solution stopped before it had begun."""
    lake = TabularModel.from_world("FrozenLake")
    small = replace(lake, reward=unit * lake.reward)
    best, found = (solve(model, 0.99) for model in (lake, small))
    np.testing.assert_array_equal(found.optimal_actions(), best.optimal_actions())
    np.testing.assert_allclose(found.values, unit * best.values, rtol=1e-4, atol=2e-6 * unit)
    stages = backward_induction(small, 6).optimal_actions()
    np.testing.assert_array_equal(stages, backward_induction(lake, 6).optimal_actions())
