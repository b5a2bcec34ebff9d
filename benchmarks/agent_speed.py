"""How soon agents solve CartPole and how fast they train, ours beside others', in one run; and the bars, met or not.

python benchmarks/agent_speed.py [--jax-python PYTHON] [--only TABLE …] [--seeds 10] [--rounds 3] [--quick]

Every measurement is a process of its own (`peers/agents_*.py`, which say what they do); those of one table take turns,
and figures are medians. Solved is a mean return of 475 over 100 greedy episodes of Gymnasium's CartPole-v1, looked at
after every 2,048 steps with the clock stopped. What is not installed, or fails, is left out, and said so.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from env_speed import PEERS, Bars, busy, print_rows

QUICK = {"seeds": 2, "rounds": 1, "seconds": 1.0}
LIMIT = 600  # seconds a process may take


@dataclass
class Entrant:
    """One row of a table.

    Attributes:
        label: what it is called there.
        python: the interpreter that has it.
        script: a program of `peers/`.
        name: which of the things it can do.
        environment: environment variables of its own.
        found: what its runs answered.
        missing: why it is left out, if it is.
    """

    label: str
    python: str
    script: str
    name: str
    environment: dict[str, str] = field(default_factory=dict)
    found: list[dict[str, Any]] = field(default_factory=list)
    missing: str = ""

    def run(self, what: str, *words: object) -> None:
        """Asks it once; after a failure it is not asked again."""
        if not self.python:
            self.missing = "give --jax-python, an interpreter that has it (make bench)"
        if self.missing:
            return
        command = [self.python, str(PEERS / self.script), what, self.name, *map(str, words)]
        environment = {**os.environ, **self.environment}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environment)
        except subprocess.TimeoutExpired:
            self.missing = f"not done after {LIMIT} s"
            return
        if done.returncode:
            self.missing = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        elif what != "prepare":
            self.found.append(json.loads(done.stdout.splitlines()[-1]))

    def values(self, key: str) -> list[float]:
        """Returns a figure of every run; infinite where CartPole was to be solved and was not."""
        return [run[key] if run.get("solved", True) else math.inf for run in self.found]

    def median(self, key: str) -> float:
        return statistics.median(self.values(key)) if self.found and not self.missing else math.nan

    @property
    def solved(self) -> int:
        return sum(run["solved"] for run in self.found)


class Table:
    """Rows measured in turns.

    Args:
        options: the command line's.
        cache: folder in which JAX keeps what it compiled.
    """

    def __init__(self, options: argparse.Namespace, cache: str) -> None:
        self.options = options
        self._kept = {
            "JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }  # fmt: skip
        self.rows: list[Entrant] = []

    def ours(self, label: str, name: str) -> Entrant:
        return self._add(Entrant(label, sys.executable, "agents_inscape.py", name))

    def sb3(self, label: str, name: str) -> Entrant:
        return self._add(Entrant(label, sys.executable, "agents_sb3.py", name))

    def jax(self, label: str, kept: bool = True) -> Entrant:
        kept_where = self._kept if kept else {}
        return self._add(Entrant(label, self.options.jax_python or "", "agents_jax.py", "ppo", kept_where))

    def _add(self, row: Entrant) -> Entrant:
        self.rows.append(row)
        return row

    def run(self, what: str, counts: Sequence[int], *words: object, timed: bool = False) -> None:
        """Asks row k `counts[k]` times, in turns; with the number of the turn where `words` has "seed"."""
        for turn in range(max(counts)):
            for row, count in zip(self.rows, counts, strict=True):
                if turn < count:
                    given = [turn if word == "seed" else word for word in words]
                    row.run(what, *given, *([time.monotonic()] if timed else []))
                    print(f"  {row.label}: {row.missing or row.found[-1]}", file=sys.stderr, flush=True)

    def prepare(self) -> None:
        """Runs everything once, so that what can be kept on disk is."""
        for row in self.rows:
            row.run("prepare")

    def print(self, title: str, head: Sequence[str], cells: dict[str, Sequence[str]]) -> None:
        print(f"\n{title}")
        width = len(head) - 1
        found = [(row.label, *(cells[row.label] if not row.missing else [""] * width)) for row in self.rows]
        print_rows(head, found)
        for row in self.rows:
            if row.missing:
                print(f"{row.label} is left out: {row.missing}")


def number(value: float, digits: int = 2) -> str:
    return "–" if math.isnan(value) else "not solved" if math.isinf(value) else f"{value:,.{digits}f}"


def span(values: Sequence[float], digits: int = 2) -> str:
    return f"{number(min(values), digits)} – {number(max(values), digits)}" if values else ""


def quotient(one: float, other: float) -> float:
    """Returns one / other, and NaN where either is unknown or never came."""
    return one / other if math.isfinite(one) and math.isfinite(other) and other > 0 else math.nan


def solve(bars: Bars, table: Table) -> None:
    """Seconds of training until CartPole is solved: kernels loaded and compiled before."""
    seeds, rounds = table.options.seeds, table.options.rounds
    ours, dqn = table.ours("Inscape PPO", "ppo"), table.ours("Inscape DQN", "dqn")
    tuned = table.sb3("SB3 PPO, tuned", "ppo")
    table.sb3("SB3 PPO, defaults", "ppo-default")
    table.sb3("SB3 DQN, tuned", "dqn")
    jax = table.jax("JAX PPO (PureJaxRL's settings)")
    table.run("solve", [seeds if row in (ours, dqn) else rounds for row in table.rows], "seed")
    cells = {
        row.label: (
            f"{row.solved} of {len(row.found)}", number(row.median("seconds")), span(row.values("seconds")),
            number(row.median("steps"), 0), number(quotient(row.median("seconds"), ours.median("seconds"))),
        )
        for row in table.rows
    }  # fmt: skip
    head = ("", "solved", "seconds, median", "range", "steps, median", "times Inscape PPO's")
    table.print("CartPole: training until solved (evaluation and preparation not counted)", head, cells)
    for row in (ours, dqn):
        if not row.missing:
            bars.add(f"CartPole, {row.label}: solved", "all", cells[row.label][0], row.solved == len(row.found))
    add_ratio(bars, "CartPole, PPO's training", "≤ 0.1 × SB3 tuned", ours, tuned, 0.1)
    add_ratio(bars, "CartPole, PPO's training", "≤ 2 × JAX", ours, jax, 2.0)


def add_ratio(bars: Bars, what: str, bar: str, ours: Entrant, peer: Entrant, most: float) -> None:
    found = quotient(ours.median("seconds"), peer.median("seconds"))
    if not (ours.missing or peer.missing):
        bars.add(what, bar, f"{number(found, 3)} ×", found <= most)


def cold(bars: Bars, table: Table) -> None:
    """Seconds from the launch of a process until CartPole is solved, caches warm."""
    rounds = table.options.rounds
    ours = table.ours("Inscape PPO", "ppo")
    table.sb3("SB3 PPO, tuned", "ppo")
    jax = table.jax("JAX PPO, compilation cache warm")
    table.jax("JAX PPO, compiled anew", kept=False)
    table.prepare()
    table.run("cold", [rounds] * len(table.rows), "seed", timed=True)
    cells = {
        row.label: (
            f"{row.solved} of {len(row.found)}", number(row.median("cold")), span(row.values("cold")),
            number(row.median("before")), number(quotient(row.median("cold"), ours.median("cold"))),
        )
        for row in table.rows
    }  # fmt: skip
    head = ("", "solved", "seconds, median", "range", "until training begins", "times Inscape PPO's")
    table.print("CartPole: from a cold process to solved (evaluation not counted)", head, cells)
    if not ours.missing:
        found = ours.median("cold")
        bars.add("CartPole, PPO from a cold process", "≤ 3.5 s", f"{number(found)} s", found <= 3.5)
        if not jax.missing:
            ratio = quotient(found, jax.median("cold"))
            bars.add("CartPole, PPO from a cold process", "≤ 0.5 × JAX", f"{number(ratio)} ×", ratio <= 0.5)


def throughput(table: Table, title: str) -> Entrant:
    """Measures the rows' steps per second and prints them; returns the first row."""
    options = table.options
    table.run("speed", [options.rounds] * len(table.rows), options.seconds)
    first = table.rows[0]
    cells = {
        row.label: (
            number(row.median("speed"), 0), span(row.values("speed"), 0),
            number(quotient(first.median("speed"), row.median("speed"))),
        )
        for row in table.rows
    }  # fmt: skip
    table.print(title, ("", "steps/s, median", "range", f"{first.label}: ratio"), cells)
    return first


def ppo(bars: Bars, table: Table) -> None:
    """Steps per second of PPO: 4 copies × 128 steps, 4 epochs of 4 minibatches, two 64 × 64 tanh networks."""
    table.ours("Inscape PPO", "ppo-small")
    table.sb3("SB3 PPO", "ppo-small")
    table.jax("JAX PPO")
    ours = throughput(
        table, "PPO on CartPole, rollout and updates: 4 × 128 steps, 4 epochs, 4 minibatches, 64 × 64 tanh"
    )
    if not ours.missing:
        found = ours.median("speed")
        bars.add("PPO, steps/s of training", "≥ 60 k", f"{found / 1e3:.1f} k", found >= 60e3)


def dqn(bars: Bars, table: Table) -> None:
    """Steps per second of DQN at the settings of Stable-Baselines3's zoo."""
    table.ours("Inscape DQN", "dqn-tuned")
    peer = table.sb3("SB3 DQN", "dqn")
    ours = throughput(table, "DQN on CartPole at SB3's tuned settings: 128 updates of 64 every 256 steps, 256 × 256")
    if not (ours.missing or peer.missing):
        found = quotient(ours.median("speed"), peer.median("speed"))
        bars.add("DQN, steps/s of training", "≥ 10 × SB3", f"{number(found)} ×", found >= 10)


def sac(bars: Bars, table: Table) -> None:
    """Steps per second of SAC at Stable-Baselines3's settings."""
    table.ours("Inscape SAC", "sac")
    table.sb3("SB3 SAC", "sac")
    throughput(table, "SAC on Pendulum at SB3's settings: an update of 256 a step, 256 × 256")


TABLES = {"solve": solve, "cold": cold, "ppo": ppo, "dqn": dqn, "sac": sac}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jax-python", metavar="PYTHON", help="an interpreter that has gymnax and optax")
    parser.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES), metavar="TABLE",
                        help=f"some of: {', '.join(TABLES)}")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=10, help="of ours, where CartPole is to be solved")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of everything else")
    parser.add_argument("--seconds", type=float, default=5.0, help="of one measurement of steps per second")
    parser.add_argument("--quick", action="store_true", help="two seeds, one round, short: to see that it works")
    options = parser.parse_args()
    if options.quick:
        vars(options).update(QUICK)
    print(
        f"inscape {version('inscape')}, stable-baselines3 {version('stable-baselines3')}, torch {version('torch')}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores"
    )
    bars = Bars()
    before, known = os.times(), Path("/proc/stat").exists()
    others = busy() if known else 0.0
    with tempfile.TemporaryDirectory() as cache:
        for name in options.only:
            TABLES[name](bars, Table(options, cache))
    print()
    bars.print()
    if known:
        after = os.times()
        others = (busy() - others - sum(after[:4]) + sum(before[:4])) / (after.elapsed - before.elapsed)
        print(f"\nOther processes used {max(0.0, others):.2f} cores meanwhile; {after.elapsed - before.elapsed:.0f} s.")


if __name__ == "__main__":
    main()
