"""Exact planning in tables: value iteration with a certificate, its soft kin, and policy evaluation.

Sources: Bellman (1957), "Dynamic Programming"; evaluating the greedy policy between sweeps: Puterman & Shin (1978),
"Modified policy iteration algorithms for discounted Markov decision problems", Management Science 24(11);
Gauss–Seidel sweeps and the weighted sup-norm certificate: Bertsekas (2012), "Dynamic Programming and Optimal Control"
II, sections 2.2 and 3.3; maximum-entropy backup: Ziebart (2010), "Modeling purposeful adaptive behavior with the
principle of maximum causal entropy", section 5.2; that the Boltzmann-policy backup need not contract: Asadi & Littman
(2017), ICML.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.planning import small_tables, undiscounted
from inscape.world_models.planning.choice import boltzmann_log_probs, check_beta
from inscape.world_models.planning.problem import Problem, rounding_of, sweeps_for
from inscape.world_models.planning.sweeping import modified
from inscape.world_models.tabular.model import TabularModel, as_tabular

Backup = Literal["soft-eval", "maxent", "hard"]
BACKUPS: tuple[Backup, ...] = ("soft-eval", "maxent", "hard")


@dataclass(frozen=True, eq=False)
class Solution:
    """What value iteration found.

    Attributes:
        values: `[S]` float64, 0 in terminal states.
        q_values: `[S, A]` float64 one-step look-ahead from `values`; −inf where illegal.
        error_bound: certifies max |values − V*| ≤ error_bound, rounding included; infinite where nothing is certified
            (the `"soft-eval"` backup).
        iterations: sweeps over all states and actions (in small tables, Newton steps count one each).
        residual: largest change of a value in the last sweep.
    """

    values: np.ndarray
    q_values: np.ndarray
    error_bound: float
    iterations: int
    residual: float

    ending_policy: np.ndarray | None = field(default=None, kw_only=True)
    """`[S]` for γ = 1: optimal actions that end, where others of the same value would go on for ever."""

    @property
    def policy(self) -> np.ndarray:
        """`[S]` int64 optimal actions: greedy, the first among equals, and such that the episode ends if γ = 1."""
        return np.asarray(self.q_values.argmax(axis=1)) if self.ending_policy is None else self.ending_policy

    def optimal_actions(self, tolerance: float = 1e-9) -> np.ndarray:
        """Returns `[S, A]` bool: all actions whose value is within `tolerance` of the best, relative to its size.

        See `ties`. Ties are listed, not broken. `tolerance` should exceed `error_bound`, or errors break them.
        """
        return ties(self.q_values, tolerance)


@dataclass(frozen=True, eq=False)
class SoftSolution(Solution):
    """What soft value iteration found: a `Solution` with the policy that acts on it.

    Attributes:
        log_policy: `[S, A]` float64, `boltzmann_log_probs(q_values, beta)`; uniform in terminal states.
        beta: rationality, per unit of reward.
        backup: which backup made the values.
    """

    log_policy: np.ndarray
    beta: float
    backup: Backup


def value_iteration(model: Any, gamma: float, tolerance: float = 1e-6, max_iterations: int = 1_000_000) -> Solution:
    """Returns V* = max_a Σ P(s'|s,a) (r + γ·continuation·V*(s')) with a certified bound on its error.

    For γ < 1 the bound is that of a contraction. For γ = 1 the values are total rewards: going on for ever must cost
    without end, or earn nothing at all (dawdling is worth 0), and the bound is residual · h, with h the longest
    expected time to the end among nearly optimal policies (`planning.undiscounted`). Stops when the bound is below
    `tolerance`, or at the limit of double precision, whichever comes first: read `error_bound`.

    Args:
        model: a `TabularModel`, anything with `tabular()`, or an enumerable `World`.
        gamma: discount in [0, 1].
        tolerance: the error bound to reach, in units of reward.
        max_iterations: sweeps after which to stop; the bound then shows how far it got.

    Raises:
        UsageError: gamma, tolerance or max_iterations out of range; γ = 1 and the total reward of some policy is not
            finite, or a state that costs cannot be left (naming a state).
    """
    table = as_tabular(model, "value iteration")
    problem = Problem.of(table, gamma)
    check_limits(tolerance, max_iterations)
    if gamma == 1.0 and problem.keeps_going():
        return _solve_undiscounted(problem, tolerance, max_iterations)
    return solve_problem(problem, tolerance, max_iterations)


def soft_value_iteration(
    model: Any,
    gamma: float,
    beta: float,
    backup: Backup,
    tolerance: float = 1e-6,
    max_iterations: int = 100_000,
    prior: np.ndarray | None = None,
) -> SoftSolution:
    """Returns the values of a Boltzmann-rational agent, and its policy by the choice rule.

    - `"soft-eval"`: V = Σ_a π(a|s)·Q(s,a) with π the choice rule on Q: the agent's policy, evaluated as it acts. The
      backup need not contract: the solution is the fixed point reached from V = 0, and `error_bound` is infinite.
    - `"maxent"`: V = (1/β)·log Σ_a exp(β·Q(s,a)); certified like value iteration.
    - `"hard"`: V = max_a Q(s,a), scored softly afterwards; certified.

    With a `prior` π₀ (backup `"maxent"`) V = (1/β)·log Σ_a π₀(a|s)·exp(β·Q(s,a)), and the policy is the exact maximum
    of E[return] − (1/β)·E[Σ γᵗ·KL(π ‖ π₀)], which KL-regularised reinforcement learning is after (τ = 1/β).

    Args:
        model, gamma, max_iterations: as in `value_iteration`.
        beta: rationality, per unit of reward; `"maxent"` needs it positive.
        backup: which of the three.
        tolerance: the error bound to reach; for `"soft-eval"`, the largest change of a value in the last sweep.
        prior: `[S, A]` reference policy π₀; None: every action alike and not normalised, so that entropy is rewarded.

    Raises:
        UsageError: as `value_iteration`; unknown backup; beta negative or not finite; `"soft-eval"` does not settle;
            the prior is not a policy, or is given with another backup.

    Source of the prior: Todorov (2009), "Efficient computation of optimal actions", PNAS 106(28); Levine (2018),
    "Reinforcement learning and control as probabilistic inference", arXiv:1805.00909.
    """
    check_soft(beta, backup)
    table = as_tabular(model, "soft value iteration")
    problem, log_prior = Problem.of(table, gamma), check_prior(table, prior, beta, backup)
    if log_prior is not None:
        problem = problem.in_favour_of(log_prior, beta)
    found = solve_soft_problem(problem, backup, beta, tolerance, max_iterations)
    legal = np.isfinite(problem.reward)
    log_policy = boltzmann_log_probs(np.where(legal, found.q_values, -np.inf), beta, legal)
    q_values = found.q_values if log_prior is None else Problem.of(table, gamma).action_values(found.values)
    return SoftSolution(
        found.values, q_values, found.error_bound, found.iterations, found.residual, log_policy, beta, backup
    )


def solve_soft_problem(
    problem: Problem, backup: Backup, beta: float, tolerance: float, max_iterations: int
) -> Solution:
    """Returns the soft values of folded tables, reached from V = 0; arguments as in `soft_value_iteration`.

    Raises:
        UsageError: `"soft-eval"` does not settle; the limits are out of range.
    """
    height, drop = (np.inf, 1.0) if backup == "soft-eval" else problem.certificate()
    found = _solve(problem, backup, beta, tolerance, max_iterations, height, drop)
    if backup == "soft-eval" and found.residual > tolerance:
        raise UsageError(
            f"the values of {problem.name} under backup 'soft-eval' with beta = {beta} still change by "
            f"{found.residual:.3g} after {found.iterations} sweeps",
            expected=f"changes of at most {tolerance}",
            hint="a smaller beta, a gamma further below 1, or backup 'maxent'",
        )
    return found


def check_soft(beta: float, backup: Backup) -> None:
    """Raises UsageError unless `backup` is known and `beta` one it can have."""
    if backup not in BACKUPS:
        raise UsageError(f"backup = {backup!r}", expected="one of " + ", ".join(map(repr, BACKUPS)))
    check_beta(beta)
    if backup == "maxent" and beta == 0:
        raise UsageError(
            "beta = 0 with backup 'maxent', whose values (1/β)·log Σ exp(β·Q) are infinite",
            expected="beta > 0",
            hint='backup "soft-eval" or "hard" for a uniform mind',
        )


def check_prior(table: TabularModel, prior: np.ndarray | None, beta: float, backup: Backup) -> np.ndarray | None:
    """Returns `[S, A]` log π₀(a|s), −inf where 0; None without a prior.

    Raises:
        UsageError: the prior is not a policy, or the backup is another than `"maxent"`.
    """
    if prior is None:
        return None
    if backup != "maxent":
        raise UsageError(f"a prior with backup {backup!r}", expected='backup "maxent"')
    policy = check_policy(table, np.asarray(prior, np.float64))
    with np.errstate(divide="ignore"):
        return np.where(table.terminal[:, None], 0.0, np.log(policy))


def ties(q_values: np.ndarray, tolerance: float) -> np.ndarray:
    """Returns `[..., A]` bool: actions whose value is within `tolerance · max(u, |best|)` of the best.

    The unit u is 1, or the largest value of all if that is less: rewards in units of 1e-9 tie no more than others.
    """
    best = q_values.max(axis=-1, keepdims=True)
    unit = min(1.0, float(np.abs(q_values[np.isfinite(q_values)]).max(initial=0.0)))
    return np.asarray(q_values >= best - tolerance * np.maximum(unit, np.abs(best)))


def policy_evaluation(
    model: Any, policy: np.ndarray, gamma: float, tolerance: float = 1e-10, max_iterations: int = 1_000_000
) -> np.ndarray:
    """Returns `[S]` values of a policy, to within `tolerance` (or the limit of double precision).

    For γ = 1, states from which the policy never ends have value 0 if they earn nothing.

    Args:
        model, gamma: as in `value_iteration`.
        policy: `[S, A]` probabilities of each action; rows of terminal states do not matter.
        tolerance: largest error, in units of reward.
        max_iterations: sweeps after which to give up.

    Raises:
        UsageError: the policy is of another shape, gives an illegal action a probability, or does not sum to one; or
            γ = 1 and the policy earns reward for ever; or the tolerance was not reached.
    """
    table = as_tabular(model, "policy evaluation")
    policy = check_policy(table, np.asarray(policy, np.float64))
    problem = Problem.of_policy(table, gamma, policy)
    if gamma == 1.0:
        problem = problem.without_idle_loops()
    found = solve_problem(problem, tolerance, max_iterations)
    if found.iterations >= max_iterations and found.error_bound > tolerance:
        raise UsageError(
            f"the values of a policy in {table.name} are known to within {found.error_bound:.3g} only, after "
            f"{found.iterations} sweeps",
            expected=f"{tolerance}",
            hint="a larger tolerance or max_iterations",
        )
    return found.values


def solve_problem(problem: Problem, tolerance: float, max_iterations: int) -> Solution:
    """Returns V* of folded tables, for γ < 1 or where every policy ends; arguments as in `value_iteration`."""
    check_limits(tolerance, max_iterations)
    if small_tables.is_small(problem.weight):
        solution = _solve(problem, "hard", 0.0, tolerance, max_iterations, *problem.certificate())
    else:
        found = modified.solve(problem, problem.bounds(), tolerance, max_iterations)
        solution = Solution(found.values, found.q_values, found.error_bound, found.iterations, found.residual)
    if not np.isfinite(solution.values).all():
        raise UsageError(
            f"the values of {problem.name} exceed the largest number (1.8e308)",
            expected="smaller rewards",
            hint="divide every reward by the same number: values are divided by it, too",
        )
    return solution


SWEEPS_AT_ONCE = 10_000
"""Sweeps between two looks at how large the values have become."""


def _solve(
    problem: Problem, backup: Backup, beta: float, tolerance: float, max_iterations: int, height: float, drop: float
) -> Solution:
    check_limits(tolerance, max_iterations)
    sweeps = sweeps_for(problem.weight)
    mode = {"hard": sweeps.HARD, "maxent": sweeps.MAXENT, "soft-eval": sweeps.SOFT_EVAL}[backup]
    values = np.zeros(len(problem.terminal))
    amplified = (height - drop) / drop
    target = tolerance if not np.isfinite(amplified) else tolerance / max(2.0 * amplified, 1e-300)
    sweep_count = 0
    while True:
        # rounding sets a floor to the residual, known once the size of the values is: asked for now and then
        rounding = problem.rounding(values, beta)
        done, residual = sweeps.solve(
            problem.next_state, problem.weight, problem.reward, problem.terminal, values, mode, beta,
            max(target, 2.0 * rounding), min(max_iterations - sweep_count, SWEEPS_AT_ONCE),
        )  # fmt: skip
        sweep_count += done
        floor = problem.rounding(values, beta)
        if residual <= max(target, 2.0 * floor) or sweep_count >= max_iterations:
            break
    bound = (residual + floor) * amplified + floor if np.isfinite(amplified) else np.inf
    q_values = problem.action_values(values)
    return Solution(values, q_values, float(bound), sweep_count, float(residual))


def certified(problem: Problem, values: np.ndarray, iterations: int) -> Solution:
    """Returns TV of `values [S]` with what it certifies: |V* − TV| from the residual |TV − V|, rounding included."""
    height, drop = problem.certificate()
    backed_up = np.where(problem.terminal, 0.0, problem.action_values(values).max(axis=1))
    residual = float(np.abs(backed_up - values).max(initial=0.0))
    floor = problem.rounding(values)
    amplified = (height - drop) / drop
    bound = (residual + floor) * amplified + floor if np.isfinite(amplified) else np.inf
    return Solution(backed_up, problem.action_values(backed_up), float(bound), iterations, residual)


def check_limits(tolerance: float, max_iterations: int) -> None:
    """Raises UsageError unless both are positive."""
    if not isinstance(tolerance, (int, float, np.integer, np.floating)) or not tolerance > 0:
        raise UsageError(f"tolerance = {tolerance!r}", expected="a positive number")
    if not max_iterations >= 1:
        raise UsageError(f"max_iterations = {max_iterations}", expected="at least 1")


def _solve_undiscounted(problem: Problem, tolerance: float, max_iterations: int) -> Solution:
    """Returns the values of total reward, from below: those of a policy that ends, improved."""
    total = undiscounted.total_reward_problem(
        problem.name, problem.next_state, problem.weight, problem.reward, problem.terminal
    )
    sweeps = sweeps_for(total.weight)
    classes = np.arange(len(total.reward))
    _, ending = undiscounted.proper_actions(total)
    values = np.zeros(len(classes))
    chain = (array[classes, ending][:, None] for array in (total.next_state, total.weight, total.reward))
    sweeps.solve(*map(np.ascontiguousarray, chain), total.terminal, values, sweeps.HARD, 0.0, 1e-6, max_iterations)
    # total rewards are often known in closed form: in a small table they are soon found to nearly all their digits
    target, count = tolerance * (1e-6 if small_tables.is_small(total.weight) else 1.0), 0
    while True:
        floor = rounding_of(total.weight, problem.largest_reward, values)
        done, residual = sweeps.solve(
            total.next_state, total.weight, total.reward, total.terminal, values, sweeps.HARD, 0.0,
            max(target, 2.0 * floor), max_iterations - count,
        )  # fmt: skip
        count += done
        floor = rounding_of(total.weight, problem.largest_reward, values)
        height = undiscounted.ending_bound(total, values, residual + floor, sweeps.solve, sweeps.avoiders)
        bound = (residual + floor) * height
        if bound <= tolerance or residual <= 2.0 * floor or count >= max_iterations:
            break
        target = min(target / 8.0, tolerance / (2.0 * height) if np.isfinite(height) else target)
    action_values = total.reward + np.einsum("sak,sak->sa", total.weight, values[total.next_state])
    slack = 4.0 * (residual + floor)
    policy = undiscounted.ending_policy(total, action_values, slack, problem.next_state, problem.weight)
    values = values[total.class_of]
    q_values = problem.action_values(values)
    return Solution(values, q_values, float(bound), count, float(residual), ending_policy=policy)


def check_policy(table: TabularModel, policy: np.ndarray) -> np.ndarray:
    """Returns `[S, A]` probabilities, 0 in terminal states, or raises UsageError naming the state."""
    shape = (table.num_states, table.num_actions)
    if policy.shape != shape:
        raise UsageError(f"policy of shape {policy.shape}", expected=f"[S, A] = {shape} probabilities")
    going = ~table.terminal
    sums = np.einsum("sa->s", policy)  # several times as fast as `sum`, for a few actions
    bad = going & ~(np.abs(sums - 1.0) <= 1e-6)
    if not policy.min(initial=0.0) >= 0.0:
        bad |= going & (policy < 0).any(axis=1)
    if bad.any():
        s = int(np.flatnonzero(bad)[0])
        raise UsageError(f"policy[{s}] = {policy[s].tolist()}", expected="probabilities that sum to one")
    illegal = going[:, None] & (policy > 0) & ~table.legal
    if illegal.any():
        s, a = np.argwhere(illegal)[0]
        raise UsageError(f"policy[{s}] gives the illegal action {a} probability {policy[s, a]}", expected="0")
    return np.where(going[:, None], policy, 0.0)
