"""Kernel template: many episodes of a policy that is given as a table, in the law itself."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import numpy as np

from inscape.envs.kernels.lookup import slot_of
from inscape.envs.kernels.names import (
    CHOICE_SLOTS,
    CLOCK,
    KEY,
    SLOTS,
    TRANSITION_SLOTS,
    action_of_index,
    jit,
    load_params,
    load_purpose,
    num_choices,
    reward,
    sample_initial,
    sample_transition,
    store_state,
    terminal,
    uniform,
)

PERIOD = SLOTS + max(CHOICE_SLOTS, 1)  # random numbers of a step and of the choice before it
UNKNOWN = -1


@jit
def number_states(P, I, FB, slots):
    """Fills `slots`, all −1, with the numbers of the S states (FB, I), as `slot_of` looks them up."""
    for s in range(I.shape[1]):
        slots[slot_of(FB, I, s, slots, FB, I)] = s


@jit
def play_policy(P, F, I, FB, known_FB, known_I, slots, cumulative, gamma, most, returns, lengths):
    """Plays one episode in every copy: for at most `most` steps, or until the law ends it.

    `cumulative [S, A]` are sums of the probabilities along the actions; FB is the memory of F as int64. `returns [B]`
    gets Σ γᵗ·r, `lengths [B]` the steps, negative where the law did not end it; UNKNOWN is returned where a state is
    none of the known ones, else 0.
    """
    params = load_params(P)
    purpose = load_purpose(P)
    actions = num_choices(P)
    for copy in range(I.shape[1]):
        i = np.uint64(copy)
        key = I[KEY, i]
        clock = I[CLOCK, i]
        state = sample_initial(params, key, clock * PERIOD + TRANSITION_SLOTS)
        clock += 1
        total = 0.0
        weight = 1.0
        taken = 0
        over = terminal(params, purpose, state)
        while not over and taken < most:
            store_state(F, I, i, state)
            s = slots[slot_of(FB, I, i, slots, known_FB, known_I)]
            if s < 0:
                return UNKNOWN
            draw = uniform(key, clock * PERIOD + SLOTS)
            a = 0
            while a < actions - 1 and draw >= cumulative[s, a]:
                a += 1
            action = action_of_index(P, a)
            next_state = sample_transition(params, state, action, key, clock * PERIOD)
            total += weight * reward(params, purpose, state, action, next_state)
            weight *= gamma
            over = terminal(params, purpose, next_state)
            state = next_state
            clock += 1
            taken += 1
        I[CLOCK, i] = clock
        returns[i] = total
        lengths[i] = taken if over else -taken
    return 0
