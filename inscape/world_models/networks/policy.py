"""Policies in torch: the network, and acting with it. What PPO, A2C, REINFORCE and recurrent PPO share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from inscape.errors import UsageError
from inscape.world_models.networks.distributions import CategoricalActions, GaussianActions, action_distribution
from inscape.world_models.networks.encoders.encoder import ObservationEncoder
from inscape.world_models.networks.tensors import to_arrays
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class PolicyNetwork(nn.Module, ABC):
    """A policy and a value, of features of what is observed; how the features become either is the subclass's.

    Args:
        task: whose observations go in and whose actions come out.
        normalize: whether Box observations are standardised.

    Attributes:
        encoder: from observations to `[B, encoder.width]`; not learned.
        distribution: of the actions.
        scores: how many numbers the policy's last layer gives: logits, or means of continuous actions.
        log_std: `[scores]`, learned; None unless actions are continuous.

    Raises:
        UsageError: unsupported spaces.
    """

    def __init__(self, task: Task, normalize: bool) -> None:
        super().__init__()
        self.encoder = ObservationEncoder(task.observation_space, normalize)
        self.distribution = action_distribution(task.action_space)
        continuous = isinstance(self.distribution, GaussianActions)
        self.scores = self.distribution.width // 2 if continuous else self.distribution.width
        # the deviation does not depend on the observation: Schulman et al. (2017), section 6.1
        self.log_std = nn.Parameter(torch.zeros(self.scores)) if continuous else None

    @abstractmethod
    def outputs(self, features: Tensor, action_mask: Tensor | None) -> Tensor:
        """Returns `[..., width]` parameters of the action distribution; illegal actions have logit −inf."""

    @abstractmethod
    def values(self, features: Tensor) -> Tensor:
        """Returns `[...]` V(s)."""

    def completed(self, scores: Tensor, action_mask: Tensor | None) -> Tensor:
        """Returns `[..., width]` parameters of the action distribution from the last layer's `[..., scores]`."""
        if self.log_std is not None:
            return torch.cat([scores, self.log_std.expand_as(scores)], dim=-1)
        return scores if action_mask is None else scores.masked_fill(~action_mask, -math.inf)


class TorchPolicy:
    """A network that acts, and its random generators.

    Args:
        network: on its device.
        device: where it is.
        seed: of both random generators.
        name: of the agent, for messages.

    Attributes:
        exploring: random generator of acting while it learns.
    """

    def __init__(self, network: PolicyNetwork, device: torch.device, seed: int, name: str) -> None:
        self.network, self.device, self._name = network, device, name
        # acting outside `learn` uses a separate random generator, so that evaluating in between changes nothing
        self._acting = torch.Generator(device).manual_seed(seed * 2 + 1)
        self.exploring = torch.Generator(device).manual_seed(seed * 2)

    def features(self, observation: Array) -> Tensor:
        """Returns `[B, D]`, what policy and value are computed from; for acting, not for learning."""
        with torch.inference_mode():
            features: Tensor = self.network.encoder(observation)
            return features

    def act(self, observation: Array, action_mask: Array | None, greedy: bool) -> Array:
        """Returns `[B, ...]` actions as the environment takes them: the most probable ones, or drawn."""
        actions = self.chosen(self.features(observation), action_mask, greedy)
        return np.asarray(self.network.distribution.to_environment(actions))

    def chosen(self, features: Tensor, action_mask: Array | None, greedy: bool) -> Tensor:
        """Returns the same as the distribution has them, from features."""
        distribution = self.network.distribution
        with torch.inference_mode():
            outputs = self.network.outputs(features, self.tensor(action_mask))
            return distribution.mode(outputs) if greedy else distribution.sample(outputs, self._acting)

    def log_probs(self, observation: Array, action_mask: Array | None) -> Array:
        """Returns `[B, A]` log π(a|s).

        Raises:
            UsageError: the actions are not `Discrete`.
        """
        return self.log_probs_of(self.features(observation), action_mask)

    def log_probs_of(self, features: Tensor, action_mask: Array | None) -> Array:
        """The same from features."""
        distribution = self.network.distribution
        if not isinstance(distribution, CategoricalActions):
            raise UsageError(
                f"log-probabilities of every action of {self._name}", expected="a task with Discrete actions"
            )
        with torch.inference_mode():
            outputs = self.network.outputs(features, self.tensor(action_mask))
            return distribution.log_probs(outputs).cpu().numpy().astype(np.float64)

    def values(self, observation: Array) -> Array:
        """Returns `[B]` V(s)."""
        return self.values_of(self.features(observation))

    def values_of(self, features: Tensor) -> Array:
        """The same from features."""
        with torch.inference_mode():
            return self.network.values(features).cpu().numpy().astype(np.float64)

    def tensor(self, array: Array | None) -> Tensor | None:
        """Returns the array as a tensor where the network is."""
        return None if array is None else torch.as_tensor(array, device=self.device)

    def rng_state(self) -> State:
        """Returns where both random streams are."""
        return {"acting": to_arrays(self._acting.get_state()), "exploring": to_arrays(self.exploring.get_state())}

    def load_rng_state(self, state: State) -> None:
        """Goes on from `chance()`; a stream given as None stays where it is."""
        for name, generator in (("acting", self._acting), ("exploring", self.exploring)):
            if state[name] is not None:
                generator.set_state(torch.from_numpy(np.array(state[name])))
