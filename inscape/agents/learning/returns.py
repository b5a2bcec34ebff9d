"""Returns and advantages, shared by every learner. Batch first, then time: `[B, T]`.

One convention throughout: `next_values[b, t]` is the value of the state that action `t` really led to, also where the
episode was cut there, so nothing here looks at the following row of `values` (which may belong to a fresh episode).
`terminated` makes the future worth 0; `truncated` only ends the sum, and still bootstraps. Where both are set,
termination wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


def generalized_advantages(
    rewards: Floats,
    values: Floats,
    next_values: Floats,
    terminated: Bools,
    truncated: Bools,
    gamma: float,
    lam: float,
) -> Floats:
    """Returns GAE advantages `A_t = δ_t + γ·λ·A_{t+1}`, with `δ_t = r_t + γ·(1 − terminated_t)·V(s_{t+1}) − V(s_t)`.

    The sum stops where the episode does, whichever way it ended.

    Args:
        rewards: `[B, T]`.
        values: `[B, T]`, V(s_t).
        next_values: `[B, T]`, V(s_{t+1}) of the state reached, before any reset. Ignored where terminated.
        terminated: `[B, T]`.
        truncated: `[B, T]`.
        gamma: discount per step.
        lam: λ in [0, 1]; 0 is the one-step error, 1 the Monte-Carlo return less the baseline.

    Returns:
        `[B, T]` advantages; add `values` for the λ-returns.

    Source: Schulman et al. (2016), arXiv:1506.02438, equation 16.
    """
    bootstrap = np.where(terminated, 0.0, next_values)
    errors = rewards + gamma * bootstrap - values
    carry = gamma * lam * ~(terminated | truncated)
    advantages = np.empty_like(errors)
    running = np.zeros_like(errors[:, 0])
    for t in range(errors.shape[1] - 1, -1, -1):
        running = errors[:, t] + carry[:, t] * running
        advantages[:, t] = running
    return advantages


def discounted_returns(
    rewards: Floats, next_values: Floats, terminated: Bools, truncated: Bools, gamma: float
) -> Floats:
    """Returns `G_t = r_t + γ·G_{t+1}`, bootstrapped with `next_values` where the episode is cut or the data end.

    Args and shapes as in `generalized_advantages`.
    """
    zeros = np.zeros_like(rewards)
    open_ends = truncated.copy()
    open_ends[:, -1] = True
    # With V = 0 inside, GAE at λ = 1 is the plain return; only the open ends keep their bootstrap.
    return generalized_advantages(
        rewards, zeros, np.where(open_ends, next_values, 0.0), terminated, truncated, gamma, 1.0
    )


def n_step_returns(
    rewards: Floats, next_values: Floats, terminated: Bools, truncated: Bools, gamma: float, n: int
) -> Floats:
    """Returns `G_t = Σ_{k<m} γ^k r_{t+k} + γ^m V(s_{t+m})`: at most `n` rewards, then the value of the state reached.

    `m` is smaller than `n` where the episode or the data end earlier; a terminated episode adds no value.
    Args and shapes as in `generalized_advantages`.

    Source: Sutton & Barto (2018), Reinforcement Learning, section 7.1.
    """
    length = rewards.shape[1]
    bootstrap = np.where(terminated, 0.0, next_values)
    ends = terminated | truncated
    targets = rewards + gamma * bootstrap  # m = 1
    for _ in range(n - 1):
        # One more reward in front of the (m−1)-step target of the next state, where there is one.
        later = targets[:, 1:]
        targets = np.concatenate(
            [
                rewards[:, : length - 1] + gamma * np.where(ends[:, :-1], bootstrap[:, :-1], later),
                rewards[:, -1:] + gamma * bootstrap[:, -1:],
            ],
            axis=1,
        )
    return targets


def importance_weights(log_probs: Floats, behaviour_log_probs: Floats) -> Floats:
    """Returns π(a|s) / μ(a|s) from logarithms: 0 where the target policy π never does what μ did.

    Args:
        log_probs: `[...]` log π of the actions taken; −inf is allowed.
        behaviour_log_probs: `[...]` log μ of the same actions; finite, since they were taken.

    Source: Sutton & Barto (2018), Reinforcement Learning, equation 5.3 (one factor of it).
    """
    return np.exp(log_probs - behaviour_log_probs)


@dataclass(frozen=True)
class VTrace:
    """What V-trace makes of a batch.

    Attributes:
        targets: `[B, T]` v_t, what V(s_t) is to predict.
        advantages: `[B, T]` ρ_t·(r_t + γ·v_{t+1} − V(s_t)), what ∇ log π(a_t|s_t) is weighted with.
    """

    targets: Floats
    advantages: Floats


def vtrace(
    rewards: Floats,
    values: Floats,
    next_values: Floats,
    terminated: Bools,
    truncated: Bools,
    weights: Floats,
    gamma: float,
    lam: float = 1.0,
    rho_clip: float = 1.0,
    c_clip: float = 1.0,
) -> VTrace:
    """Returns V-trace targets `v_t = V(s_t) + δ_t + γ·c_t·(v_{t+1} − V(s_{t+1}))` and the advantages from them.

    With `δ_t = ρ_t·(r_t + γ·(1 − terminated_t)·V(s_{t+1}) − V(s_t))`, `ρ_t = min(ρ̄, π/μ)`, `c_t = λ·min(c̄, π/μ)`.
    On-policy (all weights 1, clips at least 1) the targets are the λ-returns, at λ = 1 the bootstrapped sums.

    Args:
        rewards, values, next_values, terminated, truncated: `[B, T]` as in `generalized_advantages`.
        weights: `[B, T]` π(a_t|s_t) / μ(a_t|s_t), see `importance_weights`.
        gamma: discount per step.
        lam: λ in [0, 1].
        rho_clip: ρ̄, which decides whose values are learned; infinite: those of π.
        c_clip: c̄ ≤ ρ̄, which decides how fast they are.

    Source: Espeholt et al. (2018), "IMPALA", arXiv:1802.01561, equation 1, remarks 1 and 2, section 4.2.
    """
    rho, c = np.minimum(weights, rho_clip), lam * np.minimum(weights, c_clip)
    bootstrap = np.where(terminated, 0.0, next_values)
    errors = rho * (rewards + gamma * bootstrap - values)
    carry = gamma * c * ~(terminated | truncated)
    surplus = np.zeros((len(rewards), rewards.shape[1] + 1), errors.dtype)  # v_t − V(s_t)
    for t in range(errors.shape[1] - 1, -1, -1):
        surplus[:, t] = errors[:, t] + carry[:, t] * surplus[:, t + 1]
    following = bootstrap + np.where(terminated | truncated, 0.0, surplus[:, 1:])  # v_{t+1}
    return VTrace(values + surplus[:, :-1], rho * (rewards + gamma * following - values))
