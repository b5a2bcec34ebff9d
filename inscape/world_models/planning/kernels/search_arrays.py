"""The memory of a search: a graph of states in arrays, grown by the driver and filled by the kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# entries of `counts`
NODES, EDGES, CLOCK, SIMULATIONS, STUCK, FRONTIER, HEAD, PENDING, OPEN, ACTIONS = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
# columns of `node`
KIND, DEPTH, PLAYER, VISITS, SEEN, INTO, QUEUED, UNTRIED = 0, 1, 2, 3, 4, 5, 6, 7
# columns of `action`
LEGAL, TRIED, FIRST, LAST, OUTCOMES = 0, 1, 2, 3, 4
# columns of `edge`
NEXT, CHILD, PARENT, SIBLING = 0, 1, 2, 3
# values of node[:, KIND]
UNVISITED, VISITED, TERMINAL, SOLVED = 0, 1, 2, 3  # from TERMINAL on, the value is exact
# constants of the search
UPDATES = 16  # most states off the path that a simulation brings up to date
NEARLY_ALL = 10  # the graph is complete when at most a tenth of its states and of its actions are untried
ENDLESS = 1e12  # visits after which it does before: only what is otherwise equal is decided by the best action
COMPLETE = 5.0  # visits after which the best action then outweighs the average
SENSITIVITY = 1e-4  # changes of value, in parts of the range of values, worth telling the states before


class SearchArrays(NamedTuple):
    """A graph of N states (columns of `floats`, `ints`), their actions, and E outcomes of actions ("edges").

    Attributes:
        floats, ints, bits: `[NF, N]`, `[NI, N]` packed states; `bits` is the memory of `floats` as int64.
        slots: `[2N + 1]` open-addressing table from states to nodes, −1 where empty.
        node: `[N, 8]` int64. KIND is UNVISITED, VISITED, TERMINAL or SOLVED (by the exact law, every legal action leads
            to states that are TERMINAL or SOLVED: the value is exact); DEPTH steps from the root when first found;
            PLAYER to move; VISITS passes; SEEN the last simulation to pass, from 1; INTO the last edge into it, + 1;
            QUEUED 1 if it waits in `queue`; UNTRIED legal actions not simulated yet.
        action: `[N, A, 5]` int64. LEGAL 1 where legal; TRIED times simulated; FIRST, LAST of its edges, + 1; OUTCOMES,
            how many edges.
        value, leaf: `[N, M]` value per player, and that of the first visit. action_value: `[N, A, M]`.
        edge: `[E, 4]` int64: NEXT edge of the same action, + 1; CHILD; PARENT; SIBLING, the edge before it into CHILD,
            + 1. ("+ 1": so that fresh memory, all zeros, means none.)
        weight: `[E]` probability (exact law), or number of times sampled. edge_reward: `[E, M]`.
        path: `[max_depth]` nodes of the simulation under way. queue: `[N]` ring of nodes to bring up to date.
        counts: `[10]` nodes, edges, random numbers used, simulations done, whether the search met a state without legal
            action, states found but not visited, first and number of entries in the ring, legal actions not
            tried in states found, all legal actions there.
        span: `[2]` lowest and highest action value seen: the scale of exploration.
        tables: `[2, n]` 1/√n and √(log n).
        reward_out, reward: one transition's reward, as the law writes it and as `[M]`: the same memory.
        total: `[M]` return of a roll-out.
    """

    floats: np.ndarray
    ints: np.ndarray
    bits: np.ndarray
    slots: np.ndarray
    node: np.ndarray
    action: np.ndarray
    value: np.ndarray
    leaf: np.ndarray
    action_value: np.ndarray
    edge: np.ndarray
    weight: np.ndarray
    edge_reward: np.ndarray
    path: np.ndarray
    queue: np.ndarray
    counts: np.ndarray
    span: np.ndarray
    tables: np.ndarray
    reward_out: np.ndarray
    reward: np.ndarray
    total: np.ndarray
