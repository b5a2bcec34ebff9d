"""Kernel template: a population of action sequences rolled out in one world's law.

See `inscape.world_models.planning.control.returns`. Sequence j = b·N + n is number n of those that begin in state b;
each is rolled out once per particle, in column c = j·particles + p of the arrays. What a column draws depends on the
key of its state and particle and on the step alone: all sequences of a state meet the same random numbers, and no
result depends on the number of threads.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

import numpy as np

from inscape.envs.kernels.names import (
    HAS_LEGAL,
    TRANSITION_SLOTS,
    action_of_index,
    jit,
    legal,
    load_action,
    load_params,
    load_purpose,
    load_state,
    num_actions,
    parallel_jit,
    prange,
    reward,
    sample_transition,
    store_state,
    terminal,
)

TILE = 256  # columns stepped side by side: their states stay in the cache, and one need not wait for another's sine


@jit
def permitted(P, params, state, action):
    """Returns the action, or the next legal one after it, cyclically; −1 if none is legal."""
    count = num_actions(P)
    for k in range(count):
        candidate = (action + k) % count
        if legal(params, state, action_of_index(P, candidate)):
            return candidate
    return -1


@jit
def roll_range(P, F, I, actions, keys, gamma, horizon, totals, weights, next_F, next_I, low, high):
    """Rolls columns low … high − 1 out.

    `actions [B·N·H, …]`, `keys [B, particles]`. Filled: `totals` `[B·N·particles]` Σ_t γ^t r_t; `weights` γ^H, or 0
    where the task ended; the last states. NaN in `totals`: a state that is not terminal has no legal action.
    """
    params = load_params(P)
    purpose = load_purpose(P)
    particles = keys.shape[1]
    each = totals.shape[0] // keys.shape[0]  # columns of one state
    for first in range(low, high, TILE):
        last = min(high, first + TILE)
        for column in range(first, last):
            state = load_state(F, I, column // each)
            store_state(next_F, next_I, column, state)
            totals[column] = 0.0
            weights[column] = 0.0 if terminal(params, purpose, state) else 1.0
        for t in range(horizon):
            for column in range(first, last):
                c = np.uint64(column)
                weight = weights[c]
                if weight > 0.0:
                    state = load_state(next_F, next_I, c)
                    row = (column // particles) * horizon + t
                    action = load_action(actions, row)
                    if HAS_LEGAL:
                        action = permitted(P, params, state, action)
                        if action < 0:
                            totals[c] = math.nan
                            weights[c] = 0.0
                            continue
                    key = keys[column // each, column % particles]
                    following = sample_transition(params, state, action, key, t * TRANSITION_SLOTS)
                    totals[c] += weight * reward(params, purpose, state, action, following)
                    weights[c] = 0.0 if terminal(params, purpose, following) else weight * gamma
                    store_state(next_F, next_I, c, following)


@jit
def roll(P, F, I, actions, keys, gamma, horizon, totals, weights, next_F, next_I, blocks):
    """Rolls all columns out on this thread."""
    roll_range(P, F, I, actions, keys, gamma, horizon, totals, weights, next_F, next_I, 0, totals.shape[0])


@parallel_jit
def roll_parallel(P, F, I, actions, keys, gamma, horizon, totals, weights, next_F, next_I, blocks):
    """As `roll`, in `blocks` blocks side by side."""
    n = totals.shape[0]
    size = (n + blocks - 1) // blocks
    for b in prange(blocks):
        roll_range(
            P, F, I, actions, keys, gamma, horizon, totals, weights, next_F, next_I, b * size, min(n, (b + 1) * size)
        )  # fmt: skip
