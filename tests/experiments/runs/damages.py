"""What the commands that read a run folder make of a damaged one: what they made of the whole one, or a refusal.

`python -m tests.experiments.runs.damages --count 2000` does that many random damages (flips, cuts, swaps, deletions of
any file of a run), one after the other, and prints what was wrong and how often each command refused.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from inscape.experiments.cli import main
from inscape.experiments.runs.folders import open_run

TRAIN = (
    "train q-learning FourGoals --world.map A.S/.#B --steps 600 --report-every 100 --evaluate-every 300 "
    "--evaluate-episodes 2 --final-episodes 2 --gamma 0.9"
)
"""A map so small that most of a damage's time is not drawing."""
KINDS = ("flip", "flips", "cut", "cut middle", "swap bytes", "swap files", "delete", "repeat", "empty")


class Stopped(Exception):
    """Ends a training in the middle, as a kill does."""


@contextlib.contextmanager
def within(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def make_runs(place: Path) -> None:
    """Makes `runs/whole`, finished, and `runs/half`, killed after a checkpoint at step 300, in `place`."""
    from inscape.envs.tasks.resolve import resolve_task
    from inscape.experiments.runs.training import train

    def stop(agent: Any, metrics: Any) -> None:
        if metrics["steps"] >= 500:
            raise Stopped

    with within(place), contextlib.redirect_stdout(io.StringIO()):
        assert main([*TRAIN.split(), "--out", "runs/whole"]) == 0
        with contextlib.suppress(Stopped):
            train(
                "q-learning", resolve_task("FourGoals", {"map": "A.S/.#B"}), 600, out="runs/half", progress=False,
                checkpoint_steps=300, settings={"report_every": 100, "gamma": 0.9}, evaluate_every=300,
                evaluate_episodes=2, on_yield=stop,
            )  # fmt: skip
        assert main(["watch", "runs/whole/episodes/final.npz", "--save", "runs/whole/final.gif", "--size", "64"]) == 0


def page(place: Path) -> str:
    """What a report shows, without what changes from day to day."""
    return re.sub(r"<dt>made</dt><dd>[^<]*</dd>", "", (place / "report.html").read_text(encoding="utf-8"))


def film(place: Path) -> bytes:
    return (place / "a.gif").read_bytes()


def learned(place: Path) -> str:
    """What a run has come to: its last checkpoint, and its curve without what time it took."""
    run = open_run(place / "runs/half")
    state = run.load_latest()
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]
    with np.printoptions(threshold=sys.maxsize, floatmode="unique"):
        return repr((state, rows))


COMMANDS: dict[str, tuple[str, list[str], Callable[[Path], Any] | None]] = {
    "report": ("whole", ["report", "runs/whole", "--out", "report.html"], page),
    "evaluate": ("whole", ["evaluate", "runs/whole", "--episodes", "2"], None),
    "watch": ("whole", ["watch", "runs/whole", "--save", "a.gif", "--size", "64"], film),
    "watch episodes": ("whole", ["watch", "runs/whole/episodes/final.npz", "--save", "a.gif", "--size", "64"], film),
    "observe": ("whole", ["observe", "runs/whole", "--beta", "5"], None),
    "list": ("whole", ["list", "runs"], None),
    "report of half": ("half", ["report", "runs/half", "--out", "report.html"], page),
    "resume": ("half", ["train", "--resume", "runs/half", "--final-episodes", "0"], learned),
}
"""Name of a command → the run that it reads, its line, and what it makes beside what it prints."""


def outcome(name: str, place: Path) -> tuple[int, Any, str]:
    """Returns how a command ended, what it made, and its errors."""
    _, words, made = COMMANDS[name]
    out, err = io.StringIO(), io.StringIO()
    with within(place), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
        shown = "\n".join(sorted(out.getvalue().splitlines())) if name == "list" else out.getvalue()  # order: by time
        return code, (shown, made(place) if made and code == 0 else None), err.getvalue()


def damage(folder: Path, rng: np.random.Generator) -> str:
    """Damages one file of a run folder, or swaps two, and returns what was done."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file, kind = files[rng.integers(len(files))], str(rng.choice(KINDS))
    data = bytearray(file.read_bytes())
    at, other = sorted(rng.integers(max(1, len(data)), size=2).tolist())
    if kind == "delete":
        file.unlink()
    elif kind == "swap files":
        second = files[rng.integers(len(files))]
        before = second.read_bytes()
        second.write_bytes(data)
        file.write_bytes(before)
        return f"{file.relative_to(folder)} and {second.relative_to(folder)} swapped"
    else:
        if kind in ("flip", "flips") and data:
            for spot in [at] if kind == "flip" else rng.integers(len(data), size=5):
                data[spot] ^= 1 << int(rng.integers(8))
        elif kind == "cut":
            del data[at:]
        elif kind == "cut middle":
            del data[at:other]
        elif kind == "swap bytes" and data:
            data[at], data[other] = data[other], data[at]
        elif kind == "repeat":
            data[at:at] = data[at:other]
        else:
            data.clear()
        file.write_bytes(data)
    return f"{kind} in {file.relative_to(folder)} at {at}"


def expectations(place: Path) -> dict[str, tuple[int, Any, str]]:
    """Returns what each command makes of the whole runs; `runs/half` is put back after it was resumed."""
    kept = place / "kept"
    shutil.copytree(place / "runs", kept)
    try:
        return {name: outcome(name, place) for name in COMMANDS}
    finally:
        shutil.rmtree(place / "runs")
        kept.rename(place / "runs")


def wrong_with(
    place: Path, expected: dict[str, tuple[int, Any, str]], seed: int, refused: Counter[str] | None = None
) -> list[str]:
    """Does one random damage to a copy of the runs and returns what the commands that read it did wrong."""
    rng = np.random.default_rng([seed, 13])
    which = ("whole", "half")[int(rng.integers(2))]
    trial = place / "trial"
    shutil.rmtree(trial, ignore_errors=True)
    shutil.copytree(place / "runs", trial / "runs")
    done = f"seed {seed}: {damage(trial / 'runs' / which, rng)} of {which}"
    wrong = []
    for name, (reads, _, _) in COMMANDS.items():
        if reads != which and name != "list":
            continue
        try:
            code, made, errors = outcome(name, trial)
        except BaseException as error:  # what the command line should have caught
            wrong.append(f"{done}: {name} raised {type(error).__name__}: {error}")
            continue
        if code not in (0, 2) or "Traceback" in errors or (code == 2 and "inscape: " not in errors):
            wrong.append(f"{done}: {name} exited {code}: {errors.strip()[-300:]}")
        elif name == "list":
            if code != 0 or (made != expected[name][1] and f"runs/{which}/" not in made[0]):  # the damaged file, named
                wrong.append(f"{done}: list shows {made[0]}")
        elif code == 0 and made != expected[name][1]:
            wrong.append(f"{done}: {name} was changed in silence")
        if code == 2 and refused is not None:
            refused[name] += 1
    return wrong


def main_of_damages() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    refused: Counter[str] = Counter()
    start, failures = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_runs(place)
        expected = expectations(place)
        for seed in range(given.first, given.first + given.count):
            for line in wrong_with(place, expected, seed, refused):
                failures += 1
                print(line, flush=True)
            if (seed + 1) % 100 == 0:
                print(f"{seed + 1 - given.first} of {given.count}", file=sys.stderr, flush=True)
    print(f"{given.count} damages, {failures} wrong, {time.monotonic() - start:.0f} s; refused: {dict(refused)}")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main_of_damages())
