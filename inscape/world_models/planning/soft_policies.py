"""The best of the policies that keep exploring, and values of policies that change from stage to stage.

Source: Sutton & Barto (2018), "Reinforcement Learning", section 5.4: the best ε-soft policy is the best policy of a
world in which, with probability ε, a random action is carried out instead.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.planning.dynamic_programming import Solution, check_policy, ties, value_iteration
from inscape.world_models.planning.problem import Problem
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import TabularModel, as_tabular

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class EpsilonSoftSolution(Solution):
    """The best ε-soft policy: its values, and one-step look-ahead from them.

    Attributes:
        epsilon: ε.
        probabilities: `[S, A]` the policy: ε shared by all legal actions, the rest to the best (shared among equals).
    """

    epsilon: float = 0.0
    probabilities: Array = dataclasses.field(default_factory=lambda: np.empty((0, 0)))


def epsilon_soft_optimum(
    model: Any, gamma: float, epsilon: float, tolerance: float = 1e-6, max_iterations: int = 1_000_000
) -> EpsilonSoftSolution:
    """Returns the best policy among those that give every legal action at least ε/|A(s)|.

    Args:
        model, gamma, tolerance, max_iterations: as in `value_iteration`.
        epsilon: ε in [0, 1]; 0: the optimum, 1: the uniform policy.

    Raises:
        UsageError: epsilon out of range, or as `value_iteration`.
    """
    table = as_tabular(model, "the ε-soft optimum")
    if not 0.0 <= epsilon <= 1.0:
        raise UsageError(f"epsilon = {epsilon}", expected="a probability from 0 to 1")
    found = value_iteration(_trembling(table, epsilon), gamma, tolerance, max_iterations)
    q_values = Problem.of(table, gamma).action_values(found.values)
    legal = table.legal | table.terminal[:, None]
    best = np.where(legal, q_values, -np.inf)
    top = ties(best, 1e-9)
    probabilities = epsilon * legal / legal.sum(axis=1, keepdims=True) + (1 - epsilon) * top / top.sum(1, keepdims=True)
    return EpsilonSoftSolution(
        found.values, q_values, found.error_bound, found.iterations, found.residual, epsilon=epsilon,
        probabilities=probabilities,
    )  # fmt: skip


def stage_values(model: Any, policy: Array, horizon: int, gamma: float = 1.0) -> Array:
    """Returns `[H + 1, S]` values of a policy with H, …, 0 steps to go; it may change from stage to stage.

    The average reward over H stages is `values[0] / H` (γ = 1).

    Args:
        model: as in `backward_induction`.
        policy: `[H, S, A]` probabilities for each stage, or `[S, A]` for all.
        horizon: H, at least 0.
        gamma: discount in [0, 1].

    Raises:
        UsageError: the policy is not one (naming the state), of another number of stages, or a number is out of range.
    """
    table = as_tabular(model, "values of stages")
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 0:
        raise UsageError(f"horizon = {horizon!r}", expected="a number of steps, at least 0")
    given = np.asarray(policy, float)
    if given.ndim == 3 and len(given) != horizon:
        raise UsageError(
            f"a policy of {len(given)} stages", expected=f"horizon = {horizon} stages, or one policy [S, A]"
        )
    problem = Problem.of(table, gamma)
    require_memory(8 * (horizon + 1) * table.num_states, f"values of {horizon} stages")
    values = np.zeros((horizon + 1, table.num_states))
    fixed = None if given.ndim == 3 else check_policy(table, given)
    for h in reversed(range(horizon)):
        here = check_policy(table, given[h]) if fixed is None else fixed
        q = problem.action_values(values[h + 1])
        values[h] = np.where(table.terminal, 0.0, (here * np.where(here > 0, q, 0.0)).sum(axis=1))
    return values


def _trembling(table: TabularModel, epsilon: float) -> TabularModel:
    """Returns the model in which, with probability ε, a random legal action is carried out instead."""
    states, actions, width = table.next_state.shape
    total = (actions + 1) * width
    require_memory(8 * 4 * states * actions * total, f"tables of {actions} actions, each of which may be any other")
    legal = table.legal | table.terminal[:, None]
    share = epsilon * legal / legal.sum(axis=1, keepdims=True)  # [S, A]

    def widened(own: Array, others: Array) -> Array:
        every = np.broadcast_to(others.reshape(states, 1, actions * width), (states, actions, actions * width))
        return np.concatenate([own, every], axis=2)

    return dataclasses.replace(
        table,
        next_state=widened(table.next_state, table.next_state),
        probability=widened((1 - epsilon) * table.probability, share[:, :, None] * table.probability),
        reward=widened(table.reward, table.reward),
        continuation=widened(table.continuation, table.continuation),
    )
