"""Proximal policy optimisation with a memory: for worlds whose observations do not determine the state.

A gated recurrent unit stands between what is observed and the heads for policy and value. Each copy's steps are learned
from as one sequence: it begins with what was remembered when it was collected, and memory is reset inside it
wherever an episode begins. Minibatches are whole copies. Gradients run back through a sequence, not beyond its start.

Source: Schulman et al. (2017), arXiv:1707.06347; a recurrent policy learned from sequences with their stored first
memory as in Mnih et al. (2016), arXiv:1602.01783, section 5.2, and Kapturowski et al. (2019), "Recurrent Experience
Replay", ICLR, section 3 ("stored state"); previous action and reward as inputs as in Wang et al. (2016),
"Learning to reinforcement learn", arXiv:1611.05763, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from inscape.agents.learning.settings_checks import require_counts
from inscape.agents.on_policy.agent import OnPolicyAgent
from inscape.agents.on_policy.base import LossTerms, Schedule
from inscape.agents.on_policy.gru import GRU
from inscape.agents.on_policy.ppo import ClipSettings, ppo_loss
from inscape.agents.on_policy.torch_learner import RolloutBatch, TorchLearner, whole_masks
from inscape.errors import UsageError
from inscape.world_models.networks.blas import blas_threads
from inscape.world_models.networks.device import resolve_device
from inscape.world_models.networks.distributions import GaussianActions, MultiCategoricalActions
from inscape.world_models.networks.features import refuse_pictures
from inscape.world_models.networks.modules import ACTIVATIONS, linear
from inscape.world_models.networks.policy import PolicyNetwork
from inscape.world_models.networks.tensors import to_arrays
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


@dataclass(frozen=True)
class RecurrentPPOSettings(ClipSettings):
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
    entropy_coef: float = 0.01
    """Weight of the entropy bonus."""
    memory: int = 64
    """Numbers remembered: the width of the gated recurrent unit."""
    hidden: tuple[int, ...] = ()
    """Widths of the layers between observation and memory."""
    previous_action: bool = True
    """Whether the last action is an input beside the observation."""
    previous_reward: bool = False
    """Whether the last reward is, as sign(r)·log(1 + |r|)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "memory")
        if self.minibatches > self.num_envs:
            raise UsageError(
                f"{self.num_envs} copies in {self.minibatches} minibatches",
                expected="at least a copy in each: a minibatch is whole sequences",
            )


class RecurrentActorCritic(PolicyNetwork):
    """Encoder, layers, memory, and a linear head each for policy and value: `features` are what is remembered.

    Attributes:
        recalled: width of what is seen of the last action, 0 where it is not.
    """

    def __init__(self, task: Task, settings: RecurrentPPOSettings, generator: torch.Generator) -> None:
        refuse_pictures(task.observation_space, "recurrent-ppo")
        super().__init__(task, settings.normalize_observations)
        self.recalled = self.scores if settings.previous_action else 0
        self.sees_reward = settings.previous_reward
        width = self.encoder.width + self.recalled + int(settings.previous_reward)
        layers: list[nn.Module] = []
        for hidden in settings.hidden:
            layers += [linear(width, hidden, math.sqrt(2), generator), ACTIVATIONS[settings.activation]()]
            width = hidden
        self.layers = nn.Sequential(*layers)
        self.gru = GRU(width, settings.memory, generator)
        self.actor = linear(settings.memory, self.scores, 0.01, generator)
        self.critic = linear(settings.memory, 1, 0.0, generator)  # see `first_weights`

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

    def outputs(self, features: Tensor, action_mask: Tensor | None) -> Tensor:
        return self.completed(self.actor(features), action_mask)

    def values(self, features: Tensor) -> Tensor:
        values: Tensor = self.critic(features)[..., 0]
        return values


@dataclass(frozen=True)
class Sequences(RolloutBatch):
    """What is learned from: T steps of B copies, time first. Its rows are the copies.

    `features` are `[T, B, D]`, what the memory takes in; all else is `[T, B, ...]` too.

    Attributes:
        first: `[B, memory]`, remembered before the first step.
        starts: `[T, B]` bool, steps with which an episode begins (for the first step see `first`).
    """

    first: Tensor
    starts: Tensor

    def __len__(self) -> int:
        return len(self.first)

    def of(self, rows: Any) -> Sequences:
        return replace(self._each(lambda column: column[:, rows]), first=self.first[rows], starts=self.starts[:, rows])

    def split(self, order: Tensor, count: int) -> Iterable[Tensor]:
        return order.tensor_split(count)


class RecurrentLearner(TorchLearner):
    """Collects and learns with a memory for each copy."""

    network: RecurrentActorCritic
    settings: RecurrentPPOSettings

    def __init__(self, agent: OnPolicyAgent, network: RecurrentActorCritic, device: torch.device) -> None:
        super().__init__(agent, network, device)
        s = self.settings
        # changed in place: what each copy remembers, last action included, and its last reward
        self._memory = torch.zeros(s.num_envs, s.memory + network.recalled, device=device)
        self._reward = torch.zeros(s.num_envs, dtype=torch.float64, device=device)

    # ------------------------------------------------------------------------------------------- acting

    def features(
        self, observation: Array, memory: Array | Tensor | None = None, reward: Array | Tensor | None = None
    ) -> Tensor:
        """Returns `[B, memory]`, what is remembered with this observation taken in; nothing was before where not given.

        Args:
            observation: `[B, ...]`.
            memory: `[B, memory + recalled]`.
            reward: `[B]`.
        """
        count, width = len(observation), self.settings.memory
        known = torch.as_tensor(self.initial_memory(count) if memory is None else memory, device=self.device)
        earned = torch.as_tensor(np.zeros(count) if reward is None else reward, device=self.device)
        network = self.network
        with torch.inference_mode(), blas_threads(self.settings.threads):
            inputs = network.inputs(network.encoder(observation), known[:, width:], earned)
            return network.remember_step(inputs, known[:, :width])

    def initial_memory(self, count: int) -> Array:
        """Returns `[count, memory + recalled]` zeros: nothing remembered, no last action."""
        return np.zeros((count, self.settings.memory + self.network.recalled), np.float32)

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None, greedy: bool
    ) -> tuple[Array, Array]:
        """Returns actions, and what is remembered from now on."""
        network = self.network
        remembered = self.features(observation, memory, reward)
        actions = self.chosen(remembered, action_mask, greedy)
        then = torch.cat([remembered, *([network.action_features(actions)] if network.recalled else [])], dim=-1)
        return network.distribution.to_environment(actions), then.cpu().numpy()

    # ------------------------------------------------------------------------------------------- learning

    def _begin_episodes(self) -> None:
        super()._begin_episodes()
        self._memory.zero_()
        self._reward.zero_()

    def collect(self) -> Sequences:
        """Acts for num_steps in every copy and turns the steps into sequences to learn from."""
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
                mask = self.tensor(copies.action_mask)
                memory, action = self._memory[:, :width], self._memory[:, width:]
                inputs.append(network.inputs(network.encoder(copies.observation), action, self._reward))
                hidden.append(network.remember_step(inputs[-1], memory))
                outputs.append(network.outputs(hidden[-1], mask))
                actions.append(self._sampled(outputs[-1]))
                masks.append(mask)
                transition = copies.step(network.distribution.to_environment(actions[-1]))
                rewards[t], terminated[t], truncated[t] = transition.reward, transition.terminated, transition.truncated
                self._remember(hidden[-1], actions[-1], transition.reward)
                if len(transition.ended):
                    if truncated[t].any():
                        over = torch.as_tensor(transition.ended, device=self.device)
                        known = self._memory[over], self._reward[over]
                        cut.append((t, transition.ended, self.features(transition.last_observation, *known)))
                    self._memory[transition.ended] = 0.0
                    self._reward[transition.ended] = 0.0
            values = self.values_of(torch.stack(hidden))
            after = self.features(copies.observation, self._memory, self._reward)
            next_values = np.concatenate([values[1:], self.values_of(after)[None]])
            for t, ended, remembered in cut:
                next_values[t, ended] = self.values_of(remembered)
            chosen = torch.stack(actions)
            old_log_probs = network.distribution.log_prob(torch.stack(outputs), chosen)
        advantages, returns, metrics = self._targets(rewards, values, next_values, terminated, truncated)
        network.encoder.update(seen.reshape(-1, *seen.shape[2:]))
        starts = np.zeros((time, count), bool)
        starts[1:] = (terminated | truncated)[:-1]
        legal = whole_masks(masks)
        return Sequences(
            torch.stack(inputs),
            None if legal is None else torch.stack(legal),
            chosen.clone(),
            old_log_probs.clone(),
            advantages,
            returns,
            {**metrics, **copies.episodes()},
            first,
            torch.as_tensor(starts, device=self.device),
        )

    def _remember(self, hidden: Tensor, actions: Tensor, reward: Array) -> None:
        """Notes what each copy remembers after a step."""
        self._memory[:, : self.settings.memory] = hidden
        if self.network.recalled:
            self._memory[:, self.settings.memory :] = self.network.action_features(actions)
        self._reward[:] = torch.as_tensor(reward, device=self.device)

    def _learned_features(self, part: RolloutBatch) -> Tensor:
        assert isinstance(part, Sequences)
        return self.network.remember(part.features, part.first, part.starts)

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {**super().state_dict(), "memory": to_arrays(self._memory), "reward": to_arrays(self._reward)}

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        if np.shape(state["memory"]) != tuple(self._memory.shape):
            raise UsageError(
                f"what {len(state['memory'])} copies remembered, {np.shape(state['memory'])[1]} numbers each",
                expected=f"{len(self._memory)} copies, {self._memory.shape[1]} numbers: the settings it was saved with",
            )
        self._memory.copy_(torch.from_numpy(np.array(state["memory"])))
        self._reward.copy_(torch.from_numpy(np.array(state["reward"])))


class RecurrentPPO(OnPolicyAgent):
    """Proximal policy optimisation with a gated recurrent unit: discrete, multi-discrete, continuous actions, masks.

    It acts by `act_with_memory`; `act`, `action_log_probs` and `state_values` answer as at the first step of an
    episode. Time limits do not end the sum of rewards: where an episode was cut, the value of its last observation,
    seen with all that was remembered by then, stands for the rest.
    """

    name = "recurrent-ppo"
    Settings = RecurrentPPOSettings
    learner: RecurrentLearner

    def _make_learner(self, task: Task, device: str) -> RecurrentLearner:
        network = RecurrentActorCritic(task, self.settings, torch.Generator().manual_seed(self.seed))
        return RecurrentLearner(self, network, resolve_device(device))

    def schedule(self, remaining: float) -> Schedule:
        s = self.settings
        kl = math.inf if s.target_kl is None else s.target_kl
        return Schedule(self._rate(remaining), s.clip, s.epochs, s.minibatches, kl)

    def loss(self, terms: LossTerms, clip: float | Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return ppo_loss(*terms, clip, self.settings.value_coef, self.settings.entropy_coef)

    def initial_memory(self, count: int) -> Array:
        return self.learner.initial_memory(count)

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        return self.learner.act_with_memory(observation, memory, reward, action_mask, self.settings.greedy)

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
        return self.learner.log_probs_of(self.learner.features(observation, memory, reward), action_mask)

    def state_values(self, observation: Array, memory: Array | None = None, reward: Array | None = None) -> Array:
        """Returns `[B]` V, the critic's estimate of the discounted return, given memory and last reward (else none)."""
        values = self.learner.values_of(self.learner.features(observation, memory, reward))
        return values * self.learner.value_unit
