"""Ordinary environments that say what is legal."""

from __future__ import annotations

import gymnasium as gym
import numpy as np


class Gate(gym.Env):
    """Four steps, of which each ought to take only the action that counts them.

    What is legal is said from step `told` on, and no more from step `hushed` on.
    """

    def __init__(self, told=None, hushed=4):
        self.observation_space, self.action_space = gym.spaces.Discrete(4), gym.spaces.Discrete(4, start=2)
        self.told, self.hushed = told, hushed

    def legal(self):
        return np.arange(4) == self.t

    def info(self):
        says = self.told is not None and self.told <= self.t < self.hushed
        return {"action_mask": self.legal().astype(np.int8)} if says else {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return 0, self.info()

    def step(self, action):
        self.t += 1
        return min(self.t, 3), 1.0, self.t == 4, False, self.info()


class AskedGate(Gate):
    def action_masks(self):
        return self.legal()
