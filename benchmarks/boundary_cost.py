"""What the boundary to third-party environments costs a step: one copy, and 16 and 64 copies checked as one batch.

python benchmarks/boundary_cost.py [--env CartPole-v1] [--steps 4000] [--rounds 25]

Contenders take the same actions from the same seed in short slices, in turn; of each slice the least CPU time over all
rounds counts, so that other load on the machine matters little. Compared with the same environment, made alike: alone,
or in a bare loop that copies observations into one array, resets where an episode ends and checks nothing; and with
what Gymnasium has for that, SyncVectorEnv. Bars: at most 1 µs a step for one copy, at most 3 % for 16 or more. Built-in
worlds do not pass the boundary: the last line says what their vector environment is.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from inscape.envs import resolve_task
from inscape.envs.law.streams import copy_seeds
from inscape.envs.tasks.checking.env import CheckedEnv
from inscape.envs.tasks.checking.vector_env import checked_batch

SLICE = 100


class BareBatch:
    """Copies in a loop: observations into one array, resets in the same step, no check of anything."""

    def __init__(self, envs: list[Any]) -> None:
        self.envs = envs
        self.space = envs[0].observation_space

    def reset(self, seed: list[int]) -> Any:
        return np.stack([env.reset(seed=own)[0] for env, own in zip(self.envs, seed, strict=True)])

    def step(self, actions: Any) -> Any:
        count = len(self.envs)
        rows = np.empty((count, *self.space.shape), self.space.dtype)
        rewards, terminated, truncated = np.zeros(count), np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        finals = {}
        for i, env in enumerate(self.envs):
            rows[i], rewards[i], terminated[i], truncated[i], _ = env.step(actions[i])
            if terminated[i] or truncated[i]:
                finals[i] = rows[i].copy()
                rows[i], _ = env.reset()
        return rows, rewards, terminated, truncated, {"final_obs": finals}


def one(env: Any, actions: Any) -> float:
    """Returns seconds a step of one environment, resets included."""
    env.reset(seed=0)
    begun = time.thread_time()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    return (time.thread_time() - begun) / len(actions)


def many(env: Any, actions: Any) -> float:
    """Returns seconds a step of all copies."""
    env.reset(seed=copy_seeds(0, len(actions[0])))  # the same episodes for all contenders: as many end
    begun = time.thread_time()
    for row in actions:
        env.step(row)
    return (time.thread_time() - begun) / len(actions)


def least(contenders: dict[str, tuple[Callable[..., float], Any]], actions: Any, rounds: int) -> dict[str, float]:
    """Returns seconds a step of each: of every slice of the actions its least over rounds, averaged over slices."""
    slices = [actions[k : k + SLICE] for k in range(0, len(actions), SLICE)]
    found = {name: np.full(len(slices), np.inf) for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        for k, some in enumerate(slices):
            for name in names if number % 2 else names[::-1]:
                measure, env = contenders[name]
                found[name][k] = min(found[name][k], measure(env, some))
    return {name: float(times.mean()) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--rounds", type=int, default=25)
    asked = parser.parse_args()

    def make() -> Any:
        return gym.make(asked.env, disable_env_checker=True)

    rng = np.random.default_rng(0)
    actions = list(rng.integers(0, make().action_space.n, asked.steps))
    alone = {
        "bare": (one, make()),
        "checked": (one, CheckedEnv(make(), asked.env)),
        "gym.make": (one, gym.make(asked.env)),
    }
    times = {name: seconds * 1e6 for name, seconds in least(alone, actions, asked.rounds).items()}
    print(
        f"one copy of {asked.env}: bare {times['bare']:.2f} µs a step, checked {times['checked'] - times['bare']:+.2f} "
        f"µs ({times['checked'] / times['bare'] - 1:+.1%}); gym.make, with its own checker, "
        f"{times['gym.make'] - times['bare']:+.2f} µs"
    )
    for count in (16, 64):
        rows = rng.integers(0, make().action_space.n, (asked.steps // 10, count))
        sync = gym.make_vec(
            asked.env,
            count,
            vectorization_mode="sync",
            vector_kwargs={"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP},
        )
        together = {
            "bare": (many, BareBatch([make() for _ in range(count)])),
            "checked": (many, checked_batch([make] * count, asked.env)),
            "sync": (many, sync),
        }
        times = {name: s / count * 1e6 for name, s in least(together, rows, asked.rounds).items()}
        print(
            f"{count} copies: bare loop {times['bare']:.2f} µs a copy and step; checked "
            f"{times['checked'] / times['bare'] - 1:+.1%}; Gymnasium's SyncVectorEnv, which checks nothing, "
            f"{times['sync'] / times['bare'] - 1:+.1%}"
        )
    world = resolve_task("CartPole").vector_env(2)
    print(f"a built-in world steps in {type(world).__name__}, without the boundary")


if __name__ == "__main__":
    main()
