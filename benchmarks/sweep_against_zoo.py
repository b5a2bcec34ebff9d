"""Sweeps of PPO against rl_zoo3 with Optuna, at equal wall time, in worlds for which no settings come with Inscape.

    python -m benchmarks.sweep_against_zoo --zoo PYTHON [--worlds CliffWalking Taxi Acrobot] [--minutes 3]
        [--steps 50000] [--seeds 5]

`PYTHON` is that of an environment with `rl_zoo3` and Inscape. In each world both sides search for the same minutes,
side by side (other work on the machine slows both), one process and one thread each, every trial as long as the others;
then each trains what it found with the same fresh seeds for as many steps, and 100 episodes of every policy are
evaluated by `inscape.experiments.evaluate`, the zoo's acting greedily, as it was tuned. Inscape's minutes include its
confirmation, for which the zoo has no counterpart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from inscape.experiments import evaluate, probability_of_improvement, sweep, train
from inscape.experiments.runs.statistics import bootstrap_interval

PEER = Path(__file__).with_name("peers") / "zoo_sweep.py"
FIRST_SEED = 5000
"""The first of the seeds that what was found is trained with: none that a search or confirmation uses."""


def ours(world: str, steps: int, minutes: float, seeds: int) -> dict[str, Any]:
    """Sweeps, and trains what was found and the defaults with fresh seeds."""
    began = time.monotonic()
    found = sweep("ppo", world, minutes=minutes, steps=steps, jobs=1, verbose=False)
    document: dict[str, Any] = {
        "seconds": time.monotonic() - began, "complete": found.complete, "pruned": found.pruned,
        "settings": str(found.settings),
    }  # fmt: skip
    for name, settings in (("scores", found.settings), ("defaults", {})):
        document[name] = []
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            run = train("ppo", world, steps, seed=seed, settings=settings or None, evaluate_every=0, verbose=False)
            document[name].append(evaluate(run, episodes=100, seed=seed).mean)
    return document


def sides(commands: dict[str, list[str]], folder: Path) -> dict[str, dict[str, Any]]:
    """Runs both sides at once, each in a process of its own; returns what they wrote, with their processor time."""
    running = {}
    for name, command in commands.items():
        timed = [sys.executable, "-c", TIMED, str(folder / f"{name}.cpu"), *command]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        running[name] = subprocess.Popen([*timed, "--out", str(folder / f"{name}.json")], env=environment)
    found = {}
    for name, one in running.items():
        if one.wait():
            raise SystemExit(f"{name} failed")
        found[name] = json.loads((folder / f"{name}.json").read_text())
        found[name]["cpu"] = float((folder / f"{name}.cpu").read_text())
    return found


TIMED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
open(sys.argv[1], "w").write(str(used.ru_utime + used.ru_stime))
sys.exit(code)
"""
"""Runs a command and writes the processor time of it and of its processes."""


def row(name: str, document: dict[str, Any], scores: list[float]) -> str:
    interval = bootstrap_interval(np.array(scores))
    trials = f"{document['complete']} + {document['pruned']} pruned" if name != "defaults" else ""
    return (
        f"| {name} | {np.mean(scores):.2f} | {interval.low:.2f} to {interval.high:.2f} | {trials} | "
        f"{document['seconds']:.0f} | {document['cpu']:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", help="python of an environment with rl_zoo3 and Inscape")
    parser.add_argument("--worlds", nargs="+", default=["CliffWalking", "Taxi", "Acrobot"])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        given.out.write_text(json.dumps(ours(given.side, given.steps, given.minutes, given.seeds)))
        return
    if not given.zoo:
        parser.error("--zoo PYTHON: an environment with rl_zoo3==2.9.2 and Inscape")
    numbers = ["--steps", str(given.steps), "--seeds", str(given.seeds)]
    print(f"{given.minutes:g} minutes a side, {given.steps:,} steps a trial, {given.seeds} fresh seeds")
    for world in given.worlds:
        print(f"\n**{world}** (load {os.getloadavg()[0]:.1f})\n\n"
              "| what | mean return | 95 % interval | trials | seconds searched | CPU s, final training included |\n"
              "|---|---:|---|---:|---:|---:|", flush=True)  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
            own = [sys.executable, __file__, "--side", world, "--minutes", str(given.minutes), *numbers]
            peer = [given.zoo, str(PEER), world, "--seconds", str(60 * given.minutes), *numbers]
            both = sides({"inscape": own, "zoo": peer}, Path(folder))
        mine, zoo = both["inscape"], both["zoo"]
        print(row("`inscape sweep`", mine, mine["scores"]), flush=True)
        print(row("defaults", mine, mine["defaults"]))
        print(row("rl_zoo3 + Optuna", zoo, zoo["scores"]))
        for name, scores in (("defaults", mine["defaults"]), ("rl_zoo3", zoo["scores"])):
            better = probability_of_improvement(np.array(mine["scores"]), np.array(scores))
            print(f"\nP(found better than {name}) = {better:.2f}")
        print(f"\nfound: {mine['settings']}\n\nrl_zoo3: {zoo['settings']}", flush=True)


if __name__ == "__main__":
    main()
