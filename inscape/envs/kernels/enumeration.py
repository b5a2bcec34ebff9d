"""Kernel template: find every reachable state, and tabulate the transition law over them."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
from inscape.envs.kernels.lookup import slot_of
from inscape.envs.kernels.names import (
    NUM_FLOATS,
    NUM_INTS,
    action_of_index,
    branches,
    inner,
    jit,
    legal,
    load_params,
    load_purpose,
    load_state,
    num_choices,
    store_state,
    terminal,
    transition_outcome,
    with_purpose,
)

FULL = -1  # no room for another state: come back with larger arrays


@inner
def copy_column(F, I, to, from_F, from_I, i):
    """Copies state i of one batch to place `to` of another (loops: slices take Numba seconds to compile)."""
    for k in range(NUM_FLOATS):
        F[k, to] = from_F[k, i]
    for k in range(NUM_INTS):
        I[k, to] = from_I[k, i]


@inner
def is_over(P, goals, state):
    """Returns whether the state is terminal under every purpose in play, a row of numbers each: `goals` (Qf, Qi)."""
    params = load_params(P)
    for g in range(goals[0].shape[0]):
        if not terminal(params, load_purpose(with_purpose(P, goals, g)), state):
            return False
    return True


@jit
def insert_all(F, I, FB, table, roots_F, roots_I, roots_FB, count):
    """Adds the given states, in order; returns the new number of states, or FULL."""
    for i in range(roots_F.shape[1]):
        slot = slot_of(roots_FB, roots_I, i, table, FB, I)
        if table[slot] < 0:
            if count == F.shape[1]:
                return FULL
            copy_column(F, I, count, roots_F, roots_I, i)
            table[slot] = count
            count += 1
    return count


@jit
def explore(P, goals, F, I, FB, table, start, count, scratch_F, scratch_I, scratch_FB):
    """Expands states start … in breadth-first order; returns (states expanded, states found or FULL)."""
    params = load_params(P)
    head = start
    while head < count:
        state = load_state(F, I, head)
        if not is_over(P, goals, state):
            for a in range(num_choices(P)):
                action = action_of_index(P, a)
                if not legal(params, state, action):
                    continue
                for b in range(branches(params)):
                    p, next_state = transition_outcome(params, state, action, b)
                    if p <= 0.0:
                        continue
                    store_state(scratch_F, scratch_I, 0, next_state)
                    slot = slot_of(scratch_FB, scratch_I, 0, table, FB, I)
                    if table[slot] < 0:
                        if count == F.shape[1]:
                            return head, FULL
                        copy_column(F, I, count, scratch_F, scratch_I, 0)
                        table[slot] = count
                        count += 1
        head += 1
    return head, count


@jit
def tabulate(
    P, goals, F, I, FB, table, low, high, next_state, probability, legal_mask, width, scratch_F, scratch_I, scratch_FB
):
    """Fills rows low … high − 1 of the tables, outcomes in the same state merged; returns the most outcomes seen.

    Rows of states that are over under every purpose loop on themselves. `width` receives outcomes per (state, action).
    """
    params = load_params(P)
    most = 1
    for s in range(low, high):
        state = load_state(F, I, s)
        over = is_over(P, goals, state)
        any_legal = False
        for a in range(num_choices(P)):
            action = action_of_index(P, a)
            allowed = legal(params, state, action)
            legal_mask[s, a] = allowed
            any_legal = any_legal or allowed
            row = s - low
            if over or not allowed:
                next_state[row, a, 0] = s
                probability[row, a, 0] = 1.0
                width[row, a] = 1
                continue
            found = 0
            for b in range(branches(params)):
                p, following = transition_outcome(params, state, action, b)
                if p <= 0.0:
                    continue
                store_state(scratch_F, scratch_I, 0, following)
                j = table[slot_of(scratch_FB, scratch_I, 0, table, FB, I)]
                k = 0
                while k < found and next_state[row, a, k] != j:
                    k += 1
                if k == found:
                    next_state[row, a, k] = j
                    probability[row, a, k] = 0.0
                    found += 1
                probability[row, a, k] += p
            width[row, a] = found
            most = max(most, found)
        if not any_legal:  # a state in which nothing may be done is over; any action stays there
            for a in range(num_choices(P)):
                legal_mask[s, a] = True
    return most
