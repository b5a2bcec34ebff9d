"""Batched tree search, simulations per second: 64 trees × 128 simulations × 4 actions, beside mctx in the same run.

python benchmarks/batched_search.py [--mctx PYTHON] [--only gumbel] [--seconds 1] [--rounds 5]

Rows: nothing computed at leaves ("none"); a prior of logits 8, 0, 0, 0 below the root ("peaked": deep, thin trees); a
perceptron of two layers of 64: "mlp" is mctx's model, a step of a learned model of 64 numbers, here a NumPy model
called once for all trees in each wave; "law, mlp" values the states of a known law, compiled into the search.

Ours and mctx's take turns; a ratio is the median over rounds of the ratio within a round, once of wall-clock time and
once of processor time of the process (what other processes take falls out of the second). mctx is among the peers on
JAX (`peers/requirements.txt`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Discrete

from inscape import World
from inscape.world_models import PUCT, Gumbel, ModelStep, PerceptronEvaluator

TREES, SIMULATIONS, ACTIONS, WIDTH = 64, 128, 4, 64
RULES = {"gumbel": Gumbel, "puct": PUCT}


class Step(NamedTuple):
    """How far below the root, up to 1."""

    below: int


class Endless(World):
    """Four actions, no rewards, no end."""

    State = Step
    actions = ("a", "b", "c", "d")

    @staticmethod
    def initial(params: Any, branch: int) -> tuple[float, Step]:
        return 1.0, Step(0)

    @staticmethod
    def transition(params: Any, state: Step, action: int, branch: int) -> tuple[float, Step]:
        return 1.0, Step(1)

    @staticmethod
    def reward(params: Any, purpose: Any, state: Step, action: int, next_state: Step) -> float:
        return 0.0


class Latent:
    """The model of mctx's row: a state of 64 numbers, two layers of 64, heads for reward, value and policy."""

    action_space, num_players = Discrete(ACTIONS), 1

    def __init__(self) -> None:
        rng = np.random.default_rng(0)

        def weights(*shape: int) -> np.ndarray:
            return (0.1 * rng.standard_normal(shape)).astype(np.float32)

        self.first, self.of_action = weights(WIDTH, 64), weights(ACTIONS, 64)
        self.second, self.heads, self.of_reward = weights(64, WIDTH), weights(WIDTH, ACTIONS + 1), weights(WIDTH, 1)

    def init(self, observations: np.ndarray) -> np.ndarray:
        return np.asarray(observations, np.float32)

    def update(self, states: np.ndarray, actions: np.ndarray, observations: np.ndarray) -> np.ndarray:
        return self.init(observations)

    def step(self, states: np.ndarray, actions: np.ndarray, rng: np.random.Generator) -> ModelStep:
        h = states @ self.first
        h += self.of_action[actions]
        h = np.maximum(np.maximum(h, 0.0, out=h) @ self.second, 0.0)
        return ModelStep(h, (h @ self.of_reward)[:, 0], np.ones(len(h)))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing is learned."""

    def evaluate(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        heads = states @ self.heads
        return heads[:, 0], heads[:, 1:]


def ours(rules: list[str]) -> dict[str, Callable[[], int]]:
    """Returns each row by name: a call searches once and returns the number of simulations."""
    world, rng, draws = Endless(), np.random.default_rng(0), np.random.default_rng(1)
    start = world.sample_initial(TREES, rng)
    latent = Latent()
    begin = latent.init(draws.standard_normal((TREES, WIDTH)))
    peaked = PerceptronEvaluator(world, [([[8.0], [0.0], [0.0], [0.0], [0.0]], np.zeros(5))])
    layers = [(0.1 * draws.standard_normal((m, n)), np.zeros(m)) for n, m in ((1, 64), (64, 64), (64, ACTIONS + 1))]
    mlp = PerceptronEvaluator(world, layers)
    rows: dict[str, Callable[[], int]] = {}
    for name in rules:
        search = RULES[name](SIMULATIONS, rollout="none", max_outcomes=1)
        for row, model, states, evaluate in (
            ("mlp", latent, begin, latent.evaluate), ("none", world, start, None), ("peaked", world, start, peaked),
            ("law, mlp", world, start, mlp),
        ):  # fmt: skip

            def call(s: Any = search, m: Any = model, x: Any = states, e: Any = evaluate) -> int:
                s.plan(m, x, rng, e)
                return TREES * SIMULATIONS

            rows[f"{name} {row}"] = call
    return rows


def speed(call: Callable[[], int], seconds: float) -> tuple[float, float]:
    """Returns simulations per second of the clock, and of the processor."""
    done, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        done += call()
    return done / (time.perf_counter() - wall), done / (time.process_time() - cpu)


class Peer:
    """mctx in a process of its own, which waits for its turn."""

    def __init__(self, python: str, rules: list[str]) -> None:
        script = Path(__file__).parent / "peers" / "mctx_search.py"
        self._process = subprocess.Popen([python, str(script), *rules], stdin=-1, stdout=-1, text=True)
        self.names: list[str] = json.loads(self._out().readline())

    def _out(self) -> Any:
        assert self._process.stdout is not None
        return self._process.stdout

    def speed(self, name: str, seconds: float) -> tuple[float, float]:
        """Returns simulations per second of the clock, and of the processor."""
        assert self._process.stdin is not None
        before = self._cpu()
        began = time.perf_counter()
        self._process.stdin.write(f"{self.names.index(name)} {seconds}\n")
        self._process.stdin.flush()
        rate = float(self._out().readline())
        return rate, rate * (time.perf_counter() - began) / max(1e-9, self._cpu() - before)

    def _cpu(self) -> float:
        """Returns the seconds of processor that the process has used (Linux)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self._process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mctx", help="interpreter in whose environment mctx is installed")
    parser.add_argument("--only", nargs="+", choices=list(RULES), default=list(RULES))
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = ours(options.only)
    for call in rows.values():
        call()
    peer = Peer(options.mctx, options.only) if options.mctx else None
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(options.rounds):
        for name, call in rows.items():
            found.setdefault(name, []).append(speed(call, options.seconds))
            if peer is not None and name in peer.names:
                found.setdefault("mctx " + name, []).append(peer.speed(name, options.seconds))
    print(f"{TREES} trees × {SIMULATIONS} simulations × {ACTIONS} actions; {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f}, Python {platform.python_version()}; million simulations/s (range), "
          "per second of processor, times mctx by clock and by processor")  # fmt: skip
    for name in rows:
        wall, cpu = zip(*found[name], strict=True)
        text = f"{name:16s} {statistics.median(wall) / 1e6:5.2f} ({min(wall) / 1e6:.2f}–{max(wall) / 1e6:.2f})"
        text += f"  {statistics.median(cpu) / 1e6:5.2f}"
        if theirs := found.get("mctx " + name):
            by_clock, by_cpu = (
                statistics.median(one[k] / other[k] for one, other in zip(found[name], theirs, strict=True))
                for k in (0, 1)
            )
            mctx = statistics.median(other[0] for other in theirs) / 1e6
            text += f"  mctx {mctx:.3f}  × {by_clock:.1f}, × {by_cpu:.1f}"
        print(text)
    if peer is not None:
        peer.close()


if __name__ == "__main__":
    sys.exit(main())
