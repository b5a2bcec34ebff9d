"""Third-party copies in worker processes: steps a second beside Gymnasium's and Stable-Baselines3's, and beside none.

python -m benchmarks.worker_speed [--copies 8] [--workers 2] [--rounds 9] [--steps 50]

Contenders: copies in this process (`--workers 0`), in N workers with observations in shared memory and through pipes,
Gymnasium's AsyncVectorEnv (shared memory) and Stable-Baselines3's SubprocVecEnv, which have a process for each copy.
Environments: steps of 0, 100 and 1,000 µs of a processor's time, with observations of 4 numbers and of 84 × 84 × 12
bytes. All contenders run in one process, in turn, slice by slice; the median over the rounds counts, the best is beside
it: on a machine with other load the best says more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from benchmarks.peers import busy_env
from inscape.envs import resolve_task
from inscape.envs.tasks.processes.workers import Workers

NAME = f"{busy_env.__name__}:Busy-v0"


def contenders(settings: dict[str, Any], copies: int, workers: int) -> dict[str, tuple[Callable[[], Any], Any]]:
    """Returns a function that takes one step of all copies, and what to close, by name."""
    from stable_baselines3.common.vec_env import SubprocVecEnv

    task = resolve_task(NAME, settings)
    actions = np.zeros(copies, np.int64)

    def make() -> Any:
        return gym.make(NAME, **settings, disable_env_checker=True)

    made = {
        "this process (--workers 0)": task.vector_env(copies),
        f"{workers} workers, shared memory": task.in_workers(Workers(workers)).vector_env(copies),
        f"{workers} workers, pipes": task.in_workers(Workers(workers, shared_memory=False)).vector_env(copies),
        f"{copies} workers, shared memory": task.in_workers(Workers(copies)).vector_env(copies),
        f"AsyncVectorEnv ({copies} processes)": gym.vector.AsyncVectorEnv(
            [make] * copies, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP
        ),
    }
    found: dict[str, tuple[Callable[[], Any], Any]] = {}
    for name, env in made.items():
        env.reset(seed=0)
        found[name] = (lambda env=env: env.step(actions)), env
    theirs = SubprocVecEnv([make] * copies)
    theirs.reset()
    found[f"SubprocVecEnv ({copies} processes)"] = (lambda: theirs.step(actions)), theirs
    return found


def main() -> None:
    """Prints a table for each environment."""
    parser = argparse.ArgumentParser()
    for name, default in (("copies", 8), ("workers", 2), ("rounds", 9), ("steps", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    print(f"{given.copies} copies, {given.rounds} rounds of {given.steps} steps; load {os.getloadavg()[0]:.1f}")
    for microseconds in (0, 100, 1000):
        for pixels in (0, 84):
            settings = {"microseconds": float(microseconds), "pixels": pixels}
            rows = contenders(settings, given.copies, given.workers)
            rates: dict[str, list[float]] = {name: [] for name in rows}
            for _ in range(given.rounds + 1):
                for name, (step, _) in rows.items():
                    begun = time.perf_counter()
                    for _ in range(given.steps):
                        step()
                    rates[name].append(given.copies * given.steps / (time.perf_counter() - begun))
            for _, env in rows.values():
                env.close()
            seen = f"{pixels} × {pixels} × 12 bytes" if pixels else "4 numbers"
            print(f"\nsteps of {microseconds} µs, observations of {seen}: steps/s, median and best")
            for name, found in rates.items():
                print(f"  {name:34s} {statistics.median(found[1:]):10,.0f} {max(found[1:]):10,.0f}")


if __name__ == "__main__":
    main()
