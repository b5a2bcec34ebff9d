"""The agent that learns in imagination: its returns, what it remembers, and what resuming gives."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from inscape import make_agent, rollout
from inscape.agents.imagination.actor_critic import lambda_returns
from inscape.envs import resolve_task

TINY: dict[str, Any] = {
    "learning_starts": 40, "initial_steps": 1, "train_freq": 20, "batch_size": 3, "length": 6, "horizon": 3,
    "hidden": (8,), "recurrent": 8, "stochastic": 2, "classes": 3, "width": 8, "report_every": 40,
}  # fmt: skip


def test_lambda_returns_are_the_weighted_mean_of_n_step_returns() -> None:
    rng = np.random.default_rng(0)
    rewards, discounts, values = rng.random((4, 2)), rng.random((4, 2)), rng.random((5, 2))
    found = lambda_returns(*(torch.as_tensor(one) for one in (rewards, discounts, values)), 0.8).numpy()

    def n_step(n: int) -> np.ndarray:
        total, share = np.zeros(2), np.ones(2)
        for k in range(n):
            total, share = total + share * rewards[k], share * discounts[k]
        return np.asarray(total + share * values[n])

    expected = sum(0.2 * 0.8 ** (n - 1) * n_step(n) for n in range(1, 4)) + 0.8**3 * n_step(4)
    assert np.allclose(found[0], expected)


@pytest.mark.slow
@pytest.mark.parametrize("world", ["CartPole", "Pendulum", "FrozenLake", "Tiger"])
def test_it_goes_on_bit_for_bit(world: str) -> None:
    task = resolve_task(world)
    whole: Any = make_agent("dreamer", task, seed=1, settings=TINY)
    list(whole.learn(task, 120))
    part: Any = make_agent("dreamer", task, seed=1, settings=TINY)
    list(part.learn(task, 80))
    again: Any = make_agent("dreamer", task, seed=1, settings=TINY)
    again.load_state_dict(copy.deepcopy(part.state_dict()))
    list(again.learn(task, 120))
    one, other = whole.state_dict(), again.state_dict()
    for name, value in one["actor_critic"].items():
        assert np.array_equal(value, other["actor_critic"][name]), name
    for name, value in one["model"]["weights"].items():
        assert np.array_equal(value, other["model"]["weights"][name]), name
    assert whole.updates > 0 and np.array_equal(one["known"], other["known"])
    episodes = rollout(again, task, episodes=2, seed=3)
    assert np.isfinite(again.model.log_prob(episodes[0]))


def test_what_it_remembers_is_the_models_state() -> None:
    task = resolve_task("CartPole")
    agent: Any = make_agent("dreamer", task, seed=0, settings=TINY)
    (episode,) = rollout("random", task, episodes=1, seed=0)
    memory = agent.initial_memory(1)
    for t in range(3):
        features = agent._filtered(episode.observations[t : t + 1], memory)
        assert np.allclose(features.numpy(), agent.model.activations(episode)[t : t + 1], atol=1e-4)
        memory = agent._noted(features, torch.as_tensor(episode.actions[t : t + 1]))
