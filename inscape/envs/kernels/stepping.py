"""Kernel template: reset and step many copies of a world, with automatic reset."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
from inscape.envs.kernels.names import (
    CLOCK,
    ELAPSED,
    KEY,
    SLOTS,
    TRANSITION_SLOTS,
    ZERO_REWARD,
    jit,
    legal,
    load_action,
    load_params,
    load_purpose,
    load_state,
    num_actions,
    observation,
    parallel_jit,
    prange,
    reward,
    sample_initial,
    sample_transition,
    store_state,
    terminal,
    write_obs,
    write_reward,
)

# How a finished copy goes on: SAME_STEP begins the next episode in the same call, NEXT_STEP in the next one (whose
# action is ignored), DISABLED waits for a reset from outside.
NEXT_STEP, SAME_STEP, DISABLED = 0, 1, 2


@jit
def reset(P, F, I, mask, obs):
    """Starts a new episode in every copy where `mask` is True; draws at the copy's own clock."""
    params = load_params(P)
    for i in range(mask.shape[0]):
        if mask[i]:
            state = sample_initial(params, I[KEY, i], I[CLOCK, i] * SLOTS + TRANSITION_SLOTS)
            I[CLOCK, i] += 1
            I[ELAPSED, i] = 0
            store_state(F, I, i, state)
        else:
            state = load_state(F, I, i)
        write_obs(obs, i, observation(params, state))


@jit
def step_range(P, F, I, actions, obs, rewards, terminated, truncated, final_obs, autoreset, limit, low, high):
    """Steps copies low … high − 1 once; returns how many episodes ended. `limit` ≤ 0 means no time limit."""
    params = load_params(P)
    purpose = load_purpose(P)
    ended = 0
    for i in range(low, high):
        clock = I[CLOCK, i]
        I[CLOCK, i] = clock + 1
        counter = clock * SLOTS
        elapsed = I[ELAPSED, i] + 1
        if elapsed == 0 and autoreset == NEXT_STEP:
            state = sample_initial(params, I[KEY, i], counter + TRANSITION_SLOTS)
            store_state(F, I, i, state)
            I[ELAPSED, i] = 0
            write_obs(obs, i, observation(params, state))
            write_reward(rewards, i, ZERO_REWARD)
            terminated[i] = False
            truncated[i] = False
            continue
        state = load_state(F, I, i)
        action = load_action(actions, i)
        next_state = sample_transition(params, state, action, I[KEY, i], counter)
        write_reward(rewards, i, reward(params, purpose, state, action, next_state))
        over = terminal(params, purpose, next_state)
        late = limit > 0 and elapsed >= limit
        terminated[i] = over
        truncated[i] = late
        if over or late:
            ended += 1
            elapsed = -1
            if autoreset == SAME_STEP:
                write_obs(final_obs, i, observation(params, next_state))
                next_state = sample_initial(params, I[KEY, i], counter + TRANSITION_SLOTS)
                elapsed = 0
        I[ELAPSED, i] = elapsed
        store_state(F, I, i, next_state)
        write_obs(obs, i, observation(params, next_state))
    return ended


@jit
def step(P, F, I, actions, obs, rewards, terminated, truncated, final_obs, autoreset, limit):
    """Steps all copies once on this thread; returns how many episodes ended."""
    n = I.shape[1]
    return step_range(P, F, I, actions, obs, rewards, terminated, truncated, final_obs, autoreset, limit, 0, n)


@parallel_jit
def step_parallel(P, F, I, actions, obs, rewards, terminated, truncated, final_obs, autoreset, limit, blocks):
    """Steps all copies once, in `blocks` blocks side by side; returns how many episodes ended."""
    n = I.shape[1]
    size = (n + blocks - 1) // blocks
    ended = 0
    for b in prange(blocks):
        ended += step_range(
            P, F, I, actions, obs, rewards, terminated, truncated, final_obs, autoreset, limit,
            b * size, min(n, (b + 1) * size),
        )  # fmt: skip
    return ended


@jit
def first_illegal(P, F, I, actions):
    """Returns the first copy whose action the law forbids in its state, or −1. Copies awaiting a reset are skipped."""
    params = load_params(P)
    for i in range(I.shape[1]):
        if I[ELAPSED, i] >= 0 and not legal(params, load_state(F, I, i), load_action(actions, i)):
            return i
    return -1


@jit
def action_mask(P, F, I, mask):
    """Fills `mask [B, A]`: True where the action is legal."""
    params = load_params(P)
    for i in range(mask.shape[0]):
        state = load_state(F, I, i)
        for a in range(num_actions(P)):
            mask[i, a] = legal(params, state, a)
