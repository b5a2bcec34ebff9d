"""Advantage actor-critic: one gradient step on each batch of fresh experience.

Source: Mnih et al. (2016), "Asynchronous Methods for Deep Reinforcement Learning", ICML, with the copies in step with
each other instead of asynchronous; advantages of all lengths at once by λ (λ = 1 is the paper's n-step return).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inscape.agents.on_policy.agent import ActorCriticAgent
from inscape.agents.on_policy.base import BackendSettings, LossTerms

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class A2CSettings(BackendSettings):
    """Settings of advantage actor-critic."""

    num_envs: int = 2
    """Copies of the environment acted in side by side. Every update is one gradient step, so that few copies learn most
    from a number of steps; with many, steps take less time."""
    num_steps: int = 5
    """Steps each copy takes between two updates."""
    learning_rate: float = 1e-3
    """The optimiser's step size at the beginning."""
    gae_lambda: float = 1.0
    """λ of generalised advantage estimation; 1 sums all rewards of the batch."""
    normalize_advantages: bool = False
    """Whether advantages are shifted and scaled to mean 0, deviation 1 in each batch."""


def a2c_loss(
    log_probs: Tensor,
    advantages: Tensor,
    values: Tensor,
    returns: Tensor,
    entropy: Tensor,
    value_coef: float,
    entropy_coef: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the loss −E[A·log π(a|s)] + c_v·E[(V − G)²] − c_e·E[H], and its parts; all tensors `[N]`.

    Source: Mnih et al. (2016), section 4, "Asynchronous advantage actor-critic".
    """
    policy_loss = -(advantages * log_probs).mean()
    value_loss = (values - returns).square().mean()
    mean_entropy = entropy.mean()
    loss = policy_loss + value_coef * value_loss - entropy_coef * mean_entropy
    parts = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": mean_entropy}
    return loss, {name: part.detach() for name, part in parts.items()}


class A2C(ActorCriticAgent):
    """Advantage actor-critic: discrete, multi-discrete and continuous actions, action masks."""

    name = "a2c"
    Settings = A2CSettings
    optimizer = "rmsprop"

    def loss(self, terms: LossTerms, clip: float | Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        s, t = self.settings, terms
        return a2c_loss(t.log_probs, t.advantages, t.values, t.returns, t.entropy, s.value_coef, s.entropy_coef)
