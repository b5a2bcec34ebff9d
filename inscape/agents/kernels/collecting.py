"""Kernel template: a policy network acts in copies of a world, for many steps, without a Python call between them.

Copies live the lives that the vector environment with same-step resets gives them: the same packed states, clocks and
random numbers (`inscape.envs.kernels.stepping`). Exploration draws from streams of its own, one per row. A row is a
copy; where M players act at once, row `copy · M + player` is a player of a copy, as `inscape.envs.tasks.shared_policy`
has it.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import numpy as np

from inscape.envs.compile.switch import kernel_math
from inscape.envs.kernels.names import (
    CLOCK,
    ELAPSED,
    HAS_LEGAL,
    KEY,
    MASK_PLAYERS,
    SLOTS,
    TRANSITION_SLOTS,
    inner,
    jit,
    legal_for,
    load_action,
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
    write_reward,
)
from inscape.world_models.networks.encoders.features import LIMIT
from inscape.world_models.networks.kernels.gaussian import log_density, standard_normal
from inscape.world_models.networks.kernels.one_hot import catch_up_visited, forward_columns
from inscape.world_models.networks.kernels.perceptron import copy_rows, forward

math = kernel_math()

BAD_REWARD, BAD_OBSERVATION, NOTHING_LEGAL, BAD_POLICY = 1, 2, 3, 4
# constants of an instance: whether actions are points of a box, drawn from a Gaussian, or numbers, from a categorical;
# whether observations are standardised; whether they are numbers of columns, each a one among zeros
GAUSSIAN = False
STANDARDISED = False
ONE_HOT = False
NO_COLUMN = -1


@jit
def encode_rows(table, reading, X):
    """Writes observations `table [B, n]` as features `X [B, D]` float32, or ONE_HOT ones as columns `X [B, n]` int64.

    `reading` is (places, bounds, scale, mean, deviation), as `FeatureReader` has them. ONE_HOT: number k of an
    observation stands for column `places[k] + number`; for NO_COLUMN where that is not one of its own. Else numbers are
    features themselves, times `scale`, or standardised by `mean` and `deviation` and kept within ± 10.
    """
    places, bounds, scale, mean, deviation = reading
    for i in range(X.shape[0]):
        if STANDARDISED:
            for k in range(X.shape[1]):
                x = (table[i, k] - mean[k]) / deviation[k]
                X[i, k] = min(max(x, -LIMIT), LIMIT) if math.isfinite(x) else x
        elif ONE_HOT:
            for k in range(X.shape[1]):
                column = int(table[i, k]) + places[k]
                X[i, k] = column if bounds[k] <= column < bounds[k + 1] else NO_COLUMN
        else:
            for k in range(X.shape[1]):
                X[i, k] = table[i, k] * scale


@jit
def encode_players(table, reading, X):
    """As `encode_rows`, of M players: `table [B, M, n]`, `X [B · M, D]`."""
    rows = by_player(X)
    for player in range(MASK_PLAYERS):
        encode_rows(table[:, player], reading, rows[:, player])


@jit
def by_player(rows):
    """Returns `rows [B · M, n]` as `[B, M, n]`, the same memory."""
    return rows.reshape(rows.shape[0] // MASK_PLAYERS, MASK_PLAYERS, rows.shape[1])


encode = encode_players if MASK_PLAYERS > 1 else encode_rows


@jit
def observe_all(P, F, I, obs):
    """Writes what is observed in every copy."""
    params = load_params(P)
    for i in range(I.shape[1]):
        observe_into(params, load_state(F, I, i), obs, i)


@jit
def choose_category(params, state, player, logits, mask, u, actions, i):
    """Writes the player's action as row i, drawn from softmax(logits) among the legal ones, and fills the mask.

    Returns what was wrong, or 0; the action's log-probability; the action as the law takes it.
    """
    largest = -math.inf
    for a in range(len(logits)):
        if HAS_LEGAL:
            mask[a] = legal_for(params, state, player, a)
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
    actions[i] = chosen
    return 0 if chosen >= 0 else NOTHING_LEGAL, logits[chosen] - largest - math.log(total), chosen


@jit
def choose_jointly(params, state, outputs, masks, keys, clock, actions, log_probs, i):
    """Writes what every player of copy i does, each drawn by itself, and the log-probabilities. Returns what was wrong,
    or 0; the row it was wrong in; the joint action as the law takes it."""
    for player in range(MASK_PLAYERS):
        row = i * MASK_PLAYERS + player
        wrong, log_prob, _ = choose_category(
            params, state, player, outputs[row], masks[row], uniform(keys[row], clock), actions, row
        )  # fmt: skip
        if wrong:
            return wrong, row, load_action(joint(actions), i)
        log_probs[row] = log_prob
    return 0, 0, load_action(joint(actions), i)


@jit
def joint(rows):
    """Returns `rows [B · M]` as `[B, M]`, the same memory."""
    return rows.reshape(len(rows) // MASK_PLAYERS, MASK_PLAYERS)


@jit
def choose_point(mean, log_std, scaling, taken, key, clock, actions, i):
    """Writes the action of copy i, drawn from independent normals by D random numbers at each clock; returns as
    `choose_category`. The law takes it scaled to its range and clipped, as `taken [B, D]` then holds it."""
    for d in range(len(mean)):
        noise = standard_normal(uniform(key, clock * len(mean) + d))
        actions[i, d] = mean[d] + math.exp(log_std[d]) * noise
        half, centre, low, high = scaling[0, d], scaling[1, d], scaling[2, d], scaling[3, d]
        taken[i, d] = min(max(actions[i, d] * half + centre, low), high)
    log_prob = log_density(actions[i], mean, log_std)
    return 0 if math.isfinite(log_prob) else BAD_POLICY, log_prob, load_action(taken, i)


@jit
def first_not_finite(X):
    """Returns the first row of `X [B, D]` with a number that is not finite, or no column; −1 if there is none."""
    for i in range(X.shape[0]):
        for k in range(X.shape[1]):
            if ONE_HOT:
                if X[i, k] == NO_COLUMN:
                    return i
            elif not math.isfinite(X[i, k]):
                return i
    return -1


@inner
def ready(layer, X):
    """Brings the weights that features `X` look up to date."""
    if ONE_HOT:
        catch_up_visited(layer, X)


@inner
def network_forward(layer, offset, W, sizes, activation, X, H):
    """Forward, of features of either kind."""
    if ONE_HOT:
        return forward_columns(layer[0], offset, W, sizes, activation, X, H)
    return forward(W, sizes, activation, X, H)


@jit
def collect(P, F, I, looking, reading, networks, memory, acting, limit, clock, running, rows, episodes):
    """Acts for T steps in every copy; returns (0, 0, 0), or what was wrong: (kind, step, row). R = B · M rows.

    Args:
        looking: observations of all copies, and of one, as the world's kernels write them; both again as tables
            `[B, n]`, of several players `[B, M, n]`.
        reading: (places, bounds, scale, mean, deviation) of `encode_rows`.
        networks: (actor, actor_sizes, critic, critic_sizes, activation, log_std, layer), as in `policy_gradient`.
        memory: working memory of a batch of R rows, and of the rows of one copy.
        acting: (`[R]` streams of exploration; `scaling` and `taken` of `choose_point`).
        limit: steps after which an episode is cut, or 0.
        clock: times each stream of exploration has been drawn from.
        running: `[2, R]` return and length of the episodes under way.
        rows: what is filled: X `[T + 1, R, D]`, or columns `[T + 1, R, n]`; observations as they are, `[T, R, n]`,
            where they are standardised; masks `[T, R, A]`; actions `[T, R, …]`, log-probabilities, rewards,
            terminated, truncated `[T, R]`; values of the states reached `[T, R]`, where an episode was cut only.
        episodes: `[2, T, R]` gets return and length of each episode, at its last step.
    """
    params, purpose = load_params(P), load_purpose(P)
    obs, last_obs, table, last_table = looking
    actor, actor_sizes, critic, critic_sizes, activation, log_std, layer = networks
    H, h = memory
    keys, scaling, taken = acting
    X, seen, masks, actions, log_probs, rewards, terminated, truncated, cut_values = rows
    last = np.empty((MASK_PLAYERS, X.shape[2]), X.dtype)
    observe_all(P, F, I, obs)
    encode(table, reading, X[0])
    if first_not_finite(X[0]) >= 0:
        return BAD_OBSERVATION, 0, first_not_finite(X[0])
    ready(layer, X[0])
    for t in range(actions.shape[0]):
        if STANDARDISED:
            if MASK_PLAYERS > 1:
                by_player(seen[t])[:] = table
            else:
                copy_rows(table, seen[t])
        outputs = network_forward(layer, 0, actor, actor_sizes, activation, X[t], H)
        for i in range(I.shape[1]):
            state = load_state(F, I, i)
            first = i * MASK_PLAYERS
            if MASK_PLAYERS > 1:
                wrong, row, action = choose_jointly(
                    params, state, outputs, masks[t], keys, clock + t, actions[t], log_probs[t], i
                )  # fmt: skip
                if wrong:
                    return wrong, t, row
            else:
                if GAUSSIAN:
                    wrong, log_prob, action = choose_point(
                        outputs[i], log_std, scaling, taken, keys[i], clock + t, actions[t], i
                    )  # fmt: skip
                else:
                    wrong, log_prob, action = choose_category(
                        params, state, 0, outputs[i], masks[t, i], uniform(keys[i], clock + t), actions[t], i
                    )  # fmt: skip
                if wrong:
                    return wrong, t, i
                log_probs[t, i] = log_prob
            life, elapsed = I[CLOCK, i], I[ELAPSED, i] + 1
            next_state = sample_transition(params, state, action, I[KEY, i], life * SLOTS)
            over, late = terminal(params, purpose, next_state), 0 < limit <= elapsed
            gain = reward(params, purpose, state, action, next_state)
            if MASK_PLAYERS > 1:
                write_reward(joint(rewards[t]).T, i, gain)
            else:
                rewards[t, i] = gain
            for row in range(first, first + MASK_PLAYERS):
                if not math.isfinite(rewards[t, row]):
                    return BAD_REWARD, t, row
                terminated[t, row], truncated[t, row] = over, late
                running[0, row] += rewards[t, row]
                running[1, row] += 1.0
            I[CLOCK, i] = life + 1
            if over or late:
                if not over:
                    observe_into(params, next_state, last_obs, 0)
                    encode(last_table, reading, last)
                    if first_not_finite(last) >= 0:
                        return BAD_OBSERVATION, t, first + first_not_finite(last)
                    ready(layer, last)
                    values = network_forward(layer, actor_sizes[1], critic, critic_sizes, activation, last, h)
                    for player in range(MASK_PLAYERS):
                        cut_values[t, first + player] = values[player, 0]
                next_state = sample_initial(params, I[KEY, i], life * SLOTS + TRANSITION_SLOTS)
                elapsed = 0
                for row in range(first, first + MASK_PLAYERS):
                    episodes[:, t, row] = running[:, row]
                    running[:, row] = 0.0
            I[ELAPSED, i] = elapsed
            store_state(F, I, i, next_state)
            observe_into(params, next_state, obs, i)
        encode(table, reading, X[t + 1])
        if first_not_finite(X[t + 1]) >= 0:
            return BAD_OBSERVATION, t, first_not_finite(X[t + 1])
        ready(layer, X[t + 1])
    return 0, 0, 0
