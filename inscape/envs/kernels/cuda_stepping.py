"""Kernel template: reset, step and play many copies of a world on a GPU, one thread per copy.

What happens to a copy is what `inscape.envs.kernels.stepping` and `play` do to it; here in one pass, as a thread has no
neighbours to be stepped with.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import numpy as np
from numba import cuda

from inscape.envs.kernels.names import (
    CHOICE_SLOTS,
    CLOCK,
    ELAPSED,
    HAS_LEGAL,
    KEY,
    MASK_PLAYERS,
    SLOTS,
    TAKES_TURNS,
    TRANSITION_SLOTS,
    ZERO_REWARD,
    add_reward,
    inner,
    is_out_of_range,
    jit,
    legal,
    legal_for,
    load_action,
    load_params,
    load_purpose,
    load_state,
    move_reward,
    mover,
    num_actions,
    observe_into,
    random_action,
    reward,
    sample_initial,
    sample_transition,
    store_state,
    terminal,
    write_mask,
    write_reward,
)

NEXT_STEP, SAME_STEP, DISABLED = 0, 1, 2  # as in the stepping template
FINE, OUT_OF_RANGE, ILLEGAL, NOT_RUNNING = 0, 1, 2, 3  # what may be wrong with an action
KINDS = 4
PERIOD = SLOTS + CHOICE_SLOTS  # as in the play template


@inner
def show(P, params, state, obs, mask, movers, i):
    """Writes what is observed, what is legal and who moves."""
    observe_into(params, state, obs, i)
    if HAS_LEGAL:
        for player in range(MASK_PLAYERS):
            for a in range(num_actions(P)):
                write_mask(mask, i, player, a, legal_for(params, state, player, a))
    if TAKES_TURNS:
        movers[i] = mover(params, state)


@inner
def fault_of(P, F, I, actions, params, state, i):
    """Returns what is wrong with the action of a copy that runs, or FINE."""
    if is_out_of_range(P, actions, i):
        return OUT_OF_RANGE
    if HAS_LEGAL and not legal(params, state, load_action(actions, i)):
        return ILLEGAL
    return FINE


@jit
def reset(P, F, I, chosen, obs, mask, movers):
    """Starts a new episode in every copy where `chosen` is True, and shows all."""
    copy = cuda.grid(1)
    if copy < I.shape[1]:
        i = np.uint64(copy)  # an index that cannot be negative costs no arithmetic
        params = load_params(P)
        if chosen[i]:
            clock = I[CLOCK, i]
            state = sample_initial(params, I[KEY, i], clock * SLOTS + TRANSITION_SLOTS)
            store_state(F, I, i, state)
            I[CLOCK, i] = clock + 1
            I[ELAPSED, i] = 0
            show(P, params, state, obs, mask, movers, i)
        else:
            show(P, params, load_state(F, I, i), obs, mask, movers, i)


@jit
def step(
    P, F, I, actions, obs, rewards, terminated, truncated, ended, final_obs, mask, movers, fault, autoreset, limit
):  # fmt: skip
    """Steps every copy once. `limit` ≤ 0 means no time limit; `ended` is terminated or truncated.

    A copy whose action cannot be taken stays as it is; the first of them, with what is wrong, is left in `fault[0]` as
    copy · KINDS + kind.
    """
    copy = cuda.grid(1)
    if copy < I.shape[1]:
        i = np.uint64(copy)
        params = load_params(P)
        purpose = load_purpose(P)
        clock = I[CLOCK, i]
        elapsed = I[ELAPSED, i] + 1
        state = load_state(F, I, i)
        running = elapsed > 0
        begin = autoreset == NEXT_STEP and not running
        over = False
        late = False
        if not begin:
            wrong = NOT_RUNNING
            if running:
                wrong = fault_of(P, F, I, actions, params, state, i)
            if wrong == FINE:
                action = load_action(actions, i)
                next_state = sample_transition(params, state, action, I[KEY, i], clock * SLOTS)
                over = terminal(params, purpose, next_state)
                late = limit > 0 and elapsed >= limit
                write_reward(rewards, i, reward(params, purpose, state, action, next_state))
                begin = autoreset == SAME_STEP and (over or late)
                I[CLOCK, i] = clock + 1
                if begin:
                    observe_into(params, next_state, final_obs, i)
                else:
                    I[ELAPSED, i] = -1 if over or late else elapsed
                    store_state(F, I, i, next_state)
                    show(P, params, next_state, obs, mask, movers, i)
            else:
                cuda.atomic.min(fault, 0, copy * KINDS + wrong)
                write_reward(rewards, i, ZERO_REWARD)
                show(P, params, state, obs, mask, movers, i)
        else:
            write_reward(rewards, i, ZERO_REWARD)
        if begin:
            first_state = sample_initial(params, I[KEY, i], clock * SLOTS + TRANSITION_SLOTS)
            store_state(F, I, i, first_state)
            I[CLOCK, i] = clock + 1
            I[ELAPSED, i] = 0
            show(P, params, first_state, obs, mask, movers, i)
        terminated[i] = over
        truncated[i] = late
        ended[i] = over or late


@jit
def play(P, F, I, gained, returns, episodes, limit, most, steps):
    """Plays every copy `steps` steps at random, choices included; a copy never started begins its first episode.

    An episode under way is then played to its end, for at most `most` steps. `returns [M, B]` adds up, per copy, what
    the episodes that ended earned; `episodes [4, B]` how many ended within the steps, the steps taken after these, how
    many episodes ended in them, and how many did not.
    """
    copy = cuda.grid(1)
    if copy < I.shape[1]:
        i = np.uint64(copy)
        params = load_params(P)
        purpose = load_purpose(P)
        key = I[KEY, i]
        clock = I[CLOCK, i]
        elapsed = I[ELAPSED, i]
        if elapsed < 0:
            store_state(F, I, i, sample_initial(params, key, clock * PERIOD + TRANSITION_SLOTS))
            clock += 1
            elapsed = 0
        count = 0
        late = 0
        taken = 0
        while taken < steps or (elapsed > 0 and taken < steps + most):
            taken += 1
            state = load_state(F, I, i)
            action = random_action(P, params, state, key, clock * PERIOD + SLOTS)
            next_state = sample_transition(params, state, action, key, clock * PERIOD)
            elapsed += 1
            add_reward(gained, i, reward(params, purpose, state, action, next_state))
            if terminal(params, purpose, next_state) or (limit > 0 and elapsed >= limit):
                if taken <= steps:
                    count += 1
                else:
                    late += 1
                elapsed = 0
                move_reward(gained, i, returns[:, i])
                store_state(F, I, i, sample_initial(params, key, clock * PERIOD + TRANSITION_SLOTS))
            else:
                store_state(F, I, i, next_state)
            clock += 1
        I[CLOCK, i] = clock
        I[ELAPSED, i] = elapsed
        episodes[0, i] += count
        episodes[1, i] += taken - steps
        episodes[2, i] += late
        episodes[3, i] += 1 if elapsed > 0 else 0
