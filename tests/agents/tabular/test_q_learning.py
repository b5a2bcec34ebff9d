from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate, rollout
from inscape.agents.tabular.base import TEMPLATE
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models.planning.dynamic_programming import policy_evaluation, value_iteration
from inscape.world_models.tabular.model import TabularModel


def learnt(task, steps, **settings):
    agent = make_agent("q-learning", task, settings=settings)
    return agent, list(agent.learn(task, steps))


@pytest.mark.compiled(all=False)
def test_it_finds_the_values_of_value_iteration():
    """Every pair of a small slippery grid, explored uniformly, against the exact action values."""
    task = resolve_task("FrozenLake")
    agent, _ = learnt(task, 8_000_000, epsilon_end=1.0, learning_rate_power=0.6)
    model = TabularModel.from_world(task.world)
    solution = value_iteration(model, 0.99, 1e-9)
    states = agent.rows(task.world.observe(task.world.dynamics().states))
    busy = agent.counts[states].min(axis=1) > 2000
    assert busy.sum() >= 8
    assert np.abs(agent.q_values[states] - solution.q_values)[busy].max() < 0.03


@pytest.mark.compiled(all=False)
def test_it_acts_almost_optimally_on_the_large_lake():
    task = resolve_task("FrozenLake8x8")
    agent, rows = learnt(task, 3_000_000)
    model = TabularModel.from_world(task.world)
    policy = np.exp(agent.action_log_probs(task.world.observe(task.world.dynamics().states)))
    best = value_iteration(model, 0.99, 1e-9).values @ model.initial
    assert best - policy_evaluation(model, policy, 0.99) @ model.initial < 0.01
    assert rows[-1]["steps"] == 3_000_000
    assert rows[-1]["episode_return"] > 0.3


def test_time_limits_do_not_end_the_sum(forever):
    """Reward 1 for ever, cut after 10 steps: V = 1/(1 − γ) = 10; treating the cut as an end would give far less."""
    agent, _ = learnt(forever, 20_000, gamma=0.9, learning_rate_power=0.51, epsilon_end=1.0)
    assert np.allclose(agent.q_values, 10.0, atol=0.05)


def test_illegal_actions_are_never_tried_nor_backed_up(corridor):
    agent, _ = learnt(corridor, 30_000, gamma=0.9, initial_value=5.0, learning_rate_power=0.6, epsilon_end=0.5)
    even = [0, 2, 4]
    assert (agent.counts[even, 0] == 0).all()
    assert (agent.q_values[even, 0] == 5.0).all()  # optimistic, but no neighbour believes it
    values = np.where(agent.counts > 0, agent.q_values, -np.inf).max(axis=1)
    assert np.allclose(values[1:4], [0.9**2, 0.9, 1.0], atol=1e-3)
    assert evaluate(agent, corridor, 4, seed=0).lengths.tolist() == [3, 3, 3, 3]


@pytest.mark.slow
def test_the_python_loop_learns_the_same_rule(corridor):
    """An ordinary Gymnasium environment: same update, without the law."""
    task = resolve_task("FrozenLake-v1", {"is_slippery": False})
    agent, rows = learnt(task, 20_000, epsilon_end=0.2, report_every=5000, learning_rate_power=0.0)
    assert evaluate(agent, task, 3, seed=0).mean == 1.0
    assert np.isclose(agent.q_values[0].max(), 0.99**5)
    assert [row["steps"] for row in rows] == [5000, 10_000, 15_000, 20_000]
    same = dataclasses.replace(corridor)
    masked = make_agent("q-learning", same, settings={"gamma": 0.9})
    advance = masked._in_python(same, 3000)
    advance(3000, masked._schedule(3000))
    assert (masked.counts[[0, 2, 4], 0] == 0).all()


@pytest.mark.compiled(all=False)
def test_resuming_is_exact():
    task = resolve_task("FrozenLake")
    whole, _ = learnt(task, 60_000, report_every=10_000)
    half = make_agent("q-learning", task, settings={"report_every": 10_000})
    learning = half.learn(task, 60_000)
    for _ in range(3):
        next(learning)
    resumed = make_agent("q-learning", task, settings={"report_every": 10_000})
    resumed.load_state_dict(half.state_dict())
    rows = list(resumed.learn(task, 60_000))
    assert np.array_equal(resumed.q_values, whole.q_values)
    assert np.array_equal(resumed.counts, whole.counts)
    assert rows[-1]["steps"] == 60_000


@pytest.mark.compiled
def test_plain_python_equals_compiled():
    task = resolve_task("FrozenLake")
    compiled, plain = (make_agent("q-learning", task) for _ in range(2))
    list(compiled.learn(task, 3000))
    kernels = task.world.kernel(TEMPLATE, compiled=False)
    plain._compiled(task.world, 3000, kernels)(3000, plain._schedule(3000))
    assert np.array_equal(plain.counts, compiled.counts)
    assert np.allclose(plain.q_values, compiled.q_values, rtol=1e-12)


@pytest.mark.compiled(all=False)
def test_rationality_softens_its_choices():
    task = resolve_task("FrozenLake")
    agent, _ = learnt(task, 100_000, beta=0.0)
    assert np.allclose(agent.action_log_probs(np.arange(16)), -np.log(4))
    assert len(rollout(agent, task, 2, seed=0)) == 2


def test_what_it_cannot_learn_is_refused():
    with pytest.raises(UsageError, match="Discrete or MultiDiscrete observations(.|\n)*ppo"):
        make_agent("q-learning", resolve_task("CartPole"))
    with pytest.raises(UsageError, match="sb3:sac"):
        make_agent("q-learning", resolve_task("Pendulum-v1"))
    with pytest.raises(UsageError, match="gamma = 1.5"):
        make_agent("q-learning", resolve_task("FrozenLake"), settings={"gamma": 1.5})
    with pytest.raises(UsageError, match="beta = -1"):
        make_agent("q-learning", resolve_task("FrozenLake"), settings={"beta": -1.0})


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["q-learning", "sarsa", "expected-sarsa", "double-q-learning"])
def test_a_stored_table_that_is_not_finite_is_refused(name, number):
    agent = make_agent(name, resolve_task("FrozenLake"))
    state = agent.state_dict()
    state["tables"]["q"] = np.array(state["tables"]["q"], float)
    state["tables"]["q"].reshape(-1)[3] = number
    with pytest.raises(UsageError, match="a table q of float64, 1 of its entries not finite"):
        agent.load_state_dict(state)
