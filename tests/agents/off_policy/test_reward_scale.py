"""DQN learns from rewards on one scale, and answers in the task's own."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from inscape.agents.registry import current_agent_settings, make_agent
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError
from tests.agents.on_policy.test_learning_from_nothing import Better, Indifferent

SMALL = {
    "num_envs": 4, "buffer_size": 400, "batch_size": 8, "learning_starts": 16, "train_freq": 2, "gradient_steps": 4,
    "target_update_interval": 16, "hidden": (16,), "report_every": 40, "learning_rate": 1e-2,
}  # fmt: skip
PLACES = np.arange(4)[:, None]


def learned(pay: float, steps: int = 400, **settings):
    task = as_task(Indifferent(pay=pay, steps=1))
    agent = make_agent("dqn", task, settings={**SMALL, **settings})
    list(agent.learn(task, steps))
    return agent


@pytest.mark.quick("0.001-compiled", "-1000.0-compiled")
@pytest.mark.parametrize("backend", ["torch", "compiled"])
@pytest.mark.parametrize("pay", [1e-3, 1.0, -1000.0])
def test_values_are_learned_at_any_scale(pay, backend):
    """One step that pays the same whatever is done: Q is that reward."""
    agent = learned(pay, 800, backend=backend)
    assert_allclose(agent.action_values(PLACES), pay, rtol=0.15)


def test_what_is_learned_is_the_same_at_every_scale():
    one, other = learned(2.0), learned(2000.0)
    for name, weight in one.state_dict()["network"].items():
        assert_allclose(weight, other.state_dict()["network"][name], atol=1e-4)


def test_the_memory_holds_rewards_as_paid():
    agent = learned(-1000.0)
    used = agent.memory.state_dict()["reward"]
    assert set(np.unique(used)) <= {-1000.0, 0.0}
    assert -5.01 < agent._scaled(np.array([-1000.0], np.float32))[0] < -4.99


def test_nothing_earned_divides_by_nothing():
    agent = learned(0.0)
    assert np.isfinite(agent.action_values(PLACES)).all()
    assert_array_equal(agent._scaled(np.zeros(3, np.float32)), 0.0)


@pytest.mark.slow
def test_a_better_action_is_found_among_large_costs():
    task = as_task(Better(pay=-1000.0))  # action 2 costs a thousandth more
    settings = {**SMALL, "gradient_steps": 16, "learning_rate": 3e-3, "anneal": "linear", "batch_size": 32}
    agent = make_agent("dqn", task, settings={**settings, "epsilon_end": 0.5})
    list(agent.learn(task, 1500))
    values = agent.action_values(PLACES)
    assert_allclose(values, -1000.0, rtol=0.05)


def test_states_and_runs_of_before_go_on_as_they_were():
    task = as_task(Indifferent(pay=3.0, steps=1))
    paid = make_agent("dqn", task, settings={**SMALL, "normalize_rewards": False})
    list(paid.learn(task, 120))
    old = {name: part for name, part in paid.state_dict().items() if name != "reward_scale"}
    agent = make_agent("dqn", task, settings=SMALL)
    agent.load_state_dict(old)
    assert_array_equal(agent.action_values(PLACES), paid.action_values(PLACES))
    with pytest.raises(UsageError, match="learned from rewards as they were"):
        make_agent("dqn", task, settings=SMALL).load_state_dict(paid.state_dict())
    assert current_agent_settings("dqn", {"gamma": 0.9})["normalize_rewards"] is False
    assert current_agent_settings("dqn", {"gamma": 0.9, "normalize_rewards": True})["normalize_rewards"] is True
    assert "normalize_rewards" not in current_agent_settings("sac", {"gamma": 0.9})


def test_its_scale_is_saved():
    agent, other = learned(7.0), make_agent("dqn", as_task(Indifferent(pay=7.0, steps=1)), settings=SMALL)
    other.load_state_dict(agent.state_dict())
    assert other.value_unit == agent.value_unit
    assert_array_equal(other.action_values(PLACES), agent.action_values(PLACES))
