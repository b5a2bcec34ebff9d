"""Sweeps of PPO in worlds without presets: what is found against the defaults, on seeds that the sweep never saw.

    python benchmarks/sweep_speed.py [--worlds CliffWalking MountainCar Acrobot] [--minutes 5] [--jobs 2] [--steps N]

Each world: `sweep("ppo", world, minutes=…)`, then the defaults and what was found are trained with ten more seeds, and
compared by the mean return of 100 episodes: mean over seeds, and how probable it is that the found settings do better.
"""

from __future__ import annotations

import argparse
import os
import time

from inscape.experiments import AgentSpec, Experiment, compare, sweep

UNSEEN = range(5000, 5010)
"""Seeds that neither the search (0, 1, …) nor its confirmation (1000, 1001, …) trains with."""


def main() -> None:
    """Runs the sweeps and prints a line for each world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", nargs="+", default=["CliffWalking", "MountainCar", "Acrobot"])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=None)
    given = parser.parse_args()
    for world in given.worlds:
        began = time.monotonic()
        found = sweep("ppo", world, minutes=given.minutes, jobs=given.jobs, steps=given.steps, verbose=False)
        minutes = (time.monotonic() - began) / 60
        agents = [AgentSpec("ppo", {}, "defaults"), AgentSpec("ppo", found.settings, "found")]
        results = Experiment(
            worlds=[world], agents=agents, seeds=list(UNSEEN), steps=found.steps, evaluate_every=0, keep="results"
        ).run(jobs=given.jobs, verbose=False)  # fmt: skip
        means = {label: results.scores(results.worlds[0], label) for label in ("defaults", "found")}
        shown = {label: sum(by.values()) / len(by) for label, by in means.items()}
        wins = sum(means["found"][seed] > means["defaults"][seed] for seed in UNSEEN)
        print(
            f"{world}: {found.complete} complete, {found.pruned} pruned, {found.failed} failed in {minutes:.1f} min; "
            f"defaults {shown['defaults']:.1f}, found {shown['found']:.1f}, better with {wins} of {len(UNSEEN)} seeds "
            f"(load {os.getloadavg()[0]:.1f}): {found.settings}",
            flush=True,
        )
        print(compare(results), flush=True)


if __name__ == "__main__":
    main()
