"""Posterior sampling finds the far reward, and resumes bit for bit."""

import numpy as np
import pytest

from inscape import UsageError
from inscape.agents import PSRL, PSRLSettings
from inscape.envs.tasks.resolve import resolve_task
from inscape.world_models import regret


def test_it_finds_the_large_reward_at_the_end_of_the_river():
    """RiverSwim's optimum, exactly, after 60 episodes of 40 steps; its 400 of 100: benchmarks/tabular_models.py."""
    task = resolve_task("RiverSwim", max_episode_steps=40)
    agent = PSRL(task, seed=1)
    for _ in agent.learn(task, 60 * 40):
        pass
    found = regret(agent.model, task.world)
    assert found.value >= 0.99 * found.optimum
    # it acts on that plan
    observations = np.arange(6)
    assert (agent.action_log_probs(observations).argmax(axis=1) == found.policy).all()


def test_it_resumes_bit_for_bit():
    task = resolve_task("RiverSwim", max_episode_steps=10)
    whole, first = PSRL(task, 3), PSRL(task, 3)
    for agent in (whole, first):
        for _ in agent.learn(task, 40):
            pass
    second = PSRL(task, 99)
    second.load_state_dict(first.state_dict())
    reports = [list(agent.learn(task, 100)) for agent in (whole, second)]
    assert reports[0] == reports[1]


def test_bad_settings_are_refused():
    with pytest.raises(UsageError):
        PSRLSettings(concentration=0.0)
    with pytest.raises(UsageError, match="Discrete"):
        PSRL(resolve_task("Pendulum"))
