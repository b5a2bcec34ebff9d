"""Exact planning: value iteration beside NumPy, SciPy and QuantEcon, policies, many purposes, beliefs.

Every row is processor time, the median of alternating calls in one process; ratios are medians of ratios within a
round.
All solve to an error of 1e-6 (QuantEcon's `epsilon` is twice that: it stops at the span), and errors are printed.
QuantEcon is not an extra of this project: pip install quantecon. Garnet problems draw K successors, and their
probabilities from a flat Dirichlet distribution, for each state and action (Archibald, McKinnon & Thomas 1995).

python -m benchmarks.dynamic_programming [--only grid garnet policy purposes belief million] [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from benchmarks.planning_speed import by_gathering, by_sparse_products, grid
from inscape import make_world
from inscape.world_models import (
    BeliefFilter,
    TabularModel,
    batched_value_iteration,
    policy_evaluation,
    purpose_tables,
    value_iteration,
)

GAMMA, TOLERANCE = 0.99, 1e-6
SIZES = (
    (1_000, 4, 5), (1_000, 4, 50), (10_000, 4, 5), (10_000, 4, 20), (10_000, 4, 50), (100_000, 4, 5), (100_000, 4, 20),
)  # fmt: skip


def open_map(side: int, cell: str = ".") -> list[str]:
    """Returns a room of side × side cells of one kind, without walls; in the first row start and goal."""
    return ["S" + cell * (side - 2) + "G", *[cell * side] * (side - 1)]


def garnet(states: int, actions: int, width: int) -> TabularModel:
    """Returns a Garnet problem without terminal states."""
    rng = np.random.default_rng(0)
    shape = states, actions, width
    reward = np.repeat(rng.normal(size=(states, actions, 1)), width, axis=2)
    next_state = rng.integers(0, states, shape).astype(np.int32)
    law = rng.dirichlet(np.ones(width), (states, actions))
    legal, start = np.ones((states, actions), bool), np.full(states, 1 / states)
    return TabularModel(next_state, law, reward, np.ones(shape), legal, start, np.zeros(states, bool))


def quantecon(model: TabularModel) -> Any:
    """Returns QuantEcon's problem, or None where it is not installed."""
    try:
        from quantecon.markov import DiscreteDP
    except ImportError:
        return None
    states, actions, width = model.next_state.shape
    ends = np.arange(0, states * actions * width + 1, width)
    law = sp.csr_matrix((model.probability.flatten(), model.next_state.flatten(), ends), (states * actions, states))
    law.sum_duplicates()
    pairs = np.repeat(np.arange(states), actions), np.tile(np.arange(actions), states)
    return DiscreteDP(model.expected_reward().reshape(-1), law, GAMMA, *pairs)


def turns(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Returns for each call its median milliseconds, and the median of its time over the first call's."""
    for call in calls.values():
        call()
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            begin = time.process_time()
            call()
            spent[name].append(1e3 * (time.process_time() - begin))
    first = next(iter(spent.values()))
    return {
        name: (statistics.median(times), statistics.median(a / b for a, b in zip(times, first)))
        for name, times in spent.items()
    }


def report(
    title: str, calls: dict[str, Callable[[], object]], repeats: int, notes: dict[str, str] | None = None
) -> None:
    print(f"\n{title}")
    for name, (median, ratio) in turns(calls, repeats).items():
        print(f"  {name:44s} {median:10.2f} ms {ratio:8.2f} ×  {(notes or {}).get(name, '')}", flush=True)


def error(values: np.ndarray, exact: np.ndarray) -> str:
    return f"error {np.abs(values - exact).max():.1e}"


def grids(repeats: int) -> None:
    model, after, reward, law = grid()
    exact = value_iteration(model, GAMMA, 1e-11).values
    found, other = value_iteration(model, GAMMA, TOLERANCE), quantecon(model)
    calls: dict[str, Callable[[], object]] = {
        "value_iteration": lambda: value_iteration(model, GAMMA, TOLERANCE),
        "NumPy, gathered neighbours": lambda: by_gathering(after, reward),
        "SciPy, sparse matrix": lambda: by_sparse_products(law, reward),
    }
    notes = {"value_iteration": f"certified {found.error_bound:.1e}, {error(found.values, exact)}"}
    if other is not None:
        solved = other.solve(method="mpi", epsilon=2 * TOLERANCE, max_iter=100_000)
        name = "QuantEcon, modified policy iteration"
        calls[name] = lambda: other.solve(method="mpi", epsilon=2 * TOLERANCE, max_iter=100_000)
        notes[name] = error(solved.v, exact)
    report("grid of 100×100 cells, 4 moves", calls, repeats, notes)


def garnets(repeats: int) -> None:
    for size in SIZES:
        model = garnet(*size)
        other, found = quantecon(model), value_iteration(model, GAMMA, TOLERANCE)
        exact = value_iteration(model, GAMMA, 1e-11).values
        calls: dict[str, Callable[[], object]] = {
            "value_iteration": lambda model=model: value_iteration(model, GAMMA, TOLERANCE)  # type: ignore[misc]
        }
        notes = {"value_iteration": f"certified {found.error_bound:.1e}, {error(found.values, exact)}"}
        if other is not None:
            name = "QuantEcon, modified policy iteration"
            calls[name] = lambda other=other: other.solve(method="mpi", epsilon=2 * TOLERANCE)  # type: ignore[misc]
            notes[name] = error(other.solve(method="mpi", epsilon=2 * TOLERANCE).v, exact)
        report("Garnet, {:,} states × {} actions × {} outcomes".format(*size), calls, repeats, notes)


def policies(repeats: int) -> None:
    for name, model in (("grid of 100×100 cells", grid()[0]), ("Garnet, 10,000 × 4 × 20", garnet(10_000, 4, 20))):
        policy = np.eye(model.num_actions)[value_iteration(model, GAMMA, TOLERANCE).policy]
        calls: dict[str, Callable[[], object]] = {
            "value_iteration": lambda model=model: value_iteration(model, GAMMA, TOLERANCE),  # type: ignore[misc]
            "policy_evaluation of its policy": lambda model=model, policy=policy: policy_evaluation(  # type: ignore[misc]
                model, policy, GAMMA, TOLERANCE
            ),
        }
        report(f"policy evaluation, {name}", calls, repeats)


def purposes(repeats: int) -> None:
    world = make_world("GridWorld", map=open_map(100))
    goals = np.random.default_rng(0).choice(10_000, 512, replace=False)
    wanted = [world.purpose._replace(goal=int(goal)) for goal in goals]
    world.dynamics()
    begin = time.perf_counter()
    dynamics, rewards, terminal = purpose_tables(world, wanted)
    tabulated = time.perf_counter() - begin
    found = batched_value_iteration(dynamics, GAMMA, rewards[:2], terminal[:2], TOLERANCE)
    spent = []
    for _ in range(repeats):
        wall, cores = time.perf_counter(), time.process_time()
        found = batched_value_iteration(dynamics, GAMMA, rewards, terminal, TOLERANCE)
        spent.append((time.perf_counter() - wall, time.process_time() - cores))
    clock, processor = statistics.median(s for s, _ in spent), statistics.median(c for _, c in spent)
    print(
        f"\n512 goals in a grid of {found.values.shape[1]:,} states: rewards {tabulated:.2f} s, "
        f"solved in {clock:.2f} s ({processor:.2f} s of processor), "
        f"certified {found.error_bound.max():.1e}"
    )


def beliefs(repeats: int) -> None:
    model, rng = garnet(100_000, 4, 3), np.random.default_rng(0)
    states = model.num_states
    filtered = BeliefFilter.from_tabular(model, np.arange(states) % 20)
    belief, action = rng.dirichlet(np.ones(states))[None], np.array([1])
    law = filtered._law(1)
    calls: dict[str, Callable[[], object]] = {
        "one sparse product": lambda: law.T @ belief[0],
        "BeliefFilter.observe": lambda: filtered.observe(belief, action, np.array([3])),
    }
    report("belief update, 100,000 states × 3 outcomes", calls, 3 * repeats)


def million(repeats: int) -> None:
    world = make_world("GridWorld", map=open_map(1_000, "F"))
    make_world("GridWorld", map=open_map(40, "F")).dynamics()
    before, times = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, [time.process_time()]
    world.dynamics()
    times.append(time.process_time())
    model = TabularModel.from_world(world)
    times.append(time.process_time())
    found = value_iteration(model, GAMMA, TOLERANCE)
    times.append(time.process_time())
    tables = sum(t.nbytes for t in (model.next_state, model.probability, model.reward, model.continuation))
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    spent = ", ".join(f"{what} {b - a:.2f} s" for what, a, b in zip(("enumerate", "tables", "solve"), times, times[1:]))
    print(
        f"\n{model!r}: {spent}, {times[-1] - times[0]:.2f} s in all; certified {found.error_bound:.1e}; memory "
        f"{peak / 1e6:,.0f} MB for tables of {tables / 1e6:,.0f} MB ({peak / tables:.1f} ×)"
    )


ROWS = {
    "grid": grids, "garnet": garnets, "policy": policies, "purposes": purposes, "belief": beliefs, "million": million,
}  # fmt: skip


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(ROWS), default=tuple(ROWS))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    for name in given.only:
        ROWS[name](given.repeats)


if __name__ == "__main__":
    main()
