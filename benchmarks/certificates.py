"""Whether certificates hold: random problems, solved, beside their exact values.

Every problem is solved by policy iteration with dense linear systems, refined in long double; an error beyond the bound
that a solver certifies is a violation. Problems are sparse and dense, with and without terminal states, idle and
absorbing loops, rewards of either sign, of one sign and of none, from 1e-6 to 1e9 in size, γ from 0 to 0.9999.

python benchmarks/certificates.py [--problems 10000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from inscape.world_models import Solution, TabularModel, absorb, policy_iteration, prioritized_sweeping, value_iteration
from inscape.world_models.planning import small_tables

GAMMAS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)


def random_problem(seed: int) -> tuple[TabularModel, float, float]:
    """Returns (tables, gamma, tolerance)."""
    rng = np.random.default_rng(seed)
    states, actions = int(rng.integers(1, 25)), int(rng.integers(1, 5))
    width = states if rng.random() < 0.3 else int(rng.integers(1, min(states, 6) + 1))
    shape = states, actions, width
    next_state = rng.integers(0, states, shape)
    kind = rng.integers(4)
    if kind == 0:  # steps to neighbours
        next_state = np.clip(np.arange(states)[:, None, None] + rng.integers(-1, 2, shape), 0, states - 1)
    elif kind == 1:  # staying for ever
        stays = rng.random((states, actions)) < 0.3
        next_state = np.where(stays[:, :, None], np.arange(states)[:, None, None], next_state)
    probability = rng.dirichlet(np.full(width, rng.choice([0.1, 1, 10])), (states, actions))
    probability /= probability.sum(axis=2, keepdims=True)
    terminal = rng.random(states) < rng.choice([0, 0, 0.1, 0.5])
    scale = 10.0 ** rng.choice([-6, 0, 0, 3, 9])
    reward = rng.normal(size=shape) * scale
    sign = rng.integers(6)
    if sign == 0:
        reward = np.abs(reward)
    elif sign == 1:
        reward = -np.abs(reward)
    elif sign == 2:
        reward = reward * (rng.random(shape) < 0.1)
    elif sign == 3:
        reward = np.full(shape, -scale)
    continuation = (~terminal[next_state]).astype(float)
    if rng.random() < 0.2:
        continuation *= rng.random(shape)
    legal = rng.random((states, actions)) < 0.8
    legal[:, 0] = True
    tables = absorb(next_state, probability, reward, continuation, terminal)
    model = TabularModel(*tables, legal, np.full(states, 1 / states), terminal)
    return model, float(rng.choice(GAMMAS)), float(rng.choice([1e-2, 1e-6, 1e-10])) * scale


def exact_values(model: TabularModel, gamma: float) -> tuple[np.ndarray, float]:
    """Returns `[S]` V* in long double, and how far it may be off."""
    states, actions, width = model.next_state.shape
    rows = np.arange(states)
    weight = gamma * model.probability.astype(np.longdouble) * model.continuation
    reward = (model.probability.astype(np.longdouble) * model.reward).sum(axis=2)
    reward = np.where(model.legal | model.terminal[:, None], reward, -np.inf)
    law = np.zeros((states, actions, states), np.longdouble)
    for k in range(width):
        np.add.at(law, (rows[:, None], np.arange(actions)[None], model.next_state[:, :, k]), weight[:, :, k])
    policy = reward.argmax(axis=1)
    for _ in range(200):
        chain, gain = law[rows, policy], reward[rows, policy]
        system = np.eye(states) - chain.astype(float)
        values = np.linalg.solve(system, gain.astype(float)).astype(np.longdouble)
        for _ in range(3):
            values = values + np.linalg.solve(system, (gain + chain @ values - values).astype(float))
        q_values = reward + law @ values
        better = q_values.max(axis=1) > q_values[rows, policy] + 1e-17 * np.abs(values)
        if not better.any():
            break
        policy = np.where(better, q_values.argmax(axis=1), policy)
    return values, float(np.abs(q_values.max(axis=1) - values).max() / (1.0 - gamma))


def excess(found: Solution, exact: np.ndarray, doubt: float) -> float:
    """Returns by how much the error exceeds what is certified; 0 where it does not."""
    return max(0.0, float(np.abs(found.values - exact).max()) - found.error_bound - doubt)


def large(call: Callable[[], Solution]) -> Solution:
    """Returns the result of a solver that takes any table for a large one."""
    kept, small_tables.MOST_STATES = small_tables.MOST_STATES, 0
    try:
        return call()
    finally:
        small_tables.MOST_STATES = kept


def violations(seed: int) -> list[str]:
    """Returns which solvers certify too much in a problem."""
    model, gamma, tolerance = random_problem(seed)
    exact, doubt = exact_values(model, gamma)
    sweeps = int(np.random.default_rng(seed).choice([1, 3, 10, 100_000]))
    found = {
        "value iteration, small tables": value_iteration(model, gamma, tolerance, sweeps),
        "value iteration, large tables": large(lambda: value_iteration(model, gamma, tolerance, sweeps)),
        "prioritised sweeping": prioritized_sweeping(model, gamma, tolerance, 100),
        "policy iteration": policy_iteration(model, gamma, tolerance),
    }
    return [f"{name}, problem {seed}" for name, solution in found.items() if excess(solution, exact, doubt) > 0.0]


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=10_000)
    given = parser.parse_args()
    began, wrong = time.process_time(), []
    for seed in range(given.problems):
        wrong += violations(seed)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{len(wrong)} violations in {given.problems:,} problems, {time.process_time() - began:.0f} s")


if __name__ == "__main__":
    main()
