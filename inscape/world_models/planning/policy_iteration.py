"""Policy iteration, and the linear programme: other routes to the values that value iteration finds.

Sources: Howard (1960), "Dynamic Programming and Markov Processes"; the linear programme: d'Epenoux (1963), "A
probabilistic production and inventory problem", Management Science 10(1); Puterman (2005), sections 6.4 and 6.9; ties
are kept, so that it ends: Puterman, theorem 6.4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.planning.dynamic_programming import (
    Solution,
    certified,
    check_limits,
    policy_evaluation,
)
from inscape.world_models.planning.problem import Problem, sweeps_for
from inscape.world_models.planning.sweeping.prioritised import values_by_priority
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import TabularModel, as_tabular

MOST_DENSE_STATES = 2_000
"""Up to so many states a policy is evaluated by one dense linear system; more, by sweeps."""


def policy_iteration(
    model: Any,
    gamma: float,
    tolerance: float = 1e-6,
    max_iterations: int = 1_000,
    initial_policy: np.ndarray | None = None,
) -> Solution:
    """Returns V* by evaluating a policy exactly and improving it, until no action is better than the one it takes.

    Args:
        model, gamma: as in `value_iteration`; for γ = 1 every policy must end (`value_iteration` solves the others).
        tolerance: the error bound to reach where policies are evaluated by sweeps (above 2,000 states).
        max_iterations: improvements after which to stop.
        initial_policy: `[S]` actions to begin with; None: greedy for one step.

    Returns:
        `Solution`, with `iterations` the number of policies evaluated, and the certificate of value iteration.

    Raises:
        UsageError: as `value_iteration`; the initial policy takes an illegal action.
    """
    table = as_tabular(model, "policy iteration")
    problem = Problem.of(table, gamma)
    check_limits(tolerance, max_iterations)
    if gamma == 1.0 and problem.keeps_going():
        _require_ends(problem)
    problem.certificate()  # refuses γ = 1 where some policy goes on for ever
    policy = problem.reward.argmax(axis=1) if initial_policy is None else _check_actions(table, initial_policy)
    rows = np.arange(table.num_states)
    evaluated = 0
    while True:
        values = _value_of(problem, table, policy, gamma, tolerance)
        evaluated += 1
        q = problem.action_values(values)
        best = q.max(axis=1)
        # an action that is as good as the best to rounding is kept, or policies of equal value would alternate
        better = best > q[rows, policy] + 8 * problem.rounding(values)
        if not better.any() or evaluated == max_iterations:
            return certified(problem, values, evaluated)
        policy = np.where(better, q.argmax(axis=1), policy)


def prioritized_sweeping(model: Any, gamma: float, tolerance: float = 1e-6, max_iterations: int = 100_000) -> Solution:
    """Returns V* by backing up, one after another, the state whose value that changes most.

    Fewer backups than sweeps where few states matter at a time; each costs more, as the states that lead into it are
    looked at again.

    Args:
        model, gamma: as in `value_iteration`; for γ = 1 every policy must end.
        tolerance: the error bound to reach.
        max_iterations: S times as many backups are made at most, for S states.

    Returns:
        `Solution`, with `iterations` the backups made over S, and the certificate of value iteration.

    Raises:
        UsageError: as `value_iteration`.

    Source: Moore & Atkeson (1993), "Prioritized sweeping", Machine Learning 13; Wingate & Seppi (2005), "Prioritization
    methods for accelerating MDP solvers", JMLR 6.
    """
    table = as_tabular(model, "prioritized sweeping")
    problem = Problem.of(table, gamma)
    check_limits(tolerance, max_iterations)
    if gamma == 1.0 and problem.keeps_going():
        _require_ends(problem)
    return certified(problem, *values_by_priority(problem, tolerance, max_iterations))


def linear_programme(model: Any, gamma: float) -> Solution:
    """Returns V* as the smallest V with V ≥ r_a + γ P_a V for all actions, by SciPy's HiGHS: a cross-check.

    Args:
        model, gamma: as in `value_iteration`; for γ = 1 every policy must end.

    Raises:
        UsageError: as `value_iteration`; the solver fails.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_matrix

    table = as_tabular(model, "the linear programme")
    problem = Problem.of(table, gamma)
    if gamma == 1.0 and problem.keeps_going():
        _require_ends(problem)
    problem.certificate()
    going = np.flatnonzero(~problem.terminal)
    if not len(going):
        return certified(problem, np.zeros(table.num_states), 1)
    column = np.full(table.num_states, -1)
    column[going] = np.arange(len(going))
    s, a = np.nonzero(np.isfinite(problem.reward) & ~problem.terminal[:, None])
    following, weight = problem.next_state[s, a], problem.weight[s, a]
    row, k = np.nonzero((weight > 0) & (column[following] >= 0))
    count = len(s)
    coefficients = np.concatenate([weight[row, k], -np.ones(count)])
    rows = np.concatenate([row, np.arange(count)])
    columns = np.concatenate([column[following[row, k]], column[s]])
    matrix = coo_matrix((coefficients, (rows, columns)), (count, len(going))).tocsr()
    unit = reward_unit(problem.reward[s, a])
    bound = -problem.reward[s, a] / unit
    done = linprog(np.ones(len(going)), A_ub=matrix, b_ub=bound, bounds=(None, None), method="highs")
    if not done.success:
        raise UsageError(f"the linear programme of {table.name} was not solved: {done.message}")
    values = np.zeros(table.num_states)
    values[going] = done.x * unit
    return certified(problem, values, int(done.nit))


def reward_unit(reward: np.ndarray) -> float:
    """Returns the power of two next to the largest reward: tolerances of HiGHS are absolute."""
    largest = float(np.abs(reward).max(initial=0.0))
    return float(np.ldexp(1.0, int(np.frexp(largest)[1]) - 1)) if largest > 0 else 1.0


def policy_values(problem: Problem, policy: np.ndarray) -> np.ndarray:
    """Returns `[S]` values of the deterministic policy `[S]`, by one dense linear system.

    Raises:
        UsageError: the matrix does not fit into memory.
    """
    going = np.flatnonzero(~problem.terminal)
    if not len(going):
        return np.zeros(len(problem.terminal))
    require_memory(24 * len(going) ** 2, f"the linear system of {len(going):,} states")
    column = np.full(len(problem.terminal), len(going))
    column[going] = np.arange(len(going))
    taken = policy[going]
    at = np.arange(len(going))[:, None] * (len(going) + 1) + column[problem.next_state[going, taken]]
    chain = np.bincount(at.ravel(), problem.weight[going, taken].ravel(), len(going) * (len(going) + 1))
    system = np.eye(len(going)) - chain.reshape(len(going), -1)[:, :-1]
    values = np.zeros(len(problem.terminal))
    values[going] = np.linalg.solve(system, problem.reward[going, taken])
    return values


def _value_of(problem: Problem, table: TabularModel, policy: np.ndarray, gamma: float, tolerance: float) -> np.ndarray:
    if table.num_states <= MOST_DENSE_STATES:
        return policy_values(problem, policy)
    probabilities = np.zeros((table.num_states, table.num_actions))
    probabilities[np.arange(table.num_states), policy] = 1.0
    return policy_evaluation(table, probabilities, gamma, tolerance * max(1e-3, 1.0 - gamma) / 4)


def _check_actions(table: TabularModel, policy: np.ndarray) -> np.ndarray:
    actions = np.asarray(policy)
    states = table.num_states
    if actions.shape != (states,) or actions.dtype.kind not in "iu":
        raise UsageError(f"initial_policy of shape {list(actions.shape)}", expected=f"[S] = [{states}] action numbers")
    inside = (actions >= 0) & (actions < table.num_actions)
    wrong = ~table.terminal & ~(inside & table.legal[np.arange(states), np.where(inside, actions, 0)])
    if wrong.any():
        s = int(np.argmax(wrong))
        raise UsageError(f"initial_policy takes the illegal action {actions[s]} in state {s} of {table.name}")
    return np.where(table.terminal, 0, actions).astype(np.int64)


def _require_ends(problem: Problem) -> None:
    """Refuses γ = 1 where some policy goes on for ever, with the way that solves it."""
    legal = np.isfinite(problem.reward)
    forever = sweeps_for(problem.weight).avoiders(problem.next_state, problem.weight, legal, problem.terminal)
    if forever.any():
        raise UsageError(
            f"with gamma = 1, from state {int(np.argmax(forever))} of {problem.name} some policy goes on for ever",
            expected="a world in which every policy ends, or gamma < 1",
            hint='method="value-iteration", which finds policies that end',
        )
