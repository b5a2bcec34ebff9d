"""Exact planning over a fixed number of steps: values and actions for each stage.

Sources: Bellman (1957), "Dynamic Programming"; Puterman (2005), "Markov Decision Processes", section 4.5 (backward
induction); soft and KL-regularised: Todorov (2009), "Efficient computation of optimal actions", PNAS 106(28).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.planning.choice import boltzmann_log_probs
from inscape.world_models.planning.dynamic_programming import Backup, check_prior, check_soft, ties
from inscape.world_models.planning.problem import Problem
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import TabularModel, as_tabular


@dataclass(frozen=True, eq=False)
class FiniteHorizonSolution:
    """What backward induction found, for H stages: stage h has H − h steps to go.

    Attributes:
        model: the tables it is of.
        gamma: discount.
        values: `[H + 1, S]` float64; the last row is what the end is worth (`final_values`, 0 in terminal states).
        policy: `[H, S]` int64 optimal actions, the first among equals.
        error_bound: certifies max |values − V*| ≤ error_bound: rounding alone.
    """

    model: TabularModel
    gamma: float
    values: np.ndarray
    policy: np.ndarray
    error_bound: float

    @property
    def horizon(self) -> int:
        return len(self.policy)

    @cached_property
    def q_values(self) -> np.ndarray:
        """`[H, S, A]` float64 action values; −inf where illegal."""
        problem = Problem.of(self.model, self.gamma)
        require_memory(8 * self.policy.size * self.model.num_actions, f"action values of {self.horizon} stages")
        return np.stack([problem.action_values(self.values[h + 1]) for h in range(self.horizon)])

    def optimal_actions(self, tolerance: float = 1e-9) -> np.ndarray:
        """Returns `[H, S, A]` bool: all actions within `tolerance` of the best, relative to its size (see `ties`)."""
        return ties(self.q_values, tolerance)


@dataclass(frozen=True, eq=False)
class SoftFiniteHorizonSolution(FiniteHorizonSolution):
    """The same for a Boltzmann-rational agent.

    Attributes:
        log_policy: `[H, S, A]` float64.
        beta: rationality, per unit of reward.
        backup: which backup made the values.
    """

    log_policy: np.ndarray
    beta: float
    backup: Backup


def backward_induction(
    model: Any, horizon: int, gamma: float = 1.0, final_values: np.ndarray | None = None
) -> FiniteHorizonSolution:
    """Returns V_h(s) = max_a Σ P(s'|s,a) (r + γ·continuation·V_{h+1}(s')) for h = H − 1, …, 0, exact to rounding.

    Args:
        model: a `TabularModel`, anything with `tabular()`, or an enumerable `World`.
        horizon: H, steps to go at stage 0; at least 0.
        gamma: discount in [0, 1].
        final_values: `[S]` what it is worth to be in a state at the end; None: 0. Terminal states are worth 0.

    Raises:
        UsageError: horizon or gamma out of range; `final_values` of another shape, or not finite; the values do not fit
            into memory.
    """
    table = as_tabular(model, "backward induction")
    problem, values = _begin(table, horizon, gamma, final_values)
    policy = np.empty((horizon, table.num_states), np.int64)
    for h in reversed(range(horizon)):
        q = problem.action_values(values[h + 1])
        policy[h] = q.argmax(axis=1)
        values[h] = np.where(table.terminal, 0.0, q.max(axis=1))
    return FiniteHorizonSolution(table, gamma, values, policy, _rounding(problem, values, 0.0))


def soft_backward_induction(
    model: Any,
    horizon: int,
    beta: float,
    backup: Backup = "maxent",
    gamma: float = 1.0,
    final_values: np.ndarray | None = None,
    prior: np.ndarray | None = None,
) -> SoftFiniteHorizonSolution:
    """Returns the values of a Boltzmann-rational agent for each stage, and its policies by the choice rule.

    Backups are those of `soft_value_iteration`. With a `prior` π₀ and backup `"maxent"`, the policy is the exact
    maximum of E[return] − (1/β)·Σ_h KL(π_h ‖ π₀).

    Args:
        model, horizon, gamma, final_values: as in `backward_induction`.
        beta: rationality, per unit of reward.
        backup: `"soft-eval"`, `"maxent"` or `"hard"`.
        prior: `[S, A]` reference policy π₀, or None: every action alike (not normalised: the entropy is rewarded).

    Raises:
        UsageError: as `backward_induction` and `soft_value_iteration`.
    """
    check_soft(beta, backup)
    table = as_tabular(model, "soft backward induction")
    problem, values = _begin(table, horizon, gamma, final_values)
    log_prior = check_prior(table, prior, beta, backup)
    if log_prior is not None:
        problem = problem.in_favour_of(log_prior, beta)
    require_memory(8 * horizon * table.legal.size, f"policies of {horizon} stages")
    log_policy = np.empty((horizon, *table.legal.shape))
    legal = np.isfinite(problem.reward)
    for h in reversed(range(horizon)):
        q = problem.action_values(values[h + 1])
        log_policy[h] = boltzmann_log_probs(np.where(legal, q, -np.inf), beta, legal)
        best = q.max(axis=1)
        if backup == "hard":
            values[h] = best
        elif backup == "maxent":
            shifted = np.where(legal, q - best[:, None], -np.inf)
            values[h] = best + np.log(np.exp(beta * shifted).sum(axis=1)) / beta
        else:
            values[h] = (np.exp(log_policy[h]) * np.where(legal, q, 0.0)).sum(axis=1)
        values[h][table.terminal] = 0.0
    bound = _rounding(problem, values, beta)
    return SoftFiniteHorizonSolution(
        table, gamma, values, log_policy.argmax(axis=2), bound, log_policy, beta, backup
    )  # fmt: skip


def _begin(
    table: TabularModel, horizon: int, gamma: float, final_values: np.ndarray | None
) -> tuple[Problem, np.ndarray]:
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 0:
        raise UsageError(f"horizon = {horizon!r}", expected="a number of steps, at least 0")
    problem = Problem.of(table, gamma)
    require_memory(16 * (horizon + 1) * table.num_states, f"values and actions of {horizon} stages")
    values = np.zeros((horizon + 1, table.num_states))
    if final_values is not None:
        final = np.asarray(final_values, np.float64)
        if final.shape != (table.num_states,) or not np.isfinite(final).all():
            raise UsageError(
                f"final_values of shape {list(final.shape)}", expected=f"[S] = [{table.num_states}] finite numbers"
            )
        values[horizon] = np.where(table.terminal, 0.0, final)
    return problem, values


def _rounding(problem: Problem, values: np.ndarray, beta: float) -> float:
    """Returns a bound on the error that rounding adds up to over all stages."""
    return problem.rounding(values, beta) * max(1, len(values) - 1)
