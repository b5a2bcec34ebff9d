"""Acting with a policy and a value network in torch: what PPO, A2C and REINFORCE share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from inscape.agents.distributions import CategoricalActions
from inscape.agents.interface import Array, State
from inscape.agents.tensors import to_arrays
from inscape.errors import UsageError


class TorchPolicy:
    """A network that acts, and the chance it acts with.

    Args:
        network: with `encoder`, `distribution`, `outputs(features, action_mask)` and `values(features)`, on its device.
        device: where it is.
        seed: of the chance.
        name: of the agent, for messages.

    Attributes:
        exploring: chance of acting while it learns.
    """

    def __init__(self, network: Any, device: torch.device, seed: int, name: str) -> None:
        self.network, self.device, self._name = network, device, name
        # acting outside `learn` has chance of its own, so that evaluating in between changes nothing
        self._acting = torch.Generator(device).manual_seed(seed * 2 + 1)
        self.exploring = torch.Generator(device).manual_seed(seed * 2)

    def act(self, observation: Array, action_mask: Array | None, greedy: bool) -> Array:
        """Returns `[B, ...]` actions as the environment takes them: the most probable ones, or drawn."""
        distribution = self.network.distribution
        with torch.inference_mode():
            outputs = self.network.outputs(self.network.encoder(observation), self.tensor(action_mask))
            actions = distribution.mode(outputs) if greedy else distribution.sample(outputs, self._acting)
        return np.asarray(distribution.to_environment(actions))

    def log_probs(self, observation: Array, action_mask: Array | None) -> Array:
        """Returns `[B, A]` log π(a|s).

        Raises:
            UsageError: the actions are not `Discrete`.
        """
        distribution = self.network.distribution
        if not isinstance(distribution, CategoricalActions):
            raise UsageError(
                f"log-probabilities of every action of {self._name}", expected="a task with Discrete actions"
            )
        with torch.inference_mode():
            outputs = self.network.outputs(self.network.encoder(observation), self.tensor(action_mask))
            return distribution.log_probs(outputs).cpu().numpy().astype(np.float64)

    def values(self, observation: Array) -> Array:
        """Returns `[B]` V(s)."""
        with torch.inference_mode():
            values: Tensor = self.network.values(self.network.encoder(observation))
            return values.cpu().numpy().astype(np.float64)

    def tensor(self, array: Array | None) -> Tensor | None:
        """Returns the array as a tensor where the network is."""
        return None if array is None else torch.as_tensor(array, device=self.device)

    def chance(self) -> State:
        """Returns where both streams of chance are."""
        return {"acting": to_arrays(self._acting.get_state()), "exploring": to_arrays(self.exploring.get_state())}

    def load_chance(self, state: State) -> None:
        """Goes on from `chance()`; a stream given as None stays where it is."""
        for name, generator in (("acting", self._acting), ("exploring", self.exploring)):
            if state[name] is not None:
                generator.set_state(torch.from_numpy(np.array(state[name])))
