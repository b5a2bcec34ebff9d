"""The exact observer with many minds in a grid: first answer, further steps, predictions, in processor time.

N×N cells, four moves, a step costs 0.01, goals at random worth 1, γ = 0.99; every goal with every β is a mind. The
first answer includes all planning, not the enumeration of the world, which is printed apart. `--crowd` is 10,000 minds
in 10×25 cells: each cell a goal, 40 values of β, and the largest memory of the process.

python benchmarks/observer_scale.py [--side 100] [--goals 64] [--betas 8] [--backup hard]
python benchmarks/observer_scale.py --crowd [--backup soft-eval]
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from typing import Any, NamedTuple

import numpy as np

from inscape import World
from inscape.theory_of_mind import Observer, minds_grid


class Cell(NamedTuple):
    cell: int


class Side(NamedTuple):
    side: int = 100
    rows: int = 100


class Goal(NamedTuple):
    goal: int = 0


class Field(World):
    """Open ground; a step costs 0.01, the goal is worth 1."""

    State, Params, Purpose = Cell, Side, Goal
    actions = ("left", "right", "up", "down")
    gamma = 0.99

    def setup(self, side: int = 100, rows: int = 0) -> tuple[Side, Goal]:
        return Side(side, rows or side), Goal()

    @staticmethod
    def initial(params: Any, branch: int) -> Any:
        return 1.0, Cell(params.side * params.rows // 2)

    @staticmethod
    def transition(params: Any, state: Cell, action: int, branch: int) -> Any:
        x, y = state.cell % params.side, state.cell // params.side
        x = min(max(x + (action == 1) - (action == 0), 0), params.side - 1)
        y = min(max(y + (action == 3) - (action == 2), 0), params.rows - 1)
        return 1.0, Cell(y * params.side + x)

    @staticmethod
    def reward(params: Any, purpose: Goal, state: Cell, action: int, next_state: Cell) -> float:
        return (1.0 if next_state.cell == purpose.goal else 0.0) - 0.01

    @staticmethod
    def terminal(params: Any, purpose: Goal, state: Cell) -> bool:
        return state.cell == purpose.goal


def main() -> None:
    """Prints the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=100)
    parser.add_argument("--goals", type=int, default=64)
    parser.add_argument("--betas", type=int, default=8)
    parser.add_argument("--backup", default="hard")
    parser.add_argument("--crowd", action="store_true", help="10,000 minds in 250 states")
    given = parser.parse_args()
    rows, goals, betas = (10, 250, 40) if given.crowd else (given.side, given.goals, given.betas)
    side = 25 if given.crowd else given.side
    cells = np.random.default_rng(0).permutation(side * rows)[:goals]
    small = Field(side=15)
    # loads what is imported and compiled
    Observer(small, minds_grid([Goal(cell) for cell in range(16)], [0.5 * k + 0.5 for k in range(8)], given.backup))
    world = Field(side=side, rows=rows)
    seconds, dynamics = timed(world.dynamics)
    print(f"load {os.getloadavg()[0]:.1f}; {len(dynamics):,} states tabulated in {seconds:.2f} s")
    minds = minds_grid([Goal(int(cell)) for cell in cells], [0.5 * k + 0.5 for k in range(betas)], given.backup)
    began = time.perf_counter()
    seconds, observer = timed(lambda: Observer(world, minds))
    print(
        f"first answer, {len(minds):,} minds, {given.backup}: {seconds:.2f} s of processor time on {os.cpu_count()} "
        f"cores, {time.perf_counter() - began:.2f} s in all"
    )
    start = side * rows // 2
    steps = [timed(lambda: observer.update(start, "left", fresh=True))[0] for _ in range(50)]
    print(f"a further step: {1e6 * float(np.median(steps)):.0f} µs")
    if given.crowd:
        print(f"largest memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    for horizon in (1,) if given.crowd else (1, 50):
        times = [timed(lambda h=horizon: observer.predict(start, h))[0] for _ in range(3)]
        print(f"prediction, {horizon} step{'s' * (horizon > 1)} ahead: {1e3 * min(times):.2f} ms")


def timed(work: Any) -> tuple[float, Any]:
    """Returns the seconds of processor time that `work()` takes, and what it returns."""
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


if __name__ == "__main__":
    main()
