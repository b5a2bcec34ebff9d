"""Time, memory and page of `inscape report` for a long run.

    python benchmarks/report_size.py [--rows N] [--repeats N]

Makes a run folder of `--rows` rows with the metrics that PPO logs (an evaluation every 1,000 rows) in a temporary
folder, then runs the command on it, each time in a process of its own. Peak memory is that process's largest resident
set. Time is by the clock and of all its threads on the processor.
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

ROWS_PER_EVALUATION = 1000
STEPS_PER_ROW = 2048


def write_run(folder: Path, rows: int) -> None:
    """Writes a run's settings and its metrics."""
    import numpy as np

    from inscape.envs.tasks.resolve import resolve_task
    from inscape.experiments.runs.folders import create_run
    from inscape.experiments.runs.settings import RunSettings
    from inscape.experiments.runs.storage.metrics import METRICS

    task = resolve_task("CartPole").to_json()
    run = create_run(RunSettings("ppo", task, seed=0, steps=rows * STEPS_PER_ROW), folder)
    rng = np.random.default_rng(0)
    with (run.path / METRICS).open("w") as file:
        for row in range(1, rows + 1):
            noise = rng.normal(size=8).tolist()
            progress = row / rows
            metrics = {
                "steps": float(row * STEPS_PER_ROW),
                "explained_variance": progress + 0.1 * noise[0],
                "episode_return": 500 * progress + 20 * noise[1],
                "episode_length": 500 * progress + 20 * noise[2],
                "policy_loss": 0.01 * noise[3],
                "value_loss": 50 * (1 - progress) + noise[4],
                "entropy": 0.7 - 0.4 * progress + 0.01 * noise[5],
                "updates": 48.0,
                "kl": 0.01 * abs(noise[6]),
                "clip_fraction": 0.1 * abs(noise[7]),
                "learning_rate": 3e-4 * (1 - progress),
                "seconds": 0.011 * row + 1e-4 * noise[7],
            }
            file.write(json.dumps(metrics) + "\n")
            if row % ROWS_PER_EVALUATION == 0:
                mean = metrics["episode_return"]
                evaluation = {"return_mean": mean, "return_low": mean - 9, "return_high": mean + 9, "episodes": 10.0}
                logged = {f"evaluation/{key}": value for key, value in evaluation.items()}
                file.write(json.dumps({"steps": metrics["steps"], "seconds": metrics["seconds"], **logged}) + "\n")


def measure(command: list[str]) -> tuple[float, float, float]:
    """Returns seconds by the clock, seconds of CPU and peak memory in MB of a command."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    # Of this one child. It begins as a copy of this process, whose size counts too: nothing large is imported here.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}")
    peak = usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024  # bytes there, kilobytes elsewhere
    return seconds, usage.ru_utime + usage.ru_stime, peak / 1e6


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of metrics, evaluations apart")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)  # the child that makes the run
    given = parser.parse_args()
    if given.write:
        write_run(given.write, given.rows)
        return
    with tempfile.TemporaryDirectory(prefix="inscape-report-") as temporary:
        run, page = Path(temporary) / "run", Path(temporary) / "report.html"
        subprocess.run([sys.executable, __file__, "--write", str(run), "--rows", str(given.rows)], check=True)
        print(f"{given.rows:,} rows, {(run / 'metrics.jsonl').stat().st_size / 1e6:.0f} MB")
        print(f"{'':8s} {'seconds':>9s} {'CPU s':>9s} {'peak MB':>9s} {'page kB':>9s}")
        for repeat in range(1, given.repeats + 1):
            command = [sys.executable, "-m", "inscape", "report", str(run), "--out", str(page)]
            seconds, cpu, peak = measure(command)
            print(f"{repeat:<8d} {seconds:9.2f} {cpu:9.2f} {peak:9.0f} {page.stat().st_size / 1e3:9.0f}", flush=True)


if __name__ == "__main__":
    main()
