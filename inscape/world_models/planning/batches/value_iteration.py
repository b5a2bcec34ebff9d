"""Many purposes over the same dynamics: their tables are folded once, and all cores solve."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.planning.dynamic_programming import check_limits, solve_problem, ties
from inscape.world_models.planning.problem import Problem
from inscape.world_models.planning.small_tables import is_small
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import TabularModel, as_tabular

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class BatchedSolution:
    """What value iteration found for G purposes.

    Attributes:
        values: `[G, S]` float64, 0 in states that are terminal under the purpose.
        q_values: `[G, S, A]` float64 one-step look-ahead from `values`; −inf where illegal, 0 in terminal states.
        error_bound: `[G]` certifies max |values[g] − V*| ≤ error_bound[g], rounding included.
        iterations: `[G]` sweeps over all states and actions.
    """

    values: Array
    q_values: Array
    error_bound: Array
    iterations: Array

    @property
    def policy(self) -> Array:
        """`[G, S]` int64 optimal actions, the first among equals."""
        return np.asarray(self.q_values.argmax(axis=2))

    def optimal_actions(self, tolerance: float = 1e-9) -> Array:
        """Returns `[G, S, A]` bool: all actions within `tolerance` of the best (see `ties`)."""
        return ties(self.q_values, tolerance)


def batched_value_iteration(
    model: Any,
    gamma: float,
    rewards: Array,
    terminal: Array | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 1_000_000,
) -> BatchedSolution:
    """Returns V* for each of G purposes over the same dynamics, as `value_iteration` does for one.

    Args:
        model: the dynamics: a `TabularModel`, anything with `tabular()`, or an enumerable `World`. Its own rewards do
            not matter; states that are terminal in it are so under every purpose.
        gamma: discount in [0, 1).
        rewards: `[G, S, A]` expected rewards (`[G, S]`: of every action); those of illegal actions do not matter.
        terminal: `[G, S]` bool, states that end the task under the purpose, or `[S]`; None: the model's.
        tolerance: the error bound to reach, in units of reward.
        max_iterations: sweeps, for each purpose, after which to stop.

    Raises:
        UsageError: shapes disagree; a reward is not finite (naming purpose, state and action); gamma, tolerance or
            max_iterations out of range; the action values do not fit into memory (saying their size).
    """
    table = as_tabular(model, "value iteration")
    check_limits(tolerance, max_iterations)
    dynamics = Problem.of(table, gamma)
    if gamma == 1.0:
        raise UsageError(
            "gamma = 1 for a batch of rewards", expected="gamma < 1", hint="value_iteration solves them one by one"
        )
    rewards, terminal = checked_purposes(table, rewards, terminal)
    goals, (states, actions) = len(rewards), table.legal.shape
    require_memory(8 * goals * states * (actions + 1), f"values of {goals} purposes in {table.name}")
    found = BatchedSolution(
        np.zeros((goals, states)), np.zeros((goals, states, actions)), np.zeros(goals), np.zeros(goals, np.int64)
    )

    def solve(g: int) -> None:
        reward = np.where(table.legal, rewards[g], -np.inf)
        reward[terminal[g]] = 0.0
        largest = float(np.abs(reward).max(where=np.isfinite(reward), initial=0.0))
        problem = replace(dynamics, reward=reward, terminal=terminal[g], largest_reward=largest)
        solution = solve_problem(problem, tolerance, max_iterations)
        found.values[g], found.q_values[g] = solution.values, solution.q_values
        found.q_values[g][terminal[g]] = 0.0
        found.error_bound[g], found.iterations[g] = solution.error_bound, solution.iterations

    cores = (
        1 if is_small(dynamics.weight) else os.cpu_count() or 1
    )  # small tables are solved under the interpreter's lock
    with ThreadPoolExecutor(cores) as threads:
        list(threads.map(solve, range(goals)))
    return found


def checked_purposes(table: TabularModel, rewards: Array, terminal: Array | None) -> tuple[Array, Array]:
    """Returns `[G, S, A]` rewards and `[G, S]` terminal states, or raises UsageError."""
    given = np.asarray(rewards, np.float64)
    states, actions = table.legal.shape
    if given.ndim == 2:
        given = np.broadcast_to(given[:, :, None], (*given.shape, actions))
    if given.ndim != 3 or given.shape[1:] != (states, actions):
        raise UsageError(
            f"rewards of shape {list(np.shape(rewards))} for {table.name}",
            expected=f"[G, {states}, {actions}] or [G, {states}]",
        )
    ended = np.broadcast_to(table.terminal, given.shape[:2])
    if terminal is not None:
        own = np.asarray(terminal)
        if own.dtype != np.bool_ or own.shape not in ((states,), given.shape[:2]):
            raise UsageError(
                f"terminal of shape {list(own.shape)}, {own.dtype}", expected=f"[{len(given)}, {states}] bool, or [S]"
            )
        ended = ended | own
    wrong = ~np.isfinite(given) & table.legal & ~ended[:, :, None]
    if wrong.any():
        g, s, a = np.argwhere(wrong)[0]
        raise UsageError(
            f"the reward of purpose {g} in state {s} for action {a} is {given[g, s, a]}", expected="finite"
        )
    return given, np.ascontiguousarray(ended)
