"""The memory of a search: a graph of states, one row of 32-bit words per state, filled by the kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# entries of `counts`
NODES, LINKS, CLOCK, SIMULATIONS, STUCK, FRONTIER, OPEN, ACTIONS, SWEPT, PLACE, ACTION, FRESH, FORESEEN = range(13)
# words of a row before its actions
KIND, PLAYER, VISITS, SEEN, UNTRIED, COUNTED, SUMS = 0, 1, 2, 3, 4, 5, 6
# values of KIND
UNVISITED, VISITED, TERMINAL, SOLVED = 0, 1, 2, 3  # from TERMINAL on, the value is exact
ILLEGAL = -(1 << 31)
"""Number of visits of an action that is not legal; a legal one's is n ≥ 0, or −1 − n where nothing is left to learn."""
# what a search may be STUCK on
NO_ACTION, NO_NUMBER, NO_SUM_OF_ZERO = 1, 2, 3
# constants of the search
NEARLY_ALL = 10  # the graph is complete when at most a tenth of its states and of its actions are untried
COMPLETE = 5.0  # visits after which the best action then outweighs the average
SWEEPS = 10_000  # of a graph in which nothing is untried, at most
LARGEST = 1e38  # reward: values are kept in 32 bits
PRECISION = 1e-6  # to which they find its values, in parts of the range of values


class SearchArrays(NamedTuple):
    """A graph of N states, A actions each, in one row per state: what a step of the search needs lies together.

    Of two players whose rewards add up to 0, only what the first earns is kept: M = 1; else M is the number of players.

    Attributes:
        words, reals, doubles: `[N · W]` int32, and the same memory as float32 and (`[N · W/2]`) float64. A row: KIND is
            UNVISITED, VISITED, TERMINAL or SOLVED (proven: the value is exact); PLAYER to move; VISITS passes; SEEN the
            last simulation to pass, from 1; UNTRIED legal actions not simulated yet; COUNTED visits in the sum of
            values; that sum `[M]`, in 64 bits; the values `[M]`; those of the first visit `[M]`. Then the actions: n
            `[A]` (see `ILLEGAL`); Q `[M, A]`; where every action has one outcome, its node + 1 `[A]` (0: none yet, for
            an outcome gets a node when it is met again; −1: none, and closed without being known) and its reward
            `[M, A]`; where it may have several, its last
            link + 1 `[A]` and their number `[A]`. Then bounds on the value for the player to move, the lower and the
            upper; and steps from the root when first found. At the end, the packed state.
        floats, ints, bits: `[NF, N]`, `[NI, N]` packed states, in the rows; `bits` is the memory of `floats` as int64.
        slots: `[2N + 1]` open-addressing table from states to nodes, −1 where empty.
        links, link_reals: `[L · (3 + M)]` outcomes of actions that may have several: child, weight (its probability, or
            how often it was sampled), the link before it of the same action + 1, reward `[M]`. As `words`, `reals`.
        path: `[2, max_depth + 1]` nodes and actions of the simulation under way.
        counts: `[12]` nodes, links, random numbers used, simulations done, what the search is stuck on, states found
            but not visited, legal actions not tried in states found, all legal actions there, whether sweeps were
            tried; the node from which the law was last asked, and the action (−1: random ones) that earned no number.
        span: `[2]` lowest and highest action value seen: the scale of exploration.
        tables: `[2, n]` 1/√n and √(log n).
        choices: `[A]` legal actions of a state. scores: `[2, A]` upper confidence bounds, or bounds, of its actions.
        reward_out, reward: one transition's reward, as the law writes it and for each player: the same memory.
        total: value of a state at its first visit, for each player.
    """

    words: np.ndarray
    reals: np.ndarray
    doubles: np.ndarray
    floats: np.ndarray
    ints: np.ndarray
    bits: np.ndarray
    slots: np.ndarray
    links: np.ndarray
    link_reals: np.ndarray
    path: np.ndarray
    counts: np.ndarray
    span: np.ndarray
    tables: np.ndarray
    choices: np.ndarray
    scores: np.ndarray
    reward_out: np.ndarray
    reward: np.ndarray
    total: np.ndarray


class SearchSettings(NamedTuple):
    """What a search is like, in numbers.

    Attributes:
        row: words of a row. values: M. at_values, at_actions, at_outcomes, lower, upper, depth: where in a row the
            values, the actions, their outcomes and the others are.
        single: every action has one outcome. exact: the law is enumerated; else sampled.
        new_nodes, new_links: the most that one simulation can make. max_nodes, max_links: room for them.
        rolls: value a new node by a roll-out, else by 0. solver: prove values, and close what is proven. wins: look for
            actions that win at once in every new state.
        zero_sum: two players, whose rewards add up to 0. low, high: bounds on what any player can still earn.
        averaging: visits after which the best action outweighs the average in a node's value; negative: the average
            counts until nearly every action was tried in the states within reach; as if COMPLETE from then on.
        gamma, exploration, max_depth: see `UCTSettings`.
    """

    row: int
    values: int
    at_values: int
    at_actions: int
    at_outcomes: int
    lower: int
    upper: int
    depth: int
    single: bool
    exact: bool
    new_nodes: int
    new_links: int
    max_nodes: int
    max_links: int
    rolls: bool
    solver: bool
    wins: bool
    zero_sum: bool
    low: float
    high: float
    averaging: float
    gamma: float
    exploration: float
    max_depth: int
