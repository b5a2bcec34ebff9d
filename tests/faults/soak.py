"""A soak: one process trains, saves, loads, evaluates, records and reports, round after round; does its memory grow?

Before each measurement garbage is collected and freed memory handed back to the system (`malloc_trim`), so that what is
measured is what is held. The slope is that of a line through the means of blocks of a minute, since neighbouring
measurements are not independent; its interval is Student's.

Kernels are compiled from the start: by default each is once it has run long enough as plain Python, one of them after
some 1,500 rounds, and takes 4 MB then, once. A line through half an hour with one such step in it has a slope.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats

from tests.faults.rows import Row

BOUND = 8.0
"""MB an hour: the most that the upper end of the slope's interval may be."""
CYCLE = 12
"""Rounds: four jobs with three seeds each."""
BLOCK = 60.0
"""Seconds that are averaged to one point of the line."""


def resident() -> float:
    """Returns the megabytes (10^6 bytes) that the process has in memory."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    found = _kilobytes(Path("/proc/self/smaps_rollup"))  # counted page by page; what `statm` says is not exact
    return found["Rss"] * 1024 / 1e6


def _kilobytes(path: Path) -> dict[str, int]:
    """Returns the numbers of a file of lines `Name: NUMBER kB`."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0].removesuffix(":"): int(words[1]) for words in lines if words[-1] == "kB"}


def round_of_work(place: Path, number: int) -> None:
    """Does once what users do all day. After `CYCLE` rounds it does the same again, to the last number: what a round
    needs that none before it did must not look like growth."""
    from inscape.agents import make_agent
    from inscape.agents.rollout import rollout
    from inscape.envs.tasks.resolve import resolve_task
    from inscape.experiments import evaluate, load_agent, open_run, report_for_runs, train

    small = {"num_envs": 4, "num_steps": 16, "epochs": 1, "hidden": (8,)}
    jobs: list[tuple[str, str, int, dict[str, Any]]] = [
        ("q-learning", "FrozenLake", 2000, {}),
        ("ppo", "CartPole", 512, small),
        ("dqn", "CartPole", 256, {"backend": "torch", "learning_starts": 64, "hidden": (8,), "buffer_size": 200}),
        ("sb3:ppo", "CartPole-v1", 128, {"num_envs": 4, "num_steps": 16, "batch_size": 16, "epochs": 1}),
    ]
    agent, world, steps, settings = jobs[number % len(jobs)]
    seed = number % CYCLE // len(jobs)
    out = place / "run"
    shutil.rmtree(out, ignore_errors=True)
    train(agent, resolve_task(world), steps, seed=seed, out=out, settings=settings, progress=False)
    trained, task = load_agent(out)
    run = open_run(out)
    run.save_episodes("final", rollout(trained, task, 2, seed=seed))
    evaluate(trained, task, episodes=4)
    run.metrics()
    report_for_runs([out], place / "report.html")
    envs = resolve_task("FourGoals").vector_env(16)
    acting = make_agent("random", resolve_task("FourGoals"))
    observations, _ = envs.reset(seed=seed)
    for _ in range(50):
        observations, *_ = envs.step(acting.act(observations))
    envs.close()


def slope_of(seconds: np.ndarray, megabytes: np.ndarray) -> tuple[float, float, float]:
    """Returns MB an hour, and the ends of the 95 % interval, of a line through the means of blocks.

    Args:
        seconds: `[N]` times of the measurements.
        megabytes: `[N]` measurements; at least three blocks.
    """
    block = ((seconds - seconds[0]) // BLOCK).astype(int)
    numbers = np.unique(block)
    x = np.array([seconds[block == n].mean() for n in numbers]) / 3600
    y = np.array([megabytes[block == n].mean() for n in numbers])
    line = scipy.stats.linregress(x, y)
    half = float(scipy.stats.t.ppf(0.975, len(x) - 2) * line.stderr)
    return float(line.slope), float(line.slope) - half, float(line.slope) + half


def soak(short: bool, place: Path, warming: float | None = None, lasting: float | None = None) -> list[Row]:
    """Runs 30 minutes, of which 5 are warming; 4 and 1 minutes in the short form.

    Args:
        short: the short form.
        place: an empty folder.
        warming, lasting: seconds, in place of these.
    """
    warming = (60.0 if short else 300.0) if warming is None else warming
    lasting = (240.0 if short else 1800.0) if lasting is None else lasting
    os.environ.setdefault("INSCAPE_KERNELS", "compiled")  # of this process, in which it is the last group
    began, number = time.monotonic(), 0
    found: list[tuple[float, float]] = []
    while (now := time.monotonic() - began) < lasting:
        round_of_work(place, number)
        number += 1
        if number % CYCLE == 0:
            found.append((now, resident()))
            if number % (10 * CYCLE) == 0:
                print(f"soak: {now:.0f} s, {number} rounds, {found[-1][1]:.1f} MB", file=sys.stderr, flush=True)
    seconds, megabytes = np.array(found).T
    (place / "soak.json").write_text(json.dumps(found))
    kept = seconds >= warming
    slope, low, high = slope_of(seconds[kept], megabytes[kept])
    note = (
        f"{slope:+.2f} MB/h [{low:+.2f}, {high:+.2f}] around {megabytes[kept].mean():.0f} MB, {number} rounds in "
        f"{lasting / 60:.0f} minutes after {warming / 60:.0f} of warming"
    )
    bound = f"slope of resident memory above 0 by its 95 % interval, or that interval's end above {BOUND:.0f} MB/h"
    # a few minutes cannot tell 8 MB an hour: the short form asks whether there is a leak of what a round allocates
    wrong = low > (60.0 if short else 0.0) or (not short and high > BOUND)
    return [Row("soak: rounds of training, saving, loading, evaluating, reporting", number, int(wrong), bound, note)]
