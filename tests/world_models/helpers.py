"""Shared by the tests of this layer: random tables, random episodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.envs.data.trajectory import Trajectory
from inscape.world_models.tabular.model import TabularModel, absorb


def random_model(seed: int, states: int = 7, actions: int = 3, width: int = 3, ending: float = 0.0) -> TabularModel:
    """Returns random tables; state 0 is terminal, each transition ends with up to probability `ending`."""
    rng = np.random.default_rng(seed)
    next_state = np.argsort(rng.random((states, actions, states)), axis=2)[:, :, :width]
    probability = rng.dirichlet(np.ones(width), size=(states, actions))
    reward = rng.normal(size=(states, actions, width)) * 3
    continuation = np.where(next_state == 0, 0.0, 1.0 - ending * rng.random((states, actions, width)))
    legal = rng.random((states, actions)) < 0.7
    legal[:, 0] = True
    terminal = np.arange(states) == 0
    tables = absorb(next_state, probability, reward, continuation, terminal)
    return TabularModel(*tables, legal, np.full(states, 1 / states), terminal)


def random_episodes(env: Any, steps: int, seed: int) -> list[Trajectory]:
    """Returns episodes of uniformly random actions, at least `steps` steps in all."""
    rng = np.random.default_rng(seed)
    episodes: list[Trajectory] = []
    total, options = 0, {"seed": seed}
    while total < steps:
        observation, _ = env.reset(**options)
        options = {}
        observations, actions, rewards = [observation], [], []
        terminated = truncated = False
        while not (terminated or truncated):
            actions.append(int(rng.integers(env.action_space.n)))
            observation, reward, terminated, truncated, _ = env.step(actions[-1])
            observations.append(observation)
            rewards.append(float(reward))
        episodes.append(Trajectory(np.array(observations), np.array(actions), np.array(rewards), terminated, truncated))
        total += len(actions)
    return episodes


def policy_iteration(model: TabularModel, gamma: float) -> np.ndarray:
    """Returns V* by Howard's policy iteration with dense linear solves: independent of everything it tests."""
    size = model.num_states
    reward = model.expected_reward()
    ahead = np.zeros((size, model.num_actions, size))
    for k in range(model.next_state.shape[2]):
        weight = gamma * model.probability[:, :, k] * model.continuation[:, :, k]
        np.add.at(ahead, (*np.indices(weight.shape), model.next_state[:, :, k]), weight)
    policy = model.legal.argmax(axis=1)
    while True:
        rows = np.arange(size)
        values = np.linalg.solve(np.eye(size) - ahead[rows, policy], reward[rows, policy])
        q = np.where(model.legal, reward + ahead @ values, -np.inf)
        better = q.max(axis=1) > q[rows, policy] + 1e-10
        if not better.any():
            return np.asarray(values)
        policy = np.where(better, q.argmax(axis=1), policy)
