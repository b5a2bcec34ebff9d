"""Stable-Baselines3 asked as in `solving.py`: PPO with its defaults and as tuned by its zoo, DQN as tuned, SAC."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from solving import Check, answer
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

Make = Callable[[int], Any]


class AfterUpdates(BaseCallback):
    """Calls `look(steps)` between updates; stops when that says so."""

    def __init__(self, look: Callable[[int], bool]) -> None:
        super().__init__()
        self._look, self._go_on = look, True

    def _on_rollout_start(self) -> None:  # right after an update, or at the very start
        self._go_on = not self._look(self.num_timesteps)

    def _on_step(self) -> bool:
        return self._go_on


class Algorithm:
    """An algorithm in a task; nothing of it needs preparing.

    Args:
        make: the model of a seed.
        steps: how long to train at most.
        warm: steps after which its speed is measured.
    """

    def __init__(self, make: Make, steps: int, warm: int) -> None:
        self._make, self._steps, self._warm = make, steps, warm

    def prepare(self) -> None:
        pass

    def solve(self, seed: int, check: Check) -> None:
        model = self._make(seed)

        def act(observation: Any) -> Any:
            return model.predict(observation, deterministic=True)[0]

        model.learn(self._steps, callback=AfterUpdates(lambda steps: check(steps, act)))
        if not check.solved:  # no rollout follows the last update
            check(model.num_timesteps, act, last=True)

    def speed(self, seconds: float) -> float:
        model = self._make(0)
        began: list[tuple[float, int]] = []
        found: list[float] = []

        def look(steps: int) -> bool:
            now = time.perf_counter()
            if steps >= self._warm and not began:
                began.append((now, steps))
            elif began and now - began[0][0] >= seconds:
                found.append((steps - began[0][1]) / (now - began[0][0]))
                return True
            return False

        model.learn(10**9, callback=AfterUpdates(look))
        return found[0]


def cartpole(copies: int, seed: int) -> Any:
    return make_vec_env("CartPole-v1", copies, seed=seed)


def ppo_default(seed: int) -> PPO:
    return PPO("MlpPolicy", cartpole(1, seed), seed=seed, device="cpu")


def ppo_tuned(seed: int) -> PPO:
    return PPO(
        "MlpPolicy", cartpole(8, seed), n_steps=32, batch_size=256, gae_lambda=0.8, gamma=0.98, n_epochs=20,
        ent_coef=0.0, learning_rate=lambda left: 1e-3 * max(left, 0.0), clip_range=lambda left: 0.2 * max(left, 0.0),
        seed=seed, device="cpu",
    )  # fmt: skip


def ppo_small(seed: int) -> PPO:
    """The settings whose throughput is compared: 4 copies × 128 steps, 4 epochs of 4 minibatches, two 64 × 64 tanh."""
    return PPO(
        "MlpPolicy", cartpole(4, seed), n_steps=128, batch_size=128, n_epochs=4, learning_rate=2.5e-4, ent_coef=0.01,
        seed=seed, device="cpu",
    )  # fmt: skip


def dqn_tuned(seed: int) -> DQN:
    return DQN(
        "MlpPolicy", cartpole(1, seed), learning_rate=2.3e-3, batch_size=64, buffer_size=100_000, learning_starts=1000,
        gamma=0.99, target_update_interval=10, train_freq=256, gradient_steps=128, exploration_fraction=0.16,
        exploration_final_eps=0.04, policy_kwargs={"net_arch": [256, 256]}, seed=seed, device="cpu",
    )  # fmt: skip


def sac_default(seed: int) -> SAC:
    return SAC("MlpPolicy", make_vec_env("Pendulum-v1", 1, seed=seed), seed=seed, device="cpu")


if __name__ == "__main__":
    answer({
        "ppo": lambda: Algorithm(ppo_tuned, 100_000, 2048),
        "ppo-default": lambda: Algorithm(ppo_default, 200_000, 2048),
        "ppo-small": lambda: Algorithm(ppo_small, 500_000, 2048),
        "dqn": lambda: Algorithm(dqn_tuned, 50_000, 2048),
        "sac": lambda: Algorithm(sac_default, 20_000, 300),
    })  # fmt: skip
