"""What bounds say of every state of an enumerated world, for a search that meets states and not beliefs.

The upper bound is the fast informed one. The lower one is a set of policies that depend on the last percept alone, each
with its value in every state: a belief is worth at least its mean under the best of them. They are what one would do
who knew the initial state: a search learns to act well as soon as the belief is concentrated on one of them.

Source: Hauskrecht (1997), "Incremental methods for computing bounds in partially observable Markov decision processes",
AAAI (blind policies, and policies of the last observation as lower bounds).
"""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from inscape.world_models.belief.model import BeliefModel
from inscape.world_models.planning.beliefs.alpha_vectors import fast_informed_bound, qmdp
from inscape.world_models.planning.beliefs.bounds import blind_policies
from inscape.world_models.planning.beliefs.problem import BeliefProblem

Array = np.ndarray[Any, Any]
MOST_POLICIES = 32
"""Initial states whose policies are made; of more, every so-manieth by number."""
SWEEPS, PRECISION = 10_000, 1e-6
"""Most sweeps of an evaluation; the change, relative to the largest reward, at which it ends."""


class Guide(NamedTuple):
    """Bounds by state: V(b) ≤ max over legal a of b·upper[:, a], V(b) ≥ max over k of b·lower[:, k].

    Attributes:
        upper: `[S, A]`.
        lower: `[S, K]`.
        rewards: `[S, A]` expected rewards.
    """

    upper: Array
    lower: Array
    rewards: Array

    def bounds(self, weights: Array, states: Array, legal: Array) -> tuple[float, float]:
        """Returns both bounds on a belief, of which `weights` are the probabilities of `states`; `legal`: `[A]`."""
        high = (weights @ self.upper[states])[legal].max()
        return float((weights @ self.lower[states]).max()), float(high)


_guides: WeakKeyDictionary[BeliefModel, dict[float, Guide]] = WeakKeyDictionary()


def guide_of(model: BeliefModel, gamma: float) -> Guide:
    """Returns the bounds of a model of beliefs at a discount below 1; computed once for each discount."""
    kept = _guides.setdefault(model, {})
    if gamma not in kept:
        problem = BeliefProblem.of(model, gamma)
        going = (problem.class_of >= 0)[:, None]
        upper, reward = (
            np.where(going, table[problem.class_of], 0.0) for table in (fast_informed_bound(problem), problem.reward)
        )
        blind = np.where(going, _blind_first(problem).T[problem.class_of], 0.0)
        knowing = np.where(going, qmdp(problem)[problem.class_of], 0.0)
        lower = np.hstack([blind, *(column[:, None] for column in _percept_policies(model, gamma, knowing))])
        kept[gamma] = Guide(upper, np.ascontiguousarray(lower), np.ascontiguousarray(reward))
    return kept[gamma]


def _blind_first(problem: BeliefProblem) -> Array:
    """Returns `[K, C]` blind policies, and each always legal action followed by the best of them."""
    blind = blind_policies(problem)[0]
    found = [blind]
    for a in np.flatnonzero(problem.legal.all(axis=0)):
        mine = np.flatnonzero(problem.action == a)
        after = np.zeros((problem.num_classes, len(blind)))
        np.add.at(after, problem.source[mine], problem.ahead[mine] @ blind.T)
        found.append((problem.reward[:, a] + problem.gamma * after[:, after.sum(axis=0).argmax()])[None])
    return np.vstack(found)


def _percept_policies(model: BeliefModel, gamma: float, q_values: Array) -> list[Array]:
    """Returns `[S]` values of policies of the last percept.

    For each initial state: in each percept the action that is best on average over the states of that percept, as often
    as one would be in them who began there and saw all states. The last one weighs all states alike.
    """
    tables, percept = model.tables, model.filter.percepts
    count, kinds = tables.num_states, int(percept.max()) + 1
    legal = np.ones((kinds, tables.num_actions), bool)
    going = ~tables.terminal
    np.logical_and.at(legal, percept[going], tables.legal[going])
    if not legal.any(axis=1).all():  # nothing is legal in all the states of a percept
        return []
    best = np.where(tables.legal, q_values, -np.inf).argmax(axis=1)
    there = _chain(tables, best).T.tocsr()
    starts = np.flatnonzero((tables.initial > 0) & going)
    if len(starts) > MOST_POLICIES:
        starts = starts[np.linspace(0, len(starts) - 1, MOST_POLICIES).astype(int)]
    occupancy = np.zeros((count, len(starts) + 1))
    begins = np.zeros_like(occupancy)
    begins[starts, np.arange(len(starts))] = 1.0
    begins[:, -1] = going / count
    for _ in range(SWEEPS):
        after = begins + gamma * (there @ occupancy)
        moved, occupancy = np.abs(after - occupancy).max(), after
        if moved < 1e-3:  # it only weighs states within a percept
            break
    chosen = []
    everywhere = _by_percept(percept, going[:, None] * q_values, kinds)
    for column in occupancy.T:
        met = np.bincount(percept, column * going, kinds)[:, None] > 0
        q = np.where(met, _by_percept(percept, (column * going)[:, None] * q_values, kinds), everywhere)
        chosen.append(np.where(legal, q, -np.inf).argmax(axis=1))
    return [_value_from_below(tables, gamma, actions[percept]) for actions in np.unique(chosen, axis=0)]


def _by_percept(percept: Array, weighted: Array, kinds: int) -> Array:
    return np.stack([np.bincount(percept, column, kinds) for column in weighted.T], axis=1)


def _chain(tables: Any, actions: Array) -> Any:
    """Returns `[S, S]` sparse P(next state, the task goes on | state) of one action for each state."""
    from scipy.sparse import csr_matrix

    rows = np.arange(tables.num_states)
    mass = tables.probability[rows, actions] * tables.continuation[rows, actions] * ~tables.terminal[:, None]
    row, k = np.nonzero(mass)
    return csr_matrix((mass[row, k], (row, tables.next_state[row, actions[row], k])), (len(rows), len(rows)))


def _value_from_below(tables: Any, gamma: float, actions: Array) -> Array:
    """Returns `[S]` a lower bound, close to the value, of always taking the given action in each state."""
    chain = gamma * _chain(tables, actions)
    reward = np.where(tables.terminal, 0.0, tables.expected_reward()[np.arange(tables.num_states), actions])
    values = np.full(tables.num_states, min(0.0, float(reward.min())) / (1.0 - gamma))
    values[tables.terminal] = 0.0
    scale = max(1e-300, float(np.abs(reward).max()))
    for _ in range(SWEEPS):  # from below, each sweep is a lower bound
        after = reward + chain @ values
        done = float(np.abs(after - values).max()) <= PRECISION * scale
        values = after
        if done:
            break
    return np.asarray(values)
