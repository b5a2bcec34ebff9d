"""An actor and a critic that learn from imagined states.

Source: Hafner et al. (2023), "Mastering diverse domains through world models", arXiv:2301.04104, equations 6 to 12.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from inscape.agents.imagination.settings import DreamerSettings
from inscape.world_models.learned.latent.model import LatentModel
from inscape.world_models.learned.latent.scales import BINS, two_hot_loss, two_hot_mean
from inscape.world_models.networks.distributions import GaussianActions, action_distribution
from inscape.world_models.networks.modules import linear

LOG_STD = (-2.5, 0.5)
"""Log deviations of continuous actions, in units of half their range, are kept within this."""


def lambda_returns(rewards: Tensor, discounts: Tensor, values: Tensor, lambda_: float) -> Tensor:
    """Returns `[H, N]` R_t = r_t + d_t·((1 − λ)·v_{t+1} + λ·R_{t+1}), with R_H = v_H.

    Args:
        rewards: `[H, N]` earned by the action in state t.
        discounts: `[H, N]` γ times the probability that the task goes on after it.
        values: `[H + 1, N]` of the states.
        lambda_: λ.

    Source: Hafner et al. (2023), equation 8; Sutton & Barto (2018), equation 12.20.
    """
    after = values[-1]
    found = []
    for t in range(len(rewards) - 1, -1, -1):
        after = rewards[t] + discounts[t] * ((1 - lambda_) * values[t + 1] + lambda_ * after)
        found.append(after)
    return torch.stack(found[::-1])


class ActorCritic(nn.Module):
    """A policy and a value of latent states, and the value that follows slowly.

    Args:
        width: F, numbers of a state.
        action_space: of the task.
        settings: see `DreamerSettings`.
        generator: of the first weights.
    """

    def __init__(self, width: int, action_space: Any, settings: DreamerSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.settings = settings
        self.distribution = action_distribution(action_space)
        self.actor = _perceptron(width, self.distribution.width, settings, generator, 0.01)
        self.critic = _perceptron(width, BINS, settings, generator, 0.0)
        self.slow = _perceptron(width, BINS, settings, generator, 0.0)
        self.slow.load_state_dict(self.critic.state_dict())
        self.slow.requires_grad_(False)

    def outputs(self, features: Tensor, action_mask: Tensor | None = None) -> Tensor:
        """Returns `[..., W]` what the distribution of actions takes; illegal ones at −∞."""
        raw: Tensor = self.actor(features)
        if isinstance(self.distribution, GaussianActions):
            mean, log_std = raw.chunk(2, -1)
            return torch.cat([mean.tanh(), log_std.clamp(*LOG_STD)], -1)
        return raw if action_mask is None else raw.masked_fill(~action_mask, -torch.inf)

    def values(self, features: Tensor) -> Tensor:
        """Returns `[...]` V."""
        return two_hot_mean(self.critic(features))

    def follow(self, share: float) -> None:
        """Moves the slow critic by a share of the way to the critic."""
        with torch.no_grad():
            for slow, now in zip(self.slow.parameters(), self.critic.parameters(), strict=True):
                slow.lerp_(now, share)


def _perceptron(
    inputs: int, outputs: int, settings: DreamerSettings, generator: torch.Generator, gain: float
) -> nn.Sequential:
    made: list[nn.Module] = []
    for width in settings.hidden:
        made += [linear(inputs, width, 1.0, generator), nn.LayerNorm(width), nn.SiLU()]
        inputs = width
    return nn.Sequential(*made, linear(inputs, outputs, gain, generator))


def encoded(model: LatentModel, distribution: Any, actions: Tensor) -> Tensor:
    """Returns `[N, A]` actions as the model takes them in, from what the distribution gives."""
    if isinstance(distribution, GaussianActions):
        network = model.network
        bounded = torch.as_tensor(np.ravel(np.isfinite(distribution.space.low) & np.isfinite(distribution.space.high)))
        inside = torch.where(bounded.to(actions.device), actions.clamp(-1, 1), actions)
        given = inside * torch.as_tensor(distribution.half.ravel(), dtype=torch.float32, device=actions.device)
        offset = torch.as_tensor(distribution.centre.ravel(), dtype=torch.float32, device=actions.device)
        return (given + offset - network.action_centre) / network.action_half
    rows = actions.cpu().numpy().reshape(len(actions), -1)
    return model.network.action_features(rows + model.network.action_low)


class Imagination:
    """Imagines from states and takes gradient steps on what came of it.

    Args:
        model: whose states they are; it is not changed.
        actor_critic: what learns.
        settings: see `DreamerSettings`.

    Attributes:
        scale: the moving range between the 5th and the 95th percentile of returns.
    """

    def __init__(self, model: LatentModel, actor_critic: ActorCritic, settings: DreamerSettings) -> None:
        self.model, self.actor_critic, self.settings = model, actor_critic, settings
        self.weights = [weight for weight in actor_critic.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.Adam(self.weights, settings.learning_rate, eps=1e-8)
        self.scale = 0.0

    def loss(
        self, states: Tensor, weight: Tensor, rng: np.random.Generator, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Returns the loss of actor and critic on `horizon` imagined steps from states, and what to report.

        Args:
            states: `[N, F]`.
            weight: `[N]`, 0 where there is no state, or the task has ended.
            rng, generator: of the model's and the policy's random numbers.
        """
        s, nets, network = self.settings, self.actor_critic, self.model.network
        with torch.no_grad():
            kept, actions = [states], []
            for _ in range(s.horizon):
                action = nets.distribution.sample(nets.outputs(kept[-1]), generator)
                actions.append(action)
                kept.append(self.model.imagined(kept[-1], encoded(self.model, nets.distribution, action), rng))
            features, taken = torch.stack(kept), torch.stack(actions)
            rewards = network.reward_mean(features[1:])
            discounts = s.gamma * network.continuation(features[1:])
            values = nets.values(features)
            returns = lambda_returns(rewards, discounts, values, s.lambda_)
            reached = torch.cat([weight[None], weight * discounts[:-1].cumprod(0)])
            self._measure(returns, weight)
            advantages = (returns - values[:-1]) / max(1.0, self.scale)
            slow = two_hot_mean(nets.slow(features[:-1]))
        outputs = nets.outputs(features[:-1])
        log_probs, entropy = nets.distribution.log_prob(outputs, taken), nets.distribution.entropy(outputs)
        total = reached.sum().clamp(min=1e-8)
        actor = -((log_probs * advantages + s.entropy_coef * entropy) * reached).sum() / total
        logits = nets.critic(features[:-1])
        critic = ((two_hot_loss(logits, returns) + s.slow_weight * two_hot_loss(logits, slow)) * reached).sum() / total
        metrics = {
            "actor_loss": float(actor.detach()), "critic_loss": float(critic.detach()),
            "entropy": float(((entropy * reached).sum() / total).detach()),
            "imagined_return": float((returns[0] * weight).sum() / weight.sum().clamp(min=1.0)),
            "return_range": self.scale,
        }  # fmt: skip
        return actor + critic, metrics

    def _measure(self, returns: Tensor, weight: Tensor) -> None:
        """Moves the range of returns, of states that there are."""
        there = returns[:, weight > 0]
        if not there.numel():
            return
        low, high = np.quantile(there.cpu().numpy(), [0.05, 0.95])
        self.scale = float(0.99 * self.scale + 0.01 * (high - low)) if self.scale else float(high - low)
