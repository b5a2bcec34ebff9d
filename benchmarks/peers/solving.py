"""What the programs have in common that are asked how soon they solve CartPole and how fast they train.

A program is run in a fresh process for every measurement and prints one line of JSON:

    python agents_sb3.py prepare ppo              load, compile and cache what training needs
    python agents_sb3.py solve ppo SEED           train until solved; the clock starts when all that is prepared
    python agents_sb3.py cold ppo SEED LAUNCHED   the same from the moment LAUNCHED (`time.monotonic()`) on
    python agents_sb3.py speed ppo SECONDS        steps per second of training

Solved is a mean return of 475 over 100 episodes of Gymnasium's own CartPole-v1, played greedily. `Check` looks at the
first chance after every 2,048 steps, with the clock stopped. Needs NumPy and Gymnasium alone: peers have environments
of their own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

EVERY = 2048
EPISODES = 100
BAR = 475.0

Act = Callable[[np.ndarray], Any]
"""Greedy actions `[B]` for observations `[B, 4]`."""


class Check:
    """Stops the clock, looks whether CartPole is solved, and remembers when it was."""

    def __init__(self, seed: int, launched: float) -> None:
        self.began, self.launched = time.monotonic(), launched
        self.solved = False
        self.steps, self.seconds, self.mean = 0, 0.0, float("nan")
        self._seed, self._looked, self._stopped = seed, 0, 0.0

    def __call__(self, steps: int, act: Act, last: bool = False) -> bool:
        """Returns whether it is solved after this many steps; looks only when it is time to, or the last time."""
        if steps // EVERY == self._looked and not (last and steps > self.steps):
            return self.solved
        now = time.monotonic()
        self._looked, self.steps, self.seconds = steps // EVERY, steps, now - self.began - self._stopped
        self.mean = mean_return(act, 10_000 + self._seed)
        self.solved = self.mean >= BAR
        self._stopped += time.monotonic() - now
        return self.solved

    def report(self) -> dict[str, float | bool]:
        """Returns what was found: `seconds` of training, `cold` seconds since the launch, evaluations in neither."""
        before = self.began - self.launched
        return {
            "solved": self.solved, "steps": self.steps, "seconds": self.seconds, "mean": self.mean,
            "cold": before + self.seconds, "before": before,
        }  # fmt: skip


def mean_return(act: Act, seed: int) -> float:
    """Returns the mean return of 100 episodes, each the first of its copy."""
    env = gym.make_vec("CartPole-v1", EPISODES, vectorization_mode="vector_entry_point")
    observation, _ = env.reset(seed=seed)
    returns, alive = np.zeros(EPISODES), np.ones(EPISODES, np.bool_)
    while alive.any():
        observation, reward, terminated, truncated, _ = env.step(np.asarray(act(observation)))
        returns += reward * alive
        alive &= ~(terminated | truncated)
    env.close()
    return float(returns.mean())


class Program(Protocol):
    """Something that learns."""

    def prepare(self) -> None:
        """Loads and compiles what training needs, and throws away what it trained for that."""

    def solve(self, seed: int, check: Check) -> None:
        """Trains; asks `check` after each update, and stops when it says that CartPole is solved."""

    def speed(self, seconds: float) -> float:
        """Returns steps per second of training, measured for about that long once it is under way."""


def answer(programs: Mapping[str, Callable[[], Program]]) -> None:
    """Does what the command line asks for and prints one line of JSON."""
    what, name, *rest = sys.argv[1:]
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what libraries print is no answer
        program = programs[name]()
        found: dict[str, Any] = {}
        if what == "speed":
            found = {"speed": program.speed(float(rest[0]))}
        elif what == "cold":
            check = Check(int(rest[0]), float(rest[1]))
            program.solve(int(rest[0]), check)
            found = check.report()
        else:
            program.prepare()
            if what == "solve":
                check = Check(int(rest[0]), time.monotonic())
                program.solve(int(rest[0]), check)
                found = check.report()
        print(json.dumps(found), file=answers, flush=True)
