"""Inscape asked as its peers are, see `solving.py`: presets where something is to be solved, the peers' settings where
throughput is compared."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from solving import Check, answer

from inscape.agents.plugins import default_steps, make_agent
from inscape.envs.registry import resolve_task

SAME_AS_PEERS: Mapping[str, Mapping[str, Any]] = {
    "ppo": {
        "num_envs": 4, "num_steps": 128, "epochs": 4, "minibatches": 4, "learning_rate": 2.5e-4, "entropy_coef": 0.01,
        "hidden": (64, 64), "activation": "tanh",
    },
}  # fmt: skip


class Agent:
    """An agent in a world, with its preset, or with the settings given.

    Args:
        name: what `make_agent` takes.
        world: what it acts in.
        settings: over the preset.
        warm: steps after which its speed is measured.
    """

    def __init__(self, name: str, world: str, settings: Mapping[str, Any], warm: int = 2048) -> None:
        self._name, self._settings, self._warm = name, settings, warm
        self._task = resolve_task(world)

    def _make(self, seed: int) -> Any:
        return make_agent(self._name, self._task, seed=seed, settings=self._settings)

    def prepare(self) -> None:
        agent = self._make(0)
        for report in agent.learn(self._task, default_steps(self._name, self._task)):
            if report["steps"] >= self._warm:  # far enough that it has begun to update
                break
        agent.act(np.zeros((100, *self._task.observation_space.shape), np.float32))

    def solve(self, seed: int, check: Check) -> None:
        agent, last = self._make(seed), 0
        for report in agent.learn(self._task, default_steps(self._name, self._task)):
            last = int(report["steps"])
            if check(last, agent.act):
                return
        check(last, agent.act, last=True)

    def speed(self, seconds: float) -> float:
        agent = self._make(0)
        began, first = 0.0, 0
        for report in agent.learn(self._task, 10**9):
            now, steps = time.perf_counter(), int(report["steps"])
            if not began:
                if steps >= self._warm:
                    began, first = now, steps
            elif now - began >= seconds:
                return (steps - first) / (now - began)
        raise RuntimeError(f"{self._name} stopped by itself")


if __name__ == "__main__":
    answer({
        "ppo": lambda: Agent("ppo", "CartPole", {}),
        "dqn": lambda: Agent("dqn", "CartPole", {}),
        "ppo-small": lambda: Agent("ppo", "CartPole", SAME_AS_PEERS["ppo"]),
    })  # fmt: skip
