"""PETS: what it does before it knows anything, how it goes on, and what it refuses."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from inscape import make_agent, resolve_task
from inscape.agents import PETS, PETSSettings
from inscape.errors import UnknownSettingError, UsageError

SMALL = PETSSettings(
    population=6, horizon=5, iterations=1, first_steps=12, refit_every=15, particles=2,
    model_settings={"features": 4, "updates": 10},
)  # fmt: skip


def trained(name: Any, steps: int) -> PETS:
    task = resolve_task(name)
    agent = PETS(task, 1, SMALL)
    for metrics in agent.learn(task, steps):
        assert metrics["steps"] == agent.steps
    return agent


@pytest.mark.parametrize("name", ["CartPole", "Pendulum", "FrozenLake"])
def test_counts_every_step_and_acts_in_the_space(name: str) -> None:
    agent = trained(name, 40)
    task = resolve_task(name)
    assert agent.steps == 40 == len(agent.model.memory.arrays()[0])
    assert task.world is not None
    observations = task.world.observe(task.world.sample_initial(3, np.random.default_rng(0)))
    actions = agent.act(observations)
    assert all(task.action_space.contains(action) for action in actions)
    np.testing.assert_array_equal(actions, agent.act(observations))


def test_resumes_bit_for_bit_in_mid_episode() -> None:
    task = resolve_task("Pendulum")
    whole, parts, other = (PETS(task, 2, SMALL) for _ in range(3))
    reports = list(whole.learn(task, 60))
    learning = parts.learn(task, 60)
    first = [next(learning) for _ in range(2)]
    other.load_state_dict(parts.state_dict())
    assert first + list(other.learn(task, 60)) == reports
    for name, array in whole.state_dict()["model"]["dynamics"].items():
        np.testing.assert_array_equal(array, other.state_dict()["model"]["dynamics"][name])


def test_learns_in_a_foreign_environment() -> None:
    agent = trained(gymnasium.make("CartPole-v1"), 30)
    assert agent.model.fits and agent.act(np.zeros((2, 4), np.float32)).shape == (2,)


def test_a_known_rule_ends_what_is_imagined() -> None:
    task = resolve_task("CartPole")
    agent = PETS(task, 0, SMALL, termination=lambda seen: np.abs(seen[:, 2]) > 0.2)
    list(agent.learn(task, 20))
    tilted = agent.model.init(np.array([[0.0, 0.0, 0.199, 3.0]], np.float32))
    assert agent.model.step(tilted, np.array([1]), np.random.default_rng(0)).continuation[0] == 0.0


def test_refuses_what_it_cannot() -> None:
    with pytest.raises(UnknownSettingError, match="member"):
        PETSSettings(model_settings={"member": 3})
    with pytest.raises(UsageError):
        make_agent("pets", "TicTacToe")
    with pytest.raises(UsageError, match="first_steps"):
        PETSSettings(first_steps=0)
