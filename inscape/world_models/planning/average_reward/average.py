"""Average reward: the gain and the bias of the best policies, with a certificate on the gain.

States are first grouped into maximal end components, in each of which the best gain is the same everywhere. Policy
iteration finds it in each; how many steps short of it the values are bounds the error (by the span of Th − h). Where
there are several components, where to go is a problem of total reward: to stop in a component is worth its gain.
Policy iteration over everything then improves, in this order, the gain, the bias, and what comes after it in Laurent's
expansion, so that the bias too is the best there is.

Sources: Puterman (2005), "Markov Decision Processes", section 8.3 (classes of models), 8.5.5 (bounds by the span), 9.2
(multichain policy iteration), 9.3 (linear programme), 10.3 (bias-optimal policies); Howard (1960), "Dynamic Programming
and Markov Processes"; end components: de Alfaro (1997), "Formal verification of probabilistic systems"; that it is hard
to say whether every policy has one recurrent class only: Tsitsiklis (2007), "NP-hardness of checking the unichain
condition in average cost MDPs", Operations Research Letters 35(3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.planning.average_reward.chain import Chain
from inscape.world_models.planning.dynamic_programming import check_limits, check_policy, ties, value_iteration
from inscape.world_models.planning.policy_iteration import reward_unit
from inscape.world_models.planning.undiscounted import end_components
from inscape.world_models.tabular.model import TabularModel, as_tabular

Array = np.ndarray[Any, Any]
Structure = Literal["unichain", "communicating", "weakly communicating", "multichain"]
NEARLY, TIED = 1e-9, 1e-11
"""By how much, relative to the size of the values, an action must be better to be taken instead of another, and how
near actions are that count as equal."""
MOST_FACTORED, MOST_SWEEPS = 3_000, 2_000
"""States above which relative value iteration is tried before linear systems are factored; and for how many sweeps."""
MOST_LOOKS, POLICIES_LOOKED_AT = 32, 8
"""States, and policies at random, looked at to find a state that no policy avoids."""


@dataclass(frozen=True, eq=False)
class AverageSolution:
    """The best reward per step in the long run, from each state, and what is earned beside it.

    Terminal states stay where they are, for no reward.

    Attributes:
        gain: `[S]` float64 reward per step; of `policy`, exact to rounding.
        bias: `[S]` float64 total reward beyond `gain` per step: the values with γ < 1 are gain/(1 − γ) + bias +
            O(1 − γ). Where every episode ends the gain is 0 and the bias is the total reward.
        gain_values: `[S, A]` gain after the action, Σ P(s'|s,a)·gain(s'); −inf where illegal.
        q_values: `[S, A]` r(s,a) − gain(s) + Σ P(s'|s,a)·bias(s'); −inf where illegal.
        policy: `[S]` int64 actions with the best gain and, among these, the best bias.
        error_bound: certifies gain ≤ best gain ≤ gain + error_bound in every state, rounding included.
        iterations: policies evaluated.
        structure: `"unichain"`: some state comes back whatever the policy: every policy has one recurrent class;
            `"communicating"`: from each state any other can be reached; `"weakly communicating"`: so can they, but for
            states that every policy leaves for good; in these three the best gain is the same everywhere.
            `"multichain"`: there are several sets of states in which one can stay.
        recurrent_class: `[S]` number of the recurrent class of `policy`; −1 where transient.
    """

    gain: Array
    bias: Array
    gain_values: Array
    q_values: Array
    policy: Array
    error_bound: float
    iterations: int
    structure: Structure
    recurrent_class: Array

    def optimal_actions(self, tolerance: float = 1e-9) -> Array:
        """Returns `[S, A]` bool: all actions that lose neither gain nor, of this gain, bias (see `ties`)."""
        kept = ties(self.gain_values, tolerance)
        return np.asarray(kept & ties(np.where(kept, self.q_values, -np.inf), tolerance))


def average_reward(model: Any, tolerance: float = 1e-6, max_iterations: int = 10_000) -> AverageSolution:
    """Returns the best gain, and the best bias with it, by multichain policy iteration.

    Above 3,000 states relative value iteration is tried first; `iterations` are its sweeps then, and of policies with
    the same gain and relative values the first is taken.

    Args:
        model: a `TabularModel`, anything with `tabular()`, or an enumerable `World`.
        tolerance: the error bound to reach, where components are left for better ones.
        max_iterations: policies after which to stop; `error_bound` then shows how far it got.

    Raises:
        UsageError: the model has no tables, or an argument is out of range.
    """
    table = as_tabular(model, "average reward")
    check_limits(tolerance, max_iterations)
    problem = _Problem.of(table)
    allowed, component = end_components(problem.next_state, problem.probability, problem.legal)
    if len(component) > MOST_FACTORED and component.max() == 0:
        quick = _by_relative_values(problem, allowed, component, tolerance, max_iterations, table.num_states)
        if quick is not None:
            return quick
    policy, upper, evaluated = _by_component(problem, allowed, component, tolerance, max_iterations)
    policy, found, chain, more = _improve(problem, policy, problem.legal, max_iterations)
    gain, bias, _ = found
    count = int(component.max()) + 1
    gain_values = np.where(problem.legal, problem.ahead(gain), -np.inf)
    q_values = np.where(problem.legal, problem.reward + problem.ahead(bias) - gain[:, None], -np.inf)
    loss = float((upper - gain).max(initial=0.0)) + problem.rounding(bias)
    states = table.num_states  # without the end that was added
    return AverageSolution(
        gain[:states], bias[:states], gain_values[:states], q_values[:states], policy[:states], loss, evaluated + more,
        _structure(problem, allowed, component, count), chain.classes[:states],
    )  # fmt: skip


def average_of_policy(model: Any, policy: Array) -> tuple[Array, Array]:
    """Returns `[S]` gain and `[S]` bias of a policy, exact to rounding.

    Args:
        model: as in `average_reward`.
        policy: `[S, A]` probabilities, or `[S]` action numbers.

    Raises:
        UsageError: it is not a policy of the model.
    """
    table = as_tabular(model, "average reward")
    given = np.asarray(policy)
    if given.ndim == 1 and given.dtype.kind in "iu":
        if given.shape != (table.num_states,) or given.min() < 0 or given.max() >= table.num_actions:
            raise UsageError(
                f"a policy of shape {list(given.shape)}",
                expected=f"[{table.num_states}] actions from 0 to {table.num_actions - 1}",
            )
        given = np.eye(table.num_actions)[given]
    checked = check_policy(table, given.astype(np.float64))
    problem = _Problem.of(table)
    weights = np.zeros(problem.legal.shape)
    weights[: table.num_states] = checked
    weights = np.where(problem.over[:, None], np.eye(1, table.num_actions), weights)
    chain, reward = problem.under(weights)
    gain, bias = chain.gain_and_bias(reward)
    return gain[: table.num_states], bias[: table.num_states]


def average_linear_programme(model: Any) -> Array:
    """Returns `[S]` the best gain by Puterman's multichain linear programme (section 9.3), by SciPy's HiGHS.

    The smallest g with g ≥ P_a·g and g + h ≥ r_a + P_a·h for all actions: a cross-check.

    Raises:
        UsageError: the model has no tables; the solver fails.
    """
    from scipy.optimize import linprog
    from scipy.sparse import bmat, coo_matrix, csr_matrix

    table = as_tabular(model, "the linear programme")
    problem = _Problem.of(table)
    s, a = np.nonzero(problem.legal)
    size, rows = len(problem.over), len(s)
    ahead = coo_matrix(
        (
            problem.probability[s, a].ravel(),
            (np.repeat(np.arange(rows), problem.width), problem.next_state[s, a].ravel()),
        ),
        (rows, size),
    )
    drift = ahead.tocsr() - csr_matrix((np.ones(rows), (np.arange(rows), s)), (rows, size))
    here = csr_matrix((-np.ones(rows), (np.arange(rows), s)), (rows, size))
    matrix = bmat([[drift, None], [here, drift]], format="csr")
    unit = reward_unit(problem.reward[s, a])
    bound = np.concatenate([np.zeros(rows), -problem.reward[s, a] / unit])
    cost = np.concatenate([np.full(size, 1.0 / size), np.zeros(size)])
    done = linprog(cost, A_ub=matrix, b_ub=bound, bounds=(None, None), method="highs")
    if not done.success:
        raise UsageError(f"the linear programme of {table.name} was not solved: {done.message}")
    return np.asarray(done.x[: table.num_states] * unit)


def with_programme(model: Any, solution: AverageSolution) -> AverageSolution:
    """Returns the solution with the gain of the linear programme; the difference is in the error bound."""
    gain = average_linear_programme(model)
    apart = float(np.abs(gain - solution.gain).max())
    return replace(solution, gain=gain, error_bound=solution.error_bound + apart)


@dataclass(frozen=True, eq=False)
class _Problem:
    """Tables in which nothing ends: terminal states stay, and what ends elsewhere goes to an end that is added."""

    next_state: Array  # [S, A, K]
    probability: Array  # [S, A, K]
    reward: Array  # [S, A], −inf where illegal
    legal: Array  # [S, A]
    over: Array  # [S]

    @staticmethod
    def of(table: TabularModel) -> _Problem:
        size = table.num_states
        over, next_state, probability = table.terminal, table.next_state, table.probability
        legal = np.where(over[:, None], np.arange(table.num_actions) == 0, table.legal)
        reward = np.where(legal, table.expected_reward(), -np.inf)
        going = table.continuation
        ends = np.where(over[next_state], 0.0, probability * (1.0 - going))
        ends[over] = 0.0
        if ends.max(initial=0.0) > 0.0:
            kept = probability - ends
            next_state = np.concatenate([next_state, np.full((*legal.shape, 1), size)], axis=2)
            probability = np.concatenate([kept, ends.sum(axis=2, keepdims=True)], axis=2)
            next_state = np.concatenate([next_state, np.full((1, *next_state.shape[1:]), size)])
            last = np.zeros((1, *probability.shape[1:]))
            last[..., 0] = 1.0
            probability = np.concatenate([probability, last])
            legal = np.concatenate([legal, np.arange(table.num_actions)[None] == 0])
            reward = np.concatenate([reward, np.where(legal[-1:], 0.0, -np.inf)])
            over = np.append(over, True)
        return _Problem(next_state, np.where(legal[:, :, None], probability, 0.0), reward, legal, over)

    @property
    def width(self) -> int:
        return int(self.next_state.shape[2])

    @property
    def scale(self) -> float:
        return float(np.abs(self.reward[self.legal]).max(initial=0.0)) or 1.0

    def ahead(self, values: Array) -> Array:
        """Returns `[S, A]` Σ P(s'|s,a)·values(s')."""
        return np.asarray(np.einsum("sak,sak->sa", self.probability, values[self.next_state]))

    def under(self, weights: Array) -> tuple[Chain, Array]:
        """Returns the chain that a policy `[S, A]` makes of it, and its rewards."""
        from scipy.sparse import coo_matrix

        s, a = np.nonzero(weights)
        rows, data = np.repeat(s, self.width), (weights[s, a][:, None] * self.probability[s, a]).ravel()
        size = len(self.over)
        matrix = coo_matrix((data, (rows, self.next_state[s, a].ravel())), (size, size)).tocsr()
        return Chain(matrix), np.bincount(s, weights[s, a] * self.reward[s, a], size)

    def choosing(self, policy: Array) -> tuple[Chain, Array]:
        """The same for actions `[S]`."""
        return self.under(np.eye(self.legal.shape[1])[policy])

    def rounding(self, bias: Array) -> float:
        size = self.scale + 2.0 * float(np.abs(bias).max(initial=0.0))
        return float((self.width + 8) * np.finfo(float).eps * size)


def _by_relative_values(
    problem: _Problem, allowed: Array, component: Array, tolerance: float, most: int, states: int
) -> AverageSolution | None:
    """Returns the solution by relative value iteration, of a model whose best gain is the same everywhere; None where
    that does not settle soon.

    Half of each sweep is taken, which makes every chain aperiodic: Puterman (2005), section 8.5.4.
    """
    values, best = np.zeros(len(problem.over)), np.inf
    reached, sweeps = values, 0
    while sweeps < min(most, MOST_SWEEPS):
        change = (problem.reward + problem.ahead(values)).max(axis=1) - values
        sweeps += 1
        span = float(change.max() - change.min())
        if span < best:
            best, reached = span, values
        if span <= TIED * problem.scale or (best <= tolerance and span > 2 * best):
            break
        values = values + 0.5 * (change - change[0])
    if best > tolerance:
        return None
    q = problem.reward + problem.ahead(reached)
    change, policy = q.max(axis=1) - reached, q.argmax(axis=1)
    low = float(change.min())
    chain, _ = problem.choosing(policy)
    drift = reached
    for _ in range(MOST_SWEEPS):  # what the relative values are on average in the long run
        following = 0.5 * (drift + chain.matrix @ drift)
        done = float(np.abs(following - drift).max()) <= TIED * problem.scale
        drift = following
        if done:
            break
    bias = reached - drift
    gain = np.full(states, low)
    q_values = np.where(problem.legal, problem.reward + problem.ahead(bias) - low, -np.inf)[:states]
    return AverageSolution(
        gain, bias[:states], np.where(problem.legal[:states], low, -np.inf), q_values, policy[:states],
        float(change.max()) - low + problem.rounding(reached), sweeps, _structure(problem, allowed, component, 1),
        chain.classes[:states],
    )  # fmt: skip


def _by_component(
    problem: _Problem, allowed: Array, component: Array, tolerance: float, most: int
) -> tuple[Array, Array, int]:
    """Returns a policy to begin with, `[S]` an upper bound on the best gain, and how many policies were evaluated."""
    count = int(component.max()) + 1
    inside = component >= 0
    staying = np.where(inside[:, None], allowed, problem.legal)
    policy = np.where(staying, np.where(np.isfinite(problem.reward), problem.reward, 0.0), -np.inf).argmax(axis=1)
    # each component by itself: what lies outside all of them cannot be reached from inside by the actions that stay
    policy, (_, bias, _), _, evaluated = _improve(problem, policy, staying, most, only=inside)
    backed_up = np.where(staying, problem.reward + problem.ahead(bias), -np.inf).max(axis=1) - bias
    highest = np.full(count, -np.inf)
    np.maximum.at(highest, component[inside], backed_up[inside])
    highest += problem.rounding(bias)
    if count == 1:
        return _towards(problem, policy, inside), np.full(len(inside), highest[0]), evaluated
    # where to go: a total reward problem with an action that stops, worth the component's gain; shifted, so that
    # going round in circles, which is worth nothing there, is never better than to stop
    shift = float(highest.min())
    worth = np.where(inside, highest[np.maximum(component, 0)] - shift, 0.0)
    size, actions, width = problem.probability.shape
    stop = np.zeros((size, 1, width))
    stop[:, :, 0] = 1.0
    reward = np.concatenate([np.zeros((size, actions, width)), np.where(stop > 0, worth[:, None, None], 0.0)], axis=1)
    legal = np.concatenate([problem.legal & ~problem.over[:, None], inside[:, None]], axis=1)
    probability = np.concatenate([problem.probability, stop], axis=1)
    probability[~legal] = np.eye(1, width)
    choice = TabularModel(
        np.concatenate([problem.next_state, np.tile(np.arange(size)[:, None, None], (1, 1, width))], axis=1),
        probability,
        reward,
        np.concatenate([np.ones((size, actions, width)), np.zeros((size, 1, width))], axis=1),
        legal,
        np.full(size, 1.0 / size),
        np.zeros(size, bool),
        name="the choice among components",
    )
    best = value_iteration(choice, 1.0, min(tolerance / 4, 1e-9 * max(1.0, float(worth.max()))))
    upper = best.values + shift + best.error_bound
    slack = 8.0 * best.error_bound + NEARLY * problem.scale
    leaving = ~inside | (best.values > worth + slack)
    towards = np.where(best.policy < actions, best.policy, policy)
    return np.where(leaving, towards, policy), upper, evaluated


def _towards(problem: _Problem, policy: Array, inside: Array) -> Array:
    """Returns the policy with, outside the only component, any legal action: none of them stays outside."""
    return np.where(inside, policy, problem.legal.argmax(axis=1))


def _improve(
    problem: _Problem, policy: Array, allowed: Array, most: int, only: Array | None = None
) -> tuple[Array, tuple[Array, Array, Array], Chain, int]:
    """Policy iteration: first by gain, then by bias, then by the next term.

    An action that is as good to rounding is kept, or policies of equal value would alternate. Actions count as equal,
    for the next term to choose among, only if they are much nearer to each other than that: what one term gives must
    not be taken back by another. A policy that comes back ends the search.
    """
    seen = set()
    rows = np.arange(len(policy))
    for evaluated in range(1, most + 1):
        chain, reward = problem.choosing(policy)
        gain, bias = chain.gain_and_bias(reward)
        _, after = chain.gain_and_bias(-bias)
        candidates, better = allowed, np.zeros(len(policy), bool)
        chosen = policy
        for worth in (problem.ahead(gain), problem.reward + problem.ahead(bias), problem.ahead(after)):
            worth = np.where(candidates, worth, -np.inf)
            best = worth.max(axis=1)
            slack = NEARLY * (problem.scale + float(np.abs(worth[candidates]).max(initial=0.0)))
            # once a state's action was found wanting, further terms choose among the best of what is left
            wanting = ~better & (worth[rows, policy] < best - slack)
            better |= wanting
            candidates = candidates & (worth >= best[:, None] - TIED / NEARLY * slack)
            chosen = np.where(better, np.where(candidates, worth, -np.inf).argmax(axis=1), policy)
        if only is not None:
            better &= only
        following = np.where(better, chosen, policy)
        seen.add(policy.tobytes())
        if evaluated == most or following.tobytes() in seen:
            break
        policy = following
    return policy, (gain, bias, after), chain, evaluated


def _structure(problem: _Problem, allowed: Array, component: Array, count: int) -> Structure:
    if count > 1:
        return "multichain"
    if _some_state_comes_back(problem, allowed, component):
        return "unichain"
    return "communicating" if (component >= 0).all() else "weakly communicating"


def _some_state_comes_back(problem: _Problem, allowed: Array, component: Array) -> bool:
    """Returns whether a state was found that no policy avoids for ever: then there is one recurrent class.

    Such a state is in every set in which one can stay, so in the recurrent class of every policy.
    """
    size, actions = problem.legal.shape
    rng = np.random.default_rng(0)
    candidates = component >= 0
    for k in range(actions + POLICIES_LOOKED_AT):
        wanted = np.full(size, k) if k < actions else rng.integers(0, actions, size)
        legal = problem.legal[np.arange(size), wanted]
        classes = problem.choosing(np.where(legal, wanted, problem.legal.argmax(axis=1)))[0].classes
        if classes.max() > 0:
            return False
        candidates &= classes == 0
    for _ in range(min(MOST_LOOKS, int(candidates.sum()))):
        if not candidates.any():
            return False
        state = int(np.argmax(candidates))
        around = allowed & ~((problem.next_state == state) & (problem.probability > 0)).any(axis=2)
        around[state] = False
        _, avoiding = end_components(problem.next_state, problem.probability, around)
        if (avoiding < 0).all():
            return True
        candidates &= avoiding == 0
    return False
