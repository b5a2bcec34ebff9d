"""Potential-based shaping of rewards, and whether an extra reward is one.

F(s, s') = γ·Φ(s') − Φ(s), with Φ = 0 where the task is over, added to the reward leaves every optimal policy what it
was: along any path it sums to −Φ of the first state. No other extra reward does so whatever the dynamics are.

Source: Ng, Harada & Russell (1999), "Policy invariance under reward transformations: theory and application to reward
shaping", ICML, theorem 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.interface import check_gamma
from inscape.world_models.planning.dynamic_programming import policy_evaluation, ties, value_iteration
from inscape.world_models.tabular.model import TabularModel, as_tabular

Array = np.ndarray[Any, Any]


def shaped(model: Any, potential: Array | Callable[[Any], float], gamma: float) -> TabularModel:
    """Returns the model with γ·Φ(s') − Φ(s) added to its rewards: the same optimal policies, and values V − Φ.

    Args:
        model: a `TabularModel`, anything with `tabular()`, or an enumerable `World`.
        potential: `[S]` Φ, or of a world a function from its state to Φ; terminal states count as 0.
        gamma: the discount the model is solved with: with another the policies may change.

    Raises:
        UsageError: the potential is of another shape, or not finite; gamma out of range.
    """
    table = as_tabular(model, "reward shaping")
    check_gamma(gamma)
    phi = _potential(model, table, potential)
    extra = gamma * table.continuation * phi[table.next_state] - phi[:, None, None]
    return dataclasses.replace(table, reward=np.where(table.terminal[:, None, None], 0.0, table.reward + extra))


@dataclass(frozen=True, eq=False)
class ShapingReport:
    """What an extra reward does.

    Attributes:
        potential: `[S]` Φ of which it is the shaping; None if there is none.
        residual: the largest difference of the extra reward from the nearest shaping, over possible transitions.
        changed: `[S]` bool, states in which an action that is optimal with the extra reward is not so without.
        policy: `[S]` optimal actions without it; `new_policy` with it.
        new_policy: see `policy`.
        loss: `[S]` what the new policy earns less than the best, in rewards without the extra; NaN where no value of it
            is finite.
    """

    potential: Array | None
    residual: float
    changed: Array
    policy: Array
    new_policy: Array
    loss: Array

    @property
    def is_potential_based(self) -> bool:
        return self.potential is not None

    def __str__(self) -> str:
        if self.is_potential_based:
            return "potential-based: every optimal policy stays optimal"
        count = int(self.changed.sum())
        if count == 0:
            return f"not potential-based (by {self.residual:.3g}), though here every optimal policy stays optimal"
        worst = int(np.nanargmax(np.where(self.changed, self.loss, -1.0)))
        return (
            f"not potential-based (by {self.residual:.3g}): it changes the policy in {count} states; in state {worst} "
            f"from action {self.policy[worst]} to {self.new_policy[worst]}, which loses {self.loss[worst]:.4g}"
        )


def shaping_report(model: Any, extra: Array | TabularModel, gamma: float, tolerance: float = 1e-8) -> ShapingReport:
    """Returns whether an extra reward is potential-based, with the potential; if not, the policy that it changes.

    Φ is the least-squares solution of γ·Φ(s') − Φ(s) = F over all possible transitions: around a cycle of n steps
    (γ = 1) a shaping sums to 0.

    Args:
        model: as in `shaped`.
        extra: F as `[S, S]` F(s, s'), `[S, A]` F(s, a) or `[S, A, S]` F(s, a, s'); or the same model with F added to
            its rewards.
        gamma: discount in [0, 1].
        tolerance: differences, relative to the largest extra reward, that count as none.

    Raises:
        UsageError: the extra reward is of another shape, or of one that fits twice, or not finite; gamma out of range;
            with γ = 1, the model has no finite values (see `value_iteration`).
    """
    table = as_tabular(model, "reward shaping")
    check_gamma(gamma)
    rewards = _extra(table, extra)
    potential, residual = _nearest_potential(table, rewards, gamma)
    scale = float(np.abs(rewards).max(initial=0.0)) or 1.0
    fits = residual <= tolerance * scale
    before = value_iteration(table, gamma, 1e-9)
    if fits:
        same = np.zeros(table.num_states)
        return ShapingReport(potential, residual, same > 0, before.policy, before.policy, same)
    after = value_iteration(dataclasses.replace(table, reward=table.reward + rewards), gamma, 1e-9)
    best, new = ties(before.q_values, 1e-7), ties(after.q_values, 1e-7)
    changed = (new & ~best & table.legal).any(axis=1) & ~table.terminal
    chosen = np.eye(table.num_actions)[after.policy]
    try:
        loss = before.values - policy_evaluation(table, chosen, gamma)
    except UsageError:  # γ = 1, and the new policy goes on for ever
        loss = np.full(table.num_states, np.nan)
    return ShapingReport(None, residual, changed, before.policy, after.policy, loss)


def _potential(model: Any, table: TabularModel, potential: Array | Callable[[Any], float]) -> Array:
    if callable(potential):
        world = getattr(model, "world", model)
        if not hasattr(world, "dynamics"):
            raise UsageError("a potential that is a function, of a model without a world", expected="an array [S]")
        states = world.dynamics().states
        potential = np.array([potential(world.unpack(states, s)) for s in range(len(states))], float)
    phi = np.asarray(potential, float)
    if phi.shape != (table.num_states,) or not np.isfinite(phi[~table.terminal]).all():
        raise UsageError(f"a potential of shape {list(phi.shape)}", expected=f"[{table.num_states}] finite numbers")
    return np.where(table.terminal, 0.0, phi)


def _extra(table: TabularModel, extra: Array | TabularModel) -> Array:
    """Returns the extra reward as `[S, A, K]`; 0 where nothing can happen."""
    if isinstance(extra, TabularModel):
        same = extra.next_state.shape == table.next_state.shape and bool((extra.next_state == table.next_state).all())
        if not same or not np.allclose(extra.probability, table.probability):
            raise UsageError(
                "an extra reward given as a model with other outcomes", expected="the same tables, rewarded"
            )
        return np.where(table.terminal[:, None, None], 0.0, extra.reward - table.reward)
    given = np.asarray(extra, float)
    states, actions, _ = table.next_state.shape
    if given.shape == (states, actions) and actions == states:
        raise UsageError(
            f"an extra reward of shape {list(given.shape)}, which may be by action or by next state",
            expected="[S, A, S], or a model with the rewards in it",
        )
    if given.shape == (states, states):
        found = given[np.arange(states)[:, None, None], table.next_state]
    elif given.shape == (states, actions):
        found = np.broadcast_to(given[:, :, None], table.next_state.shape)
    elif given.shape == (states, actions, states):
        found = np.take_along_axis(given, table.next_state.astype(np.int64), axis=2)
    else:
        raise UsageError(
            f"an extra reward of shape {list(given.shape)}",
            expected=f"[S, S], [S, A] or [S, A, S], with S = {states} and A = {actions}; or a model",
        )
    possible = (table.probability > 0) & table.legal[:, :, None] & ~table.terminal[:, None, None]
    found = np.where(possible, found, 0.0)
    if not np.isfinite(found).all():
        s, a, _ = np.argwhere(~np.isfinite(found))[0]
        raise UsageError(f"the extra reward in state {s} for action {a} is not a finite number")
    return np.asarray(found)


def _nearest_potential(table: TabularModel, rewards: Array, gamma: float) -> tuple[Array, float]:
    """Returns `[S]` the least-squares potential, and the largest difference that is left."""
    from scipy.sparse import coo_matrix, identity
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import splu

    states = table.num_states
    possible = (table.probability > 0) & table.legal[:, :, None] & ~table.terminal[:, None, None]
    s, a, k = np.nonzero(possible)
    to = table.next_state[s, a, k]
    weight = gamma * np.where(table.terminal[to], 0.0, table.continuation[s, a, k])
    rows = np.arange(len(s))
    shape = (len(s), states)
    system = coo_matrix((weight, (rows, to)), shape).tocsr() - coo_matrix((np.ones(len(s)), (rows, s)), shape).tocsr()
    wanted = rewards[s, a, k]
    # known up to a constant only, in parts of the graph in which nothing is lost; unknown where nothing goes
    graph = coo_matrix((np.ones(len(s)), (s, to)), (states, states))
    _, label = connected_components(graph, directed=False)
    lossy = np.zeros(label.max() + 1, bool)
    lossy[label[s[weight < 1.0]]] = True
    lossy[label[table.terminal]] = True
    first = np.unique(label, return_index=True)[1]
    pinned = np.zeros(states)
    pinned[first[~lossy]] = 1.0
    pinned[table.terminal] = 1.0
    pinned[np.setdiff1d(np.arange(states), np.union1d(s, to))] = 1.0
    factors = splu((system.T @ system + identity(states).multiply(pinned)).tocsc())
    potential = np.zeros(states)
    for _ in range(4):  # refined: normal equations square the condition
        potential = potential + factors.solve(system.T @ (wanted - system @ potential) - pinned * potential)
    potential[table.terminal] = 0.0
    residual = float(np.abs(wanted - system @ potential).max(initial=0.0))
    return potential, residual
