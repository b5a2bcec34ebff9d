"""SIGKILLs at random moments of training, saving and experiments: what is left loads, at most one interval is lost, and
what is resumed ends as what was never killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.run import Run
from inscape.experiments.trials.results import ResultsFile
from tests.experiments.runs.kills import Lives
from tests.experiments.runs.storage.test_checkpoints import assert_same
from tests.experiments.runs.test_kills import MOST_ATTEMPTS, job, kill_often, require_same_end, whole_life
from tests.faults.rows import Row, first

AGENTS = ("q-learning", "ppo", "dqn", "sac", "reinforce", "sb3:ppo")
MORE: dict[str, dict[str, Any]] = {
    "best model kept, stopped early": {"keep_best": True, "patience": 12},
    "curricula": {"curriculum": {"slip": {"low": 0.0, "high": 0.4}}, "world": "FrozenLake"},
}
"""What else a run may do while it learns, each tried with `MORE_AGENTS`."""
MORE_AGENTS = ("q-learning", "ppo")
EXPERIMENT = """
worlds = ["FrozenLake", {name = "FrozenLake", slip = 0.1, label = "dry"}]
agents = ["q-learning", {name = "sarsa", learning_rate = 0.3}]
seeds = 8
steps = 120_000
final_episodes = 20
evaluate_every = 60_000
"""


class Watched(Lives):
    """Lives after each of which the run is loaded, and what it lost is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.kills, self.unloadable, self.lost = 0, list[str](), 0

    def live(self, job: Mapping[str, Any], kill: Mapping[str, Any] | None = None) -> dict[str, Any]:
        found = super().live(job, kill)
        if kill is not None and found["killed"]:
            self.kills += 1
            self._look(Path(job["out"]))
        return found

    def _look(self, folder: Path) -> None:
        if not (folder / "settings.json").exists():
            return  # killed before it was made
        try:
            run = open_run(folder)
            latest = run.load_latest()
            steps = -1 if latest is None else latest[1]["steps"]
            after = {row["steps"] for row in run.metrics() if row["steps"] > steps}
        except UsageError as error:
            self.unloadable.append(str(error))
            return
        self.lost = max(self.lost, len(after - {0.0}))


def kills(short: bool, place: Path) -> list[Row]:
    rows = []
    for agent in AGENTS[:2] if short else AGENTS:
        rows.append(_of_training(agent, 4 if short else 25, place / agent.replace(":", "-")))
    for name, options in MORE.items():
        for agent in MORE_AGENTS[: 1 if short else None]:
            each = {**job(agent), **options}
            each["evaluate_every"] = each["steps"] // 40 if "keep_best" in options else each["evaluate_every"]
            folder = place / f"{name.split()[0]}-{agent}"
            rows.append(_of_training(agent, 4 if short else 25, folder, each, f"{agent}, {name}"))
    return rows


def experiments(short: bool, place: Path) -> list[Row]:
    return [_of_experiments(3 if short else 50, place / "experiments")]


def _of_training(
    agent: str, count: int, place: Path, what: Mapping[str, Any] | None = None, label: str | None = None
) -> Row:
    lives, what = Watched(), job(agent) if what is None else what
    rng, wrong = np.random.default_rng(sum(agent.encode())), list[str]()
    while_saving = attempts = 0
    try:
        whole = whole_life(lives, what, place / "whole")
        while lives.kills < count and attempts < MOST_ATTEMPTS:
            attempts += 1
            out = place / f"killed-{attempts}"
            found = kill_often(lives, what, out, count - lives.kills, rng, whole)
            while_saving += found["while_saving"]
            try:
                require_same_end(open_run(place / "whole"), open_run(out))
                _require_same_best(open_run(place / "whole"), open_run(out))
            except AssertionError as error:
                wrong.append(f"another end: {str(error)[:100]}")
    finally:
        lives.close()
    wrong += lives.unloadable
    if lives.lost > 1:
        wrong.append(f"{lives.lost} intervals lost at once")
    note = f"{while_saving} while saving; at most {lives.lost} interval lost"
    return Row(f"kills in training and saving: {label or agent}", lives.kills, len(wrong),
               "an unloadable run, more than one interval lost, other weights", first(wrong, note))  # fmt: skip


def _require_same_best(whole: Run, killed: Run) -> None:
    """Raises AssertionError unless both keep the same best model, or none."""
    assert whole.best_evaluation() == killed.best_evaluation()
    if whole.best_evaluation() is not None:
        left, right = whole.best.load_latest(), killed.best.load_latest()
        assert left is not None and right is not None
        assert_same(left[0], right[0])


def _of_experiments(count: int, place: Path) -> Row:
    place.mkdir(parents=True)
    (place / "lake.toml").write_text(EXPERIMENT)
    whole = place / "whole"
    _command(place, whole).wait(600)
    expected = _scores(whole)
    rng, wrong, done, number = np.random.default_rng(7), list[str](), 0, 0
    while done < count:
        number += 1
        out, before = place / f"killed-{number}", 0
        while done < count:
            running = _command(place, out)
            try:
                running.wait(float(rng.uniform(2.0, 9.0)))
                break
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
            done += 1
            found = _scores(out)
            wrong += [f"{key} differs" for key, score in found.items() if expected[key] != score]
            if len(found) < before:
                wrong.append(f"{before - len(found)} finished trials lost")
            before = len(found)
        _command(place, out).wait(600)
        if _scores(out) != expected:
            wrong.append("another end")
    deadline = time.monotonic() + 10.0
    while (left := _workers(place)) and time.monotonic() < deadline:
        time.sleep(0.2)
    wrong += [f"worker process {pid} is left" for pid in left]
    return Row("kills of experiments, with their two workers or without", done, len(wrong),
               "a finished trial lost or run again, another result, a process left", first(wrong))  # fmt: skip


def _command(place: Path, out: Path) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "inscape", "run", str(place / "lake.toml"), "--out", str(out), "--jobs", "2"]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)


def _scores(out: Path) -> dict[str, Any]:
    """Returns what came of the finished trials."""
    found = ResultsFile(out).read()
    return {i: (r.score, r.returns, r.curve) for i, r in found.items() if r.finished}


def _workers(place: Path) -> list[int]:
    """Returns the processes that have an experiment's folder among their open files or in their command."""
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            folder = os.readlink(process / "cwd")
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(place).encode() in line or folder.startswith(str(place)):
            left.append(int(process.name))
    return left
