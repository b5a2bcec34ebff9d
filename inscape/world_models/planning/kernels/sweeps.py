"""Compiled sweeps of dynamic programming over gather-form tables. They take arrays only, so Numba caches them."""

from __future__ import annotations

import math

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
import numpy as np

from inscape.envs.compile.kernel_cache import cached_jit, helper_jit

HARD, MAXENT, SOFT_EVAL = 0, 1, 2
EVALUATIONS = 8  # sweeps under the greedy actions between sweeps over all
FASTER = {"reassoc", "contract"}  # sums in any order: within the rounding the certificate allows for


@helper_jit(nogil=True, error_model="numpy", inline="always", fastmath=FASTER)
def state_value(next_state, weight, reward, values, q, s, mode, beta):
    """Returns the backup of state s, leaving its action values in `q [A]`. Illegal actions have reward −inf."""
    actions, width = weight.shape[1], weight.shape[2]
    best = -math.inf
    for a in range(actions):
        total = reward[s, a]
        for k in range(width):
            total += weight[s, a, k] * values[next_state[s, a, k]]
        q[a] = total
        best = max(best, total)
    if mode == HARD:
        return best
    partition, mean = 0.0, 0.0
    for a in range(actions):
        advantage = q[a] - best
        if advantage > -math.inf:
            p = math.exp(beta * advantage)
            partition += p
            mean += p * advantage
    if mode == MAXENT:
        return best + math.log(partition) / beta
    return best + mean / partition


@cached_jit(nogil=True, error_model="numpy", fastmath=FASTER)
def evaluate(next_state, weight, reward, terminal, values, greedy, rows, weights, gains, sweeps):
    """Sweeps under the actions `greedy [S]`, each time a fraction of the work of a sweep over all actions.

    `rows`, `weights` `[S, K]` and `gains` `[S]` are scratch: what the greedy actions do, side by side in memory.
    """
    states, width = rows.shape
    for s in range(states):
        a = greedy[s]
        stays = 0.0
        for k in range(width):
            rows[s, k] = next_state[s, a, k]
            weights[s, k] = 0.0 if terminal[s] else weight[s, a, k]
            if rows[s, k] == s:
                stays += weights[s, k]
                weights[s, k] = 0.0
        gains[s] = values[s] if terminal[s] else reward[s, a]
        # staying is summed in closed form, v = (r + Σ others)/(1 − stays), or slow where one stays long
        if stays < 1.0:
            gains[s] /= 1.0 - stays
            for k in range(width):
                weights[s, k] /= 1.0 - stays
        else:
            gains[s] = values[s]
    for sweep in range(sweeps):
        for i in range(states):
            s = i if sweep & 1 == 0 else states - 1 - i
            total = gains[s]
            for k in range(width):
                total += weights[s, k] * values[rows[s, k]]
            values[s] = total


@cached_jit(nogil=True, error_model="numpy", fastmath=FASTER)
def solve(next_state, weight, reward, terminal, values, mode, beta, target, max_sweeps):
    """Sweeps Gauss–Seidel, directions alternating, until a whole backup moves no value by more than `target`.

    For the hard backup, each sweep over all actions is followed by `EVALUATIONS` sweeps under the greedy ones (modified
    policy iteration), which are not counted. The last sweep is a Jacobi sweep, so the residual max |TV − V| that it
    returns is that of one V.

    Args:
        next_state, weight: `[S, A, K]`, weight = gamma · probability · continuation.
        reward: `[S, A]` expected reward, −inf where illegal.
        values: `[S]`, changed in place to TV.

    Returns:
        (sweeps, residual).
    """
    states, actions = values.shape[0], weight.shape[1]
    evaluations = EVALUATIONS if mode == HARD else 0
    q = np.empty(actions)
    greedy = np.zeros(states, np.int32)
    rows, weights, gains = np.empty(next_state[:, 0].shape, np.int32), np.empty(weight[:, 0].shape), np.empty(states)
    backed_up = values.copy()
    sweeps = 0
    while True:
        change = math.inf
        while change > target and sweeps < max_sweeps:
            change = 0.0
            for i in range(states):
                s = i if sweeps & 1 else states - 1 - i
                if not terminal[s]:
                    value = state_value(next_state, weight, reward, values, q, s, mode, beta)
                    if evaluations > 0:
                        greedy[s] = q.argmax()
                    change = max(change, abs(value - values[s]))
                    values[s] = value
            sweeps += 1
            if change > target and evaluations > 0:
                evaluate(next_state, weight, reward, terminal, values, greedy, rows, weights, gains, evaluations)
        residual = 0.0
        for s in range(states):
            if not terminal[s]:
                backed_up[s] = state_value(next_state, weight, reward, values, q, s, mode, beta)
                residual = max(residual, abs(backed_up[s] - values[s]))
            else:
                backed_up[s] = values[s]
        for s in range(states):  # assigning a slice would compile the text of an error first, for 1.4 s
            values[s] = backed_up[s]
        sweeps += 1
        if residual <= target or sweeps >= max_sweeps:
            return sweeps, residual


@cached_jit(nogil=True, error_model="numpy")
def avoiders(next_state, weight, legal, terminal):
    """Returns `[S]` bool: states from which some policy can go on for ever with probability one.

    The largest set of states that each have a legal action staying inside it for certain, found by removing states
    that have none until nothing changes. `weight = probability · continuation`.
    """
    states, actions, width = weight.shape
    inside = ~terminal
    changed = True
    while changed:
        changed = False
        for i in range(states):
            s = states - 1 - i
            if not inside[s]:
                continue
            stays = False
            for a in range(actions):
                if stays or not legal[s, a]:
                    continue
                kept = 0.0
                for k in range(width):
                    if weight[s, a, k] > 0.0 and inside[next_state[s, a, k]]:
                        kept += weight[s, a, k]
                stays = kept > 1.0 - 1e-9
            if not stays:
                inside[s] = False
                changed = True
    return inside
