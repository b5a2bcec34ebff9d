"""What a policy does: how often it visits each state, when it arrives, and how its return is distributed.

Sources: occupancy: Puterman (2005), "Markov Decision Processes", section 6.9; hitting probabilities as the least
solution: Norris (1997), "Markov Chains", theorem 1.3.2; distribution of returns: Bellemare, Dabney & Rowland (2023),
"Distributional Reinforcement Learning", section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.interface import check_gamma
from inscape.world_models.planning.dynamic_programming import check_policy
from inscape.world_models.tabular.arrays import require_memory
from inscape.world_models.tabular.model import TabularModel, as_tabular

Array = np.ndarray[Any, Any]


def occupancy(
    model: Any, policy: Array, gamma: float, initial: Array | None = None, *, horizon: int | None = None
) -> Array:
    """Returns `[S]` expected discounted visits Σ_t γᵗ·P(s_t = s): they sum to 1/(1 − γ) where nothing ends.

    The visit to a terminal state, at the end of an episode, counts once. Expected return = Σ_s visits(s)·r(s).

    Args:
        model: a `TabularModel`, anything with `tabular()`, or an enumerable `World`.
        policy: `[S, A]` probabilities, or `[S]` action numbers.
        gamma: discount in [0, 1]; 1 where the policy ends, or with a horizon.
        initial: `[S]` probabilities of the first state; None: the model's own.
        horizon: counts the states at times 0 … H only.

    Raises:
        UsageError: the policy is not one; gamma out of range; γ = 1 and the policy stays in a state for ever.
    """
    table = as_tabular(model, "occupancy")
    check_gamma(gamma)
    chain = policy_chain(table, policy)
    start = table.initial if initial is None else _distribution(initial, table.num_states)
    if horizon is not None:
        if horizon < 0:
            raise UsageError(f"horizon = {horizon}", expected="at least 0")
        visits, now = np.zeros(table.num_states), start.astype(float)
        for _ in range(horizon + 1):
            visits += now
            now = gamma * (now @ chain)
        return visits
    if gamma == 1.0:
        _require_an_end(table, chain, start)
    alive = _reached(chain, start)
    visits = np.zeros(table.num_states)
    system = _identity_less(chain[alive][:, alive], gamma)
    visits[alive] = _solve_linear(system.T, start[alive])
    return np.maximum(visits, 0.0)


@dataclass(frozen=True, eq=False)
class Hitting:
    """When a policy first arrives.

    Attributes:
        probability: `[S]` of ever arriving, from each state; 1 in the targets.
        steps: `[S]` expected number of steps; infinite where it may never arrive.
    """

    probability: Array
    steps: Array


def hitting(model: Any, policy: Array, targets: Any) -> Hitting:
    """Returns the probability of ever reaching any of the targets, and the expected number of steps.

    Args:
        model, policy: as in `occupancy`.
        targets: state numbers, or `[S]` bool.

    Raises:
        UsageError: the policy is not one, or there is no target.
    """
    table = as_tabular(model, "hitting times")
    states = table.num_states
    wanted = np.zeros(states, bool)
    given = np.atleast_1d(np.asarray(targets))
    if given.dtype == bool and given.shape == (states,):
        wanted = given
    elif given.dtype.kind in "iu" and given.size and given.min() >= 0 and given.max() < states:
        wanted[given] = True
    if not wanted.any():
        raise UsageError(f"targets = {targets!r}", expected=f"state numbers from 0 to {states - 1}, or [{states}] bool")
    # whoever arrives has arrived, even where the episode ends with that step; elsewhere it must go on
    arrivals, going = policy_chain(table, policy, arrivals=True), policy_chain(table, policy)
    chain = (arrivals @ _only(wanted) + going @ _only(~wanted)).tocsr()
    # the least solution: states that cannot arrive at all have probability 0, the others a regular linear system
    able = _reached(chain.T.tocsr(), wanted.astype(float))
    between = able & ~wanted
    probability = np.where(wanted, 1.0, 0.0)
    inner = chain[between][:, between]
    into = np.asarray(chain[between][:, wanted].sum(axis=1)).reshape(-1)
    probability[between] = np.clip(_solve_linear(_identity_less(inner, 1.0), into), 0.0, 1.0)
    steps = np.where(wanted, 0.0, np.inf)
    # for certain: no way leads into a state from which it cannot arrive
    leak = np.asarray(chain.sum(axis=1)).reshape(-1) < 1.0 - 1e-9
    doomed = _reached((_only(~wanted) @ chain).T.tocsr(), (~wanted & (leak | ~able)).astype(float))
    sure = between & ~doomed
    steps[sure] = _solve_linear(_identity_less(chain[sure][:, sure], 1.0), np.ones(int(sure.sum())))
    return Hitting(probability, steps)


@dataclass(frozen=True, eq=False)
class ReturnDistribution:
    """The distribution of the (discounted) return of a policy from a distribution of first states.

    Attributes:
        values: `[N]` different returns, ascending.
        probabilities: `[N]`.
        unfinished: probability of not having ended after the steps looked at; the rewards until then count.
    """

    values: Array
    probabilities: Array
    unfinished: float = field(default=0.0)

    @property
    def mean(self) -> float:
        return float(self.values @ self.probabilities)

    @property
    def variance(self) -> float:
        return float((self.values - self.mean) ** 2 @ self.probabilities)

    def quantile(self, level: float) -> float:
        """Returns the smallest return that is not exceeded with probability `level`."""
        if not 0.0 <= level <= 1.0:
            raise UsageError(f"level = {level}", expected="a probability from 0 to 1")
        cumulative = np.cumsum(self.probabilities)
        return float(self.values[min(int(np.searchsorted(cumulative, level - 1e-12)), len(self.values) - 1)])

    def probability_above(self, value: float) -> float:
        """Returns P(return > value)."""
        return float(self.probabilities[self.values > value].sum())


def return_distribution(
    model: Any,
    policy: Array,
    gamma: float = 1.0,
    *,
    horizon: int | None = None,
    initial: Array | None = None,
    decimals: int | None = None,
    most_atoms: int = 1_000_000,
) -> ReturnDistribution:
    """Returns the exact distribution of the return, by carrying every sum of rewards so far with its probability.

    Args:
        model, policy, gamma, initial: as in `occupancy`.
        horizon: steps to look at; None: until less than 1e-12 of probability has not ended (or 100,000 steps).
        decimals: returns equal to so many decimals are one; None: 10, more where all rewards are below 1.
        most_atoms: pairs of state and return that may be carried; more are refused.

    Raises:
        UsageError: as `occupancy`; or there are more than `most_atoms` different returns.
    """
    table = as_tabular(model, "the distribution of returns")
    check_gamma(gamma)
    if decimals is None:
        largest = float(np.abs(table.reward).max(initial=0.0, where=table.probability > 0))
        decimals = min(300, 10 + max(0, -math.floor(math.log10(largest)))) if largest > 0 else 10
    probabilities = _policy_of(table, policy)
    start = table.initial if initial is None else _distribution(initial, table.num_states)
    states = np.flatnonzero(start)
    totals, mass = np.zeros(len(states)), start[states].astype(float)
    done_totals, done_mass = [], []
    discount = 1.0
    for _ in range(100_000 if horizon is None else horizon):
        over = table.terminal[states]
        done_totals.append(totals[over])
        done_mass.append(mass[over])
        states, totals, mass = states[~over], totals[~over], mass[~over]
        if mass.sum() < 1e-12:
            states, totals, mass = states[:0], totals[:0], mass[:0]
            break
        chosen = probabilities[states][:, :, None] * table.probability[states]
        row, a, k = np.nonzero(chosen)
        ahead = states[row], a, k
        weight = mass[row] * chosen[row, a, k]
        following, sums = table.next_state[ahead], totals[row] + discount * table.reward[ahead]
        going = table.continuation[ahead]
        done_totals.append(sums)
        done_mass.append(weight * (1.0 - going))
        states, totals, mass = _merged(following, sums, weight * going, decimals)
        if len(mass) > most_atoms:
            raise UsageError(
                f"more than {most_atoms:,} pairs of a state and a return in {table.name}",
                expected="rewards that add up to few different sums",
                hint="a horizon, fewer decimals, or a larger most_atoms",
            )
        discount *= gamma
    unfinished = float(mass[~table.terminal[states]].sum())
    every = np.concatenate([*done_totals, totals]), np.concatenate([*done_mass, mass])
    _, values, found = _merged(np.zeros(len(every[0]), np.int64), *every, decimals)
    return ReturnDistribution(values, found / found.sum(), unfinished)


def policy_chain(table: TabularModel, policy: Array, arrivals: bool = False) -> Any:
    """Returns `[S, S]` sparse P(s' | s) under the policy; no step leads out of a terminal state.

    `arrivals`: steps that end an episode count as arriving, too; otherwise only those that go on, and those that end in
    a terminal state.
    """
    from scipy.sparse import coo_matrix

    probabilities = _policy_of(table, policy)
    going = table.probability if arrivals else _arriving(table)
    weight = probabilities[:, :, None] * going * ~table.terminal[:, None, None]
    s, a, k = np.nonzero(weight)
    size = table.num_states
    return coo_matrix((weight[s, a, k], (s, table.next_state[s, a, k])), (size, size)).tocsr()


def _arriving(table: TabularModel) -> Array:
    """Returns `[S, A, K]` probabilities of being in the next state afterwards: not where the episode just ends."""
    return table.probability * np.where(table.terminal[table.next_state], 1.0, table.continuation)


def _policy_of(table: TabularModel, policy: Array) -> Array:
    given = np.asarray(policy)
    if given.ndim == 1 and given.dtype.kind in "iu" and given.shape == (table.num_states,):
        if given.size and not (given.min() >= 0 and given.max() < table.num_actions):
            raise UsageError(f"a policy with action {int(given.max())}", expected=f"0 to {table.num_actions - 1}")
        given = np.eye(table.num_actions)[given]
    return check_policy(table, np.asarray(given, np.float64))


def _distribution(given: Array, states: int) -> Array:
    found = np.asarray(given, float)
    if found.shape != (states,) or not np.isfinite(found).all() or (found < 0).any() or abs(found.sum() - 1) > 1e-6:
        raise UsageError(f"initial of shape {list(found.shape)}", expected=f"[{states}] probabilities that sum to one")
    return found


def _reached(chain: Any, start: Array) -> Array:
    """Returns `[S]` bool: states that can be reached from those in `start`, themselves included."""
    reached = start > 0
    frontier = reached
    pattern = (chain > 0).astype(np.int8).T.tocsr()
    while frontier.any():
        found = (pattern @ frontier.astype(np.int32)) > 0
        frontier = found & ~reached
        reached = reached | frontier
    return np.asarray(reached)


def _require_an_end(table: TabularModel, chain: Any, start: Array) -> None:
    """Raises UsageError where the chain stays among some states for ever, naming one."""
    ends = table.terminal | (np.asarray(chain.sum(axis=1)).reshape(-1) < 1.0 - 1e-12)
    stuck = _reached(chain, start) & ~_reached(chain.T.tocsr(), ends.astype(float))
    if stuck.any():
        raise UsageError(
            f"with gamma = 1 the policy visits state {int(np.argmax(stuck))} of {table.name} without end",
            expected="a policy that ends, or gamma < 1",
            hint="horizon=H counts the visits of the first H steps",
        )


def _only(states: Array) -> Any:
    """Returns the `[S, S]` diagonal matrix that keeps these states."""
    from scipy.sparse import diags

    return diags(states.astype(float), format="csr")


def _identity_less(chain: Any, gamma: float) -> Any:
    from scipy.sparse import identity

    return (identity(chain.shape[0], format="csr") - gamma * chain).tocsc()


def _solve_linear(system: Any, right: Array) -> Array:
    """Returns x of `system · x = right`: dense where that is as fast."""
    from scipy.sparse.linalg import spsolve

    size = system.shape[0]
    if size == 0:
        return np.zeros(0)
    if size <= 500:
        return np.asarray(np.linalg.solve(system.toarray(), right))
    require_memory(16 * system.nnz, "the linear system of a policy")
    return np.asarray(spsolve(system.tocsc(), right))


def _merged(states: Array, totals: Array, mass: Array, decimals: int) -> tuple[Array, Array, Array]:
    """Returns pairs of state and total, each once, with the mass of all that are equal to `decimals`."""
    keep = mass > 0
    states, totals, mass = states[keep], np.round(totals[keep], decimals) + 0.0, mass[keep]
    order = np.lexsort((totals, states))
    states, totals, mass = states[order], totals[order], mass[order]
    if not len(states):
        return states, totals, mass
    first = np.concatenate([[True], (states[1:] != states[:-1]) | (totals[1:] != totals[:-1])])
    return states[first], totals[first], np.add.reduceat(mass, np.flatnonzero(first))
