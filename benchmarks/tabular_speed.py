"""Updates per second of the tabular agents on FrozenLake, one core, in this thread's own time.

    python benchmarks/tabular_speed.py [AGENT …]

The last two columns are on all cores by the clock: what 100 learners cost against one (the bar: less than ten times).
"""

from __future__ import annotations

import argparse
import statistics
import time

from inscape.agents.registry import make_agent
from inscape.agents.tabular import base as tabular
from inscape.envs.tasks.resolve import resolve_task

AGENTS = ("q-learning", "double-q-learning", "sarsa", "expected-sarsa", "n-step-sarsa", "monte-carlo", "dyna-q",
          "td-lambda")  # fmt: skip
STEPS = 3_000_000
REPEATS = 3


def seconds(name: str, seeds: int, steps: int, clock) -> float:
    """Returns the median time of `seeds` learners taking `steps` steps each, compilation left out."""
    task, taken = resolve_task("FrozenLake"), []
    for _ in range(REPEATS):
        agent = make_agent(name, task, settings={"seeds": seeds, "report_every": 10**9})
        list(agent.learn(task, 100))
        began = clock()
        list(agent.learn(task, 100 + steps))
        taken.append(clock() - began)
    return statistics.median(taken)


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agents", nargs="*", metavar="AGENT", choices=[*AGENTS, []], help=", ".join(AGENTS))
    chosen = parser.parse_args().agents or AGENTS
    every_core = tabular._cores
    print(
        f"{'':20s} {'1 seed':>10s} {'32 seeds':>10s} {'100 seeds / 1':>14s}   (M updates/s, one core; ratio, all cores)"
    )
    for name in chosen:
        tabular._cores = lambda: 1
        rates = [STEPS / seconds(name, n, STEPS // n, time.thread_time) / 1e6 for n in (1, 32)]
        tabular._cores = every_core
        ratio = seconds(name, 100, STEPS // 30, time.perf_counter) / seconds(name, 1, STEPS // 30, time.perf_counter)
        print(f"{name:20s} {rates[0]:10.1f} {rates[1]:10.1f} {ratio:14.1f}", flush=True)


if __name__ == "__main__":
    main()
