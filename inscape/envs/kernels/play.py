"""Kernel template: many copies played at random, choices included, without a Python call between the steps."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import numpy as np

from inscape.envs.kernels.names import (
    CHOICE_SLOTS,
    CLOCK,
    ELAPSED,
    KEY,
    NUM_PLAYERS,
    SLOTS,
    TRANSITION_SLOTS,
    add_reward,
    copy_reward,
    jit,
    load_params,
    load_purpose,
    load_state,
    move_reward,
    parallel_jit,
    prange,
    random_action,
    reward,
    sample_initial,
    sample_transition,
    store_state,
    terminal,
)

TILE = 512  # copies per round of passes, as in the stepping template
LAST = 4096  # copies whose last episodes are finished together: fewer and fewer go on, which are stepped side by side
PERIOD = SLOTS + CHOICE_SLOTS  # random numbers of a step and of the choice before it


@jit
def start(P, F, I):
    """Begins an episode in every copy."""
    params = load_params(P)
    for i in range(I.shape[1]):
        store_state(F, I, i, sample_initial(params, I[KEY, i], I[CLOCK, i] * PERIOD + TRANSITION_SLOTS))
        I[CLOCK, i] += 1
        I[ELAPSED, i] = 0


@jit
def act(P, F, I, gained, limit, first, last):
    """Takes a random action in copies first … last − 1, without a branch, and adds the reward to `gained`."""
    params = load_params(P)
    purpose = load_purpose(P)
    for copy in range(first, last):
        i = np.uint64(copy)
        clock = I[CLOCK, i]
        elapsed = I[ELAPSED, i] + 1
        key = I[KEY, i]
        state = load_state(F, I, i)
        action = random_action(P, params, state, key, clock * PERIOD + SLOTS)
        next_state = sample_transition(params, state, action, key, clock * PERIOD)
        over = terminal(params, purpose, next_state) | ((limit > 0) & (elapsed >= limit))
        add_reward(gained, i, reward(params, purpose, state, action, next_state))
        I[CLOCK, i] = clock + 1
        I[ELAPSED, i] = -1 if over else elapsed
        store_state(F, I, i, next_state)


@jit
def reset_finished(P, F, I, gained, returns, fresh, first, last):
    """Begins the next episode of finished copies, adds what they earned to `returns`; returns how many they were."""
    params = load_params(P)
    count = first
    for copy in range(first, last):  # no branch: which copies are finished cannot be predicted
        fresh[np.uint64(count)] = copy
        count += I[ELAPSED, np.uint64(copy)] < 0
    for k in range(first, count):
        i = fresh[k]
        move_reward(gained, i, returns)
        state = sample_initial(params, I[KEY, i], (I[CLOCK, i] - 1) * PERIOD + TRANSITION_SLOTS)
        store_state(F, I, i, state)
        I[ELAPSED, i] = 0
    return count - first


@jit
def move_copy(F, I, gained, i, to):
    """Puts copy i, with what it gained, in the place of copy `to`."""
    for row in range(F.shape[0]):
        F[row, to] = F[row, i]
    for row in range(I.shape[0]):
        I[row, to] = I[row, i]
    copy_reward(gained, i, to)


@jit
def finish(P, F, I, gained, returns, fresh, limit, most, first, last):
    """Plays the episodes under way to their end, for at most `most` steps, and adds what they earned to `returns`.

    Behind the players' sums `returns` has the steps this took, how many episodes ended, and how many did not.
    """
    live = first
    for i in range(first, last):  # copies amid an episode come to the front, where they are stepped side by side
        if I[ELAPSED, i] > 0:
            move_copy(F, I, gained, i, live)
            live += 1
    returns[NUM_PLAYERS + 1] += live - first
    taken = 0
    while live > first and taken < most:
        act(P, F, I, gained, limit, first, live)
        returns[NUM_PLAYERS] += live - first
        taken += 1
        count = first
        for copy in range(first, live):  # no branch, as above
            fresh[np.uint64(count)] = copy
            count += I[ELAPSED, np.uint64(copy)] < 0
        for k in range(count - 1, first - 1, -1):
            i = fresh[k]
            move_reward(gained, i, returns)
            live -= 1
            move_copy(F, I, gained, live, i)  # the last one takes its place
    returns[NUM_PLAYERS + 1] -= live - first
    returns[NUM_PLAYERS + 2] += live - first


@jit
def play_range(P, F, I, gained, returns, fresh, limit, most, steps, low, high):
    """Plays copies low … high − 1 for `steps` steps each and then to the end of their episodes (see `finish`).

    Returns how many episodes ended within the steps.
    """
    episodes = 0
    for start in range(low, high, LAST):
        end = min(high, start + LAST)
        for first in range(start, end, TILE):
            last = min(end, first + TILE)
            for _ in range(steps):
                act(P, F, I, gained, limit, first, last)
                episodes += reset_finished(P, F, I, gained, returns, fresh, first, last)
        finish(P, F, I, gained, returns, fresh, limit, most, start, end)
    return episodes


@jit
def play(P, F, I, gained, returns, fresh, limit, most, steps, blocks):
    """Plays all copies on this thread, summing up in `returns[0]`; returns how many episodes ended in the steps."""
    return play_range(P, F, I, gained, returns[0], fresh, limit, most, steps, 0, I.shape[1])


@parallel_jit
def play_parallel(P, F, I, gained, returns, fresh, limit, most, steps, blocks):
    """As `play`, in `blocks` blocks side by side; block b sums its returns in `returns[b]`."""
    n = I.shape[1]
    size = (n + blocks - 1) // blocks
    episodes = 0
    for b in prange(blocks):
        episodes += play_range(
            P, F, I, gained, returns[b], fresh, limit, most, steps, b * size, min(n, (b + 1) * size)
        )  # fmt: skip
    return episodes
