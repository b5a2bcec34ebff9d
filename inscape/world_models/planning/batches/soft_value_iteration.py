"""Many Boltzmann-rational agents over the same dynamics: purposes and rationalities side by side, on all cores.

Sweeps from V = 0, then Newton steps (`kernels.tables.soft_lanes`). The maximum-entropy backup is convex and a
contraction: its fixed point is one. The soft-eval backup is a contraction for certain only where β times the spread of
the action values stays small, or the discount is (below 0.7 for four actions); elsewhere it may have several fixed
points, and the one meant is that which sweeps from 0 lead to. So steps begin after `WARM_UP` sweeps, no agent begins
where another one ended, steps that do not halve the residual are taken back for twice as many sweeps, and a fixed
point that sweeps would leave is not accepted: that agent is swept to its end, as `soft_value_iteration` does."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np

from inscape.envs.compile.switch import is_plain
from inscape.errors import UsageError
from inscape.world_models.planning.batches.value_iteration import checked_purposes
from inscape.world_models.planning.dynamic_programming import (
    Backup,
    Solution,
    check_limits,
    check_soft,
    solve_soft_problem,
)
from inscape.world_models.planning.kernels.tables.gauss_seidel import MAXENT, SOFT_EVAL
from inscape.world_models.planning.problem import EPSILON, Problem
from inscape.world_models.planning.small_tables import is_small
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import TabularModel, as_tabular

Array = np.ndarray[Any, Any]
LANES = 16
"""Agents side by side: what the vector instructions of a processor take at once."""
LEAST_WORK = 50_000
"""Entries of `[G, S, A, K]` from which small tables, too, are solved side by side."""
WARM_UP = 64
"""Sweeps from V = 0 before the first Newton step; twice as many after steps that were vain, and so on."""
MOST_STEPS = 40
"""Newton steps in a row; four to eight do."""
PATIENCE = 3
"""Steps without a residual half as large as the best before an agent is swept on from there."""
MOST_ITERATIONS = 120
"""Iterations of the linear solver in a step."""
SHARE = 0.01
"""Of the tolerance: what the residual of an agent is brought to, if rounding allows, since a step costs little."""
DONE, TO_GO_ON, LEADS_AWAY = range(3)
"""How far an agent is: sweeps are to go on; or they lead away from the fixed point that was found."""
PROBES = 128
"""Pairs of sweeps that show whether a fixed point attracts."""


@dataclass(frozen=True, eq=False)
class BatchedSoftSolution:
    """What soft value iteration found for G agents.

    Attributes:
        values: `[G, S]` float64, 0 in states that are terminal under the purpose.
        q_values: `[G, S, A]` float64 one-step look-ahead from `values`; −inf where illegal, 0 in terminal states.
        error_bound: `[G]` certifies max |values[g] − V*| ≤ error_bound[g]; infinite for `"soft-eval"`.
        iterations: `[G]` sweeps over all states and actions; Newton steps count one each.
        residual: `[G]` largest change of a value in the last sweep.
    """

    values: Array
    q_values: Array
    error_bound: Array
    iterations: Array
    residual: Array


def batched_soft_value_iteration(
    model: Any,
    gamma: float,
    beta: Any,
    backup: Backup,
    rewards: Array,
    terminal: Array | None = None,
    tolerance: Any = 1e-6,
    max_iterations: int = 100_000,
    *,
    purpose: Any = None,
) -> BatchedSoftSolution:
    """Returns the values of G Boltzmann-rational agents over the same dynamics, as `soft_value_iteration` does of one.

    Args:
        model: the dynamics: a `TabularModel`, anything with `tabular()`, or an enumerable `World`. Its own rewards do
            not matter; states that are terminal in it are so under every purpose.
        gamma: discount in [0, 1].
        beta: `[G]` rationality of each agent, per unit of reward; or one for all.
        backup: `"soft-eval"` or `"maxent"`.
        rewards: `[N, S, A]` expected rewards of N purposes (`[N, S]`: of every action).
        terminal: `[N, S]` bool, states that end the task under the purpose, or `[S]`; None: the model's.
        tolerance: as in `soft_value_iteration`; or `[G]`, one for each agent.
        max_iterations: sweeps, for each agent, after which to stop.
        purpose: `[G]` which of the N purposes each agent has; None: agent g has purpose g.

    Raises:
        UsageError: shapes disagree; a reward is not finite (naming purpose, state and action); beta, gamma, tolerance
            or max_iterations out of range; `"soft-eval"` does not settle for an agent; the action values do not fit
            into memory (saying their size).

    Source: Ziebart (2010), section 5.2, for the maximum-entropy backup; Newton's method on V = TV: Puterman & Brumelle
        (1979), Mathematics of Operations Research 4(1).
    """
    table = as_tabular(model, "soft value iteration")
    if backup == "hard":
        raise UsageError("backup 'hard' of soft agents", expected="soft-eval, maxent", hint="batched_value_iteration")
    dynamics = Problem.of(table, gamma)
    rewards, terminal = checked_purposes(table, rewards, terminal)
    pursued = _purposes(purpose, len(rewards))
    betas, tolerances = _for_each(beta, len(pursued), "beta"), _for_each(tolerance, len(pursued), "tolerance")
    for one in np.unique(betas):
        check_soft(float(one), backup)
    for limit in np.unique(tolerances):
        check_limits(float(limit), max_iterations)
    agents, (states, actions) = len(pursued), table.legal.shape
    require_memory(8 * agents * states * (actions + 1), f"values of {agents} agents in {table.name}")
    found = BatchedSoftSolution(
        np.zeros((agents, states)), np.zeros((agents, states, actions)), np.zeros(agents),
        np.zeros(agents, np.int64), np.zeros(agents),
    )  # fmt: skip
    batch = _Batch(table, dynamics, backup, betas, tolerances, max_iterations, rewards, terminal, pursued, found)
    if is_plain() or (is_small(dynamics.weight) and agents * dynamics.weight.size < LEAST_WORK):
        for g in range(agents):
            batch.solve_alone(g)
    else:
        batch.solve_side_by_side()
    return found


@dataclass(frozen=True, eq=False)
class _Batch:
    """What all agents of a call share."""

    table: TabularModel
    dynamics: Problem
    backup: Backup
    betas: Array
    tolerances: Array
    max_iterations: int
    rewards: Array
    terminal: Array
    pursued: Array
    found: BatchedSoftSolution

    def problem(self, g: int) -> Problem:
        """Returns what agent g solves."""
        n = self.pursued[g]
        reward = np.where(self.table.legal, self.rewards[n], -np.inf)
        reward[self.terminal[n]] = 0.0
        largest = float(np.abs(reward).max(where=np.isfinite(reward), initial=0.0))
        return replace(self.dynamics, reward=reward, terminal=self.terminal[n], largest_reward=largest)

    def solve_alone(self, g: int) -> None:
        """Solves agent g by itself, from V = 0."""
        given = float(self.betas[g]), float(self.tolerances[g]), self.max_iterations
        self._keep(g, solve_soft_problem(self.problem(g), self.backup, *given))

    def solve_side_by_side(self) -> None:
        """Solves all agents, `LANES` at a time on each core; who is not done goes on with others that are not."""
        cores = os.cpu_count() or 1
        states, actions = self.table.legal.shape
        left, sweeps = np.argsort(self.betas, kind="stable"), WARM_UP  # like rationality, alike many steps
        while len(left):
            lanes = min(LANES, -(-len(left) // cores))
            blocks = [left[low : low + lanes] for low in range(0, len(left), lanes)]
            block = 8 * states * lanes * (2 * actions + 9)
            require_memory(
                block * min(cores, len(blocks)), f"soft value iteration of {lanes} agents in {self.table.name}"
            )
            with ThreadPoolExecutor(min(cores, len(blocks))) as threads:
                done = np.concatenate(list(threads.map(self._solve_block, blocks, repeat(sweeps))))
            for g in left[done == LEADS_AWAY]:
                self.solve_alone(int(g))
            left, sweeps = left[done == TO_GO_ON], 2 * sweeps

    def _solve_block(self, block: Array, sweeps: int) -> Array:
        """Goes on with the agents `block [L]`; returns `[L]` `DONE`, `TO_GO_ON` or `LEADS_AWAY`."""
        problems, found = [self.problem(int(g)) for g in block], self.found
        lanes = _Lanes(self.dynamics, self.table.legal, problems, self.betas[block], self.backup)
        lanes.values[:] = found.values[block].T
        done = lanes.solve(self.tolerances[block], sweeps)
        found.values[block] = lanes.values.T
        found.iterations[block] += lanes.sweeps
        done[(done == TO_GO_ON) & (found.iterations[block] >= self.max_iterations)] = LEADS_AWAY
        for lane in np.flatnonzero(done == DONE):
            g, problem = int(block[lane]), problems[lane]
            residual, bound = float(lanes.residual[lane]), np.inf
            if self.backup == "maxent":
                height, drop = problem.certificate()
                floor = problem.rounding(found.values[g], float(self.betas[g]))
                bound = (residual + floor) * (height - drop) / drop + floor if np.isfinite(height) else np.inf
            q_values = problem.action_values(found.values[g])
            self._keep(g, Solution(found.values[g], q_values, bound, int(found.iterations[g]), residual))
        return done

    def _keep(self, g: int, solution: Solution) -> None:
        found = self.found
        found.values[g], found.q_values[g] = solution.values, solution.q_values
        found.q_values[g][self.terminal[self.pursued[g]]] = 0.0
        found.error_bound[g], found.iterations[g] = solution.error_bound, solution.iterations
        found.residual[g] = solution.residual


class _Lanes:
    """Agents that are solved side by side: arrays `[S, L]`."""

    def __init__(self, dynamics: Problem, legal: Array, problems: list[Problem], betas: Array, backup: Backup) -> None:
        from inscape.world_models.planning.kernels.tables import soft_lanes

        self.kernels = soft_lanes
        states, actions = legal.shape
        count = len(problems)
        self.tables = dynamics.next_state.view(np.uint32), dynamics.weight
        self.legal, self.beta = legal, np.ascontiguousarray(betas, np.float64)
        self.mode = MAXENT if backup == "maxent" else SOFT_EVAL
        reward = np.empty((states, actions, count))
        going = np.empty((states, count))
        for lane, problem in enumerate(problems):
            reward[:, :, lane] = problem.reward
            going[:, lane] = ~problem.terminal
        self.reward, self.going = reward, going
        with np.errstate(divide="ignore"):
            soft = np.where(self.beta > 0, np.log(actions) / self.beta, 0.0)
        self.base = np.array([problem.largest_reward for problem in problems]) + soft
        self.most_kept = dynamics.kept()[1]
        self.operations = dynamics.weight.shape[2] + 8 + 4 * actions
        self.values = np.zeros((states, count))
        self.slope = np.empty((states, actions, count))
        self.change = np.empty((states, count))
        self.vectors = np.empty((6, states, count))
        self.scratch = np.empty((actions, count)), np.empty((actions, count)), *(np.empty(count) for _ in range(3))
        self.lane_scratch = np.empty((8, count))
        self.residual, self.size = np.empty(count), np.empty(count)
        self.sweeps = 0

    def sweep(self, sweeps: int) -> None:
        self.sweeps += sweeps
        self.kernels.sweep(
            *self.tables, self.legal, self.reward, self.going, self.beta, self.values, self.scratch, self.mode, sweeps
        )

    def back_up(self) -> None:
        self.sweeps += 1
        self.kernels.back_up(
            *self.tables, self.legal, self.reward, self.going, self.beta, self.values, self.scratch, self.mode,
            self.change, self.slope, self.residual, self.size,
        )  # fmt: skip

    def solve(self, tolerance: Array, sweeps: int) -> Array:
        """Sweeps `values` on, then makes Newton steps; returns `[L]` `DONE`, `TO_GO_ON` or `LEADS_AWAY`.

        Where it is done, `values` are TV with a residual of at most `tolerance [L]`; where it is to go on, those with
        the smallest residual, before steps that did not halve it.
        """
        count = len(self.beta)
        best, kept, out = np.full(count, np.inf), self.values.copy(), np.zeros(count, bool)
        tried = np.zeros(count, np.int64)  # steps since the residual was last halved
        self.sweep(sweeps)
        for step in range(MOST_STEPS):
            self.back_up()
            halved = self.residual <= 0.5 * best
            tried = np.where(halved, 0, tried + 1)
            done = self._is_below(self._goal(tolerance)) | (self._is_below(tolerance) & ~halved)
            vain = ((tried > PATIENCE) | ~np.isfinite(self.residual)) & ~done & ~out
            self.values[:, vain] = kept[:, vain]
            out |= vain
            if (done | out).all() or step == MOST_STEPS - 1:
                break
            kept[:, halved] = self.values[:, halved]
            best = np.where(halved, self.residual, best)
            # exact enough that the error of the step is no larger than what makes the backup nonlinear
            residual = np.maximum(self.residual, 1e-300)
            exactness = np.clip(residual / np.maximum(self.size, 1e-300), 1e-10, 0.01)
            exactness = np.maximum(exactness, 0.1 * self._goal(tolerance) / residual)
            self.kernels.newton_step(
                *self.tables, self.slope, self.change, np.where(done | out, 1.0, exactness), self.vectors,
                self.lane_scratch, MOST_ITERATIONS,
            )  # fmt: skip
            self.values += self.vectors[0]
        done &= ~out
        self.values += np.where(done, self.change, 0.0)
        return np.where(~done, TO_GO_ON, np.where(self._attracts(), DONE, LEADS_AWAY))

    def _goal(self, tolerance: Array) -> Array:
        """Returns `[L]` the residual to reach: a share of the tolerance, or what rounding leaves."""
        return np.asarray(np.maximum(SHARE * tolerance, 2.0 * self.operations * EPSILON * (self.base + self.size)))

    def _is_below(self, limit: Array) -> Array:
        return np.asarray(np.isfinite(self.size) & (self.residual <= limit))

    def _attracts(self) -> Array:
        """Returns `[L]` bool: whether sweeps would stay at the fixed point that was found."""
        against = np.maximum(-self.slope, 0.0).sum(axis=1).max(axis=0)
        if self.mode == MAXENT or (self.most_kept * (1.0 + 2.0 * against) < 1.0).all():  # a contraction
            return np.ones(len(self.beta), bool)
        rng = np.random.default_rng(0)
        probe = rng.choice([-1.0, 1.0], size=(len(self.values), 1)) * self.going
        self.kernels.growth(*self.tables, self.slope, probe, *self.lane_scratch[:2], self.size, PROBES)
        return np.asarray(self.size < 0.0)


def _purposes(purpose: Any, count: int) -> Array:
    """Returns `[G]` which of `count` purposes each agent has."""
    if purpose is None:
        return np.arange(count)
    numbers = np.asarray(purpose)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or ((numbers < 0) | (numbers >= count)).any():
        raise UsageError(f"purpose = {purpose!r}", expected=f"[G] numbers of purposes, 0 to {count - 1}")
    return numbers.astype(np.int64)


def _for_each(given: Any, count: int, what: str) -> Array:
    """Returns `[G]` numbers, from one for all or one for each."""
    try:
        numbers = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{what} = {given!r}", expected=f"a number, or [{count}]") from None
    if numbers.shape not in ((), (count,)):
        raise UsageError(f"{what} of shape {list(numbers.shape)}", expected=f"a number, or [{count}]")
    return np.broadcast_to(numbers, (count,))
