"""Compiled backups of large tables: over all actions, and under one action for each state.

Each writes either into the values it reads (Gauss–Seidel) or into others (Jacobi), as the caller hands it the same
array twice or not. Sums are taken in any order: within the rounding that certificates allow for. Successors are
unsigned, which spares a check of every index.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

from inscape.envs.compile.kernel_cache import cached_jit

OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz"}}


@cached_jit(**OPTIONS)
def improve(next_state, weight, reward, terminal, values, backed_up, q_values, greedy, backwards):
    """Backs every state up over all actions, and returns what the backup changes: (least, most, sum), of TV − V.

    Args:
        next_state: `[S, A, K]` uint32.
        weight: `[S, A, K]`, gamma · probability · continuation.
        reward: `[S, A]`, −inf where illegal.
        terminal: `[S]` bool; their values stay.
        values: `[S]`.
        backed_up: `[S]`, filled with TV; `values` itself for Gauss–Seidel.
        q_values: `[S, A]`, filled with the action values; those of terminal states stay.
        greedy: `[S]` int32, filled with the first best action.
        backwards: whether the last state comes first.
    """
    states, actions, width = weight.shape
    least, most, total = math.inf, -math.inf, 0.0
    for i in range(states):
        s = states - 1 - i if backwards else i
        if terminal[s]:
            continue
        best, chosen = -math.inf, 0
        for a in range(actions):
            value = reward[s, a]
            for k in range(width):
                value += weight[s, a, k] * values[next_state[s, a, k]]
            q_values[s, a] = value
            if value > best:
                best, chosen = value, a
        change = best - values[s]
        least, most = min(least, change), max(most, change)
        total += change
        greedy[s] = chosen
        backed_up[s] = best
    return least, most, total


@cached_jit(**OPTIONS)
def follow(next_state, weight, reward, terminal, greedy, taken, rows, weights, rewards, leaks, sticky):
    """Lays the outcomes of the greedy actions side by side; returns Σ_s of what they lose (1 − Σ weight).

    Args:
        next_state, weight, reward, terminal, greedy: as in `improve`.
        taken: `[S]` int32, actions whose outcomes `rows` and the others hold; −1: none. Those of terminal states stay.
        rows, weights: `[S, K]` successors and weights.
        rewards, leaks: `[S]`.
        sticky: from which weight of staying on to sum that in closed form: v = (r + Σ others)/(1 − weight of staying).
    """
    states, _, width = weight.shape
    leak = 0.0
    for s in range(states):
        if terminal[s]:
            continue
        a = greedy[s]
        if taken[s] != a:
            taken[s] = a
            kept, stays = 0.0, 0.0
            for k in range(width):
                w = weight[s, a, k]
                if not terminal[next_state[s, a, k]]:
                    kept += w
                if next_state[s, a, k] == s:
                    stays += w
                rows[s, k] = next_state[s, a, k]
                weights[s, k] = w
            rewards[s] = reward[s, a]
            leaks[s] = 1.0 - kept
            if sticky <= stays < 1.0:
                rewards[s] /= 1.0 - stays
                for k in range(width):
                    weights[s, k] = 0.0 if next_state[s, a, k] == s else weight[s, a, k] / (1.0 - stays)
        leak += leaks[s]
    return leak


@cached_jit(**OPTIONS)
def evaluate(rows, weights, rewards, values, backed_up, backwards, sweeps):
    """Backs every state up under one action, several times.

    Both halves of the states are swept side by side: in Gauss–Seidel sweeps a state often waits for the one before it,
    and the processor works on the other half meanwhile.

    Args:
        rows, weights, rewards: as in `follow`; rewards and weights of terminal states are 0.
        values, backed_up: `[S]` each. The first sweep reads `values` and writes `backed_up`, the second the other way
            round, and so on; one array, handed in twice, for Gauss–Seidel.
        backwards: whether the last state of each half comes first in the first sweep; the order is reversed from
            sweep to sweep.
        sweeps: how many.
    """
    states, width = weights.shape
    half = (states + 1) // 2
    for _ in range(sweeps):
        for i in range(half):
            s = half - 1 - i if backwards else i
            z = states - 1 - i if backwards else min(half + i, states - 1)
            value, other = rewards[s], rewards[z]
            for k in range(width):
                value += weights[s, k] * values[rows[s, k]]
                other += weights[z, k] * values[rows[z, k]]
            backed_up[z] = other
            backed_up[s] = value
        values, backed_up = backed_up, values
        backwards = not backwards


@cached_jit(**OPTIONS)
def changes(terminal, before, after):
    """Returns (least, most, sum) of `after − before`, `[S]` each, over the states that are not terminal."""
    least, most, total = math.inf, -math.inf, 0.0
    for s in range(len(terminal)):
        if not terminal[s]:
            change = after[s] - before[s]
            least, most = min(least, change), max(most, change)
            total += change
    return least, most, total


@cached_jit(**OPTIONS)
def fold(probability, reward, continuation, legal, terminal, gamma, weight, expected):
    """Fills the weights `[S, A, K]` and expected rewards `[S, A]` of a problem from its tables.

    Args:
        probability, reward, continuation: `[S, A, K]`.
        legal: `[S, A]` bool; the expected reward of an illegal action is −inf.
        terminal: `[S]` bool.
        gamma: discount.
        weight, expected: to fill.

    Returns:
        (the largest expected |reward|, the least and the most Σ weight of a legal action, terminal states left out).
    """
    states, actions, width = probability.shape
    largest, least, most = 0.0, math.inf, 0.0
    for s in range(states):
        for a in range(actions):
            mean, size, kept = 0.0, 0.0, 0.0
            for k in range(width):
                p, r = probability[s, a, k], reward[s, a, k]
                w = gamma * p * continuation[s, a, k]
                weight[s, a, k] = w
                kept += w
                mean += p * r
                size += p * abs(r)
            largest = max(largest, size)
            if legal[s, a] and not terminal[s]:
                least, most = min(least, kept), max(most, kept)
            expected[s, a] = mean if legal[s, a] or terminal[s] else -math.inf
    return largest, least, most


@cached_jit(**OPTIONS)
def fold_policy(next_state, probability, reward, continuation, terminal, policy, gamma, successors, weight, expected):
    """Fills the chain that a policy makes of tables: one action, with the outcomes of all it may take side by side.

    Args:
        next_state, probability, reward, continuation: `[S, A, K]`.
        terminal: `[S]` bool.
        policy: `[S, A]` probabilities; at most N of a state are above 0.
        gamma: discount.
        successors, weight: `[S, 1, N · K]` int32 and float64 zeros, to fill.
        expected: `[S, 1]`, to fill.

    Returns:
        (the largest expected |reward|, the least and the most Σ weight, terminal states left out).
    """
    states, actions, width = probability.shape
    largest, least, most = 0.0, math.inf, 0.0
    for s in range(states):
        mean, size, kept, place = 0.0, 0.0, 0.0, 0
        for a in range(actions):
            share = policy[s, a]
            if share == 0.0:
                continue
            for k in range(width):
                p, r = share * probability[s, a, k], reward[s, a, k]
                w = gamma * p * continuation[s, a, k]
                if 0 <= next_state[s, a, k] < states:  # where not, the probability is 0
                    successors[s, 0, place] = next_state[s, a, k]
                weight[s, 0, place] = w
                kept += w
                mean += p * r
                size += p * abs(r)
                place += 1
        largest = max(largest, size)
        if not terminal[s]:
            least, most = min(least, kept), max(most, kept)
        expected[s, 0] = mean
    return largest, least, most
