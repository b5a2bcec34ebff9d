"""A world that plain training does not learn: alone, with tasks drawn uniformly, and with tasks drawn by progress.

    python -m benchmarks.curriculum [lock|doors] [--seeds 10] [--steps N]

`lock`: q-learning in `examples/lock.py` of twelve digits, curriculum over its length 1 to 12. `doors`: ppo in DoorKey
8 × 8, curriculum over its size 5 to 8. Evaluated in the largest alone, over 100 episodes; intervals of the mean over
seeds (bootstrap, 95 %). Prints a table, and the probability that progress does better (Mann–Whitney).
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from inscape.envs import Curriculum, resolve_task
from inscape.experiments import evaluate, probability_of_improvement, train
from inscape.experiments.runs.statistics import bootstrap_interval

LOCK = str(Path(__file__).parents[1] / "examples" / "lock.py") + ":Lock"
JOBS: dict[str, dict[str, Any]] = {
    "lock": {
        "agent": "q-learning", "task": (LOCK, {}), "steps": 50_000, "tasks": {"length": range(1, 13)},
        "settings": {"epsilon_fraction": 0.3},
    },
    "doors": {
        "agent": "ppo", "task": ("DoorKey", {"size": 8}), "steps": 400_000, "tasks": {"size": [5, 6, 7, 8]},
        "settings": {"num_envs": 16, "num_steps": 128, "hidden": [64, 64], "entropy_coef": 0.01, "backend": "torch"},
    },
}  # fmt: skip
HOW = ("alone", "learning-progress", "uniform")


def score(job: dict[str, Any], how: str, seed: int, steps: int) -> float:
    """Returns the mean return in the largest setting, after training."""
    task = resolve_task(*job["task"])
    curriculum = None if how == "alone" else Curriculum(job["tasks"], teacher=how)
    run = train(
        job["agent"], task, steps, seed=seed, settings=job["settings"], curriculum=curriculum, evaluate_every=0,
        verbose=False,
    )  # fmt: skip
    return evaluate(run, task, episodes=100, seed=seed).mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", nargs="?", default="lock", choices=list(JOBS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    job = JOBS[given.job]
    steps = given.steps or job["steps"]
    print(f"{given.job}: {job['agent']}, {steps:,} steps, {given.seeds} seeds; load {os.getloadavg()[0]:.1f}\n")
    print("| tasks | mean return | 95 % interval | best, worst | CPU s a seed |\n|---|---:|---|---|---:|")
    found: dict[str, np.ndarray] = {}
    for how in HOW:
        began = time.process_time()
        scores = np.array([score(job, how, seed, steps) for seed in range(given.seeds)])
        seconds = (time.process_time() - began) / given.seeds
        found[how], interval = scores, bootstrap_interval(scores)
        ends = f"{scores.max():.3f}, {scores.min():.3f}"
        print(f"| {how} | {scores.mean():.3f} | {interval.low:.3f} to {interval.high:.3f} | {ends} | {seconds:.1f} |",
              flush=True)  # fmt: skip
    for how in ("alone", "uniform"):
        better = probability_of_improvement(found["learning-progress"], found[how])
        print(f"\nP(learning-progress better than {how}) = {better:.3f}")


if __name__ == "__main__":
    main()
