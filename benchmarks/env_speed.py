"""Environment steps per second, ours beside others', in turns of one run; and the bars, met or not.

python benchmarks/env_speed.py [--jax-python PYTHON] [--only TABLE …] [--seconds 0.4] [--rounds 5]

Peers come with the extra `bench` (Gymnasium, EnvPool); gymnax wants an environment of its own, whose interpreter is
`--jax-python` (`make bench` makes it). What is not installed is left out, and said so.

A round measures every row once, one after the other; ratios are medians over rounds of the ratio within a round, so
that what else the machine does falls on both sides.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import gymnasium as gym
import numba
import numpy as np
from peers.serving import Call, speed
from timing import Measured

import inscape  # registers the ids
from inscape.envs.world import World

PEERS = Path(__file__).parent / "peers"
GROWTH = (4096, 16384, 65536, 262144)
PEER_BARS = (("Gymnasium", "Gymnasium", 8), ("gymnax, scan, 4,096", "gymnax", 15), ("EnvPool", "EnvPool's best", 200))
"""Times as fast as which rows CartPole of 4,096 copies is asked to be."""
FALL = 0.8
"""Of the steps per second at 4,096 copies, what must be left at more."""


@dataclass(frozen=True)
class Entrant:
    """One row of a table: `measure(seconds)` returns steps per second."""

    name: str
    measure: Callable[[float], float]


def entrant(name: str, call: Call) -> Entrant:
    """Returns a row measured in this process, warmed up."""
    call()
    call()
    return Entrant(name, partial(speed, call))


class Peer:
    """A script of `peers/` in a process of its own, under the interpreter that has the library."""

    def __init__(self, python: str, script: str) -> None:
        self._process = subprocess.Popen(
            [python, str(PEERS / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self.entrants = [Entrant(name, partial(self._rate, k)) for k, name in enumerate(json.loads(self._line()))]

    def _line(self) -> str:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise SystemExit(f"{self._process.args} ended:\n{_pipe(self._process.stderr).read()[-2000:]}")
        return line

    def _rate(self, index: int, seconds: float) -> float:
        print(index, seconds, file=_pipe(self._process.stdin), flush=True)
        return float(self._line())

    def close(self) -> None:
        self._process.communicate()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@contextmanager
def peers(options: argparse.Namespace) -> Iterator[list[Entrant]]:
    """Yields the rows of the CartPole peers that are installed."""
    found: list[Peer] = []
    if importlib.util.find_spec("envpool") is None:
        print("\nEnvPool is left out: pip install -e '.[bench]'")
    else:
        found.append(Peer(sys.executable, "envpool_cartpole.py"))
    if options.jax_python is None:
        print("\ngymnax is left out: give --jax-python, an interpreter that has it (make bench)")
    else:
        found.append(Peer(options.jax_python, "gymnax_cartpole.py"))
    try:
        yield [row for peer in found for row in peer.entrants]
    finally:
        for peer in found:
            peer.close()


class Bars:
    """What the project asks of its speed, and what was found."""

    def __init__(self) -> None:
        self._lines: list[tuple[str, str, str, str]] = []

    def add(self, what: str, bar: str, found: str, met: bool) -> None:
        self._lines.append((what, bar, found, "met" if met else "NOT MET"))

    def print(self) -> None:
        print_rows(("bar", "asked", "found", ""), self._lines)


def print_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a Markdown table, numbers to the right."""
    widths = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    print("| " + " | ".join(cell.ljust(width) for cell, width in zip(head, widths, strict=True)) + " |")
    print("|" + "|".join("---" + (":" if k else "") for k in range(len(widths))) + "|")
    for row in rows:
        cells = [cell.rjust(width) if k else cell.ljust(width) for k, (cell, width) in enumerate(zip(row, widths))]
        print("| " + " | ".join(cells) + " |", flush=True)


def contest(entrants: Sequence[Entrant], options: argparse.Namespace) -> dict[str, Measured]:
    """Measures the rows in turns."""
    rounds = [[row.measure(options.seconds) for row in entrants] for _ in range(options.rounds)]
    return {row.name: Measured(row.name, tuple(r[k] for r in rounds)) for k, row in enumerate(entrants)}


def ratio(one: Measured, other: Measured) -> float:
    """Returns the median over rounds of how many times as fast `one` is."""
    return statistics.median(a / b for a, b in zip(one.rates, other.rates, strict=True))


def million(steps: float) -> str:
    return f"{steps / 1e6:.3f} M" if steps < 1e6 else f"{steps / 1e6:.1f} M"


def print_contest(title: str, rows: dict[str, Measured], compared: Sequence[str]) -> None:
    """Prints the rates, and how many times as fast the rows named in `compared` are."""
    head = ("steps/s", "median", "lowest", "highest", *(f"{name}: ratio" for name in compared))
    cells = [
        (row.name, million(row.median), million(min(row.rates)), million(max(row.rates)),
         *(f"{ratio(rows[name], row):.2f}" for name in compared))
        for row in rows.values()
    ]  # fmt: skip
    print(f"\n{title}")
    print_rows(head, cells)


def prepared(copies: int, players_actions: int) -> np.ndarray:
    """Returns action rows to go round in: few where there are many copies, as a policy writes to one place."""
    rows = min(64, max(2, 2**18 // copies))
    return np.random.default_rng(0).integers(0, players_actions, (rows, copies))


def vector(name: str, env: gym.vector.VectorEnv[Any, Any, Any]) -> Entrant:
    """A vector environment given prepared actions."""
    actions = prepared(env.num_envs, int(env.single_action_space.n))  # type: ignore[attr-defined]
    env.reset(seed=0)

    def call() -> int:
        for row in actions:
            env.step(row)
        return actions.size

    return entrant(name, call)


def single(name: str, env_id: str) -> Entrant:
    """One environment of `gym.make`, checker off, prepared actions."""
    env = gym.make(env_id, disable_env_checker=True)
    actions: list[int] = np.random.default_rng(0).integers(0, int(env.action_space.n), 4096).tolist()  # type: ignore[attr-defined]
    env.reset(seed=0)

    def call() -> int:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
        return len(actions)

    return entrant(name, call)


def played(name: str, world: World, copies: int) -> Entrant:
    """Uniform play among the legal actions, chosen in compiled code."""

    def call() -> int:
        play = world.random_play(copies, 64)
        return play.steps + play.late_steps

    return entrant(name, call)


def sine_and_cosine() -> Entrant:
    """The C library's sine and cosine alone, one core: what an exact CartPole step cannot do without."""
    angles = np.random.default_rng(0).uniform(-0.2, 0.2, 16384)

    @numba.njit
    def total(angles: np.ndarray) -> float:
        found = 0.0
        for angle in angles:
            found += math.sin(angle) + math.cos(angle)
        return found

    def call() -> int:
        for _ in range(20):
            total(angles)
        return 20 * len(angles)

    return entrant("sine and cosine alone, one thread", call)


def cartpole(bars: Bars, options: argparse.Namespace) -> None:
    """CartPole's vector environment at 4,096 and 16,384 copies, beside Gymnasium's, gymnax's and EnvPool's."""
    world = inscape.make_world("CartPole")
    with peers(options) as others:
        for copies in (4096, 16384):
            exact = gym.make_vec("inscape/CartPole-v0", copies, vectorization_mode="vector_entry_point")
            gymnasium = gym.make_vec("CartPole-v1", copies, vectorization_mode="vector_entry_point")
            entrants = [
                vector("Inscape, exact", exact),
                vector('Inscape, arithmetic="fast"', world.vector_env(copies, arithmetic="fast")),
                vector("Inscape, exact, same-step", world.vector_env(copies, "same-step")),
                vector("Gymnasium vector_entry_point", gymnasium),
                *others,
            ]
            if copies == 16384:
                entrants.append(vector("Inscape, exact, one thread", world.vector_env(copies, threads=1)))
                entrants.append(sine_and_cosine())
            rows = contest(entrants, options)
            ours = [row.name for row in entrants[:2]]
            print_contest(f"CartPole, {copies:,} copies", rows, ours)
            for name in ours:
                if copies == 16384:
                    found = rows[name].median
                    bars.add(f"CartPole, 16,384: {name}", "≥ 100 M", million(found), found >= 100e6)
                    continue
                for peer, label, bar in PEER_BARS:
                    against = [rows[row] for row in rows if row.startswith(peer)]
                    if against:
                        least = min(ratio(rows[name], row) for row in against)
                        bars.add(f"CartPole, 4,096: {name}", f"≥ {bar} × {label}", f"{least:.2f} ×", least >= bar)


def one_environment(bars: Bars, options: argparse.Namespace) -> None:
    """One CartPole of `gym.make`, checker off."""
    ours, theirs = "Inscape CartPole-v0", "Gymnasium CartPole-v1"
    rows = contest([single(ours, "inscape/CartPole-v0"), single(theirs, "CartPole-v1")], options)
    print_contest("CartPole, one environment, checker off", rows, [ours])
    found = ratio(rows[ours], rows[theirs])
    bars.add("CartPole, one environment", "≥ 2.5 × Gymnasium", f"{found:.2f} ×", found >= 2.5)


def boards(bars: Bars, options: argparse.Namespace) -> None:
    """Grids and ConnectFour: uniform play among the legal actions; the grids' vector environments, prepared actions."""
    copies = 16384
    entrants = [
        played(f"{name}, uniform play", inscape.make_world(name), copies)
        for name in ("FrozenLake", "CliffWalking", "ConnectFour")
    ]
    asked = len(entrants)
    entrants += [
        vector(f"{name}, vector environment", inscape.make_world(name).vector_env(copies))
        for name in ("FrozenLake", "FrozenLake8x8", "CliffWalking", "FourGoals", "GridWorld")
    ]
    rows = contest(entrants, options)
    print_contest(f"Boards, {copies:,} copies", rows, [])
    for row in entrants[:asked]:
        found = rows[row.name].median
        bars.add(row.name, "≥ 80 M", million(found), found >= 80e6)


def memory(make: Callable[[], gym.vector.VectorEnv[Any, Any, Any]], copies: int) -> tuple[float, float]:
    """Returns the bytes per copy that an environment holds once reset, and the most while it steps, results held."""
    actions = np.zeros(copies, np.int64)
    make().close()  # what is made once and kept is not the copies'
    tracemalloc.start()
    env = make()
    env.reset(seed=0)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    found = None
    for _ in range(3):
        found = env.step(actions)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del found
    env.close()
    return held / copies, most / copies


def growth(bars: Bars, options: argparse.Namespace) -> None:
    """Steps per second and memory from 4,096 to 262,144 copies."""
    for name, threads, arithmetic in (
        ("CartPole", None, "exact"), ("CartPole", 1, "exact"), ("CartPole", None, "fast"), ("CartPole", 1, "fast"),
        ("FrozenLake", None, "exact"), ("FrozenLake", 1, "exact"),
    ):  # fmt: skip
        world = inscape.make_world(name)
        makers = {
            f"{copies:,} copies": partial(world.vector_env, copies, threads=threads, arithmetic=arithmetic)
            for copies in GROWTH
        }
        rows = contest([vector(label, make()) for label, make in makers.items()], options)
        first = next(iter(rows.values()))
        cells = []
        for copies, (label, row) in zip(GROWTH, rows.items(), strict=True):
            held, most = memory(makers[label], copies)
            cells.append((label, million(row.median), million(max(row.rates)), f"{ratio(row, first):.2f}",
                          f"{held:.0f}", f"{most:.0f}"))  # fmt: skip
        kind = f"{name}, {arithmetic}, {'threads by default' if threads is None else 'one thread'}"
        print(f"\nGrowth: {kind}")
        print_rows(("steps/s", "median", "highest", "to the first", "bytes held per copy", "most in a step"), cells)
        least = min(ratio(row, first) for row in rows.values())
        bars.add(f"growth, {kind}", f"≥ {FALL} of 4,096", f"{least:.2f}", least >= FALL)


TABLES = {"cartpole": cartpole, "single": one_environment, "boards": boards, "growth": growth}


def busy() -> float:
    """Returns the processor seconds used on this machine by anybody since it started."""
    fields = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (fields[0] + fields[1] + fields[2] + fields[5] + fields[6]) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jax-python", metavar="PYTHON", help="an interpreter that has gymnax")
    parser.add_argument("--only", nargs="+", choices=list(TABLES), default=list(TABLES), metavar="TABLE",
                        help=f"some of: {', '.join(TABLES)}")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=0.4, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(
        f"inscape {inscape.__version__}, gymnasium {gym.__version__}, numba {numba.__version__}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores"
    )
    bars = Bars()
    before, known = os.times(), Path("/proc/stat").exists()
    others = busy() if known else 0.0
    for name in options.only:
        TABLES[name](bars, options)
    print()
    bars.print()
    if known:
        after = os.times()
        others = (busy() - others - sum(after[:4]) + sum(before[:4])) / (after.elapsed - before.elapsed)
        print(f"\nOther processes used {max(0.0, others):.2f} cores meanwhile; {after.elapsed - before.elapsed:.0f} s.")


if __name__ == "__main__":
    main()
