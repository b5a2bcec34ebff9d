"""Environments whose processes are killed, or hang, while agents learn in them."""

from __future__ import annotations

import gc
import os
import time
from pathlib import Path

from inscape.envs.tasks.processes.workers import Workers
from inscape.envs.tasks.resolve import resolve_task
from inscape.experiments.runs.training import train
from tests.faults.rows import Row, first

FRAGILE = '''
import os, signal, time
import gymnasium as gym
import numpy as np

class Fragile(gym.Env):
    """Ends its process (or hangs) at random, about once in {steps} steps."""
    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {{}}

    def step(self, action):
        self.steps += 1
        if self.np_random.random() < 1 / {steps}:
            {fault}
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), 1.0, self.steps >= 20, False, {{}}
'''
SETTINGS = {"num_envs": 4, "num_steps": 16, "epochs": 1, "hidden": (8,)}


def workers(short: bool, place: Path) -> list[Row]:
    kinds = {
        "killed": ("os.kill(os.getpid(), signal.SIGKILL)", 3 if short else 100),
        "hung": ("time.sleep(1e6)", 1 if short else 20),
    }
    return [_of(kind, fault, count, place) for kind, (fault, count) in kinds.items()]


def _of(kind: str, fault: str, count: int, place: Path) -> Row:
    file = place / f"{kind}.py"
    file.write_text(FRAGILE.format(steps=150, fault=fault))
    restarts, steps, wrong, number = 0, 0, list[str](), 0
    before = _children()
    while restarts < count:
        number += 1
        limits = Workers(2, hang_seconds=0.5, max_restarts=10_000)
        run = train("ppo", resolve_task(f"{file}:Fragile"), 640 if count < 10 else 2560, seed=number, settings=SETTINGS,
                    out=place / f"{kind}-{number}", progress=False, evaluate_every=0, workers=limits)  # fmt: skip
        restarts += limits.restarts
        steps += int(run.metrics()[-1]["steps"])
        if not run.finished:
            wrong.append("a run that did not end")
        told = sum(1 for _ in (run.path / "restarts.jsonl").open()) if limits.faults else 0
        if told != len(limits.faults) or limits.restarts > told:
            wrong.append(f"{limits.restarts} restarts, {told} noted")
        del run  # its agent is ready to go on, and has its copies
        gc.collect()
    deadline = time.monotonic() + 10.0
    while (left := _children() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    wrong += [f"process {pid} is left" for pid in left]
    return Row(f"environment workers {kind}", restarts, len(wrong), "an ended run, a fault not noted, a process left",
               first(wrong, f"{number} trainings, {steps:,} steps"))  # fmt: skip


def _children() -> set[int]:
    """Returns the processes that this one has started and that are not gone."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        if parent == os.getpid():
            found.add(int(process.name))
    return found
