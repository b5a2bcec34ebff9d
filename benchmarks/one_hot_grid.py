"""What a step of PPO costs in empty grids of 10² to 200² cells, observed as the number of the cell (one-hot features).

python benchmarks/one_hot_grid.py [--sides 10 32 100 200] [--seconds 2] [--repeats 3] [--starts corner anywhere]

The compiled learner with its default settings (16 copies × 128 steps, 10 epochs of 8 minibatches, 64 × 64 tanh), acting
and learning together, once everything is compiled. `corner`: episodes start in one corner, the goal is in the other.
`anywhere`: they start in any cell, so that most cells an agent sees were last updated long ago. The grids take turns. A
figure is the median of the repeats, in this thread's own time (BLAS has one thread); "growth" is its ratio to that of
the smallest grid.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from typing import Any

from inscape.agents.registry import make_agent
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task

FOREVER = 10**12
"""Environment steps the learning rate is annealed over: it never gets there."""


def empty_grid(side: int, starts: str) -> Task:
    """Returns a grid of side² cells without walls, with its goal in the last corner."""
    inside = "S" if starts == "anywhere" else "."
    text = "S" + inside * (side * side - 2) + "G"
    return resolve_task("GridWorld", {"map": [text[row * side : (row + 1) * side] for row in range(side)]})


def microseconds(learning: Iterator[Any], seconds: float) -> float:
    """Returns µs per environment step over whole rounds of at least so many seconds."""
    first = last = next(learning)["steps"]
    start = time.thread_time()
    while (spent := time.thread_time() - start) < seconds or first == last:
        last = next(learning)["steps"]
    return spent * 1e6 / (last - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[10, 32, 100, 200], help="rows (and columns) of grids")
    parser.add_argument("--starts", nargs="+", default=["corner", "anywhere"], choices=["corner", "anywhere"])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--warm", type=int, default=65_536, help="environment steps before the first measurement")
    options = parser.parse_args()
    for starts in options.starts:
        runs: dict[int, Iterator[Any]] = {}
        found: dict[int, list[float]] = {side: [] for side in options.sides}
        for side in options.sides:
            task = empty_grid(side, starts)
            agent = make_agent("ppo", task, settings={"backend": "compiled"})
            runs[side] = agent.learn(task, FOREVER)
            while next(runs[side])["steps"] < options.warm:
                pass
        for _ in range(options.repeats):
            for side, learning in runs.items():
                found[side].append(microseconds(learning, options.seconds))
        print(f"\nPPO, empty grid, starts: {starts}")
        print(f"{'cells':>10s} {'µs per step':>12s} {'range':>20s} {'growth':>8s}")
        base = statistics.median(found[options.sides[0]])
        for side, times in found.items():
            median, span = statistics.median(times), f"{min(times):,.1f} – {max(times):,.1f}"
            print(f"{side * side:10,d} {median:12,.1f} {span:>20s} {median / base:8.2f}", flush=True)


if __name__ == "__main__":
    main()
