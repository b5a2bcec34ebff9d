from __future__ import annotations

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer

from inscape.agents.returns import discounted_returns, generalized_advantages, n_step_returns

GAMMA, LAM = 0.9, 0.5


def test_advantages_against_arithmetic():
    """Three steps: an ordinary one, a truncated one (bootstraps), a terminated one (does not)."""
    rewards, values = np.array([[1.0, 2.0, 3.0]]), np.array([[0.5, 1.5, 2.5]])
    next_values = np.array([[1.5, 4.0, 100.0]])
    terminated, truncated = np.array([[False, False, True]]), np.array([[False, True, True]])
    found = generalized_advantages(rewards, values, next_values, terminated, truncated, GAMMA, LAM)
    last = 3.0 - 2.5  # terminated: the 100 is not counted, also because both flags are set
    middle = 2.0 + 0.9 * 4.0 - 1.5  # truncated: bootstraps, and the sum stops
    first = 1.0 + 0.9 * 1.5 - 0.5 + 0.9 * 0.5 * middle
    assert np.allclose(found, [[first, middle, last]], atol=1e-12)


def test_advantages_equal_those_of_stable_baselines3():
    rng = np.random.default_rng(0)
    count, time = 5, 40
    rewards, values = rng.normal(size=(count, time)), rng.normal(size=(count, time))
    terminated = rng.random((count, time)) < 0.1
    last_values = rng.normal(size=count)
    box = gymnasium.spaces.Box(-1, 1, (1,))
    buffer = RolloutBuffer(time, box, gymnasium.spaces.Discrete(2), gae_lambda=0.95, gamma=0.99, n_envs=count)
    starts = np.concatenate([np.ones((count, 1), bool), terminated[:, :-1]], axis=1)
    for t in range(time):
        buffer.add(
            np.zeros((count, 1)), np.zeros((count, 1)), rewards[:, t], starts[:, t], torch.tensor(values[:, t]),
            torch.zeros(count),
        )  # fmt: skip
    buffer.compute_returns_and_advantage(torch.tensor(last_values), terminated[:, -1])
    next_values = np.concatenate([values[:, 1:], last_values[:, None]], axis=1)
    found = generalized_advantages(rewards, values, next_values, terminated, np.zeros_like(terminated), 0.99, 0.95)
    assert np.allclose(found, buffer.advantages.T, atol=1e-5)  # theirs are float32
    assert np.allclose(found + values, buffer.returns.T, atol=1e-5)


def _naive_return(rewards, next_values, terminated, truncated, t, n):
    total, discount = 0.0, 1.0
    for k in range(t, len(rewards)):
        total += discount * rewards[k]
        discount *= GAMMA
        if terminated[k]:
            return total
        if truncated[k] or k == len(rewards) - 1 or k == t + n - 1:
            return total + discount * next_values[k]
    raise AssertionError


def test_returns_against_sums_written_out():
    rng = np.random.default_rng(1)
    count, time = 4, 25
    rewards, next_values = rng.normal(size=(count, time)), rng.normal(size=(count, time))
    terminated, truncated = rng.random((count, time)) < 0.1, rng.random((count, time)) < 0.1
    full = discounted_returns(rewards, next_values, terminated, truncated, GAMMA)
    three = n_step_returns(rewards, next_values, terminated, truncated, GAMMA, 3)
    for b in range(count):
        rows = rewards[b], next_values[b], terminated[b], truncated[b]
        for t in range(time):
            assert np.isclose(full[b, t], _naive_return(*rows, t, time))
            assert np.isclose(three[b, t], _naive_return(*rows, t, 3))


def test_gae_interpolates_between_one_step_and_monte_carlo():
    rng = np.random.default_rng(2)
    shape = (3, 12)
    rewards, values, next_values = (rng.normal(size=shape) for _ in range(3))
    next_values[:, :-1] = values[:, 1:]
    flags = np.zeros(shape, bool)
    one = n_step_returns(rewards, next_values, flags, flags, GAMMA, 1) - values
    whole = discounted_returns(rewards, next_values, flags, flags, GAMMA) - values
    assert np.allclose(generalized_advantages(rewards, values, next_values, flags, flags, GAMMA, 0.0), one)
    assert np.allclose(generalized_advantages(rewards, values, next_values, flags, flags, GAMMA, 1.0), whole)
