"""Connect four played one move at a time, uniformly among the legal ones: ours beside PettingZoo's, in one run.

python benchmarks/connect_four_speed.py [--seconds 2] [--repeats 5]

Both are driven by the same loop, the one PettingZoo's documentation shows: `agent_iter`, `last`, `step`. A move is one
step; choosing it (`random.choice` of the mask's columns) is part of the measured time on both sides.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
from collections.abc import Callable
from typing import Any

from pettingzoo.classic.connect_four import connect_four as connect_four_v3
from timing import Measured, print_table, rate

from inscape.envs.registry import aec_env

GAMES = 20  # per call


def play(env: Any) -> Callable[[], int]:
    """Returns a function that plays some games and returns the number of moves."""
    chance = random.Random(0)
    env.reset(seed=0)

    def call() -> int:
        moves = 0
        for _ in range(GAMES):
            env.reset()
            for _agent in env.agent_iter():
                observation, _reward, terminated, truncated, _info = env.last()
                if terminated or truncated:
                    env.step(None)
                    continue
                mask = observation["action_mask"].tolist()
                env.step(chance.choice([column for column, legal in enumerate(mask) if legal]))
                moves += 1
        return moves

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    theirs, ours = play(connect_four_v3.env()), play(aec_env("ConnectFour"))
    # in turn, so that whatever else the machine does falls on both
    rounds: list[tuple[Measured, Measured]] = [
        (rate("", theirs, options.seconds, 1), rate("", ours, options.seconds, 1)) for _ in range(options.repeats)
    ]
    rows = [
        Measured("PettingZoo connect_four_v3.env()", tuple(one.median for one, _ in rounds)),
        Measured('inscape aec_env("ConnectFour")', tuple(two.median for _, two in rounds)),
    ]
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print_table("Connect four, AEC loop, one process", rows, "moves/s", rows[0].name)


if __name__ == "__main__":
    main()
