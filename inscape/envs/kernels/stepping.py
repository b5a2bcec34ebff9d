"""Kernel template: reset and step many copies of a world, with automatic reset."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

import numpy as np

from inscape.envs.kernels.names import (
    CLOCK,
    ELAPSED,
    HAS_LEGAL,
    KEY,
    MASK_PLAYERS,
    SEPARATE_VIEWS,
    SLOTS,
    TAKES_TURNS,
    TRANSITION_SLOTS,
    ZERO_REWARD,
    is_out_of_range,
    jit,
    legal,
    legal_for,
    load_action,
    load_params,
    load_purpose,
    load_state,
    load_view,
    mover,
    num_actions,
    observe_into,
    parallel_jit,
    prange,
    reward,
    sample_initial,
    sample_transition,
    store_state,
    store_view,
    terminal,
    view_of,
    write_mask,
    write_reward,
    write_view,
)
from inscape.envs.kernels.step_arrays import StepArrays

# How a finished copy goes on: SAME_STEP begins the next episode in the same call, NEXT_STEP in the next one (whose
# action is ignored), DISABLED waits for a reset from outside.
NEXT_STEP, SAME_STEP, DISABLED = 0, 1, 2
AUTORESET = 0
"""Which of them: a constant of an instance, so that none compiles what only the others do."""
# Copies per round of passes: few enough that what a pass leaves is still near for the next one, many enough that what
# a pass costs at its beginning (some 0.2 µs, to see that its arrays do not overlap) is small. Cart-pole of 262,144
# copies, fast, one thread: 133, 165 and 182 M steps/s with 512, 4,096 and 8,192.
TILE = 8192


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
        observe_into(params, state, obs, i)


@jit
def begin(P, F, I):
    """As `reset` of every copy, without observations: for those who step the copies with a kernel of their own."""
    params = load_params(P)
    for i in range(I.shape[1]):
        store_state(F, I, i, sample_initial(params, I[KEY, i], I[CLOCK, i] * SLOTS + TRANSITION_SLOTS))
        I[CLOCK, i] += 1
        I[ELAPSED, i] = 0


@jit
def first_wrong(P, F, I, actions):
    """Returns the first copy whose action is out of range, or illegal in its state, or −1."""
    wrong = 0
    for copy in range(actions.shape[0]):
        wrong += is_out_of_range(P, actions, np.uint64(copy))
    if wrong:
        for i in range(actions.shape[0]):
            if is_out_of_range(P, actions, i):
                return i
    if HAS_LEGAL:
        return first_illegal(P, F, I, actions)
    return -1


@jit
def step_range(P, F, I, arrays, memory, limit, low, high):
    """Steps copies low … high − 1 once; returns how many episodes ended. `limit` ≤ 0 means no time limit.

    `arrays` is a `StepArrays`, whose `mask` and `movers` are filled for the states that come of the step, in worlds
    that have such things; `memory` is a `StepMemory`.
    """
    ended = 0
    for start in range(low, high, TILE):
        stop = min(high, start + TILE)
        count = 0
        if AUTORESET == NEXT_STEP:
            count = restart(P, F, I, memory, start, stop)
        if HAS_LEGAL and AUTORESET != SAME_STEP:
            ended += advance_some(P, F, I, arrays, limit, start, stop)
        else:
            ended += advance(P, F, I, arrays, limit, start, stop)
        if SEPARATE_VIEWS:
            look_around(P, F, I, arrays.obs, memory, low, start, stop)
        if AUTORESET == NEXT_STEP:
            ended -= undo(P, F, I, arrays, memory, start, count)
        if AUTORESET == SAME_STEP:
            reset_finished(P, F, I, arrays, memory, start, stop)
        if HAS_LEGAL:
            fill_masks(P, F, I, arrays.mask, start, stop)
        if TAKES_TURNS:
            fill_movers(P, F, I, arrays.movers, start, stop)
    return ended


@jit
def finished(I, fresh, start, stop):
    """Lists the finished copies among start … stop − 1 in `fresh[start:count]`; returns `count`."""
    count = start
    for copy in range(start, stop):  # no branch: which copies are finished cannot be predicted
        fresh[np.uint64(count)] = copy
        count += I[ELAPSED, np.uint64(copy)] < 0
    return count


@jit
def restart(P, F, I, memory, start, stop):
    """Puts finished copies into the first state of their next episode, lists them in `fresh`, returns how many.

    In three passes: what is drawn from is brought together, so that several first states are drawn at once.
    """
    params = load_params(P)
    fresh, kept_F, kept_I = memory.fresh, memory.floats, memory.ints
    count = finished(I, fresh, start, stop)
    for k in range(start, count):
        i = fresh[k]
        kept_I[KEY, k] = I[KEY, i]
        kept_I[CLOCK, k] = I[CLOCK, i]
    for k in range(start, count):
        row = np.uint64(k)
        state = sample_initial(params, kept_I[KEY, row], kept_I[CLOCK, row] * SLOTS + TRANSITION_SLOTS)
        store_state(kept_F, kept_I, row, state)
    for k in range(start, count):
        store_state(F, I, fresh[k], load_state(kept_F, kept_I, k))
    return count - start


@jit
def advance(P, F, I, arrays, limit, start, stop):
    """Steps every copy in place, without a branch, so that the compiler can step several copies at once."""
    params = load_params(P)
    purpose = load_purpose(P)
    actions, obs, rewards = arrays.actions, arrays.obs, arrays.rewards
    terminated, truncated = arrays.terminated, arrays.truncated
    ended = 0
    for copy in range(start, stop):
        i = np.uint64(copy)  # an index that cannot be negative: with a signed one LLVM does not vectorise the loop
        clock = I[CLOCK, i]
        elapsed = I[ELAPSED, i] + 1
        state = load_state(F, I, i)
        action = load_action(actions, i)
        next_state = sample_transition(params, state, action, I[KEY, i], clock * SLOTS)
        over = terminal(params, purpose, next_state)
        late = (limit > 0) & (elapsed >= limit)
        write_reward(rewards, i, reward(params, purpose, state, action, next_state))
        terminated[i] = over
        truncated[i] = late
        ended += over | late
        I[CLOCK, i] = clock + 1
        I[ELAPSED, i] = -1 if over | late else elapsed
        store_state(F, I, i, next_state)
        if not SEPARATE_VIEWS:
            observe_into(params, next_state, obs, i)
    return ended


@jit
def look_around(P, F, I, obs, memory, low, start, stop):
    """Writes what copies start … stop − 1 observe, in two passes: the first, without a loop in it, takes several copies
    at once. Each tile of a thread keeps its views in the same columns, low …, which stay in the cache."""
    params = load_params(P)
    views_F, views_I = memory.view_floats, memory.view_ints
    for copy in range(start, stop):
        view = view_of(params, load_state(F, I, np.uint64(copy)))
        store_view(views_F, views_I, np.uint64(low + copy - start), view)
    for copy in range(start, stop):
        write_view(params, load_view(views_F, views_I, np.uint64(low + copy - start)), obs, np.uint64(copy))


@jit
def advance_some(P, F, I, arrays, limit, start, stop):
    """As `advance`, leaving finished copies out: where some actions are illegal, an ignored one must not be taken."""
    ended = 0
    for i in range(start, stop):
        if I[ELAPSED, i] >= 0:
            ended += advance(P, F, I, arrays, limit, i, i + 1)
        else:
            I[CLOCK, i] += 1
    return ended


@jit
def undo(P, F, I, arrays, memory, start, count):
    """Takes back the step of fresh copies: they have only been reset. Returns how many of those had ended."""
    params = load_params(P)
    fresh, kept_F, kept_I = memory.fresh, memory.floats, memory.ints
    obs, rewards, terminated, truncated = arrays.obs, arrays.rewards, arrays.terminated, arrays.truncated
    ended = 0
    for k in range(start, start + count):
        i = fresh[k]
        if not HAS_LEGAL:
            ended += terminated[i] | truncated[i]
        state = load_state(kept_F, kept_I, k)
        store_state(F, I, i, state)
        I[ELAPSED, i] = 0
        observe_into(params, state, obs, i)
        write_reward(rewards, i, ZERO_REWARD)
        terminated[i] = False
        truncated[i] = False
    return ended


@jit
def reset_finished(P, F, I, arrays, memory, start, stop):
    """Keeps the final observation of each finished copy and begins its next episode."""
    params = load_params(P)
    obs, final_obs, fresh = arrays.obs, arrays.final_obs, memory.fresh
    for k in range(start, finished(I, fresh, start, stop)):
        i = fresh[k]
        observe_into(params, load_state(F, I, i), final_obs, i)
        state = sample_initial(params, I[KEY, i], (I[CLOCK, i] - 1) * SLOTS + TRANSITION_SLOTS)
        store_state(F, I, i, state)
        I[ELAPSED, i] = 0
        observe_into(params, state, obs, i)


# The fields of `StepArrays` one by one: a named tuple made in Python for each step costs 0.3 to 0.5 µs, 11 % of a step
# of 64 cart-poles. Made here it costs nothing.
@jit
def step(
    P, F, I, actions, obs, rewards, terminated, truncated, final_obs, mask, movers, memory, limit, blocks
):  # fmt: skip
    """Steps all copies once on this thread.

    Returns:
        How many episodes ended; −1 − i if the action of copy i is wrong, before any is stepped; −2 − B if a reward is
        no finite number.
    """
    wrong = first_wrong(P, F, I, actions)
    if wrong >= 0:
        return -1 - wrong
    arrays = StepArrays(actions, obs, rewards, terminated, truncated, final_obs, mask, movers)
    ended = step_range(P, F, I, arrays, memory, limit, 0, I.shape[1])
    return ended if all_finite(rewards) else -2 - I.shape[1]


@parallel_jit
def step_parallel(
    P, F, I, actions, obs, rewards, terminated, truncated, final_obs, mask, movers, memory, limit, blocks
):  # fmt: skip
    """As `step`, in `blocks` blocks side by side."""
    n = I.shape[1]
    wrong = first_wrong(P, F, I, actions)
    if wrong >= 0:
        return -1 - wrong
    arrays = StepArrays(actions, obs, rewards, terminated, truncated, final_obs, mask, movers)
    size = (n + blocks - 1) // blocks
    ended = 0
    for b in prange(blocks):
        ended += step_range(P, F, I, arrays, memory, limit, b * size, min(n, (b + 1) * size))
    return ended if all_finite(rewards) else -2 - n


@jit
def all_finite(rewards):
    """Returns whether all rewards `[B]` or `[M, B]` are finite numbers, without a branch in the loop."""
    wrong = 0
    if rewards.ndim == 1:
        for copy in range(rewards.shape[0]):
            wrong += not math.isfinite(rewards[np.uint64(copy)])
    else:
        for player in range(rewards.shape[0]):
            for copy in range(rewards.shape[1]):
                wrong += not math.isfinite(rewards[player, np.uint64(copy)])
    return wrong == 0


@jit
def first_illegal(P, F, I, actions):
    """Returns the first copy whose action the law forbids in its state, or −1. Copies awaiting a reset are skipped."""
    params = load_params(P)
    for i in range(I.shape[1]):
        if I[ELAPSED, i] >= 0 and not legal(params, load_state(F, I, i), load_action(actions, i)):
            return i
    return -1


@jit
def fill_movers(P, F, I, movers, start, stop):
    """Fills which player acts next in copies start … stop − 1."""
    params = load_params(P)
    for i in range(start, stop):
        movers[i] = mover(params, load_state(F, I, i))


@jit
def fill_masks(P, F, I, mask, start, stop):
    """Fills `mask [B, A]` (all at once: `[B, M, A]`) of copies start … stop − 1: True where the action is legal."""
    params = load_params(P)
    for i in range(start, stop):
        state = load_state(F, I, i)
        for player in range(MASK_PLAYERS):
            for a in range(num_actions(P)):
                write_mask(mask, i, player, a, legal_for(params, state, player, a))
