"""Inscape asked as its peers are, see `solving.py`: presets where something is to be solved, the peers' settings where
throughput is compared."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from solving import Check, answer

from inscape.agents.registry import default_steps, make_agent
from inscape.envs.tasks.resolve import resolve_task

SAME_AS_PEERS: Mapping[str, Mapping[str, Any]] = {
    "ppo": {
        "num_envs": 4, "num_steps": 128, "epochs": 4, "minibatches": 4, "learning_rate": 2.5e-4, "entropy_coef": 0.01,
        "hidden": (64, 64), "activation": "tanh",
    },
    "dqn": {
        "num_envs": 1, "buffer_size": 100_000, "batch_size": 64, "learning_starts": 1000, "train_freq": 256,
        "gradient_steps": 128, "target_update_interval": 10, "learning_rate": 2.3e-3, "gamma": 0.99,
        "epsilon_fraction": 0.16, "epsilon_end": 0.04, "hidden": (256, 256), "anneal": "constant", "tau": 1.0,
        "n_step": 1, "double": False, "dueling": False, "prioritized": False,
    },
    "sac": {
        "num_envs": 1, "batch_size": 256, "learning_starts": 100, "train_freq": 1, "gradient_steps": 1,
        "learning_rate": 3e-4, "tau": 0.005, "n_step": 1, "hidden": (256, 256), "report_every": 50,
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
        "dqn-tuned": lambda: Agent("dqn", "CartPole", SAME_AS_PEERS["dqn"]),
        "sac": lambda: Agent("sac", "Pendulum-v1", SAME_AS_PEERS["sac"], warm=300),
    })  # fmt: skip
