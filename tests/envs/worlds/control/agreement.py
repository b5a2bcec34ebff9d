"""Ours beside Gymnasium's: the same start states, the same actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from inscape.envs.world import World


@dataclass
class Compared:
    """What differed over all episodes, counted step by step.

    Attributes:
        steps: how many steps were compared.
        ended: how many episodes terminated.
        states, observations, flags: steps with a difference.
        rewards: `[steps]` differences.
    """

    steps: int
    ended: int
    states: int
    observations: int
    flags: int
    rewards: np.ndarray


def compare(
    world: World, env_id: str, starts: np.ndarray, policy: Callable[[int, np.ndarray], np.ndarray], length: int
) -> Compared:
    """Returns how episodes from `[B, n]` start states differ, under `policy(t, states [n, B]) -> actions`.

    The states of Gymnasium's environment are arrays of the dtype of `starts`.
    """
    theirs = gym.make(env_id).unwrapped
    rng = np.random.default_rng(0)
    states = world.pack([world.State(*start) for start in starts.tolist()])
    actions, after = [], []
    for t in range(length):
        actions.append(policy(t, states.floats))
        states, rewards, ended = world.step(states, actions[-1], rng)
        after.append((states.floats, rewards, ended, world.observe(states)))
    differ = {"states": 0, "observations": 0, "flags": 0}
    rewards_differ: list[float] = []
    episodes_ended = 0
    for e, start in enumerate(starts):
        theirs.reset(seed=0)
        theirs.state = start.copy()
        for t in range(length):
            floats, rewards, ended, observations = after[t]
            action = actions[t][e]
            obs, reward, terminated, truncated, _ = theirs.step(action if world.continuous else int(action))
            differ["states"] += not np.array_equal(np.asarray(theirs.state, np.float64), floats[:, e])
            differ["observations"] += not np.array_equal(obs, observations[e])
            differ["flags"] += terminated != ended[e] or truncated
            rewards_differ.append(float(reward) - rewards[e])
            if terminated:
                episodes_ended += 1
                break
    return Compared(len(rewards_differ), episodes_ended, rewards=np.array(rewards_differ), **differ)
