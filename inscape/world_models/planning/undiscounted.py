"""Total reward, γ = 1: what keeps it finite, and the problem without the loops in which nothing is earned.

A set of states in which some policy can stay for ever is an end component. Where all it earns there is 0, staying is
worth 0 and every state of the component has the same value: the component becomes one state, whose actions are all the
ways out of it and, as one more, staying. What is left has a value if every way of going on for ever costs without end;
then each state's best policy ends, and the values are the only solution of Bellman's equation.

Sources: Bertsekas & Tsitsiklis (1991), "An analysis of stochastic shortest path problems", Mathematics of Operations
Research 16(3); collapsing end components: de Alfaro (1999), "Computing minimum and maximum reachability times in
probabilistic systems", CONCUR; Ciesinski, Baier, Größer & Klein (2008), "Reduction techniques for model checking Markov
decision processes", QEST.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inscape.errors import UsageError

Array = np.ndarray[Any, Any]
SURE = 1.0 - 1e-9
"""Probabilities from here on count as 1."""
MOST_ENTRIES = 200_000_000
"""Entries of the tables without idle loops, `[C, A′, K]`; more would not fit into memory."""


@dataclass(frozen=True, eq=False)
class Total:
    """A problem of total reward in which every policy that does not end costs without end.

    Attributes:
        next_state, weight: `[C, A′, K]`, over C classes of states; unused actions have reward −inf.
        reward: `[C, A′]`.
        terminal: `[C]`.
        class_of: `[S]` class of each state of the problem it was made from.
        origin: `[C, A′]` which action of which state each action is, `state · A + action`; −1: staying, or unused.
        inside: `[S, A]` bool: actions that may be repeated for ever at no cost.
    """

    next_state: Array
    weight: Array
    reward: Array
    terminal: Array
    class_of: Array
    origin: Array
    inside: Array


def total_reward_problem(name: str, next_state: Array, weight: Array, reward: Array, terminal: Array) -> Total:
    """Returns the problem with its idle end components collapsed.

    Args:
        name: of the model, for messages.
        next_state, weight: `[S, A, K]`, weight = probability · continuation.
        reward: `[S, A]` expected reward, −inf where illegal.
        terminal: `[S]`.

    Raises:
        UsageError: rewards add up without end, from a state that is named; or from some state no policy ends and it
            costs without end; or the tables do not fit into memory.
    """
    possible = np.isfinite(reward) & ~terminal[:, None]
    kept = possible & (weight.sum(axis=2) > SURE)  # actions that never end the episode
    inside, component = end_components(next_state, weight, kept & (reward == 0))
    total = _collapsed(name, next_state, weight, reward, terminal, inside, component)
    _refuse_endless_gain(name, total)
    _refuse_traps(name, total)
    return total


def end_components(next_state: Array, weight: Array, allowed: Array) -> tuple[Array, Array]:
    """Returns the maximal end components of the allowed actions `[S, A]`: those actions that stay in one, and `[S]` the
    number of each state's component, −1 outside.

    Source: de Alfaro (1997), "Formal verification of probabilistic systems", PhD thesis, algorithm 3.1.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    states = len(next_state)
    allowed, possible = allowed.copy(), weight > 0
    while True:
        s, a, k = np.nonzero(allowed[:, :, None] & possible)
        graph = csr_matrix((np.ones(len(s), np.int8), (s, next_state[s, a, k])), (states, states))
        _, label = connected_components(graph, connection="strong")
        leaves = allowed[:, :, None] & possible & (label[next_state] != label[:, None, None])
        leaving = leaves.any(axis=2)
        if not leaving.any():
            break
        allowed &= ~leaving
    component = np.where(allowed.any(axis=1), label, -1)
    _, numbered = np.unique(component[component >= 0], return_inverse=True)
    component[component >= 0] = numbered
    return allowed, component


def proper_actions(total: Total) -> tuple[Array, Array]:
    """Returns `[C]` bool: from where some policy ends for certain; and `[C]` an action each of one that does.

    Ending: in a terminal state, or by staying in a component that earns nothing.
    """
    classes = len(total.reward)
    possible, legal = total.weight > 0, np.isfinite(total.reward)
    able = np.ones(classes, bool)
    ends = np.where(total.weight.sum(axis=2) <= SURE, 1.0 - total.weight.sum(axis=2), 0.0)
    while True:
        stays = legal & (able[total.next_state] | ~possible).all(axis=2)  # leads nowhere from which there is no end
        reached, chosen = total.terminal.copy(), np.zeros(classes, np.int64)
        while True:  # one layer after another: the action that is likeliest to be nearer to the end
            chance = (total.weight * reached[total.next_state]).sum(axis=2) + ends
            chance = np.where(stays & ~reached[:, None], chance, 0.0)
            new = chance.max(axis=1) > 0.0
            if not new.any():
                break
            chosen[new] = chance[new].argmax(axis=1)
            reached |= new
        if (reached == able).all():
            return able, chosen
        able = reached


def ending_bound(
    total: Total, values: Array, residual: float, solve: Any, avoiders: Any, max_sweeps: int = 100_000
) -> float:
    """Returns h with max |V − V*| ≤ residual · h for values `[C]` and residual max |TV − V|; infinite if there is none.

    If V + δ·h ≥ T(V + δ·h) then V* ≤ V + δ·h. With δ the residual this holds for h that falls by 1 in the mean under
    every action whose value is nearly the best, and where all others lose more than δ times what h may rise. So h is
    the longest expected time to the end among policies of nearly best actions, and there is one if none of these go on
    for ever.

    Args:
        total: the problem.
        values, residual: what was found, and by how much a backup still moves it (rounding included).
        solve, avoiders: `small_tables` or `kernels.tables.sweeps`.
        max_sweeps: sweeps after which h is given up.
    """
    q = total.reward + (total.weight * values[total.next_state]).sum(axis=2)
    loss = np.where(total.terminal[:, None], np.inf, values[:, None] - q)
    scale = max(1.0, float(np.abs(values).max(initial=0.0)))
    near = scale * 1e-3
    while near > residual:
        best = loss <= near
        if not avoiders(total.next_state, total.weight, best, total.terminal).any():
            height = np.zeros(len(values))
            cost = np.where(best, 1.0, -np.inf)
            _, left = solve(total.next_state, total.weight, cost, total.terminal, height, 0, 0.0, 1e-3, max_sweeps)
            rise = (total.weight * height[total.next_state]).sum(axis=2) - height[:, None]
            fits = np.where(best, rise <= -1.0 + 2e-3, np.where(np.isfinite(loss), loss >= 2.0 * residual * rise, True))
            if left <= 1e-3 and fits.all():
                return 1.01 * float(height.max(initial=1.0))
        near /= 8.0
    return float(np.inf)


def ending_policy(total: Total, q_values: Array, slack: float, next_state: Array, weight: Array) -> Array:
    """Returns `[S]` actions of a policy that has these class values and ends.

    Among the best actions it takes those that are likeliest to be nearer to the end; within an idle component it is on
    the way to the best exit, or stays where nothing better is to be had.

    Args:
        total: the problem.
        q_values: `[C, A′]` action values.
        slack: by how much values of equal actions may differ.
        next_state, weight: `[S, A, K]`, of the problem it was made from.
    """
    states, actions = total.inside.shape
    policy = np.zeros(states, np.int64)
    classes = np.arange(len(q_values))
    among = np.where(q_values >= q_values.max(axis=1, keepdims=True) - slack, total.reward, -np.inf)
    able, quickest = proper_actions(replace(total, reward=among))
    best = total.origin[classes, np.where(able, quickest, q_values.argmax(axis=1))]
    alone = ~total.inside.any(axis=1)
    exits = best[total.class_of]
    of_itself = alone & (exits >= 0)
    policy[of_itself] = exits[of_itself] % actions
    members = np.flatnonzero(~alone)
    policy[members] = total.inside[members].argmax(axis=1)  # staying
    reached = np.zeros(states, bool)
    doors = np.unique(exits[members][exits[members] >= 0])
    policy[doors // actions], reached[doors // actions] = doors % actions, True
    leading = np.isin(np.arange(states), members) & (exits >= 0)
    possible = weight > 0
    while True:  # one layer after another: an action inside with some chance of being nearer to the exit
        nearer = total.inside & (possible & reached[next_state]).any(axis=2) & (leading & ~reached)[:, None]
        new = nearer.any(axis=1)
        if not new.any():
            return policy
        policy[new] = nearer[new].argmax(axis=1)
        reached |= new


def _collapsed(
    name: str, next_state: Array, weight: Array, reward: Array, terminal: Array, inside: Array, component: Array
) -> Total:
    _, actions, width = weight.shape
    components = int(component.max(initial=-1)) + 1
    alone = np.flatnonzero(component < 0)
    class_of = np.where(component >= 0, component, 0)
    class_of[alone] = components + np.arange(len(alone))
    classes = components + len(alone)
    s, a = np.nonzero(np.isfinite(reward) & ~inside & ~terminal[:, None])
    at = class_of[s]
    order = np.argsort(at, kind="stable")
    s, a, at = s[order], a[order], at[order]
    counts = np.bincount(at, minlength=classes)
    place = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
    most = max(1, int(counts.max(initial=0)) + (components > 0))
    if classes * most * width > MOST_ENTRIES:
        raise UsageError(
            f"gamma = 1 in {name}, where a policy can go on for ever at no cost in {np.sum(component >= 0):,} states",
            expected="fewer such states, or gamma < 1",
            hint="gamma = 0.9999 values a reward 100 steps away at 0.99",
        )
    table = Total(
        np.zeros((classes, most, width), np.int32),
        np.zeros((classes, most, width)),
        np.full((classes, most), -np.inf),
        np.zeros(classes, bool),
        class_of,
        np.full((classes, most), -1),
        inside,
    )
    table.next_state[at, place] = class_of[next_state[s, a]]
    table.weight[at, place] = weight[s, a]
    table.reward[at, place] = reward[s, a]
    table.origin[at, place] = s * actions + a
    table.reward[np.arange(components), counts[:components]] = 0.0  # staying
    table.terminal[class_of[terminal]] = True
    return table


def _refuse_endless_gain(name: str, total: Total) -> None:
    """Refuses end components in which some policy's mean reward per step is not negative."""
    allowed = np.isfinite(total.reward) & ~total.terminal[:, None] & (total.weight.sum(axis=2) > SURE)
    loops, component = end_components(total.next_state, total.weight, allowed)
    for number in range(int(component.max(initial=-1)) + 1):
        members = np.flatnonzero(component == number)
        own = np.where(loops[members], total.reward[members], -np.inf)
        if own.max() < 0:
            continue
        scale = float(np.abs(own[np.isfinite(own)]).max())
        low, high = _largest_gain(total, members, own, scale)
        if high < 0:
            continue
        state = int(np.flatnonzero(total.class_of == members[0])[0])
        what = "reward adds up without end" if low > 0 else "some policy goes on for ever and its rewards may cancel"
        raise UsageError(
            f"with gamma = 1 the total reward of {name} is not finite: from state {state} on {what}",
            expected="a world in which going on for ever costs reward, or earns none",
            hint="gamma < 1: 0.999 values a reward 100 steps away at nine tenths",
        )


def _largest_gain(total: Total, members: Array, reward: Array, scale: float) -> tuple[float, float]:
    """Returns bounds of the largest mean reward per step within an end component.

    Relative value iteration; half of each step stays where it is, so that no period is left (Puterman 1994, section
    8.5.4), which halves the gain.
    """
    column = np.zeros(len(total.class_of.ravel()) + len(total.reward), np.int64)
    column[members] = np.arange(len(members))
    nexts, weight = column[total.next_state[members]], total.weight[members]
    values, low, high = np.zeros(len(members)), -np.inf, np.inf
    for _ in range(20_000):
        ahead = (reward + (weight * values[nexts]).sum(axis=2)).max(axis=1)
        change = 0.5 * (ahead - values)
        low, high = max(low, 2.0 * float(change.min())), min(high, 2.0 * float(change.max()))
        if high < 0 or low > 0 or high - low < 1e-12 * scale:
            break
        values += change
        values -= values[0]
    return low, high


def _refuse_traps(name: str, total: Total) -> None:
    able, _ = proper_actions(total)
    if not able.all():
        state = int(np.flatnonzero(~able[total.class_of])[0])
        raise UsageError(
            f"with gamma = 1 the total reward of {name} is not finite: state {state} cannot be left for certain, and "
            "staying costs without end",
            expected="a way to the end from every state, or gamma < 1",
        )
