"""Planning: search in simulations per second and error of its value, value iteration in milliseconds against peers.

The grid has 100×100 cells and 4 moves: a move goes astray to either side with probability 0.1, walls keep one in place,
entering the absorbing goal pays 1, any other step −0.01, γ = 0.99. All stop once no value changes by 1e-6 or more;
ours also certifies how far it may be from the optimum. The NumPy and SciPy peers are written here on arrays of their
own, and all answers are compared. One core.

python benchmarks/planning_speed.py [--simulations 10000] [--seeds 20] [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from inscape.envs.tasks.resolve import resolve_task
from inscape.world_models import UCT, KnownModel, TabularModel, value_iteration
from inscape.world_models.tabular.model import absorb

SIDE, GAMMA, CHANGE = 100, 0.99, 1e-6
STATES, ACTIONS, GOAL = SIDE * SIDE, 4, SIDE * SIDE - 1


def searches(simulations: int, seeds: int) -> None:
    """Prints simulations per second and the error at the start state, over seeds."""
    print(f"search, {simulations:,} simulations, {seeds} seeds, one core")
    for name in ("FrozenLake8x8", "FrozenLake"):
        world = resolve_task(name).world
        assert world is not None
        tables = TabularModel.from_world(world)
        root = world.sample_initial(1, np.random.default_rng(0))
        number = tables.init(world.observe(root))
        exact = value_iteration(tables, GAMMA, 1e-9).values[number[0]]
        planner = UCT(num_simulations=simulations, gamma=GAMMA)
        for route, model, state in (("known law", KnownModel(world), root), ("tables", tables, number)):
            planner.plan(model, state, np.random.default_rng(0))  # loads the kernels
            rates, errors = [], []
            for seed in range(seeds):
                begin = time.perf_counter()
                plan = planner.plan(model, state, np.random.default_rng(seed))[0]
                rates.append(simulations / (time.perf_counter() - begin))
                errors.append(abs(plan.value - exact))
            spread = f"{min(rates):,.0f} – {max(rates):,.0f}"
            print(f"  {name:14s} {route:10s} {statistics.median(rates):>11,.0f} simulations/s  ({spread}), "
                  f"largest error {max(errors):.4f} of {exact:.4f}")  # fmt: skip


def grid() -> tuple[TabularModel, np.ndarray, np.ndarray, sp.csr_matrix]:
    """Returns the grid as our tables, and as the peers hold it: neighbours `[A, S]`, rewards `[A, S]`, sparse P."""
    row, column = np.divmod(np.arange(STATES), SIDE)
    steps = ((-1, 0), (0, 1), (1, 0), (0, -1))
    after = np.stack([np.clip(row + r, 0, SIDE - 1) * SIDE + np.clip(column + c, 0, SIDE - 1) for r, c in steps])
    gain = np.where(after == GOAL, 1.0, -0.01)
    after[:, GOAL], gain[:, GOAL] = GOAL, 0.0
    outcomes = [[(a, 0.8), ((a + 1) % 4, 0.1), ((a - 1) % 4, 0.1)] for a in range(ACTIONS)]
    shape = (STATES, ACTIONS, 3)
    next_state, probability, reward = np.zeros(shape, np.int32), np.zeros(shape), np.zeros(shape)
    for a, row_of in enumerate(outcomes):
        for k, (direction, p) in enumerate(row_of):
            next_state[:, a, k], probability[:, a, k], reward[:, a, k] = after[direction], p, gain[direction]
    terminal = np.arange(STATES) == GOAL
    tables = absorb(next_state, probability, reward, (next_state != GOAL).astype(float), terminal)
    model = TabularModel(*tables, np.ones((STATES, ACTIONS), bool), np.eye(STATES)[0], terminal)
    expected = (probability * reward).sum(axis=2).T
    rows = np.repeat(np.arange(STATES * ACTIONS), 3)
    columns = next_state.transpose(1, 0, 2).reshape(-1)
    weights = probability.transpose(1, 0, 2).reshape(-1)
    return model, after, expected, sp.csr_matrix((weights, (rows, columns)), (STATES * ACTIONS, STATES))


def by_gathering(after: np.ndarray, reward: np.ndarray) -> np.ndarray:
    """Returns V* by Jacobi sweeps that gather the four neighbours and mix them."""
    mix = np.array([[{0: 0.8, 1: 0.1, 3: 0.1}.get((b - a) % 4, 0.0) for b in range(4)] for a in range(4)])
    values = np.zeros(STATES)
    while True:
        new = (reward + GAMMA * (mix @ values[after])).max(axis=0)
        change = np.abs(new - values).max()
        values = new
        if change < CHANGE:
            return values


def by_sparse_products(law: sp.csr_matrix, reward: np.ndarray) -> np.ndarray:
    """Returns V* by Jacobi sweeps with one sparse matrix of all actions."""
    values = np.zeros(STATES)
    while True:
        new = (reward.reshape(-1) + GAMMA * (law @ values)).reshape(ACTIONS, STATES).max(axis=0)
        change = np.abs(new - values).max()
        values = new
        if change < CHANGE:
            return values


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """Returns the median time of a call, after one to warm up."""
    call()
    spent = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        spent.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(spent)


def sweeps(repeats: int) -> None:
    """Prints milliseconds to solve, and distances to our certified solution."""
    model, after, reward, law = grid()
    tolerance = CHANGE * GAMMA / (1 - GAMMA)  # the error bound that a change of 1e-6 certifies
    exact = value_iteration(model, GAMMA, 1e-10).values
    ours = value_iteration(model, GAMMA, tolerance)
    rows: list[tuple[str, Callable[[], np.ndarray]]] = [
        ("inscape value_iteration", lambda: value_iteration(model, GAMMA, tolerance).values),
        ("NumPy, gathered neighbours", lambda: by_gathering(after, reward)),
        ("SciPy, sparse matrix", lambda: by_sparse_products(law, reward)),
    ]
    print(f"\nvalue iteration, {STATES:,} states × {ACTIONS} actions (ours: {ours.iterations} sweeps, certified error "
          f"{ours.error_bound:.1e})")  # fmt: skip
    first = None
    for name, call in rows:
        took = milliseconds(call, repeats)
        first = first or took
        error = np.abs(call() - exact).max()
        print(f"  {name:28s} {took:8.1f} ms   {took / first:5.2f} × ours   error {error:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    searches(given.simulations, given.seeds)
    sweeps(given.repeats)


if __name__ == "__main__":
    main()
