"""Kernel template: the batched tree search of `kernels/tree.py` on one world's law, with a network or roll-outs inside.

All simulations of trees first … last − 1 in one call, which holds no lock of Python's: several threads search several
parts of a batch. Without a network one tree is searched after the other, so that it stays in the cache; with one,
`CHUNK` trees together, whose leaves are the rows of a product. It always has as many rows, so that what is said of a
state does not depend on the batch.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

import numpy as np

from inscape.envs.kernels.names import (
    CHOICE_SLOTS,
    NUM_PLAYERS,
    TRANSITION_SLOTS,
    action_of_index,
    branches,
    inline_jit,
    inner,
    jit,
    legal,
    load_params,
    load_purpose,
    load_state,
    mover,
    num_actions,
    observe_into,
    random_action,
    reward,
    sample_transition,
    store_state,
    terminal,
    transition_outcome,
    write_reward,
)
from inscape.world_models.networks.kernels.perceptron import forward
from inscape.world_models.planning.kernels.tree import (
    ACTIONS,
    CLOCK,
    COUNT,
    DISCOUNT,
    ENDED,
    HERE,
    MOVER,
    NO_ACTION,
    NO_NUMBER,
    PARENT,
    PLAYERS,
    ROOM,
    TRIED,
    TROUBLE,
    VALUE,
    VISITS,
    WHERE,
    WIDTH,
    back_up,
    clear,
    descend,
    likeliest,
    place,
    set_prior,
)

# constants of an instance: whether a network values leaves; whether outcomes are sampled (a law that cannot list them)
NETWORK = False
SAMPLE = False
CHUNK = 8


@inner
def rule_of(P, params, given):
    """Returns the rule of `kernels/tree.py` with the numbers of actions, outcomes and players that the law has: where
    these are constants of the law, loops over them are unrolled."""
    kind, max_depth, room, kept, width, _, fixed, scale, offset, _, _ = given
    outcomes = width if SAMPLE else branches(params)
    return kind, max_depth, room, kept, outcomes, SAMPLE, fixed, scale, offset, num_actions(P), NUM_PLAYERS


@inline_jit
def open_node(P, F, I, node, real, tree, params, purpose, b, g, state, rule):
    """Writes what the law says of the state of node g; returns whether it has a value to be asked for."""
    A, p_at = rule[ACTIONS], VALUE + 3 * rule[PLAYERS] + rule[ACTIONS]
    store_state(F, I, g, state)
    ended = bool(terminal(params, purpose, state))
    node[g, ENDED] = ended
    count = 0
    if not ended:
        node[g, MOVER] = mover(params, state)
        for a in range(A):
            allowed = bool(legal(params, state, action_of_index(P, a)))
            count += allowed
            real[g, p_at + a] = allowed
        for a in range(A if count > 0 else 0):
            real[g, p_at + a] /= count
        if count == 0:
            tree[b, TROUBLE], tree[b, WHERE] = NO_ACTION, g
    return count > 0


@inline_jit
def follow(P, F, I, node, real, tree, params, purpose, b, g, slot, key, rule, gamma, rewards, gained):
    """Makes the node of an outcome; returns (it, its state)."""
    width = rule[WIDTH]
    a = slot // width
    state = load_state(F, I, g)
    chosen = action_of_index(P, a)
    if SAMPLE:
        following = sample_transition(params, state, chosen, key, tree[b, CLOCK])
        tree[b, CLOCK] += TRANSITION_SLOTS
    else:
        if width > 1 and node[g, TRIED + a] == 0:
            at = VALUE + 3 * rule[PLAYERS] + 2 * rule[ACTIONS] + a * width
            for k in range(branches(params)):
                real[g, at + k] = transition_outcome(params, state, chosen, k)[0]
            slot = likeliest(real, g, a, rule)
        following = transition_outcome(params, state, chosen, slot - a * width)[1]
    here = place(node, real, tree, b, g, slot, rule, 0)
    write_reward(rewards, b, reward(params, purpose, state, chosen, following))
    for m in range(NUM_PLAYERS):
        real[here, VALUE + 2 * NUM_PLAYERS + m] = gained[m, b]
        if not math.isfinite(gained[m, b]):
            tree[b, TROUBLE], tree[b, WHERE] = NO_NUMBER, here
    real[here, DISCOUNT] = gamma
    return here, following


@inner
def roll_out(P, real, tree, params, purpose, b, g, state, key, gamma, max_depth, rewards, gained):
    """Sets the leaf's value to the discounted return of uniformly random legal actions, of at most `max_depth`."""
    discount, ended, steps = 1.0, False, 0
    while not ended and steps < max_depth:
        any_legal = False
        for a in range(num_actions(P)):
            any_legal |= bool(legal(params, state, action_of_index(P, a)))
        if not any_legal:
            tree[b, TROUBLE], tree[b, WHERE] = NO_ACTION, g
            break
        action = random_action(P, params, state, key, tree[b, CLOCK])
        following = sample_transition(params, state, action, key, tree[b, CLOCK] + CHOICE_SLOTS)
        tree[b, CLOCK] += CHOICE_SLOTS + TRANSITION_SLOTS
        write_reward(rewards, b, reward(params, purpose, state, action, following))
        for m in range(NUM_PLAYERS):
            real[g, VALUE + NUM_PLAYERS + m] += discount * gained[m, b]
        ended = bool(terminal(params, purpose, following))
        discount *= gamma
        state = following
        steps += 1
    for m in range(NUM_PLAYERS):
        if not math.isfinite(real[g, VALUE + NUM_PLAYERS + m]):
            tree[b, TROUBLE], tree[b, WHERE] = NO_NUMBER, g


@jit
def encode(table, places, scale, row, X, to):
    """Writes the features of row `row` of observations `table [B, n]` as row `to` of `X`, as `FeatureReader` does."""
    if len(places) == 0:
        for k in range(X.shape[1]):
            X[to, k] = table[row, k] * scale
    else:
        for k in range(X.shape[1]):
            X[to, k] = 0.0
        for k in range(len(places)):
            X[to, int(table[row, k]) + places[k]] = 1.0


@jit
def set_values(node, real, tree, rows, count, network, memory, leaf_of, rule):
    """Values the leaves of the trees `rows[:count]`: prior, and the values of all players, the mover's first."""
    W, sizes, activation, unit = network
    X, H = memory
    A, p_at = rule[ACTIONS], VALUE + 3 * NUM_PLAYERS + rule[ACTIONS]
    outputs = forward(W, sizes, activation, X, H)
    for r in range(count):
        b = rows[r]
        g = leaf_of[b]
        for k in range(A + NUM_PLAYERS):
            if not math.isfinite(outputs[r, k]):
                tree[b, TROUBLE], tree[b, WHERE] = NO_NUMBER, g
        for a in range(A):
            real[g, p_at + a] = outputs[r, a] if real[g, p_at + a] > 0.0 else -math.inf
        set_prior(real, g, A, NUM_PLAYERS)
        for m in range(NUM_PLAYERS):
            real[g, VALUE + NUM_PLAYERS + (node[g, MOVER] + m) % NUM_PLAYERS] = outputs[r, A + m] * unit


@jit
def plant(P, F, I, T, keys, given, gamma, max_depth, rolls, rewards, reading, network, memory, leaf_of, first, last):
    """Makes the roots of trees first … last − 1, whose states the first columns of each tree's nodes hold."""
    params, purpose = load_params(P), load_purpose(P)
    rule = rule_of(P, params, given)
    node, real, tree = T[0], T[1], T[2]
    written, gained = rewards
    obs, table, places, scale = reading
    rows = np.empty(CHUNK, np.int64)
    for start in range(first, last, CHUNK):
        count = 0
        for b in range(start, min(last, start + CHUNK)):
            g = b * rule[ROOM]
            clear(node, real, g, rule)
            tree[b, COUNT] = 1
            node[g, PARENT], node[g, VISITS] = -1, 1
            state = load_state(F, I, g)
            if open_node(P, F, I, node, real, tree, params, purpose, b, g, state, rule):
                if NETWORK:
                    observe_into(params, state, obs, 0)
                    encode(table, places, scale, 0, memory[0], count)
                    leaf_of[b] = g
                    rows[count] = b
                    count += 1
                elif rolls:
                    roll_out(P, real, tree, params, purpose, b, g, state, keys[b], gamma, max_depth, written, gained)
        if NETWORK and count > 0:
            set_values(node, real, tree, rows, count, network, memory, leaf_of, rule)
    for b in range(first, last):
        for m in range(NUM_PLAYERS):
            real[b * rule[ROOM], VALUE + m] = real[b * rule[ROOM], VALUE + NUM_PLAYERS + m]


@jit
def search(
    P, F, I, T, keys, begin, end, given, gamma, max_depth, rolls, rewards, reading, network, memory, leaf_of,
    first, last,
):  # fmt: skip
    """Runs simulations begin … end − 1 in trees first … last − 1; a tree that met trouble stops.

    Args:
        F, I: `[NF, G]`, `[NI, G]` states of the nodes. T: `Trees`. keys: `[B]` random streams.
        rewards: one array as the law writes it, and as `[M, B]`: the same memory.
        reading: an observation as the law writes it, and as `[1, n]`; places and scale of `FeatureReader`.
        network: (parameters, sizes, activation, unit of values). memory: features `[CHUNK, D]`, outputs of layers.
        leaf_of: `[B]` leaf of each tree.
    """
    params, purpose = load_params(P), load_purpose(P)
    rule = rule_of(P, params, given)
    node, real, tree, tree_real, considered, spread = T
    written, gained = rewards
    obs, table, places, scale = reading
    group = CHUNK if NETWORK else 1
    rows = np.empty(CHUNK, np.int64)
    for start in range(first, last, group):
        stop = min(last, start + group)
        for simulation in range(begin, end):
            count = 0
            for b in range(start, stop):
                if tree[b, TROUBLE] == 0:
                    g, slot = descend(node, real, tree, tree_real, considered, spread, b, simulation, rule)
                    if slot != HERE:
                        g, state = follow(
                            P, F, I, node, real, tree, params, purpose, b, g, slot, keys[b], rule, gamma, written,
                            gained,
                        )  # fmt: skip
                        if open_node(P, F, I, node, real, tree, params, purpose, b, g, state, rule):
                            if NETWORK:
                                observe_into(params, state, obs, 0)
                                encode(table, places, scale, 0, memory[0], count)
                                rows[count] = b
                                count += 1
                            elif rolls:
                                roll_out(
                                    P, real, tree, params, purpose, b, g, state, keys[b], gamma, max_depth, written,
                                    gained,
                                )  # fmt: skip
                    leaf_of[b] = g
                    if not NETWORK:
                        back_up(node, real, tree, tree_real, b, g, rule)
            if NETWORK:
                if count > 0:
                    set_values(node, real, tree, rows, count, network, memory, leaf_of, rule)
                for b in range(start, stop):
                    if tree[b, TROUBLE] == 0:
                        back_up(node, real, tree, tree_real, b, leaf_of[b], rule)
