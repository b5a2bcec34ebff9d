"""Policy and value networks in torch, and the rounds of acting and learning with them: any task, any device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from inscape.agents.interface import Metrics
from inscape.agents.learning.distributed import part_of
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.learning.normalization import ROUNDING, SAMPLE, ReturnNormalizer, load_reward_scale
from inscape.agents.learning.returns import generalized_advantages
from inscape.agents.on_policy.base import Algorithm, LossTerms, Schedule, explained_variance, first_weights
from inscape.world_models.networks.encoders.features import picture_layout
from inscape.world_models.networks.modules import PictureRows, perceptron, pixel_network
from inscape.world_models.networks.part_networks import learns_parts, network_over
from inscape.world_models.networks.policy import PolicyNetwork, TorchPolicy
from inscape.world_models.networks.tensors import learning_threads, load_module, step_if_finite, to_arrays
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class ActorCritic(PolicyNetwork):
    """Policy and value networks over encoded observations, sharing nothing but the encoder (which is not learned).

    Both are perceptrons; over pictures (`features.picture_layout`) the classic filters, then layers of widths `hidden`;
    over observations of several parts, what is learned of each (`part_networks.PartNetworks`), then such layers.
    """

    def __init__(self, task: Task, settings: Any, seed: int) -> None:
        super().__init__(task, settings.normalize_observations)
        generator = torch.Generator().manual_seed(seed)
        picture = picture_layout(task.observation_space)
        if self.encoder.packing is not None and learns_parts(self.encoder):
            self.actor, self.critic = (
                network_over(self.encoder, settings.hidden, size, settings.activation, gain, generator)
                for size, gain in ((self.scores, 0.01), (1, 1.0))
            )
        elif picture is None:
            hidden = (self.encoder.width, *settings.hidden)
            self.actor = perceptron((*hidden, self.scores), settings.activation, 0.01, generator)
            self.critic = perceptron((*hidden, 1), settings.activation, 0.0, generator)
            for name, layers in first_weights(settings, self.encoder.width, self.scores, seed).items():
                _set_weights(getattr(self, name), layers)
        else:
            channels, height, width = picture[0]
            self.actor, self.critic = (
                nn.Sequential(
                    PictureRows(*picture),
                    *pixel_network(channels, height, width, settings.hidden, size, generator, gain),
                )
                for size, gain in ((self.scores, 0.01), (1, 0.0))
            )

    def outputs(self, features: Tensor, action_mask: Tensor | None) -> Tensor:
        return self.completed(self.actor(features), action_mask)

    def values(self, features: Tensor) -> Tensor:
        values: Tensor = self.critic(features)[..., 0]
        return values


def _set_weights(network: nn.Sequential, layers: list[tuple[Array, Array]]) -> None:
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, (weight, bias) in zip(linear, layers, strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))


@dataclass(frozen=True)
class RolloutBatch:
    """What is learned from: N rows, after a round those of all steps and copies, time first.

    Attributes:
        features: `[N, D]`.
        action_masks: `[N, A]` bool, or None.
        actions: `[N, ...]` as the distribution samples them.
        old_log_probs, advantages, returns: `[N]`.
        metrics: how the episodes went that ended.
    """

    features: Tensor
    action_masks: Tensor | None
    actions: Tensor
    old_log_probs: Tensor
    advantages: Tensor
    returns: Tensor
    metrics: Metrics

    def __len__(self) -> int:
        return len(self.actions)

    def of(self, rows: Any) -> RolloutBatch:
        """Returns some of the rows, chosen by index, slice or mask."""
        return self._each(lambda column: column[rows])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        return replace(
            self,
            features=change(self.features),
            action_masks=None if self.action_masks is None else change(self.action_masks),
            actions=change(self.actions),
            old_log_probs=change(self.old_log_probs),
            advantages=change(self.advantages),
            returns=change(self.returns),
        )

    def split(self, order: Tensor, count: int) -> Iterable[Tensor]:
        """Returns the rows of each of `count` minibatches, from all rows in some order."""
        return minibatches(order, count)


def minibatches(order: Tensor, count: int) -> Iterable[Tensor]:
    """Returns `order` in `count` parts; a last row alone is left out, for it has no deviation."""
    size = len(order)
    step = math.ceil(size / count)
    return [order[begin : begin + step] for begin in range(0, size - size % step if size % step == 1 else size, step)]


def weights_of_actions(advantages: Tensor, returns: Tensor, normalize: bool) -> Tensor:
    """Returns what ∇ log π(a|s) is weighted with in a minibatch: `[N]` advantages, with `normalize` standardised.

    All are 0 where the returns do not differ by more than rounding: then no action was better than another, and what
    is left is the critic's error (without `normalize` only among SAMPLE returns or more: of fewer the same may come by
    chance, and their size is kept). With `normalize` also where the advantages themselves do not differ.

    Args:
        advantages: `[N]`.
        returns: `[N]` they were computed from.
        normalize: whether to shift and scale them. Nothing here waits for the device.
    """
    if not normalize and len(returns) < SAMPLE:
        return advantages
    # returns are advantages and values added up: both sizes round
    scale = ROUNDING * torch.maximum(returns.abs().max(), advantages.abs().max())
    says_something = returns.max() - returns.min() > scale
    if normalize:
        deviation = advantages.std()
        says_something &= deviation > scale
        advantages = (advantages - advantages.mean()) / (deviation + 1e-8)
    return torch.where(says_something, advantages, torch.zeros_like(advantages))


@dataclass(frozen=True)
class Rollout:
    """What T steps of B copies led to, `[T, B, ...]` each.

    Attributes:
        observations: what was acted on.
        features, action_masks, actions, old_log_probs: as in `RolloutBatch`.
        rewards, terminated, truncated: of each step.
        values: V(s_t).
        next_values: V of the state reached, which at an episode's end is not the next one seen.
        episodes: how those went that ended.
    """

    observations: Array
    features: Tensor
    action_masks: Tensor | None
    actions: Tensor
    old_log_probs: Tensor
    rewards: Array
    terminated: Array
    truncated: Array
    values: Array
    next_values: Array
    episodes: Metrics


def whole_masks(masks: Sequence[Tensor | None]) -> list[Tensor] | None:
    """Returns a mask for every step: all is legal where the environment gave none. None if it never gave one.

    A third-party environment may give masks at some steps only.
    """
    first = next((mask for mask in masks if mask is not None), None)
    return None if first is None else [torch.ones_like(first) if mask is None else mask for mask in masks]


class TorchLearner(TorchPolicy):
    """Collects with `num_envs` copies and learns from what they did, in torch.

    Args:
        agent: whose settings, loss and optimiser it uses.
        network: to be learned.
        device: where.
    """

    backend = "torch"

    def __init__(self, agent: Algorithm, network: PolicyNetwork, device: torch.device) -> None:
        super().__init__(network.to(device), device, agent.seed, agent.name)
        self.agent, self.settings = agent, agent.settings
        s = self.settings
        self.optimizer = make_optimizer(agent, list(network.parameters()), device)
        self._rewards = ReturnNormalizer(s.num_envs, s.gamma) if s.normalize_rewards else None
        self._copies: EnvRunner | None = None
        self._pending: State | None = None  # the environments' part of a loaded state, until `begin` has a task

    # ------------------------------------------------------------------------------------------- learning

    def begin(self, task: Task, steps: int) -> None:
        self._begin(task, steps)

    def _begin(self, task: Task, steps: int, number: int = 0, processes: int = 1) -> None:
        """Begins in the copies of one of so many processes."""
        s, state = self.settings, self._pending
        state = None if state is None else part_of(state, number, processes)
        own = s.num_envs // processes
        self._copies = EnvRunner(
            task, own, self.agent.seed, first=number * own, steps=steps // s.num_envs, state=state,
            packing=self.network.encoder.packing,
        )  # fmt: skip
        self._pending = None
        if state is not None and state["env"] is None:
            self._begin_episodes()

    def _begin_episodes(self) -> None:
        """Resets what is kept of episodes under way: new ones have started."""
        if self._rewards is not None:
            self._rewards.restart()

    def round(self, schedule: Schedule, steps: int) -> Metrics:
        with learning_threads(self.settings.threads):
            batch = self.collect()
            return {**batch.metrics, **self.update(batch, schedule, steps)}

    def collect(self) -> RolloutBatch:
        """Acts for num_steps in every copy and turns the steps into a batch to learn from."""
        done = self._act()
        advantages, returns, metrics = self._targets(
            done.rewards, done.values, done.next_values, done.terminated, done.truncated
        )
        self.network.encoder.update(done.observations.reshape(-1, *done.observations.shape[2:]))
        masks = done.action_masks
        return RolloutBatch(
            done.features.flatten(0, 1).clone(),
            None if masks is None else masks.flatten(0, 1).clone(),
            done.actions.flatten(0, 1).clone(),
            done.old_log_probs.flatten(0, 1).clone(),
            advantages.flatten(),
            returns.flatten(),
            {**metrics, **done.episodes},
        )

    def _act(self) -> Rollout:
        """Acts for num_steps in every copy of this process."""
        network, copies, time = self.network, self._copies, self.settings.num_steps
        assert copies is not None
        count = copies.count
        seen = np.empty((time + 1, *copies.observation.shape), copies.observation.dtype)
        rewards = np.empty((time, count))
        terminated, truncated = np.empty((time, count), bool), np.empty((time, count), bool)
        outputs, actions, masks = [], [], []
        ends: list[tuple[int, Array, Array]] = []  # step, copies, last observations
        with torch.inference_mode():
            for t in range(time):
                seen[t] = copies.observation
                mask = self.tensor(copies.action_mask)
                outputs.append(network.outputs(network.encoder(copies.observation), mask))
                actions.append(self._sampled(outputs[-1]))
                masks.append(mask)
                transition = copies.step(network.distribution.to_environment(actions[-1]))
                rewards[t], terminated[t], truncated[t] = transition.reward, transition.terminated, transition.truncated
                if len(transition.ended):
                    ends.append((t, transition.ended, transition.last_observation))
            seen[time] = copies.observation
            features = network.encoder(seen.reshape(-1, *seen.shape[2:]))
            values = self.values_of(features).reshape(time + 1, count)
            next_values = values[1:].copy()
            if ends:
                steps = np.concatenate([np.full(len(ended), t) for t, ended, _ in ends])
                last = self.values(np.concatenate([rows for _, _, rows in ends]))
                next_values[steps, np.concatenate([ended for _, ended, _ in ends])] = last
            chosen = torch.stack(actions)
            old_log_probs = network.distribution.log_prob(torch.stack(outputs), chosen)
        legal = whole_masks(masks)
        return Rollout(
            seen[:-1],
            features.reshape(time + 1, count, -1)[:-1],
            None if legal is None else torch.stack(legal),
            chosen, old_log_probs, rewards, terminated, truncated, values[:-1], next_values, copies.episodes(),
        )  # fmt: skip

    def _sampled(self, outputs: Tensor) -> Tensor:
        """Draws an action for each copy of this process."""
        return self.network.distribution.sample(outputs, self.exploring)

    def _targets(
        self, rewards: Array, values: Array, next_values: Array, terminated: Array, truncated: Array
    ) -> tuple[Tensor, Tensor, Metrics]:
        """Returns `[T, B]` advantages and returns, from `[T, B]` each, and how well the values predicted these."""
        s = self.settings
        if self._rewards is not None:
            rewards = self._rewards(rewards, terminated | truncated)
        advantages = generalized_advantages(
            rewards.T, values.T, next_values.T, terminated.T, truncated.T, s.gamma, s.gae_lambda
        ).T
        returns = advantages + values
        metrics = {"explained_variance": explained_variance(values, returns)}
        return self._floats(advantages), self._floats(returns), metrics

    def _floats(self, array: Array) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32, device=self.device)

    def update(self, batch: RolloutBatch, schedule: Schedule, steps: int) -> Metrics:
        """Runs the epochs of minibatch gradient steps; returns the means of the loss's parts over the last epoch."""
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.rate
        updates = 0
        parts: list[dict[str, Tensor]] = []
        for _ in range(schedule.epochs):
            order = torch.randperm(len(batch), generator=self.exploring, device=self.device)
            parts = [
                self.gradient_step(batch.of(rows), schedule.clip, steps)
                for rows in batch.split(order, schedule.minibatches)
            ]
            updates += len(parts)
            if (
                math.isfinite(schedule.target_kl)
                and float(torch.stack([p["kl"] for p in parts]).mean()) > schedule.target_kl
            ):
                break
        means = {name: float(torch.stack([part[name] for part in parts]).mean()) for name in parts[0]}
        return {**means, "updates": float(updates)}

    def gradient_step(self, part: RolloutBatch, clip: float, steps: int) -> dict[str, Tensor]:
        """Takes one gradient step on a minibatch; returns the parts of the loss."""
        s = self.settings
        weights = weights_of_actions(part.advantages, part.returns, s.normalize_advantages)
        part = replace(part, advantages=weights)
        loss, parts = self._backward(part, clip)
        step_if_finite(self.optimizer, self.network, s.max_grad_norm, float(loss), steps, self.agent.name)
        return parts

    def _backward(self, part: RolloutBatch, clip: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Leaves the loss's gradients in `.grad`; returns the loss and its parts."""
        network, features = self.network, self._learned_features(part)
        outputs = network.outputs(features, part.action_masks)
        terms = LossTerms(
            network.distribution.log_prob(outputs, part.actions),
            part.old_log_probs,
            part.advantages,
            network.values(features),
            part.returns,
            network.distribution.entropy(outputs),
        )
        loss, parts = self.agent.loss(terms, clip)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), parts

    def _learned_features(self, part: RolloutBatch) -> Tensor:
        """Returns what policy and value are computed from, with gradients."""
        return part.features

    @property
    def value_unit(self) -> float:
        """What values are to be multiplied by to be in the task's own units."""
        return 1.0 if self._rewards is None else self._rewards.deviation

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {
            "network": to_arrays(self.network.state_dict()),
            "optimizer": named_moments(self.optimizer, self.network),
            **self.rng_state(),
            "reward_scale": None if self._rewards is None else self._rewards.state_dict(),
            "copies": self._pending if self._copies is None else self._copies_state(self._copies),
        }

    def _copies_state(self, copies: EnvRunner) -> State:
        return copies.state_dict()

    def load_state_dict(self, state: State) -> None:
        load_module(self.network, state["network"])
        load_moments(self.optimizer, self.network, state["optimizer"])
        self.load_rng_state(state)
        load_reward_scale(self._rewards, state["reward_scale"])
        self._copies, self._pending = None, state["copies"]


def make_optimizer(agent: Algorithm, parameters: list[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
    """Returns the optimiser the agent's class names."""
    rate = agent.settings.learning_rate
    if agent.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate, alpha=0.99, eps=agent.epsilon, foreach=True)
    return torch.optim.Adam(parameters, lr=rate, eps=agent.epsilon, fused=True)


TORCH_MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq", "square": "square_avg"}
"""Our names of an optimiser's arrays, and torch's."""


def named_moments(optimizer: torch.optim.Optimizer, network: nn.Module) -> State:
    """Returns {"steps", "first" | "second" | "square": {parameter: array}}: the same for every backend."""
    states = {name: optimizer.state.get(parameter, {}) for name, parameter in network.named_parameters()}
    steps = [int(state["step"]) for state in states.values() if "step" in state]
    found: State = {"steps": max(steps, default=0)}
    for moment, torch_name in TORCH_MOMENTS.items():
        if any(torch_name in state for state in states.values()):
            found[moment] = {name: to_arrays(state[torch_name]) for name, state in states.items()}
    return found


def load_moments(optimizer: torch.optim.Optimizer, network: nn.Module, moments: State) -> None:
    """Puts what `named_moments` returned into an optimiser over the parameters of `network`."""
    optimizer.state.clear()
    if not moments["steps"]:
        return
    group = optimizer.param_groups[0]
    with_weights = group.get("fused") or group.get("capturable")  # then the count is read where they are
    for name, parameter in network.named_parameters():
        where = parameter.device if with_weights else None
        state: dict[str, Tensor] = {"step": torch.tensor(float(moments["steps"]), device=where)}
        for moment, torch_name in TORCH_MOMENTS.items():
            if moment in moments:
                state[torch_name] = torch.from_numpy(np.array(moments[moment][name])).to(parameter.device)
        optimizer.state[parameter] = state
