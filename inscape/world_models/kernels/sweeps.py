"""Compiled sweeps of dynamic programming over gather-form tables. They take arrays only, so Numba caches them."""

from __future__ import annotations

import math

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from numba import njit

HARD, MAXENT, SOFT_EVAL = 0, 1, 2


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
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


@njit(cache=True, nogil=True, error_model="numpy")
def solve(next_state, weight, reward, terminal, values, mode, beta, target, max_sweeps):
    """Sweeps Gauss–Seidel, directions alternating, until a whole backup moves no value by more than `target`.

    The last sweep is a Jacobi sweep, so the residual max |TV − V| that it returns is that of one V.

    Args:
        next_state, weight: `[S, A, K]`, weight = gamma · probability · continuation.
        reward: `[S, A]` expected reward, −inf where illegal.
        values: `[S]`, changed in place to TV.

    Returns:
        (sweeps, residual).
    """
    states = values.shape[0]
    q = values[:1].repeat(weight.shape[1])
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
                    change = max(change, abs(value - values[s]))
                    values[s] = value
            sweeps += 1
        residual = 0.0
        for s in range(states):
            if not terminal[s]:
                backed_up[s] = state_value(next_state, weight, reward, values, q, s, mode, beta)
                residual = max(residual, abs(backed_up[s] - values[s]))
            else:
                backed_up[s] = values[s]
        values[:] = backed_up
        sweeps += 1
        if residual <= target or sweeps >= max_sweeps:
            return sweeps, residual


@njit(cache=True, nogil=True, error_model="numpy")
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
