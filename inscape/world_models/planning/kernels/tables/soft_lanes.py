"""Compiled soft value iteration of several purposes at once over the same dynamics, and Newton steps that end it soon.

Every array of values is `[S, L]`: L lanes, each a purpose with a rationality of its own, lie side by side, so that the
processor backs all of them up with the same instructions. Sweeps from V = 0 lead towards the fixed point; then V' = V +
(I − J)⁻¹ (TV − V), with J the derivative of the backup at V, finds it to all digits in a few steps. The linear
equations are solved by BiCGSTAB on the symmetric Gauss–Seidel sweep.

Sources: Puterman & Brumelle (1979), "On the convergence of policy iteration in stationary dynamic programming",
Mathematics of Operations Research 4(1), for Newton's method on V = TV; van der Vorst (1992), "Bi-CGSTAB", SIAM Journal
on Scientific and Statistical Computing 13(2); how exact each step must be: Eisenstat & Walker (1996), "Choosing the
forcing terms in an inexact Newton method", same journal 17(1).
"""

from __future__ import annotations

import math

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
from inscape.envs.compile.kernel_cache import cached_jit, helper_jit
from inscape.world_models.planning.kernels.tables.gauss_seidel import MAXENT

__all__ = ["back_up", "growth", "newton_step", "sweep"]

OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
SHIFT = 0.34375
UNSHIFT = math.exp(-SHIFT)
NOTHING = -44.0
"""Below it, the exponential is less than a thousandth of what rounds 1, and counts as 0."""


@helper_jit(forceinline=True, **OPTIONS)
def exponential(x):
    """Returns e^x for x ≤ 0 to 13 digits, 0 below `NOTHING`: without a branch or a call, unlike `math.exp`."""
    r = max(x, NOTHING) * (1.0 / 64.0) + SHIFT  # |r| < 0.35
    p = 1.0 / 479001600.0  # the Taylor series up to r^12
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = (p * r + 1.0) * UNSHIFT
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    p *= p
    return p if x >= NOTHING else 0.0


@helper_jit(forceinline=True, **OPTIONS)
def look_ahead(next_state, weight, legal, reward, values, q, best, s):
    """Fills `q [A, L]` with the action values of state s, and `best [L]` with the largest."""
    actions, width = weight.shape[1:]
    lanes = len(best)
    for i in range(lanes):
        best[i] = -1e300
    for a in range(actions):
        if not legal[s, a]:
            continue
        for i in range(lanes):
            q[a, i] = reward[s, a, i]
        for k in range(width):
            w, z = weight[s, a, k], next_state[s, a, k]
            for i in range(lanes):
                q[a, i] += w * values[z, i]
        for i in range(lanes):
            best[i] = max(q[a, i], best[i])


@helper_jit(forceinline=True, **OPTIONS)
def soft_choice(legal, beta, q, p, best, partition, mean, s):
    """Fills `p [A, L]` with exp(β·(Q − best)), `partition [L]` with their sum, `mean [L]` with Σ p·(Q − best)."""
    lanes = len(best)
    for i in range(lanes):
        partition[i] = 0.0
        mean[i] = 0.0
    for a in range(len(q)):
        if not legal[s, a]:
            continue
        for i in range(lanes):
            advantage = q[a, i] - best[i]
            share = exponential(beta[i] * advantage)
            p[a, i] = share
            partition[i] += share
            mean[i] += share * advantage


@cached_jit(**OPTIONS)
def sweep(next_state, weight, legal, reward, going, beta, values, scratch, mode, sweeps):
    """Backs values up in place (Gauss–Seidel), the order of states reversed from sweep to sweep.

    Args:
        next_state: `[S, A, K]` uint32.
        weight: `[S, A, K]`, gamma · probability · continuation.
        legal: `[S, A]` bool.
        reward: `[S, A, L]` expected rewards; those of illegal actions are not read.
        going: `[S, L]` 1.0, or 0.0 where the lane's task is over: its value there is 0.
        beta: `[L]` rationality.
        values: `[S, L]`, changed in place.
        scratch: (`[A, L]`, `[A, L]`, `[L]`, `[L]`, `[L]`).
        mode: `SOFT_EVAL` or `MAXENT`.
        sweeps: how many.
    """
    q, p, best, partition, mean = scratch
    states, lanes = values.shape
    for n in range(sweeps):
        for j in range(states):
            s = j if n & 1 else states - 1 - j
            look_ahead(next_state, weight, legal, reward, values, q, best, s)
            soft_choice(legal, beta, q, p, best, partition, mean, s)
            if mode == MAXENT:
                for i in range(lanes):
                    values[s, i] = (best[i] + math.log(partition[i]) / beta[i]) * going[s, i]
            else:
                for i in range(lanes):
                    values[s, i] = (best[i] + mean[i] / partition[i]) * going[s, i]


@cached_jit(**OPTIONS)
def back_up(next_state, weight, legal, reward, going, beta, values, scratch, mode, change, slope, residual, size):
    """Fills `change [S, L]` with TV − V and `slope [S, A, L]` with ∂TV(s)/∂Q(s, a).

    Args:
        next_state, weight, legal, reward, going, beta, values, scratch, mode: as in `sweep`; values stay.
        change, slope: to fill; slopes are 0 where the action is illegal or the task over.
        residual, size: `[L]`, filled with max |TV − V| and max |V|.
    """
    q, p, best, partition, mean = scratch
    states, lanes = values.shape
    for i in range(lanes):
        residual[i] = 0.0
        size[i] = 0.0
    for s in range(states):
        look_ahead(next_state, weight, legal, reward, values, q, best, s)
        soft_choice(legal, beta, q, p, best, partition, mean, s)
        for i in range(lanes):
            mean[i] /= partition[i]
        if mode == MAXENT:
            for i in range(lanes):
                change[s, i] = (best[i] + math.log(partition[i]) / beta[i] - values[s, i]) * going[s, i]
        else:
            for i in range(lanes):
                change[s, i] = (best[i] + mean[i] - values[s, i]) * going[s, i]
        for i in range(lanes):
            residual[i] = max(residual[i], abs(change[s, i]))
            size[i] = max(size[i], abs(values[s, i]))
        curved = 0.0 if mode == MAXENT else 1.0
        for a in range(len(q)):
            if not legal[s, a]:
                for i in range(lanes):
                    slope[s, a, i] = 0.0
                continue
            for i in range(lanes):
                bend = 1.0 + curved * beta[i] * (q[a, i] - best[i] - mean[i])
                slope[s, a, i] = going[s, i] * p[a, i] / partition[i] * bend


@helper_jit(**OPTIONS)
def relax(next_state, weight, slope, given, values, total):
    """Sweeps v = b + J·v in place, forwards and backwards.

    Args:
        next_state, weight: as in `sweep`.
        slope: `[S, A, L]`.
        given: `[S, L]` b; `[0, L]` for 0.
        values: `[S, L]` v, changed in place.
        total: `[L]` scratch.
    """
    states, actions, width = weight.shape
    lanes = len(total)
    for j in range(2 * states):
        s = j if j < states else 2 * states - 1 - j
        for i in range(lanes):
            total[i] = 0.0
        for a in range(actions):
            for k in range(width):
                w, z = weight[s, a, k], next_state[s, a, k]
                if w > 0.0:
                    for i in range(lanes):
                        total[i] += w * slope[s, a, i] * values[z, i]
        if len(given) > 0:
            for i in range(lanes):
                values[s, i] = given[s, i] + total[i]
        else:
            for i in range(lanes):
                values[s, i] = total[i]


@cached_jit(**OPTIONS)
def newton_step(next_state, weight, slope, change, exactness, vectors, lane_scratch, most):
    """Solves (I − J)·x = TV − V by BiCGSTAB on the equations as a symmetric Gauss–Seidel sweep leaves them.

    Args:
        next_state, weight: as in `sweep`.
        slope, change: as `back_up` left them.
        exactness: `[L]` share of the first residual at which a lane is done; 1 and more: nothing is done there.
        vectors: `[6, S, L]`; the first is filled with x.
        lane_scratch: `[8, L]`.
        most: iterations after which to stop.

    Returns:
        how many iterations were made.
    """
    x, r, shadow, p, v, t = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4], vectors[5]
    rho, alpha, omega, ratio, one, two, goal, total = (
        lane_scratch[0], lane_scratch[1], lane_scratch[2], lane_scratch[3],
        lane_scratch[4], lane_scratch[5], lane_scratch[6], lane_scratch[7],
    )  # fmt: skip
    states, lanes = change.shape
    nothing = change[:0]
    for s in range(states):
        for i in range(lanes):
            x[s, i] = 0.0
            r[s, i] = 0.0
    relax(next_state, weight, slope, change, r, total)
    for i in range(lanes):
        rho[i] = 0.0
    for s in range(states):
        for i in range(lanes):
            shadow[s, i] = r[s, i]
            p[s, i] = r[s, i]
            rho[i] += r[s, i] * r[s, i]
    for i in range(lanes):
        goal[i] = rho[i] * exactness[i] * exactness[i]
        if exactness[i] >= 1.0:
            rho[i] = 0.0
    for n in range(most):
        # a lane at rest has ρ = 0: α, ω and the ratio are 0 there, and nothing moves
        for s in range(states):
            for i in range(lanes):
                v[s, i] = p[s, i]
        relax(next_state, weight, slope, nothing, v, total)
        for i in range(lanes):
            one[i] = 0.0
        for s in range(states):
            for i in range(lanes):
                v[s, i] = p[s, i] - v[s, i]
                one[i] += shadow[s, i] * v[s, i]
        for i in range(lanes):
            alpha[i] = rho[i] / one[i] if rho[i] != 0.0 and one[i] != 0.0 else 0.0
        for s in range(states):
            for i in range(lanes):
                r[s, i] -= alpha[i] * v[s, i]
                t[s, i] = r[s, i]
        relax(next_state, weight, slope, nothing, t, total)
        for i in range(lanes):
            one[i] = 0.0
            two[i] = 0.0
        for s in range(states):
            for i in range(lanes):
                t[s, i] = r[s, i] - t[s, i]
                one[i] += t[s, i] * r[s, i]
                two[i] += t[s, i] * t[s, i]
        for i in range(lanes):
            omega[i] = one[i] / two[i] if alpha[i] != 0.0 and two[i] > 0.0 else 0.0
            one[i] = 0.0
            two[i] = 0.0
        for s in range(states):
            for i in range(lanes):
                x[s, i] += alpha[i] * p[s, i] + omega[i] * r[s, i]
                r[s, i] -= omega[i] * t[s, i]
                one[i] += r[s, i] * r[s, i]
                two[i] += shadow[s, i] * r[s, i]
        resting = True
        for i in range(lanes):
            if omega[i] == 0.0 or rho[i] == 0.0 or one[i] <= goal[i]:
                ratio[i] = 0.0
                rho[i] = 0.0
            else:
                ratio[i] = (two[i] / rho[i]) * (alpha[i] / omega[i])
                rho[i] = two[i]
                resting = resting and two[i] == 0.0
        if resting:
            return n + 1
        for s in range(states):
            for i in range(lanes):
                p[s, i] = r[s, i] + ratio[i] * (p[s, i] - omega[i] * v[s, i])
    return most


@cached_jit(**OPTIONS)
def growth(next_state, weight, slope, values, total, square, found, sweeps):
    """Fills `found [L]` with what the last quarter of pairs of sweeps v = J·v multiplies Σ v² by, as a logarithm.

    Sweeps of V = TV near its fixed point do to a small error what these do to v: where it grows, they lead away.

    Args:
        next_state, weight, slope: as in `newton_step`.
        values: `[S, L]` v, changed in place.
        total, square: `[L]` scratch.
        sweeps: how many pairs.
    """
    states, lanes = values.shape
    nothing = values[:0]
    for i in range(lanes):
        found[i] = 0.0
    for n in range(sweeps):
        relax(next_state, weight, slope, nothing, values, total)
        for i in range(lanes):
            square[i] = 0.0
        for s in range(states):
            for i in range(lanes):
                square[i] += values[s, i] * values[s, i]
        for i in range(lanes):
            total[i] = 1.0 / math.sqrt(square[i]) if square[i] > 0.0 else 0.0
            if n >= sweeps - sweeps // 4:
                found[i] += math.log(square[i]) if square[i] > 0.0 else -math.inf
        for s in range(states):
            for i in range(lanes):
                values[s, i] *= total[i]
