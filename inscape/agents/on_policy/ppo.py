"""Proximal policy optimisation.

The algorithm is here: settings, schedule, loss. What it shares with other actor-critics is in `agent` and `base`;
advantages are in `learning.returns`, networks in `torch_learner` and `compiled_learner`.

Source: Schulman, Wolski, Dhariwal, Radford & Klimov (2017), "Proximal Policy Optimization Algorithms",
arXiv:1707.06347; initialisation and annealing as recommended by Andrychowicz et al. (2021), "What Matters In On-Policy
Reinforcement Learning?", ICLR.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inscape.agents.learning.settings_checks import (
    require_counts,
    require_minibatches,
    require_positive,
    require_positive_if_any,
)
from inscape.agents.on_policy.agent import ActorCriticAgent
from inscape.agents.on_policy.base import BackendSettings, LossTerms, OnPolicySettings, Schedule

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ClipSettings(OnPolicySettings):
    """What proximal policy optimisation adds, with a memory or without one."""

    epochs: int = 10
    """Passes over the collected steps at each update."""
    minibatches: int = 8
    """Parts the collected steps are split into at each pass; one gradient step each."""
    clip: float = 0.2
    """How far the probability ratio may leave 1 before it stops paying."""
    target_kl: float | None = None
    """Stop the passes of an update when the policy has moved this far (mean KL, nats); None never stops."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "epochs", "minibatches")
        require_positive(self, "clip")
        require_positive_if_any(self, "target_kl")
        require_minibatches(self)


@dataclass(frozen=True)
class PPOSettings(ClipSettings, BackendSettings):
    """Settings of proximal policy optimisation."""

    learning_rate: float = 1e-3
    """Adam's step size at the beginning."""
    minibatches: int = 16
    """Parts the collected steps are split into at each pass; one gradient step each. In rounds of fewer than 32 steps
    as many as have two steps each."""
    anneal_clip: bool = False
    """Whether the clip range falls with the learning rate."""

    def __post_init__(self) -> None:
        most = self.num_envs * self.num_steps // 2
        if self.minibatches == PPOSettings.minibatches > most >= 1:  # the default, which nobody asked for
            object.__setattr__(self, "minibatches", most)
        super().__post_init__()


def ppo_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    values: Tensor,
    returns: Tensor,
    entropy: Tensor,
    clip: float | Tensor,
    value_coef: float,
    entropy_coef: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the loss −E[min(r·A, clip(r, 1 ± ε)·A)] + c_v·E[(V − G)²] − c_e·E[H], and its parts.

    Args:
        log_probs: `[N]` log π(a|s) under the policy being changed.
        old_log_probs: `[N]` the same when the actions were taken; r is the ratio of the two.
        advantages: `[N]` A.
        values: `[N]` V(s), being changed.
        returns: `[N]` G, what V is to predict.
        entropy: `[N]` H(π(·|s)).
        clip: ε.
        value_coef: c_v.
        entropy_coef: c_e.

    Source: Schulman et al. (2017), equations 7 and 9.
    """
    log_ratio = log_probs - old_log_probs
    ratio = log_ratio.exp()
    limited = ratio.clamp(1 - clip, 1 + clip)  # type: ignore[arg-type]  # both numbers, or both tensors
    policy_loss = -(ratio * advantages).minimum(limited * advantages).mean()
    value_loss = (values - returns).square().mean()
    mean_entropy = entropy.mean()
    loss = policy_loss + value_coef * value_loss - entropy_coef * mean_entropy
    parts = {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": mean_entropy,
        # the low-variance estimator of Schulman (2020), "Approximating KL divergence"
        "kl": (ratio - 1 - log_ratio).mean(),
        "clip_fraction": ((ratio - 1).abs() > clip).float().mean(),
    }
    return loss, {name: part.detach() for name, part in parts.items()}


class PPO(ActorCriticAgent):
    """Proximal policy optimisation: discrete, multi-discrete and continuous actions, action masks."""

    name = "ppo"
    Settings = PPOSettings

    def schedule(self, remaining: float) -> Schedule:
        s = self.settings
        clip = s.clip * (remaining if s.anneal_clip else 1.0)
        kl = math.inf if s.target_kl is None else s.target_kl
        return Schedule(self._rate(remaining), clip, s.epochs, s.minibatches, kl)

    def loss(self, terms: LossTerms, clip: float | Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return ppo_loss(*terms, clip, self.settings.value_coef, self.settings.entropy_coef)
