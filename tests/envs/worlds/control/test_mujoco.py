"""Gymnasium's MuJoCo bodies are ordinary tasks (extra `mujoco`)."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.agents.registry import make_agent
from inscape.agents.rollout import rollout
from inscape.envs.tasks.resolve import resolve_task


@pytest.mark.parametrize("name", ["InvertedPendulum-v5", "HalfCheetah-v5"])
def test_a_random_agent_acts_in_a_body(name):
    pytest.importorskip("mujoco")
    task = resolve_task(name)
    assert task.world is None
    first, again = (rollout(make_agent("random", task), task, 2, seed=3) for _ in range(2))
    for trajectory, same in zip(first, again):
        length = len(trajectory.rewards)
        assert trajectory.observations.shape == (length + 1, *task.observation_space.shape)
        assert trajectory.actions.shape == (length, *task.action_space.shape)
        assert all(task.action_space.contains(action) for action in trajectory.actions.astype(np.float32))
        assert trajectory.terminated != trajectory.truncated
        assert np.array_equal(trajectory.observations, same.observations)
        assert np.array_equal(trajectory.rewards, same.rewards)
    if name == "HalfCheetah-v5":  # never ends by itself
        assert {len(trajectory.rewards) for trajectory in first} == {task.max_episode_steps} == {1000}
