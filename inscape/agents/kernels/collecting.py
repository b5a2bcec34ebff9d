"""Kernel template: a policy network acts in copies of a world, for many steps, without a Python call between them.

Copies live the lives that the vector environment with same-step resets gives them: the same packed states, clocks and
random numbers (`inscape.envs.kernels.stepping`). Exploration draws from streams of its own, one per copy.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

import numpy as np

from inscape.agents.kernels.perceptron import forward
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
    observe_into,
    reward,
    sample_initial,
    sample_transition,
    store_state,
    terminal,
    uniform,
)

BAD_REWARD, BAD_OBSERVATION, NOTHING_LEGAL = 1, 2, 3


@jit
def encode(obs, wide, places, scale, X):
    """Writes observations, as the world's kernels leave them, as features `X [B, D]`.

    Where `places [n]` is given, number k of an observation stands for a one in column `places[k] + number`; else
    numbers are features themselves, times `scale`.
    """
    for i in range(X.shape[0]):
        if len(places):
            X[i] = np.float32(0)
            if obs.ndim == 1:
                X[i, int(obs[i]) + places[0]] = np.float32(1)
            else:
                for k in range(len(places)):
                    X[i, int(obs[k, i]) + places[k]] = np.float32(1)
        elif obs.ndim == 1:
            X[i, 0] = obs[i] * scale
        elif wide:
            for k in range(X.shape[1]):
                X[i, k] = obs[i, k] * scale
        else:
            for k in range(X.shape[1]):
                X[i, k] = obs[k, i] * scale


@jit
def look(P, F, I, obs):
    """Writes what is observed in every copy."""
    params = load_params(P)
    for i in range(I.shape[1]):
        observe_into(params, load_state(F, I, i), obs, i)


@jit
def choose(params, state, logits, mask, u):
    """Returns an action drawn from softmax(logits) among the legal ones (−1 where there is none), and its
    log-probability; fills the mask."""
    largest = -math.inf
    for a in range(len(logits)):
        if HAS_LEGAL:
            mask[a] = legal(params, state, a)
        if not HAS_LEGAL or mask[a]:
            largest = max(largest, float(logits[a]))
    total = 0.0
    for a in range(len(logits)):
        if not HAS_LEGAL or mask[a]:
            total += math.exp(logits[a] - largest)
    rest, chosen = u * total, -1
    for a in range(len(logits)):
        if not HAS_LEGAL or mask[a]:
            if chosen < 0 or rest >= 0.0:  # rounding may leave a little at the end: the last legal action takes it
                chosen = a
            rest -= math.exp(logits[a] - largest)
    return chosen, logits[chosen] - largest - math.log(total)


@jit
def first_not_finite(X):
    """Returns the first row of `X [B, D]` with a number that is not finite; −1 if there is none."""
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            if not math.isfinite(X[i, k]):
                return i
    return -1


@jit
def collect(P, F, I, obs, last_obs, reading, networks, memory, limit, keys, clock, running, rows, totals):
    """Acts for T steps in every copy; returns (0, 0, 0), or what was wrong: (kind, step, copy).

    Args:
        obs, last_obs: observations of all copies, and of one, as the world's kernels write them.
        reading: (wide, places, scale) of `encode`.
        networks: (actor, actor_sizes, critic, critic_sizes, activation).
        memory: working memory of a batch of B rows, and of one.
        limit: steps after which an episode is cut, or 0.
        keys: `[B]` streams of exploration; `clock` numbers drawn from each so far.
        running: `[2, B]` return and length of the episodes under way.
        rows: what is filled: X `[T + 1, B, D]`; masks `[T, B, A]`; actions, log-probabilities, rewards, terminated,
            truncated `[T, B]`; values of the states reached `[T, B]`, where an episode was cut only.
        totals: `[3]` gains episodes ended, the sums of their returns and lengths.
    """
    params, purpose = load_params(P), load_purpose(P)
    wide, places, scale = reading
    actor, actor_sizes, critic, critic_sizes, activation = networks
    H, h = memory
    X, masks, actions, log_probs, rewards, terminated, truncated, cut_values = rows
    last = np.empty((1, X.shape[2]), np.float32)
    look(P, F, I, obs)
    encode(obs, wide, places, scale, X[0])
    if first_not_finite(X[0]) >= 0:
        return BAD_OBSERVATION, 0, first_not_finite(X[0])
    for t in range(actions.shape[0]):
        logits = forward(actor, actor_sizes, activation, X[t], H)
        for i in range(actions.shape[1]):
            state = load_state(F, I, i)
            action, log_prob = choose(params, state, logits[i], masks[t, i], uniform(keys[i], clock + t))
            if action < 0:
                return NOTHING_LEGAL, t, i
            actions[t, i], log_probs[t, i] = action, log_prob
            life, elapsed = I[CLOCK, i], I[ELAPSED, i] + 1
            next_state = sample_transition(params, state, action, I[KEY, i], life * SLOTS)
            over, late = terminal(params, purpose, next_state), 0 < limit <= elapsed
            gain = reward(params, purpose, state, action, next_state)
            if not math.isfinite(gain):
                return BAD_REWARD, t, i
            rewards[t, i], terminated[t, i], truncated[t, i] = gain, over, late
            running[0, i] += gain
            running[1, i] += 1.0
            I[CLOCK, i] = life + 1
            if over or late:
                if not over:
                    observe_into(params, next_state, last_obs, 0)
                    encode(last_obs, wide, places, scale, last)
                    if first_not_finite(last) >= 0:
                        return BAD_OBSERVATION, t, i
                    cut_values[t, i] = forward(critic, critic_sizes, activation, last, h)[0, 0]
                next_state = sample_initial(params, I[KEY, i], life * SLOTS + TRANSITION_SLOTS)
                elapsed = 0
                totals[0] += 1.0
                totals[1] += running[0, i]
                totals[2] += running[1, i]
                running[:, i] = 0.0
            I[ELAPSED, i] = elapsed
            store_state(F, I, i, next_state)
            observe_into(params, next_state, obs, i)
        encode(obs, wide, places, scale, X[t + 1])
        if first_not_finite(X[t + 1]) >= 0:
            return BAD_OBSERVATION, t, first_not_finite(X[t + 1])
    return 0, 0, 0
