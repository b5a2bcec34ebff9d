"""The memory of a search over histories: a tree in arrays, grown by the driver and filled by the kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# entries of `counts`
NODES, SIMULATIONS, CLOCK, STUCK = 0, 1, 2, 3
# values of counts[STUCK]
NO_ACTION, DIFFERENT = 1, 2


class HistoryArrays(NamedTuple):
    """K particles and N histories (nodes), each reached from another by an action and an observation.

    Attributes:
        floats, ints: `[NF, K]`, `[NI, K]` packed states of the present belief.
        cumulative: `[K]` their weights, summed.
        seen, flat: an observation as the law writes it, and as `[W]` numbers: the same memory.
        observed, bits: `[W, N]` what was observed last; `bits` is the same memory as int64.
        links: `[N]` parent · A + action.
        slots: `[2N + 1]` open-addressing table from histories to nodes, −1 where empty.
        visits: `[N]` how often each was reached; the root's begin at 1.
        able: `[N, A]` 1 where legal.
        tried: `[N, A]` how often each action was taken.
        rewards, futures: `[N, A]` sums of rewards, and of visits · value of the histories that follow.
        counted: `[N]` what of a node is in its parent's `futures`.
        guide: `[S, A + K]` of a state whose first integer is its number: what A actions, and what K policies are worth,
            weighted; a belief is worth the highest of the first and the highest of the second together. `[0, A]`: there
            is no guide.
        immediate: `[S, A]` expected rewards in a state, where there is a guide.
        guided, earned: `[N, A + K]`, `[N, A]` sums of both over the states that came to a history, and
        arrived: `[N]` their number; floor: `[N]` the highest of the K.
        at_floats, at_ints: `[NF, 1]`, `[NI, 1]` one packed state.
        action_value: `[N, A]`. value, leaf: `[N]` values, and those of the first visit.
        path, taken, gained: `[max_depth]` nodes, actions and rewards of the simulation under way.
        counts: `[4]` nodes, simulations, random numbers used, what went wrong.
        span: `[2]` lowest and highest action value seen: the scale of exploration.
        reward_out, reward: one transition's reward, as the law writes it and as `[1]`: the same memory.
        total: `[1]` return of a roll-out.
    """

    floats: np.ndarray
    ints: np.ndarray
    cumulative: np.ndarray
    seen: np.ndarray
    flat: np.ndarray
    observed: np.ndarray
    bits: np.ndarray
    links: np.ndarray
    slots: np.ndarray
    visits: np.ndarray
    able: np.ndarray
    tried: np.ndarray
    rewards: np.ndarray
    futures: np.ndarray
    counted: np.ndarray
    guide: np.ndarray
    immediate: np.ndarray
    guided: np.ndarray
    floor: np.ndarray
    earned: np.ndarray
    arrived: np.ndarray
    at_floats: np.ndarray
    at_ints: np.ndarray
    action_value: np.ndarray
    value: np.ndarray
    leaf: np.ndarray
    path: np.ndarray
    taken: np.ndarray
    gained: np.ndarray
    counts: np.ndarray
    span: np.ndarray
    reward_out: np.ndarray
    reward: np.ndarray
    total: np.ndarray
