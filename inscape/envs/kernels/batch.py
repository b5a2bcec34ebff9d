"""Kernel template: the law over a batch of packed states, for models, planners and observers."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
from inscape.envs.kernels.names import (
    MASK_PLAYERS,
    ZERO_REWARD,
    branches,
    initial_branches,
    initial_outcome,
    jit,
    legal_for,
    load_action,
    load_params,
    load_purpose,
    load_state,
    mover,
    num_actions,
    observe_as,
    observe_into,
    reward,
    sample_initial,
    sample_transition,
    store_state,
    terminal,
    transition_outcome,
    write_mask,
    write_reward,
)


@jit
def sample_initials(P, keys, F, I):
    """Draws an initial state per column, from the stream `keys[i]`."""
    params = load_params(P)
    for i in range(keys.shape[0]):
        store_state(F, I, i, sample_initial(params, keys[i], 0))


@jit
def steps(P, F, I, actions, keys, next_F, next_I, rewards, ended):
    """Draws a successor per column, with its reward and whether it is terminal; terminal states absorb, reward 0."""
    params = load_params(P)
    purpose = load_purpose(P)
    for i in range(keys.shape[0]):
        state = load_state(F, I, i)
        if terminal(params, purpose, state):
            store_state(next_F, next_I, i, state)
            write_reward(rewards, i, ZERO_REWARD)
            ended[i] = True
            continue
        action = load_action(actions, i)
        next_state = sample_transition(params, state, action, keys[i], 0)
        store_state(next_F, next_I, i, next_state)
        write_reward(rewards, i, reward(params, purpose, state, action, next_state))
        ended[i] = terminal(params, purpose, next_state)


@jit
def outcomes(P, F, I, actions, width, probability, next_F, next_I):
    """Fills every branch of the transition: `probability [B, N]`, successors in columns b·N + n."""
    params = load_params(P)
    for i in range(probability.shape[0]):
        state = load_state(F, I, i)
        action = load_action(actions, i)
        for n in range(width):
            p, next_state = transition_outcome(params, state, action, n)
            probability[i, n] = p
            store_state(next_F, next_I, i * width + n, next_state)


@jit
def initial_outcomes(P, probability, F, I):
    """Fills every branch of the initial distribution."""
    params = load_params(P)
    for n in range(probability.shape[0]):
        p, state = initial_outcome(params, n)
        probability[n] = p
        store_state(F, I, n, state)


@jit
def counts(P):
    """Returns (branches of a transition, branches of the initial distribution, actions)."""
    params = load_params(P)
    return branches(params), initial_branches(params), num_actions(P)


@jit
def rewards_of(P, F, I, actions, next_F, next_I, rewards):
    """Fills the reward of each (state, action, next state)."""
    params = load_params(P)
    purpose = load_purpose(P)
    for i in range(F.shape[1]):
        write_reward(
            rewards,
            i,
            reward(params, purpose, load_state(F, I, i), load_action(actions, i), load_state(next_F, next_I, i)),
        )


@jit
def terminals(P, F, I, ended):
    """Fills whether each state is terminal."""
    params = load_params(P)
    purpose = load_purpose(P)
    for i in range(ended.shape[0]):
        ended[i] = terminal(params, purpose, load_state(F, I, i))


@jit
def observations(P, F, I, obs):
    """Fills what is observed in each state."""
    params = load_params(P)
    for i in range(F.shape[1]):
        observe_into(params, load_state(F, I, i), obs, i)


@jit
def observations_of(P, F, I, player, obs):
    """Fills what one player observes in each state."""
    params = load_params(P)
    for i in range(F.shape[1]):
        observe_as(params, load_state(F, I, i), player, obs, i)


@jit
def legals(P, F, I, mask):
    """Fills `mask [B, A]` (all at once: `[B, M, A]`): True where the action is legal."""
    params = load_params(P)
    for i in range(mask.shape[0]):
        state = load_state(F, I, i)
        for player in range(MASK_PLAYERS):
            for a in range(num_actions(P)):
                write_mask(mask, i, player, a, legal_for(params, state, player, a))


@jit
def movers(P, F, I, player):
    """Fills which player acts in each state."""
    params = load_params(P)
    for i in range(player.shape[0]):
        player[i] = mover(params, load_state(F, I, i))
