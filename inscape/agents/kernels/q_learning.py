"""Kernel template: tabular Q-learning in one copy of a world, environment and learner in one compiled loop."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import numpy as np

from inscape.envs.kernels.names import (
    CLOCK,
    ELAPSED,
    HAS_LEGAL,
    KEY,
    SLOTS,
    TRANSITION_SLOTS,
    jit,
    legal,
    load_params,
    load_purpose,
    load_state,
    num_actions,
    observe_into,
    reward,
    sample_initial,
    sample_transition,
    store_state,
    terminal,
    uniform,
)

# Columns of `totals`: episodes ended, sum of their returns, sum of their lengths, return so far, steps taken, sum of
# absolute TD errors; the last two are of this call and all the others of the life of the learner.
EPISODES, RETURNS, LENGTHS, RUNNING, STEPS, ERRORS = 0, 1, 2, 3, 4, 5
CHOICE_SLOTS = 2  # random numbers per choice: explore or not; which action, or where the search for the best begins


@jit
def begin(P, F, I):
    """Starts the first episode."""
    params = load_params(P)
    state = sample_initial(params, I[KEY, 0], I[CLOCK, 0] * SLOTS + TRANSITION_SLOTS)
    I[CLOCK, 0] += 1
    I[ELAPSED, 0] = 0
    store_state(F, I, 0, state)


@jit
def cell(seen, start, strides):
    """Returns the row of the table for an observation of several integers."""
    row = 0
    for d in range(seen.shape[0]):
        row += (int(seen[d]) - start[d]) * strides[d]
    return row


@jit
def choose(params, state, q, row, epsilon, first, second, actions):
    """Returns an action, epsilon-greedy over the legal ones; ties are broken by where the search begins."""
    begin_at = min(int(second * actions), actions - 1)
    if HAS_LEGAL:
        count = 0
        for a in range(actions):
            if legal(params, state, a):
                count += 1
        pick = min(int(second * count), count - 1)
        for a in range(actions):
            if legal(params, state, a):
                if pick == 0:
                    begin_at = a
                pick -= 1
    if first < epsilon:
        return begin_at
    best = begin_at
    for k in range(1, actions):
        a = begin_at + k
        if a >= actions:
            a -= actions
        if q[row, a] > q[row, best] and (not HAS_LEGAL or legal(params, state, a)):
            best = a
    return best


@jit
def best_value(params, state, q, row, actions):
    """Returns max_a Q(s, a) over the legal actions."""
    best = -np.inf
    for a in range(actions):
        if q[row, a] > best and (not HAS_LEGAL or legal(params, state, a)):
            best = q[row, a]
    return best


@jit
def learn(P, F, I, obs, start, strides, q, counts, schedule, key, done, steps, limit, totals):
    """Takes `steps` environment steps, numbers `done` and following, and updates `q [S, A]` after each.

    `schedule` is (gamma, rate, power, floor, epsilon_start, epsilon_end, epsilon_steps); the rate of the n-th update
    of a pair is max(floor, rate · n^−power). `limit` ≤ 0 means no time limit.

    Returns:
        False, with the observation left in `obs`, if it has no row in the table.
    """
    params = load_params(P)
    purpose = load_purpose(P)
    actions = num_actions(P)
    gamma, rate, power, floor, epsilon_start, epsilon_end, epsilon_steps = schedule
    seen = obs.reshape(-1)
    state = load_state(F, I, 0)
    observe_into(params, state, obs, 0)
    row = cell(seen, start, strides)
    if not 0 <= row < q.shape[0]:
        return False
    for t in range(done, done + steps):
        epsilon = epsilon_end + (epsilon_start - epsilon_end) * max(0.0, 1.0 - t / epsilon_steps)
        first, second = uniform(key, t * CHOICE_SLOTS), uniform(key, t * CHOICE_SLOTS + 1)
        action = choose(params, state, q, row, epsilon, first, second, actions)

        counter = I[CLOCK, 0] * SLOTS
        I[CLOCK, 0] += 1
        I[ELAPSED, 0] += 1
        next_state = sample_transition(params, state, action, I[KEY, 0], counter)
        gain = reward(params, purpose, state, action, next_state)
        terminated = terminal(params, purpose, next_state)
        observe_into(params, next_state, obs, 0)
        next_row = cell(seen, start, strides)
        if not 0 <= next_row < q.shape[0]:  # unchecked, it would be written beyond the table
            return False

        # a time limit (truncation) does not end the sum: only termination makes the future worth nothing
        target = gain if terminated else gain + gamma * best_value(params, next_state, q, next_row, actions)
        counts[row, action] += 1
        error = target - q[row, action]
        q[row, action] += max(floor, rate * counts[row, action] ** -power) * error

        totals[RUNNING] += gain
        totals[STEPS] += 1
        totals[ERRORS] += abs(error)
        if terminated or (limit > 0 and I[ELAPSED, 0] >= limit):
            totals[EPISODES] += 1
            totals[RETURNS] += totals[RUNNING]
            totals[LENGTHS] += I[ELAPSED, 0]
            totals[RUNNING] = 0.0
            I[ELAPSED, 0] = 0
            next_state = sample_initial(params, I[KEY, 0], counter + TRANSITION_SLOTS)
            observe_into(params, next_state, obs, 0)
            next_row = cell(seen, start, strides)
            if not 0 <= next_row < q.shape[0]:
                return False
        state = next_state
        row = next_row
    store_state(F, I, 0, state)
    return True
