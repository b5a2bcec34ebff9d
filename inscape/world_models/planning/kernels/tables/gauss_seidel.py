"""Gauss–Seidel sweeps over tables: one text that runs as plain Python on nested lists and compiled on arrays.

Both give the same bits: every operation is done as written, in the order written. On lists a backup takes some 60 ns an
outcome, so that a table of a few hundred states is solved long before this could be compiled. Nothing here imports
Numba; `kernels.tables.sweeps` compiles it.
"""

from __future__ import annotations

import math

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
HARD, MAXENT, SOFT_EVAL = 0, 1, 2
"""The backups."""
EVALUATIONS = 8
"""Sweeps under the greedy actions between sweeps over all, for the hard backup."""
PAUSED = -1.0
"""The residual of a call that is to be continued."""


def state_value(next_state, weight, reward, values, q, width, mode, beta):
    """Returns the backup of a state, leaving its action values in `q [A]`. Illegal actions have reward −inf.

    Args:
        next_state, weight: `[A, K]` of the state.
        reward: `[A]` of the state.
        values: `[S]`.
        width: K.
        mode, beta: as in `sweep`.
    """
    best = -math.inf
    for a in range(len(q)):
        total = reward[a]
        following, w = next_state[a], weight[a]
        for k in range(width):
            total += w[k] * values[following[k]]
        q[a] = total
        if total > best:
            best = total
    if mode == HARD:
        return best
    partition, mean = 0.0, 0.0
    for a in range(len(q)):
        advantage = q[a] - best
        if advantage > -math.inf:
            p = math.exp(beta * advantage)
            partition += p
            mean += p * advantage
    if mode == MAXENT:
        return best + math.log(partition) / beta
    return best + mean / partition


def sweep(next_state, weight, reward, terminal, values, scratch, mode, beta, target, done, pause, most):
    """Sweeps, directions alternating, until a whole backup moves no value by more than `target`.

    For the hard backup, each sweep over all actions is followed by `EVALUATIONS` sweeps under the greedy ones (modified
    policy iteration), which are not counted. The last sweep is a Jacobi sweep, so the residual max |TV − V| that it
    returns is that of one V.

    Args:
        next_state, weight: `[S, A, K]`, weight = gamma · probability · continuation.
        reward: `[S, A]` expected reward, −inf where illegal.
        terminal: `[S]` bool; their values stay.
        values: `[S]`, changed in place; at the end to TV.
        scratch: see `scratch`.
        mode: `HARD`, `MAXENT` or `SOFT_EVAL`.
        beta: rationality of the soft backups.
        target: the residual to reach.
        done: sweeps of earlier calls that this one continues.
        pause: sweeps, those included, from which on to return for the time being.
        most: sweeps after which to end.

    Returns:
        (sweeps, residual), those of earlier calls included; the residual is `PAUSED` where it has paused.
    """
    backed_up, q, greedy, rows, weights, gains = scratch
    states, actions, width = len(values), len(q), len(rows[0])
    evaluations = EVALUATIONS if mode == HARD else 0
    sweeps = done
    while True:
        change = math.inf
        while change > target and sweeps < most - 1:
            if sweeps >= pause:
                return sweeps, PAUSED
            change = 0.0
            for i in range(states):
                s = i if sweeps & 1 else states - 1 - i
                if not terminal[s]:
                    value = state_value(next_state[s], weight[s], reward[s], values, q, width, mode, beta)
                    if evaluations > 0:
                        best, of_best = 0, q[0]
                        for a in range(1, actions):
                            if q[a] > of_best:
                                best, of_best = a, q[a]
                        greedy[s] = best
                    change = max(change, abs(value - values[s]))
                    values[s] = value
            sweeps += 1
            if change <= target or evaluations == 0:
                continue
            for s in range(states):
                if terminal[s]:
                    continue
                a = greedy[s]
                following, w = next_state[s][a], weight[s][a]
                stays = 0.0
                for k in range(width):
                    rows[s][k] = following[k]
                    weights[s][k] = w[k]
                    if following[k] == s:
                        stays += w[k]
                        weights[s][k] = 0.0
                gains[s] = reward[s][a]
                # staying is summed in closed form, v = (r + Σ others)/(1 − stays), or slow where one stays long
                if stays < 1.0:
                    gains[s] /= 1.0 - stays
                    for k in range(width):
                        weights[s][k] /= 1.0 - stays
                else:
                    gains[s] = values[s]
            for evaluation in range(evaluations):
                for i in range(states):
                    s = i if evaluation & 1 == 0 else states - 1 - i
                    if terminal[s]:
                        continue
                    total = gains[s]
                    w, following = weights[s], rows[s]
                    for k in range(width):
                        total += w[k] * values[following[k]]
                    values[s] = total
        residual = 0.0
        for s in range(states):
            if not terminal[s]:
                backed_up[s] = state_value(next_state[s], weight[s], reward[s], values, q, width, mode, beta)
                residual = max(residual, abs(backed_up[s] - values[s]))
        for s in range(states):  # assigning a slice would compile the text of an error first, for 1.4 s
            if not terminal[s]:
                values[s] = backed_up[s]
        sweeps += 1
        if residual <= target or sweeps >= most:
            return sweeps, residual
