"""A PettingZoo environment whose players observe several parts, texts among them; workers import it by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

SPACE = spaces.Dict(place=spaces.Box(-9, 9, (2,), np.float32), words=spaces.Text(8), items=spaces.Discrete(4, start=1))


class parallel_env(ParallelEnv):  # type: ignore[type-arg]
    """Five steps; action 2 pays 1."""

    metadata = {"name": "duel", "render_modes": []}
    possible_agents = ["a", "b"]

    def observation_space(self, agent: Any) -> Any:
        return SPACE

    def action_space(self, agent: Any) -> Any:
        return spaces.Discrete(3)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.drawn = np.random.default_rng(seed)
        self.agents, self.t = ["a", "b"], 0
        return self.seen(), {"a": {}, "b": {}}

    def seen(self) -> dict[str, Any]:
        return {
            name: {
                "place": self.drawn.random(2, np.float32),
                "words": "go" if self.drawn.random() < 0.5 else "stay",
                "items": np.int64(1 + self.drawn.integers(4)),
            }
            for name in self.possible_agents
        }

    def step(self, actions: Any) -> Any:
        self.t += 1
        names = self.agents
        self.agents = names if self.t < 5 else []
        paid = {name: float(actions[name] == 2) for name in names}
        over = dict.fromkeys(names, self.t == 5)
        return self.seen(), paid, over, dict.fromkeys(names, False), {name: {} for name in names}
