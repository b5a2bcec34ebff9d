"""Goal inference by inverse planning: seconds to plan for every goal, and to infer from every (state, action).

A 21×21 grid, four moves, a step costs 0.1, two candidate goals in opposite corners worth 1. Minds plan without discount
(ours: γ = 1 − 10⁻⁹, since it certifies its values, and γ = 1 allows no certificate here) and choose with β = 2. The
NumPy peer gathers neighbours, a fixed number of sweeps over both goals at once; 41 are enough. Ours stops by itself.
Both answers are compared. memo (memo-lang, JAX) needs Python ≥ 3.12: `--memo PYTHON` names that of an environment that
has it, and its answers are compared too, in processor time. (By an earlier measurement it took 1,240 ms for the same
planning, 200 sweeps, on two cores.)

python benchmarks/observer_speed.py [--sweeps 200] [--repeats 5] [--memo PYTHON]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import inscape
from inscape.envs.world import World
from inscape.theory_of_mind import Observer, minds_grid
from inscape.world_models.planning.choice import boltzmann_log_probs
from inscape.world_models.planning.dynamic_programming import soft_value_iteration
from inscape.world_models.tabular.model import TabularModel

SIDE, BETA, GAMMA = 21, 2.0, 1 - 1e-9


class Cell(NamedTuple):
    cell: int


class Corner(NamedTuple):
    goal: int = 0


class Square(World):
    """A step costs 0.1, entering the goal is worth 1."""

    State, Purpose = Cell, Corner
    actions = ("left", "right", "up", "down")
    gamma = GAMMA

    @staticmethod
    def initial(params: Any, branch: int) -> Any:
        return 1.0, Cell(SIDE * SIDE // 2)

    @staticmethod
    def transition(params: Any, state: Cell, action: int, branch: int) -> Any:
        x, y = state.cell % SIDE, state.cell // SIDE
        x = min(max(x + (action == 1) - (action == 0), 0), SIDE - 1)
        y = min(max(y + (action == 3) - (action == 2), 0), SIDE - 1)
        return 1.0, Cell(y * SIDE + x)

    @staticmethod
    def reward(params: Any, purpose: Corner, state: Cell, action: int, next_state: Cell) -> float:
        return -0.1 + (1.0 if next_state.cell == purpose.goal else 0.0)

    @staticmethod
    def terminal(params: Any, purpose: Corner, state: Cell) -> bool:
        return state.cell == purpose.goal

    @staticmethod
    def roots(params: Any) -> Any:
        return [Cell(cell) for cell in range(SIDE * SIDE)]

    @staticmethod
    def purposes(params: Any, purpose: Corner) -> dict[str, Corner]:
        return {"first corner": Corner(0), "last corner": Corner(SIDE * SIDE - 1)}


class NumpyPeer:
    """The same task by gathers over a neighbour table."""

    def __init__(self, sweeps: int) -> None:
        cell = np.arange(SIDE * SIDE)
        moves = ((-1, 0), (1, 0), (0, -1), (0, 1))
        row, column = cell // SIDE, cell % SIDE
        after = [np.clip(row + dy, 0, SIDE - 1) * SIDE + np.clip(column + dx, 0, SIDE - 1) for dx, dy in moves]
        self.after, self.sweeps = np.stack(after, 1), sweeps
        self.goals = np.array([0, SIDE * SIDE - 1])
        self.pay = np.where(cell[:, None] == self.goals, 1.0, -0.1)
        self.going = (cell[:, None] != self.goals).astype(float)

    def plan(self) -> np.ndarray:
        """`[S, A, G]`."""
        q = np.repeat(self.pay[:, None, :], 4, 1)
        for _ in range(self.sweeps):
            q = self.pay[:, None, :] + self.going[:, None, :] * q.max(1)[self.after]
        return q

    def infer(self, q: np.ndarray) -> np.ndarray:
        """`[S, A, G]` P(goal | state, action)."""
        likelihood = np.exp(BETA * (q - q.max(1, keepdims=True)))
        likelihood /= likelihood.sum(1, keepdims=True)
        return likelihood / likelihood.sum(2, keepdims=True)


def infer(q_values: np.ndarray) -> np.ndarray:
    """`[S, A, G]` P(goal | state, action) from `[G, S, A]`, by our choice rule."""
    likelihood = np.exp(boltzmann_log_probs(q_values, BETA))
    return np.moveaxis(likelihood / likelihood.sum(0), 0, -1)


def seconds(call: Callable[[], Any], repeats: int) -> float:
    """Median time of one call, in seconds, each repeat long enough to be timed."""
    call()
    start = time.perf_counter()
    call()
    count = max(1, int(0.1 / max(time.perf_counter() - start, 1e-9)))
    timed = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(count):
            call()
        timed.append((time.perf_counter() - start) / count)
    return statistics.median(timed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memo", help="Python of an environment with memo-lang")
    options = parser.parse_args()
    print(f"inscape {inscape.__version__}, numpy {np.__version__}, Python {platform.python_version()}")

    world, peer, brief = Square(), NumpyPeer(options.sweeps), NumpyPeer(2 * SIDE - 1)
    minds = minds_grid(world.goals, BETA, "hard")
    tables = [TabularModel.from_world(world, purpose=goal) for goal in world.goals]
    observer, peer_values = Observer(world, minds), peer.plan()
    assert np.abs(brief.plan() - peer_values).max() < 1e-12
    q_values = np.stack([mind.action_values(world) for mind in minds])
    ours = infer(q_values)
    sweeps = [soft_value_iteration(model, GAMMA, BETA, "hard").iterations for model in tables]
    state = world.dynamics().states[[SIDE * SIDE // 2]]
    difference = np.abs(
        ours[observer.dynamics.index_of(world.pack(map(Cell, range(SIDE * SIDE))))] - peer.infer(peer_values)
    ).max()
    print(f"largest difference of a posterior: {difference:.1e}; our sweeps: {sweeps}\n")

    def plan() -> Any:
        return [soft_value_iteration(model, GAMMA, BETA, "hard") for model in tables]

    rows = [
        (f"NumPy gather, planning, {peer.sweeps} sweeps", peer.plan),
        (f"NumPy gather, planning, {brief.sweeps} sweeps", brief.plan),
        ("ours, planning: value iteration of both goals", plan),
        ("ours, a whole observer: tables, planning, policies", lambda: Observer(world, minds)),
        ("NumPy, posterior of every (state, action)", lambda: peer.infer(peer_values)),
        ("ours, posterior of every (state, action)", lambda: infer(q_values)),
        ("ours, one update of an observer", lambda: observer.update(state, 1, fresh=True)),
        ("ours, one prediction ten steps ahead", lambda: observer.predict(state, 10)),
    ]
    times = [(name, seconds(call, options.repeats)) for name, call in rows]
    base = times[0][1]
    print(f"{'':52s} {'ms':>9s} {'× faster than the first':>24s}")
    for number, (name, taken) in enumerate(times):
        print(f"{name:52s} {1e3 * taken:9.3f}" + (f" {base / taken:24.1f}" if number < 4 else ""))
    if options.memo is None:
        print("\nmemo: not run (--memo PYTHON)")
        return
    cells = observer.dynamics.index_of(world.pack(map(Cell, range(SIDE * SIDE))))
    for sweeps in (brief.sweeps, options.sweeps):
        compare_with_memo(options.memo, sweeps, ours[cells], lambda: infer(np.stack([s.q_values for s in plan()])))


def compare_with_memo(python: str, sweeps: int, ours: np.ndarray, run: Callable[[], Any]) -> None:
    """Prints how far memo's posterior of every (state, action) is from ours, and how long it takes for it."""
    file = Path(__file__).parent / "peers" / "memo_grid.py"
    times = []
    for _ in range(3):  # one after the other, so that the load is alike
        done = subprocess.run([python, str(file), str(sweeps)], capture_output=True, text=True, check=True)
        memo = json.loads(done.stdout.splitlines()[-1])
        began = time.process_time()
        for _ in range(100):
            run()
        times.append((memo["planning"] + memo["inferring"], (time.process_time() - began) / 100))
    difference = np.abs(np.array(memo["posterior"]) - ours).max()
    theirs, mine = (statistics.median(column) for column in zip(*times, strict=True))
    print(
        f"\nmemo, planning ({sweeps} sweeps) and the posterior of every (state, action): {1e3 * theirs:.0f} ms of "
        f"processor time, ours {1e3 * mine:.2f} ms: {theirs / mine:.0f} × as long; answers differ by {difference:.1e}"
    )


if __name__ == "__main__":
    main()
