"""Advantages without a value head: an episode against the others of its group, which began in the same state."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from inscape.errors import UsageError

Kind = Literal["grpo", "rloo", "reinforce"]
ROUNDING = 1e-6


def group_advantages(
    returns: NDArray[Any], groups: NDArray[np.int64], kind: Kind = "grpo", scale: bool = False
) -> NDArray[np.float64]:
    """Returns `[N]` advantages of N returns over a baseline of their groups.

    - `grpo`: less the mean of the group, itself included (Shao et al. 2024, DeepSeekMath, arXiv:2402.03300, section
      4.1; without the division by the deviation as Liu et al. 2025, arXiv:2503.20783, have it).
    - `rloo`: less the mean of the *others* of the group, which leaves the gradient unbiased: n/(n − 1) times the
      former (Kool et al. 2019; Ahmadian et al. 2024, arXiv:2402.14740, equation 8). Alone in its group: 0.
    - `reinforce`: less the mean of the whole batch (Williams 1992).

    Args:
        returns: `[N]`, finite.
        groups: `[N]` what belongs together, any integers.
        kind: which of the three.
        scale: divide by the deviation of the group; groups whose returns are all alike stay 0.

    Raises:
        UsageError: a return is not finite, or the kind is unknown.
    """
    values = np.asarray(returns, np.float64)
    if not np.isfinite(values).all():
        at = int(np.argmin(np.isfinite(values)))
        raise UsageError(f"return {at} is {values[at]}", expected="finite numbers", hint="a reward is NaN or missing")
    if kind not in ("grpo", "rloo", "reinforce"):
        raise UsageError(f"advantages {kind!r}", expected="grpo, rloo, reinforce")
    if kind == "reinforce":
        groups = np.zeros(len(values), np.int64)
    _, group = np.unique(groups, return_inverse=True)
    group = group.reshape(-1)
    size = np.bincount(group)[group]
    mean = (np.bincount(group, values) / np.bincount(group))[group]
    advantages = values - mean
    # what differs by rounding only is alike: divided by a spread of next to nothing, rounding would be a signal
    deviation = np.sqrt(np.bincount(group, advantages**2) / np.bincount(group))[group]
    alike = deviation <= ROUNDING * np.maximum(np.abs(mean), ROUNDING)
    advantages = np.where(alike, 0.0, advantages)
    if kind == "rloo":
        advantages = advantages * np.where(size > 1, size / np.maximum(size - 1, 1), 0.0)
    return np.where(alike, 0.0, advantages / np.where(alike, 1.0, deviation)) if scale else advantages


def returns_to_go(rewards: NDArray[Any], lengths: NDArray[np.int64], gamma: float) -> NDArray[np.float64]:
    """Returns `[T, B]` G_t = Σ_{k ≥ t} γ^{k−t}·r_k of B episodes, 0 beyond their ends.

    Args:
        rewards: `[T, B]`.
        lengths: `[B]` steps of each episode.
        gamma: discount per step.
    """
    live = np.arange(len(rewards))[:, None] < lengths
    out = np.zeros(rewards.shape)
    ahead = np.zeros(rewards.shape[1])
    for t in reversed(range(len(rewards))):
        ahead = np.where(live[t], rewards[t] + gamma * ahead, 0.0)
        out[t] = ahead
    return out
