"""Time of `inscape list runs` for 100 runs of 10⁶ rows each.

    python benchmarks/list_runs.py [--runs 100] [--rows 1000000]

The command runs in a fresh process, its start included. The runs share one file of metrics (hard links), half of them
have an evaluation at the end, the others are unfinished: their score is sought in the metrics.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from inscape import train
from inscape.experiments import open_run
from inscape.experiments.runs.storage.metrics import METRICS


def make_runs(place: Path, runs: int, rows: int) -> None:
    """Makes run folders below `place/runs`."""
    unfinished, finished = (place / "bases" / name for name in ("unfinished", "finished"))
    run = train("q-learning", "FrozenLake", 2000, out=unfinished, evaluate_episodes=2, verbose=False)
    shutil.copytree(unfinished, finished)
    open_run(finished).write_evaluation({"mean": 0.5, "low": 0.4, "high": 0.6, "episodes": 100, "seed": 0})
    assert run.evaluation() is None
    metrics = place / METRICS
    with metrics.open("w") as file:
        for row in range(rows):
            steps = 2000 * (row + 1) / rows
            file.write(f'{{"steps": {steps:.3f}, "epsilon": 0.1, "td_error": 0.012345, "seconds": {row / 1000}}}\n')
            if row % (rows // 10) == rows // 20:
                file.write(
                    f'{{"steps": {steps:.3f}, "seconds": {row / 1000}, "evaluation/return_mean": {row / rows}}}\n'
                )
    for number in range(runs):
        folder = place / "runs" / f"run-{number:03d}"
        base = unfinished if number % 2 else finished
        shutil.copytree(base, folder, ignore=shutil.ignore_patterns(METRICS))
        os.link(metrics, folder / METRICS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        make_runs(Path(place), given.runs, given.rows)
        size = (Path(place) / METRICS).stat().st_size
        times = []
        for options in ([], ["--sort", "score", "--limit", "10"], ["--world", "FrozenLake", "--agent", "q-learning"]):
            command = [sys.executable, "-m", "inscape", "list", "runs", *options]
            began, cpu = time.perf_counter(), os.times()
            shown = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout
            after = os.times()
            spent = after.children_user + after.children_system - cpu.children_user - cpu.children_system
            times.append((time.perf_counter() - began, spent, len(shown.splitlines()) - 3, " ".join(options)))
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {given.runs} runs of {given.rows:,} rows, "
          f"{size / 1e6:.0f} MB each")  # fmt: skip
    for seconds, cpu_seconds, lines, options in times:
        print(f"inscape list runs {options}: {seconds:.2f} s ({cpu_seconds:.2f} s of processor time), {lines} lines")


if __name__ == "__main__":
    main()
