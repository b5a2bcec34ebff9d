"""What a trial costs more on a Ray cluster than in worker processes of this machine.

    python benchmarks/ray_overhead.py [--trials 200] [--jobs 2] [--repeats 3]

The same trials (q-learning, 2,000 steps in FrozenLake, numbers only: some milliseconds each) run in both by turns, on a
cluster of this machine's own that is started first. Given are seconds of wall time for all, starts of processes
included on both sides, and the difference for each trial. Needs `pip install "inscape[ray]"`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time

from inscape.errors import UsageError
from inscape.experiments import Experiment, RayEngine
from inscape.experiments.trials.execute import run_trials
from inscape.experiments.trials.ray_engine import STORE_BYTES, require_ray

BAR_MS = 50.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    try:
        ray = require_ray()
    except UsageError as error:
        print(f"not measured: {error}")
        return 3
    experiment = Experiment(
        ["FrozenLake"], ["q-learning"], given.trials, 2000, final_episodes=5, evaluate_every=0, keep="results"
    )
    trials = experiment.trials()
    began = time.perf_counter()
    ray.init(
        "local", num_cpus=given.jobs, include_dashboard=False, object_store_memory=STORE_BYTES, logging_level="ERROR",
        log_to_driver=False,
    )  # fmt: skip
    print(f"a cluster of {given.jobs} processors started in {time.perf_counter() - began:.1f} s")
    times: dict[str, list[float]] = {"local": [], "ray": []}
    scores = []
    for _ in range(given.repeats):
        for name, engine in (("local", None), ("ray", RayEngine("local"))):
            began = time.perf_counter()
            results = run_trials(trials, jobs=given.jobs, engine=engine, verbose=False)
            times[name].append(time.perf_counter() - began)
            scores.append([result.score for result in results])
            print(f"{name:6} {times[name][-1]:6.2f} s for {len(results)} trials, {len(results.failed)} failed")
    ray.shutdown()
    local, there = (statistics.median(times[name]) for name in ("local", "ray"))
    more = 1000 * (there - local) / given.trials
    equal = all(found == scores[0] for found in scores)
    print(
        f"medians: local {local:.2f} s, ray {there:.2f} s ({there / local:.2f} times): {more:+.1f} ms a trial"
        f" (bar {BAR_MS:.0f} ms); scores {'equal' if equal else 'DIFFER'}; load {os.getloadavg()[0]:.1f}"
    )
    return 0 if more <= BAR_MS and equal else 1


if __name__ == "__main__":
    sys.exit(main())
