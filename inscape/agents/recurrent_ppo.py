"""Proximal policy optimisation with a memory: for worlds whose observations do not tell the state.

A gated recurrent unit stands between what is observed and the heads for policy and value. Each copy's steps are learned
from as one sequence: it begins with what was remembered when it was collected, and memory begins anew inside it
wherever an episode does. Minibatches are whole copies. Gradients run back through a sequence, not beyond its start.

Source: Schulman et al. (2017), arXiv:1707.06347; a recurrent policy learned from sequences with their stored first
memory as in Mnih et al. (2016), arXiv:1602.01783, section 5.2, and Kapturowski et al. (2019), "Recurrent Experience
Replay", ICLR, section 3 ("stored state"); previous action and reward as inputs as in Wang et al. (2016),
"Learning to reinforcement learn", arXiv:1611.05763, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from inscape.agents.acting import greedy_log_probs
from inscape.agents.blas import blas_threads
from inscape.agents.copies import Copies
from inscape.agents.device import resolve_device
from inscape.agents.distributions import (
    CategoricalActions,
    GaussianActions,
    MultiCategoricalActions,
    action_distribution,
)
from inscape.agents.interface import Agent, Array, Metrics, State
from inscape.agents.networks import ACTIVATIONS, linear
from inscape.agents.normalization import ReturnNormalizer
from inscape.agents.observations import ObservationEncoder
from inscape.agents.on_policy import explained_variance
from inscape.agents.ppo import ppo_loss
from inscape.agents.recurrent import GRU
from inscape.agents.returns import generalized_advantages
from inscape.agents.settings_checks import (
    require_counts,
    require_positive,
    require_shares,
    require_weights,
    require_widths,
)
from inscape.agents.tensors import (
    learning_threads,
    load_module,
    load_optimizer,
    optimizer_arrays,
    require_finite_gradients,
    to_arrays,
)
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.registry import Task


@dataclass(frozen=True)
class RecurrentPPOSettings:
    """Settings of recurrent proximal policy optimisation."""

    num_envs: int = 32
    """Copies of the environment acted in side by side."""
    num_steps: int = 64
    """Steps each copy takes between two updates: how far back gradients reach."""
    epochs: int = 4
    """Passes over the collected sequences at each update."""
    minibatches: int = 4
    """Parts the copies are split into at each pass; one gradient step each."""
    learning_rate: float = 1e-3
    """Adam's step size at the beginning."""
    anneal: Literal["linear", "constant"] = "linear"
    """Whether the learning rate falls linearly to zero over the training."""
    gamma: float = 0.99
    """Discount per step."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation."""
    clip: float = 0.2
    """How far the probability ratio may leave 1 before it stops paying."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    entropy_coef: float = 0.01
    """Weight of the entropy bonus."""
    max_grad_norm: float = 0.5
    """Gradients are scaled down to this norm."""
    normalize_advantages: bool = True
    """Whether advantages are shifted and scaled to mean 0, deviation 1 in each minibatch."""
    normalize_observations: bool = False
    """Whether Box observations are standardised by their running mean and variance, saved with the agent."""
    normalize_rewards: bool = False
    """Whether rewards are divided by the running deviation of discounted returns, saved with the agent."""
    target_kl: float | None = None
    """Stop the passes of an update when the policy has moved this far (mean KL, nats); None never stops."""
    memory: int = 64
    """Numbers remembered: the width of the gated recurrent unit."""
    hidden: tuple[int, ...] = ()
    """Widths of the layers between observation and memory."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Nonlinearity of those layers."""
    previous_action: bool = True
    """Whether the last action is seen beside the observation."""
    previous_reward: bool = False
    """Whether the last reward is, as sign(r)·log(1 + |r|)."""
    greedy: bool = True
    """How it acts outside `learn`: True takes the most probable action, False draws from the policy."""
    threads: int = 1
    """CPU threads used while learning; more than one only pays for large networks."""

    def __post_init__(self) -> None:
        require_counts(self, "num_envs", "num_steps", "epochs", "minibatches", "memory", "threads")
        require_shares(self, "gamma", "gae_lambda")
        require_positive(self, "learning_rate", "clip", "max_grad_norm")
        require_positive(self, *(["target_kl"] if self.target_kl is not None else []))
        require_weights(self, "value_coef", "entropy_coef")
        require_widths(self)
        if self.minibatches > self.num_envs:
            raise UsageError(
                f"{self.num_envs} copies in {self.minibatches} minibatches",
                expected="at least a copy in each: a minibatch is whole sequences",
            )
        if self.num_envs * self.num_steps < 2 * self.minibatches:
            raise UsageError(
                f"{self.num_envs} copies × {self.num_steps} steps in {self.minibatches} minibatches",
                expected="at least 2 steps in each minibatch",
            )


class RecurrentActorCritic(nn.Module):
    """Encoder, layers, memory, and a linear head each for policy and value.

    Attributes:
        recalled: width of what is seen of the last action, 0 where it is not.
    """

    def __init__(self, task: Task, settings: RecurrentPPOSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.encoder = ObservationEncoder(task.observation_space, settings.normalize_observations)
        self.distribution = action_distribution(task.action_space)
        continuous = isinstance(self.distribution, GaussianActions)
        outputs = self.distribution.width // 2 if continuous else self.distribution.width
        self.recalled = outputs if settings.previous_action else 0
        self.sees_reward = settings.previous_reward
        width = self.encoder.width + self.recalled + int(settings.previous_reward)
        layers: list[nn.Module] = []
        for hidden in settings.hidden:
            layers += [linear(width, hidden, math.sqrt(2), generator), ACTIVATIONS[settings.activation]()]
            width = hidden
        self.layers = nn.Sequential(*layers)
        self.gru = GRU(width, settings.memory, generator)
        self.actor = linear(settings.memory, outputs, 0.01, generator)
        self.critic = linear(settings.memory, 1, 1.0, generator)
        # the deviation does not depend on the observation, as in the paper
        self.log_std = nn.Parameter(torch.zeros(outputs)) if continuous else None

    def inputs(self, features: Tensor, last_action: Tensor, last_reward: Tensor) -> Tensor:
        """Returns `[B, D]`, all that is seen: features, the last action's `[B, recalled]`, the last reward `[B]`."""
        seen = [features]
        if self.recalled:
            seen.append(last_action)
        if self.sees_reward:
            seen.append((last_reward.sign() * last_reward.abs().log1p()).to(torch.float32)[:, None])
        return torch.cat(seen, dim=-1) if len(seen) > 1 else features

    def action_features(self, actions: Tensor) -> Tensor:
        """Returns `[B, recalled]`: one-hots of discrete actions, continuous ones as they are."""
        if isinstance(self.distribution, GaussianActions):
            return actions
        if isinstance(self.distribution, MultiCategoricalActions):
            columns = [one_hot(actions[:, d], size) for d, size in enumerate(self.distribution.sizes)]
            return torch.cat(columns, dim=-1).to(torch.float32)
        return one_hot(actions, self.distribution.width).to(torch.float32)

    def remember(self, inputs: Tensor, first: Tensor, starts: Tensor) -> Tensor:
        """Returns `[T, B, memory]` from inputs `[T, B, D]`, the memory before `[B, memory]`, and episode starts."""
        remembered: Tensor = self.gru(self.layers(inputs), first, starts)
        return remembered

    def remember_step(self, inputs: Tensor, memory: Tensor) -> Tensor:
        """Returns `[B, memory]`, what is remembered after one step with inputs `[B, D]`."""
        starts = torch.zeros(1, len(inputs), dtype=torch.bool, device=inputs.device)
        return self.remember(inputs[None], memory, starts)[0]

    def outputs(self, remembered: Tensor, action_mask: Tensor | None) -> Tensor:
        """Returns `[..., width]` parameters of the action distribution; illegal actions have logit −inf."""
        outputs: Tensor = self.actor(remembered)
        if self.log_std is not None:
            return torch.cat([outputs, self.log_std.expand_as(outputs)], dim=-1)
        return outputs if action_mask is None else outputs.masked_fill(~action_mask, -math.inf)

    def values(self, remembered: Tensor) -> Tensor:
        """Returns `[...]` V of what is remembered."""
        values: Tensor = self.critic(remembered)[..., 0]
        return values


@dataclass(frozen=True)
class Sequences:
    """What one round of acting gave: T steps of B copies, time first.

    Attributes:
        inputs: `[T, B, D]`.
        first: `[B, memory]`, remembered before the first step.
        starts: `[T, B]` bool, steps with which an episode begins (at the first step `first` says it).
        action_masks: `[T, B, A]` bool, or None.
        actions: `[T, B, ...]`.
        old_log_probs, advantages, returns: `[T, B]`.
        metrics: how the episodes went that ended.
    """

    inputs: Tensor
    first: Tensor
    starts: Tensor
    action_masks: Tensor | None
    actions: Tensor
    old_log_probs: Tensor
    advantages: Tensor
    returns: Tensor
    metrics: Metrics

    def of_copies(self, copies: Tensor) -> Sequences:
        """Returns the sequences of some copies."""
        return replace(
            self,
            inputs=self.inputs[:, copies],
            first=self.first[copies],
            starts=self.starts[:, copies],
            action_masks=None if self.action_masks is None else self.action_masks[:, copies],
            actions=self.actions[:, copies],
            old_log_probs=self.old_log_probs[:, copies],
            advantages=self.advantages[:, copies],
            returns=self.returns[:, copies],
        )


class RecurrentPPO(Agent):
    """Proximal policy optimisation with a gated recurrent unit: discrete, multi-discrete, continuous actions, masks.

    It acts by `act_with_memory`; `act`, `action_log_probs` and `state_values` answer as at the first step of an
    episode. Time limits do not end the sum of rewards: where an episode was cut, the value of its last observation,
    seen with all that was remembered by then, stands for the rest.

    Args:
        task: what to act in.
        seed: seed of weights, exploration and environment.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        settings: see `RecurrentPPOSettings`.

    Raises:
        UsageError: unsupported spaces, or CUDA where there is none.
    """

    name = "recurrent-ppo"

    def __init__(
        self, task: Task, seed: int = 0, device: str = "cpu", settings: RecurrentPPOSettings | None = None
    ) -> None:
        self.settings = s = settings or RecurrentPPOSettings()
        self.seed, self.device = seed, resolve_device(device)
        self.network = RecurrentActorCritic(task, s, torch.Generator().manual_seed(seed)).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=s.learning_rate, eps=1e-5, fused=True)
        # acting outside `learn` has chance of its own, so that evaluating in between changes nothing
        self._acting = torch.Generator(self.device).manual_seed(seed * 2 + 1)
        self._exploring = torch.Generator(self.device).manual_seed(seed * 2)
        self._rewards = ReturnNormalizer(s.num_envs, s.gamma) if s.normalize_rewards else None
        self.steps = 0
        self._copies: Copies | None = None
        self._pending: State | None = None  # the copies' part of a loaded state, until `learn` has a task
        self._memory = torch.zeros(s.num_envs, s.memory + self.network.recalled, device=self.device)
        self._reward = torch.zeros(s.num_envs, dtype=torch.float64, device=self.device)

    # ------------------------------------------------------------------------------------------- acting

    def initial_memory(self, count: int) -> Array:
        """Returns `[count, memory + recalled]` zeros: nothing remembered, no last action."""
        return np.zeros((count, self.settings.memory + self.network.recalled), np.float32)

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        distribution = self.network.distribution
        with torch.inference_mode(), blas_threads(self.settings.threads):
            remembered = self._remembered(observation, memory, reward)
            outputs = self.network.outputs(remembered, self._tensor(action_mask))
            actions = distribution.mode(outputs) if self.settings.greedy else distribution.sample(outputs, self._acting)
            then = [remembered, *([self.network.action_features(actions)] if self.network.recalled else [])]
            return distribution.to_environment(actions), torch.cat(then, dim=-1).cpu().numpy()

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        count = len(observation)
        return self.act_with_memory(observation, self.initial_memory(count), np.zeros(count), action_mask)[0]

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities as it acts: the policy's, or 0 and −inf when the settings say `greedy`.

        Raises:
            UsageError: the actions are not `Discrete`.
        """
        log_probs = self.policy_log_probs(observation, action_mask)
        return greedy_log_probs(log_probs) if self.settings.greedy else log_probs

    def policy_log_probs(
        self,
        observation: Array,
        action_mask: Array | None = None,
        memory: Array | None = None,
        reward: Array | None = None,
    ) -> Array:
        """Returns `[B, A]` log π(a|s), whether or not it acts greedily, given memory and last reward (else none).

        Raises:
            UsageError: the actions are not `Discrete`.
        """
        distribution = self.network.distribution
        if not isinstance(distribution, CategoricalActions):
            raise UsageError(
                f"log-probabilities of every action of {self.name}", expected="a task with Discrete actions"
            )
        with torch.inference_mode(), blas_threads(self.settings.threads):
            remembered = self._remembered(observation, memory, reward)
            outputs = self.network.outputs(remembered, self._tensor(action_mask))
            return distribution.log_probs(outputs).cpu().numpy().astype(np.float64)

    def state_values(self, observation: Array, memory: Array | None = None, reward: Array | None = None) -> Array:
        """Returns `[B]` V, the critic's estimate of the discounted return, given memory and last reward (else none)."""
        with torch.inference_mode(), blas_threads(self.settings.threads):
            remembered = self._remembered(observation, memory, reward)
            return self.network.values(remembered).cpu().numpy().astype(np.float64)

    def _remembered(self, observation: Array, memory: Array | None, reward: Array | None) -> Tensor:
        """Returns `[B, memory]`, what is remembered with this observation taken in."""
        known = torch.as_tensor(self.initial_memory(len(observation)) if memory is None else memory, device=self.device)
        earned = torch.as_tensor(np.zeros(len(observation)) if reward is None else reward, device=self.device)
        hidden, action = known[:, : self.settings.memory], known[:, self.settings.memory :]
        return self.network.remember_step(
            self.network.inputs(self.network.encoder(observation), action, earned), hidden
        )

    def _tensor(self, array: Array | None) -> Tensor | None:
        return None if array is None else torch.as_tensor(array, device=self.device)

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps in total (whole rounds of num_envs · num_steps); yields each.

        Resuming is exact on worlds of ours; on other environments a resumed run begins new episodes.

        Raises:
            UsageError: an observation, a reward or a gradient is not finite (naming step, and copy or tensor).
        """
        if self._copies is None:
            self._begin(task)
        while self.steps < steps:
            remaining = max(0.0, 1.0 - self.steps / steps)
            with learning_threads(self.settings.threads):
                sequences = self.collect()
                parts = self.update(sequences, remaining)
            self.steps += self.settings.num_envs * self.settings.num_steps
            yield {"steps": float(self.steps), **sequences.metrics, **parts}

    def _begin(self, task: Task) -> None:
        count, pending = self.settings.num_envs, self._pending
        self._copies = Copies(task, count, self.seed, steps=self.steps // count, state=pending)
        if pending is not None and pending["env"] is None:  # episodes begin: there is nothing to remember
            self._memory.zero_()
            self._reward.zero_()
            if self._rewards is not None:
                self._rewards.restart()
        self._pending = None

    def collect(self) -> Sequences:
        """Acts for num_steps in every copy and turns what happened into sequences to learn from."""
        s, network, copies = self.settings, self.network, self._copies
        assert copies is not None
        time, count, width = s.num_steps, s.num_envs, s.memory
        seen = np.empty((time, *copies.observation.shape), copies.observation.dtype)
        rewards = np.empty((time, count))
        terminated, truncated = np.empty((time, count), bool), np.empty((time, count), bool)
        inputs, hidden, outputs, actions, masks = [], [], [], [], []
        cut: list[tuple[int, Array, Tensor]] = []  # step, copies, what they remembered after their last observation
        first = self._memory[:, :width].clone()
        with torch.inference_mode():
            for t in range(time):
                seen[t] = copies.observation
                mask = self._tensor(copies.action_mask)
                memory, action = self._memory[:, :width], self._memory[:, width:]
                inputs.append(network.inputs(network.encoder(copies.observation), action, self._reward))
                hidden.append(network.remember_step(inputs[-1], memory))
                outputs.append(network.outputs(hidden[-1], mask))
                actions.append(network.distribution.sample(outputs[-1], self._exploring))
                masks.append(mask)
                happened = copies.step(network.distribution.to_environment(actions[-1]))
                rewards[t], terminated[t], truncated[t] = happened.reward, happened.terminated, happened.truncated
                self._remember(hidden[-1], actions[-1], happened.reward)
                if len(happened.ended):
                    if truncated[t].any():
                        cut.append((t, happened.ended, self._taken_in(happened.last_observation, happened.ended)))
                    self._memory[happened.ended] = 0.0
                    self._reward[happened.ended] = 0.0
            everything = torch.stack(hidden)
            after = self._taken_in(copies.observation, np.arange(count))
            values = network.values(everything).cpu().numpy().astype(np.float64)
            next_values = np.concatenate([values[1:], network.values(after).cpu().numpy()[None]])
            for t, ended, remembered in cut:
                next_values[t, ended] = network.values(remembered).cpu().numpy()
            chosen = torch.stack(actions)
            old_log_probs = network.distribution.log_prob(torch.stack(outputs), chosen)
        over = terminated | truncated
        scaled = rewards if self._rewards is None else self._rewards(rewards, over)
        advantages = generalized_advantages(
            scaled.T, values.T, next_values.T, terminated.T, truncated.T, s.gamma, s.gae_lambda
        ).T
        network.encoder.update(seen.reshape(-1, *seen.shape[2:]))
        starts = np.zeros((time, count), bool)
        starts[1:] = over[:-1]
        return Sequences(
            torch.stack(inputs),
            first,
            torch.as_tensor(starts, device=self.device),
            None if masks[0] is None else torch.stack([mask for mask in masks if mask is not None]),
            chosen.clone(),
            old_log_probs.clone(),
            torch.as_tensor(np.ascontiguousarray(advantages), dtype=torch.float32, device=self.device),
            torch.as_tensor(advantages + values, dtype=torch.float32, device=self.device),
            {"explained_variance": explained_variance(values, advantages + values), **copies.episodes()},
        )

    def _remember(self, hidden: Tensor, actions: Tensor, reward: Array) -> None:
        """Notes what each copy remembers after a step: in place, because it is what a checkpoint holds."""
        self._memory[:, : self.settings.memory] = hidden
        if self.network.recalled:
            self._memory[:, self.settings.memory :] = self.network.action_features(actions)
        self._reward[:] = torch.as_tensor(reward, device=self.device)

    def _taken_in(self, observation: Array, copies: Array) -> Tensor:
        """Returns `[E, memory]`, what some copies would remember after one more observation `[E, ...]`."""
        network, width = self.network, self.settings.memory
        rows = torch.as_tensor(copies, device=self.device)
        known = self._memory[rows]
        inputs = network.inputs(network.encoder(observation), known[:, width:], self._reward[rows])
        return network.remember_step(inputs, known[:, :width])

    def update(self, sequences: Sequences, remaining: float) -> Metrics:
        """Runs the epochs of gradient steps; returns the means of the loss's parts over the last epoch.

        Args:
            sequences: of all copies.
            remaining: the part of the training still ahead, 1 to 0, for the learning rate.
        """
        s = self.settings
        rate = s.learning_rate * (remaining if s.anneal == "linear" else 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        updates, parts = 0, list[dict[str, Tensor]]()
        for _ in range(s.epochs):
            order = torch.randperm(s.num_envs, generator=self._exploring, device=self.device)
            parts = []
            for copies in order.tensor_split(s.minibatches):
                parts.append(self.gradient_step(sequences.of_copies(copies)))
                updates += 1
            if s.target_kl is not None and float(torch.stack([p["kl"] for p in parts]).mean()) > s.target_kl:
                break
        means = {name: float(torch.stack([part[name] for part in parts]).mean()) for name in parts[0]}
        return {**means, "learning_rate": rate, "updates": float(updates)}

    def loss(self, sequences: Sequences) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the loss of PPO on whole sequences, and its parts."""
        s, network = self.settings, self.network
        remembered = network.remember(sequences.inputs, sequences.first, sequences.starts)
        outputs = network.outputs(remembered, sequences.action_masks)
        advantages = sequences.advantages
        if s.normalize_advantages:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        return ppo_loss(
            network.distribution.log_prob(outputs, sequences.actions),
            sequences.old_log_probs,
            advantages,
            network.values(remembered),
            sequences.returns,
            network.distribution.entropy(outputs),
            s.clip,
            s.value_coef,
            s.entropy_coef,
        )

    def gradient_step(self, sequences: Sequences) -> dict[str, Tensor]:
        """Takes one gradient step on some copies' sequences; returns the parts of the loss."""
        loss, parts = self.loss(sequences)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        # checked before they are scaled: a norm that is not finite would spread to every gradient
        norm = nn.utils.get_total_norm([p.grad for p in self.network.parameters() if p.grad is not None])
        named = self.network.named_parameters()
        require_finite_gradients(float(norm), float(loss.detach()), named, self.steps, self.name)
        nn.utils.clip_grads_with_norm_(self.network.parameters(), self.settings.max_grad_norm, norm)
        self.optimizer.step()
        return parts

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {
            "network": to_arrays(self.network.state_dict()),
            "optimizer": optimizer_arrays(self.optimizer),
            "steps": self.steps,
            "acting": to_arrays(self._acting.get_state()),
            "exploring": to_arrays(self._exploring.get_state()),
            "reward_scale": None if self._rewards is None else self._rewards.state_dict(),
            "copies": self._pending if self._copies is None else self._copies.state_dict(),
            "memory": to_arrays(self._memory),
            "reward": to_arrays(self._reward),
        }

    def load_state_dict(self, state: State) -> None:
        load_module(self.network, state["network"])
        load_optimizer(self.optimizer, state["optimizer"])
        if np.shape(state["memory"]) != tuple(self._memory.shape):
            raise UsageError(
                f"what {len(state['memory'])} copies remembered, {np.shape(state['memory'])[1]} numbers each",
                expected=f"{len(self._memory)} copies, {self._memory.shape[1]} numbers: the settings it was saved with",
            )
        self.steps = int(state["steps"])
        self._acting.set_state(torch.from_numpy(np.array(state["acting"])))
        self._exploring.set_state(torch.from_numpy(np.array(state["exploring"])))
        if self._rewards is not None:
            self._rewards.load_state_dict(state["reward_scale"])
        self._memory.copy_(torch.from_numpy(np.array(state["memory"])))
        self._reward.copy_(torch.from_numpy(np.array(state["reward"])))
        self._copies, self._pending = None, state["copies"]
