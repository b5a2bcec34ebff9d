"""Environment steps per second, ours beside Gymnasium's, in one run.

python benchmarks/env_speed.py [--seconds 2] [--repeats 3]
"""

from __future__ import annotations

import argparse
import math
import os
import platform

import gymnasium as gym
import numba
import numpy as np
from timing import Measured, print_table, rate

import inscape  # registers the ids


def vector(name: str, env: gym.vector.VectorEnv, actions: np.ndarray, options: argparse.Namespace) -> Measured:
    env.reset(seed=0)
    chunk = max(1, 400_000 // env.num_envs)
    position = 0

    def call() -> int:
        nonlocal position
        for _ in range(chunk):
            env.step(actions[position % len(actions)])
            position += 1
        return chunk * env.num_envs

    measured = rate(name, call, options.seconds, options.repeats)
    env.close()
    return measured


def single(name: str, env: gym.Env, options: argparse.Namespace) -> Measured:
    actions = [int(a) for a in np.random.default_rng(0).integers(0, int(env.action_space.n), 4096)]
    env.reset(seed=0)

    def call() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    measured = rate(name, call, options.seconds, options.repeats)
    env.close()
    return measured


def sine_and_cosine(options: argparse.Namespace) -> Measured:
    """The C library's sine and cosine alone, one core: what an exact CartPole step cannot do without."""
    angles = np.random.default_rng(0).uniform(-0.2, 0.2, 16384)

    @numba.njit
    def total(angles: np.ndarray) -> float:
        found = 0.0
        for angle in angles:
            found += math.sin(angle) + math.cos(angle)
        return found

    def call() -> int:
        for _ in range(20):
            total(angles)
        return 20 * len(angles)

    return rate("sine and cosine alone, one thread", call, options.seconds, options.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(
        f"inscape {inscape.__version__}, gymnasium {gym.__version__}, numba {numba.__version__}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores"
    )
    rng = np.random.default_rng(0)
    for copies in (1024, 4096, 16384, 65536):
        actions = rng.integers(0, 2, (64, copies))
        theirs = gym.make_vec("CartPole-v1", copies, vectorization_mode="vector_entry_point")
        ours = gym.make_vec("inscape/CartPole-v0", copies, vectorization_mode="vector_entry_point")
        rows = [
            vector("Gymnasium vector_entry_point", theirs, actions, options),
            vector("Inscape", ours, actions, options),
        ]
        if copies == 16384:
            same = inscape.make_world("CartPole").vector_env(copies, autoreset="same-step")
            one = inscape.make_world("CartPole").vector_env(copies, threads=1)
            rows.append(vector("Inscape, same-step autoreset", same, actions, options))
            rows.append(vector("Inscape, one thread", one, actions, options))
            rows.append(sine_and_cosine(options))
        print_table(f"CartPole, {copies:,} copies", rows, "steps/s", "Gymnasium vector_entry_point")

    rows = [
        single("Gymnasium CartPole-v1", gym.make("CartPole-v1", disable_env_checker=True), options),
        single("Inscape CartPole-v0", gym.make("inscape/CartPole-v0", disable_env_checker=True), options),
    ]
    print_table("CartPole, one environment, checker off", rows, "steps/s", "Gymnasium CartPole-v1")

    actions = rng.integers(0, 4, (64, 16384))
    rows = [
        vector(name, inscape.make_world(name).vector_env(16384), actions % n, options)
        for name, n in (("FrozenLake8x8", 4), ("FourGoals", 4), ("GridWorld", 4))
    ]
    print_table("Grids, 16,384 copies", rows, "steps/s")


if __name__ == "__main__":
    main()
