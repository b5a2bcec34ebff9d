"""Small tables: the same bits as plain Python and compiled, and the values that the sweeps of large ones give them."""

import subprocess
import sys

import numpy as np
import pytest

from inscape.envs.compile import choice, switch
from inscape.world_models import TabularModel, policy_evaluation, soft_value_iteration, value_iteration
from inscape.world_models.planning import problem, small_tables
from inscape.world_models.planning.kernels.tables import sweeps
from tests.world_models.helpers import random_model

BACKUPS = {"hard": small_tables.HARD, "maxent": small_tables.MAXENT, "soft-eval": small_tables.SOFT_EVAL}


def random_tables(seed, states, gamma):
    rng = np.random.default_rng(seed)
    next_state = rng.integers(0, states, (states, 3, 4)).astype(np.int32)
    weight = gamma * rng.dirichlet(np.ones(4), (states, 3))
    reward = rng.normal(size=(states, 3))
    reward[rng.random((states, 3)) < 0.2] = -np.inf
    reward[:, 1] = np.where(np.isfinite(reward[:, 1]), reward[:, 1], 0.5)
    return next_state, weight, reward, rng.random(states) < 0.1


@pytest.mark.compiled
@pytest.mark.parametrize("backup", BACKUPS)
@pytest.mark.parametrize("beta", [0.3, 4.0, 40.0])
@pytest.mark.parametrize(("states", "gamma"), [(1, 0.5), (7, 0.0), (30, 0.95), (120, 0.999)])
def test_the_values_are_those_of_the_compiled_sweeps(backup, beta, states, gamma):
    tables = random_tables(states, states, gamma)
    mine, theirs = np.zeros(states), np.zeros(states)
    target = 1e-12 / (1 - gamma)
    _, residual = small_tables.solve(*tables, mine, BACKUPS[backup], beta, target, 100_000)
    sweeps.solve(*tables, theirs, BACKUPS[backup], beta, target, 100_000)
    assert residual <= target
    np.testing.assert_allclose(mine, theirs, atol=10 * target / (1 - gamma), rtol=1e-9)


@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(5))
def test_the_same_states_can_go_on_for_ever(seed):
    rng = np.random.default_rng(seed)
    next_state = rng.integers(0, 12, (12, 2, 2)).astype(np.int32)
    weight = rng.dirichlet([0.3, 0.3], (12, 2)) * (rng.random((12, 2)) < 0.8)[:, :, None]
    legal, terminal = rng.random((12, 2)) < 0.9, rng.random(12) < 0.2
    arguments = next_state, weight, legal, terminal
    assert small_tables.avoiders(*arguments).tolist() == sweeps.avoiders(*arguments).tolist()


@pytest.mark.compiled
def test_sweeps_stop_at_the_limit_and_say_how_far_they_got():
    tables = random_tables(0, 20, 0.99)
    values = np.zeros(20)
    count, residual = small_tables.solve(*tables, values, small_tables.HARD, 0.0, 1e-9, 1)
    assert count == 1
    assert residual > 1e-3


def test_a_chain_without_an_end_at_gamma_one_leaves_no_traceback():
    next_state, weight = np.zeros((1, 1, 1), np.int32), np.ones((1, 1, 1))
    values = np.zeros(1)
    arguments = next_state, weight, np.ones((1, 1)), np.zeros(1, bool), values
    assert small_tables.solve(*arguments, small_tables.HARD, 0.0, 1e-6, 50) == (50, 1.0)


def solved(tables, backup, beta, target, plain):
    """Returns (values, sweeps, residual) by plain Python or compiled."""
    values = np.zeros(len(tables[0]))
    with switch.plain_kernels() if plain else switch.compiled_kernels():
        return values, *small_tables.solve(*tables, values, BACKUPS[backup], beta, target, 100_000)


@pytest.mark.compiled
@pytest.mark.parametrize("backup", BACKUPS)
@pytest.mark.parametrize(
    ("states", "gamma"),
    [(1, 0.5), (7, 0.0), (30, 0.95), (120, 0.999), pytest.param(60, 0.99999, marks=pytest.mark.slow)],
)
def test_plain_python_and_compiled_code_give_the_same_bits(backup, states, gamma):
    tables = random_tables(states, states, gamma)
    plain, compiled = (solved(tables, backup, 3.0, 1e-9, plain) for plain in (True, False))
    assert plain[0].tobytes() == compiled[0].tobytes()
    assert plain[1:] == compiled[1:]


@pytest.mark.quick("hard-40-0.9999", "maxent-300-0.99999")
@pytest.mark.parametrize(("states", "gamma"), [(40, 0.9999), (300, 0.99999)])
@pytest.mark.parametrize("backup", ["hard", "maxent"])
def test_slow_problems_are_ended_by_a_few_newton_steps(monkeypatch, backup, states, gamma):
    taken = []
    newton = small_tables._Table.newton
    monkeypatch.setattr(small_tables._Table, "newton", lambda table, values: taken.append(1) or newton(table, values))
    tables = *random_tables(1, states, gamma)[:3], np.zeros(states, bool)  # nothing ends
    with switch.plain_kernels():
        values = np.zeros(states)
        count, residual = small_tables.solve(*tables, values, BACKUPS[backup], 2.0, 1e-8, 10_000_000)
    assert residual <= 1e-8
    assert 1 <= len(taken) <= 20
    assert count < 20_000  # of sweeps alone it would be millions


def test_the_first_table_of_a_process_needs_no_compiler():
    code = (
        "import sys; from inscape import make_world; from inscape.world_models import *; "
        "value_iteration(make_world('FrozenLake8x8'), 0.99); "
        "soft_value_iteration(make_world('FrozenLake8x8'), 0.99, 2.0, 'soft-eval'); print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_it_is_compiled_once_plain_python_has_taken_as_long_as_that_would(monkeypatch):
    account = choice.UsageOfFunction(small_tables.KERNELS, "sweep")
    monkeypatch.setattr(account, "price", lambda: 1.0)
    monkeypatch.setattr(choice, "kernels_mode", lambda: "auto")
    assert not account.is_to_compile()
    account.charge(10, 0.9)
    assert not account.is_to_compile()
    account.charge(10, 0.2)
    assert account.is_to_compile()


@pytest.mark.compiled
def test_small_and_large_solvers_agree(monkeypatch):
    model = random_model(3, 40)
    assert small_tables.is_small(np.asarray(model.probability))
    small = value_iteration(model, 0.97), soft_value_iteration(model, 0.97, 2.0, "maxent")
    policy = np.full(model.legal.shape, 1.0) * model.legal
    evaluated = policy_evaluation(model, policy / policy.sum(1, keepdims=True), 0.97)
    monkeypatch.setattr(small_tables, "MOST_STATES", 0)
    assert problem.sweeps_for(np.asarray(model.probability)) is sweeps
    large = value_iteration(model, 0.97), soft_value_iteration(model, 0.97, 2.0, "maxent")
    for one, other in zip(small, large, strict=True):
        assert np.abs(one.values - other.values).max() <= one.error_bound + other.error_bound
    again = policy_evaluation(model, policy / policy.sum(1, keepdims=True), 0.97)
    np.testing.assert_allclose(evaluated, again, atol=2e-10)
    assert isinstance(model, TabularModel)
