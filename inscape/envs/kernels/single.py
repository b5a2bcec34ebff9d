"""Kernel template: one copy of a world, stepped with as few arguments as will do (each costs a call some 40 ns)."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
from inscape.envs.kernels.names import (
    CLOCK,
    ELAPSED,
    HAS_LEGAL,
    KEY,
    SLOTS,
    as_batch,
    jit,
    legal,
    legal_for,
    load_params,
    load_purpose,
    load_state,
    num_actions,
    observe_into,
    reward,
    sample_transition,
    store_state,
    terminal,
    write_mask,
)

STEPPED, NOT_RUNNING, ILLEGAL = 0, 1, 2


@jit
def step(P, F, I, action, obs, mask, limit):
    """Steps the copy; returns (status, reward, terminated, truncated). Nothing changes unless the status is STEPPED."""
    elapsed = I[ELAPSED, 0] + 1
    if elapsed <= 0:
        return NOT_RUNNING, 0.0, False, False
    params = load_params(P)
    purpose = load_purpose(P)
    state = load_state(F, I, 0)
    if HAS_LEGAL and not legal(params, state, action):
        return ILLEGAL, 0.0, False, False
    clock = I[CLOCK, 0]
    next_state = sample_transition(params, state, action, I[KEY, 0], clock * SLOTS)
    terminated = bool(terminal(params, purpose, next_state))
    truncated = bool(limit > 0 and elapsed >= limit)
    gained = float(reward(params, purpose, state, action, next_state))
    I[CLOCK, 0] = clock + 1
    I[ELAPSED, 0] = -1 if terminated or truncated else elapsed
    store_state(F, I, 0, next_state)
    observe_into(params, next_state, as_batch(obs), 0)
    if HAS_LEGAL:
        for a in range(num_actions(P)):
            write_mask(mask, 0, 0, a, legal_for(params, next_state, 0, a))
    return STEPPED, gained, terminated, truncated
