"""Kernel template: one copy of a world of several players, with what each of them observes and may do."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
from inscape.envs.kernels.names import (
    CLOCK,
    ELAPSED,
    HAS_LEGAL,
    KEY,
    MASK_PLAYERS,
    NUM_PLAYERS,
    SLOTS,
    TRANSITION_SLOTS,
    ZERO_REWARD,
    inner,
    jit,
    legal,
    legal_for,
    load_action,
    load_params,
    load_purpose,
    load_state,
    mover,
    num_actions,
    observe_as,
    reward,
    sample_initial,
    sample_transition,
    store_state,
    terminal,
)

STEPPED, ILLEGAL = 0, 1


@inner
def show(P, params, state, obs, masks):
    """Fills what each player observes and `masks [M, A]`, 1 where legal; in turn, only the mover's. Returns it."""
    player = mover(params, state)
    for m in range(NUM_PLAYERS):
        observe_as(params, state, m, obs, m)
        if HAS_LEGAL:
            acts = MASK_PLAYERS > 1 or m == player
            for a in range(num_actions(P)):
                masks[m, a] = acts and legal_for(params, state, m, a)
    return player


@jit
def begin(P, F, I, obs, masks):
    """Starts an episode, as `stepping.reset` does; returns who moves."""
    params = load_params(P)
    state = sample_initial(params, I[KEY, 0], I[CLOCK, 0] * SLOTS + TRANSITION_SLOTS)
    I[CLOCK, 0] += 1
    I[ELAPSED, 0] = 0
    store_state(F, I, 0, state)
    return show(P, params, state, obs, masks)


@jit
def observe_all(P, F, I, obs, masks):
    """Fills what is observed and legal in the present state; returns who moves."""
    params = load_params(P)
    return show(P, params, load_state(F, I, 0), obs, masks)


@inner
def advance(P, F, I, action, obs, masks, limit):
    """Steps the running copy; see `step_in_turn`."""
    params = load_params(P)
    purpose = load_purpose(P)
    state = load_state(F, I, 0)
    if HAS_LEGAL and not legal(params, state, action):
        return ILLEGAL, 0, ZERO_REWARD, False, False
    clock = I[CLOCK, 0]
    elapsed = I[ELAPSED, 0] + 1
    next_state = sample_transition(params, state, action, I[KEY, 0], clock * SLOTS)
    terminated = bool(terminal(params, purpose, next_state))
    truncated = bool(limit > 0 and elapsed >= limit)
    gained = reward(params, purpose, state, action, next_state)
    I[CLOCK, 0] = clock + 1
    I[ELAPSED, 0] = -1 if terminated or truncated else elapsed
    store_state(F, I, 0, next_state)
    return STEPPED, show(P, params, next_state, obs, masks), gained, terminated, truncated


@jit
def step_in_turn(P, F, I, action, obs, masks, limit):
    """Takes the mover's action; returns (status, who moves next, rewards, terminated, truncated).

    Nothing changes unless the status is STEPPED.
    """
    return advance(P, F, I, action, obs, masks, limit)


@jit
def step_at_once(P, F, I, actions, obs, masks, limit):
    """As `step_in_turn`, with everybody's actions `[1, M]`."""
    return advance(P, F, I, load_action(actions, 0), obs, masks, limit)
