"""An environment whose step takes a given time of a processor, light to import: each worker process does."""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym
import numpy as np


class Busy(gym.Env[Any, Any]):
    """Episodes of 200 steps.

    Args:
        microseconds: that a step computes.
        pixels: of each side of an observation with three colours and four frames; 0 for four numbers.
    """

    def __init__(self, microseconds: float = 0.0, pixels: int = 0) -> None:
        self.seconds, self.t = microseconds * 1e-6, 0
        self.action_space = gym.spaces.Discrete(2)
        self.observation_space = (
            gym.spaces.Box(0, 255, (pixels, pixels, 12), np.uint8)
            if pixels
            else gym.spaces.Box(-1, 1, (4,), np.float32)
        )
        self._seen = np.zeros(self.observation_space.shape, self.observation_space.dtype)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._seen, {}

    def step(self, action: Any) -> Any:
        until = time.thread_time() + self.seconds
        while self.seconds and time.thread_time() < until:
            pass
        self.t += 1
        return self._seen, 1.0, self.t >= 200, False, {}


gym.register("Busy-v0", Busy)
