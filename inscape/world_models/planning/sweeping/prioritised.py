"""Prioritised sweeping: backups where they change most.

Sources: Moore & Atkeson (1993), "Prioritized sweeping: reinforcement learning with less data and less time", Machine
Learning 13; for value iteration: Wingate & Seppi (2005), "Prioritization methods for accelerating MDP solvers", Journal
of Machine Learning Research 6.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.world_models.planning.problem import Problem

Array = np.ndarray[Any, Any]


def values_by_priority(problem: Problem, tolerance: float, most_sweeps: int) -> tuple[Array, int]:
    """Returns values `[S]` that no backup changes by more than certifies `tolerance`, and backups made over S.

    Args:
        problem: the tables, γ < 1 or every policy ends.
        tolerance: the error bound to reach.
        most_sweeps: S times as many backups are made at most.
    """
    from inscape.world_models.planning.kernels.tables import prioritised

    states = len(problem.terminal)
    values = np.zeros(states)
    starts, sources = _predecessors(problem)
    tables = problem.next_state.view(np.uint32), problem.weight, problem.reward, problem.terminal
    work = np.zeros(states, np.int64), np.zeros(states, np.int64), np.zeros(states)
    done, left = 0, most_sweeps * states
    while True:  # rounding sets a floor, known once the size of the values is
        target = max(tolerance / problem.bounds().amplified, 2.0 * problem.rounding(values))
        made = prioritised.sweep(*tables, values, starts, sources, *work, target, min(left - done, 100 * states))
        done += made
        if made < 100 * states or done >= left:
            return values, -(-done // states)


def _predecessors(problem: Problem) -> tuple[Array, Array]:
    """Returns (starts `[S + 1]`, sources `[N]`): which states lead into each, every one once."""
    states, actions, width = problem.weight.shape
    source = np.repeat(np.arange(states), actions * width)
    used = (problem.weight.reshape(-1) > 0) & ~np.repeat(problem.terminal, actions * width)
    pairs = np.unique(problem.next_state.reshape(-1)[used].astype(np.int64) * states + source[used])
    starts = np.searchsorted(pairs, np.arange(states + 1) * states)
    return starts, pairs % states
