"""An environment with random observations of any space, light to import: each worker process does."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

COMPOSITE = spaces.Dict(
    {
        "picture": spaces.Box(0, 255, (4, 4, 3), np.uint8),
        "where": spaces.Tuple((spaces.Discrete(5, start=2), spaces.Box(-1, 1, (2,), np.float64))),
        "said": spaces.Text(8),
        "switches": spaces.MultiBinary(3),
    }
)


class Walk(gym.Env[Any, Any]):
    """Random observations of any space; episodes of random length; masks and infos if asked for."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self, space: Any = None, masked: bool = False, render_mode: str | None = None, when: Any = None
    ) -> None:
        self.observation_space = spaces.Box(-1, 1, (3,), np.float32) if space is None else space
        self.action_space = spaces.Discrete(3)
        self.masked, self.render_mode, self.when, self.t = masked, render_mode, when, 0

    def _seen(self) -> tuple[Any, dict[str, Any]]:
        self.observation_space.seed(int(self.np_random.integers(1 << 30)))
        info: dict[str, Any] = {"t": self.t}
        if self.masked:
            info["action_mask"] = np.array([True, self.np_random.random() < 0.5, self.np_random.random() < 0.5])
        return self.observation_space.sample(), info

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self._seen()

    def step(self, action: Any) -> Any:
        self.t += 1
        observation, info = self._seen()
        terminated, truncated = self.np_random.random() < 0.1, self.t >= 12
        return observation, float(self.np_random.normal() + action), bool(terminated), truncated, info

    def render(self) -> Any:
        return np.full((4, 4, 3), self.t, np.uint8)
