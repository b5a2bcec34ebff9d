"""Policies' distributions over actions, on the raw outputs of a network.

Actions are `Discrete`, `MultiDiscrete`, `MultiBinary` or `Box`.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inscape.envs.tasks.checking.contract import in_box
from inscape.errors import UsageError
from inscape.world_models.networks.numpy_distributions import half_range


class ActionDistribution(Protocol):
    """A family of distributions; `outputs [B, width]` are its parameters, `actions` rows of what `sample` returns."""

    width: int

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor: ...
    def mode(self, outputs: Tensor) -> Tensor: ...
    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor: ...
    def entropy(self, outputs: Tensor) -> Tensor: ...
    def to_environment(self, actions: Tensor) -> NDArray[Any]: ...


class CategoricalActions:
    """One of n actions. `outputs [B, n]` are logits, −inf where illegal."""

    def __init__(self, space: gymnasium.spaces.Discrete[Any]) -> None:
        self.width, self.start = int(space.n), int(space.start)

    def log_probs(self, outputs: Tensor) -> Tensor:
        """Returns `[B, n]` normalised log-probabilities."""
        return outputs.log_softmax(dim=-1)

    def drawn(self, outputs: Tensor, uniforms: Tensor) -> Tensor:
        """Returns actions `[...]` by random numbers `[..., n]`, float64 in [0, 1)."""
        # Gumbel-max: the arg max of logits plus Gumbel noise has the softmax distribution
        return (outputs - uniforms.clamp(min=1e-300).log().neg().log()).argmax(dim=-1)

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        uniforms = torch.rand(outputs.shape, generator=generator, device=outputs.device, dtype=torch.float64)
        return self.drawn(outputs, uniforms)

    def mode(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(dim=-1)

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor:
        return self.log_probs(outputs).gather(-1, actions[..., None])[..., 0]

    def entropy(self, outputs: Tensor) -> Tensor:
        log_probs = self.log_probs(outputs)
        # 0 · log 0 = 0: illegal actions must add nothing, and no NaN to the gradient either
        return -(log_probs.exp() * log_probs.masked_fill(torch.isneginf(log_probs), 0.0)).sum(dim=-1)

    def to_environment(self, actions: Tensor) -> NDArray[Any]:
        return actions.cpu().numpy() + self.start


class MultiCategoricalActions:
    """Several independent choices. `outputs [B, Σ n_d]` are their logits side by side; actions are `[B, D]`."""

    def __init__(self, space: gymnasium.spaces.MultiDiscrete) -> None:
        self.sizes = [int(n) for n in space.nvec.reshape(-1)]
        self.width, self.shape = sum(self.sizes), space.nvec.shape
        self.start = space.start
        self._parts = [CategoricalActions(gymnasium.spaces.Discrete(n)) for n in self.sizes]

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        return torch.stack([p.sample(o, generator) for p, o in self._each(outputs)], dim=-1)

    def mode(self, outputs: Tensor) -> Tensor:
        return torch.stack([p.mode(o) for p, o in self._each(outputs)], dim=-1)

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor:
        return torch.stack([p.log_prob(o, actions[..., d]) for d, (p, o) in enumerate(self._each(outputs))]).sum(dim=0)

    def entropy(self, outputs: Tensor) -> Tensor:
        return torch.stack([p.entropy(o) for p, o in self._each(outputs)]).sum(dim=0)

    def to_environment(self, actions: Tensor) -> NDArray[Any]:
        return np.asarray(actions.cpu().numpy().reshape(len(actions), *self.shape) + self.start)

    def _each(self, outputs: Tensor) -> list[tuple[CategoricalActions, Tensor]]:
        return list(zip(self._parts, torch.split(outputs, self.sizes, dim=-1), strict=True))


class GaussianActions:
    """Independent normals. `outputs [B, 2·D]` are means and log standard deviations in units of half the range.

    Where there are bounds (below `heads.UNBOUNDED`), an action u means centre + u · half range; what falls outside is
    clipped only on its way to the environment, so that log-probabilities stay those of the unclipped normal; likewise
    rounded, where a Box holds whole numbers.
    """

    def __init__(self, space: gymnasium.spaces.Box) -> None:
        if space.dtype.kind not in "fiu":
            raise UsageError(f"actions {space}", expected="a Box of numbers")
        self.space, self.size = space, int(np.prod(space.shape))
        self.width = 2 * self.size
        self.centre, self.half = half_range(space)

    def drawn(self, outputs: Tensor, normals: Tensor) -> Tensor:
        """Returns actions `[..., D]` by random numbers `[..., D]`, standard normal."""
        mean, log_std = outputs.chunk(2, dim=-1)
        return mean + log_std.exp() * normals

    def sample(self, outputs: Tensor, generator: torch.Generator) -> Tensor:
        shape = (*outputs.shape[:-1], self.size)
        return self.drawn(outputs, torch.randn(shape, generator=generator, device=outputs.device))

    def mode(self, outputs: Tensor) -> Tensor:
        return outputs.chunk(2, dim=-1)[0]

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor:
        mean, log_std = outputs.chunk(2, dim=-1)
        standard = (actions - mean) * (-log_std).exp()
        return (-0.5 * standard**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(dim=-1)

    def entropy(self, outputs: Tensor) -> Tensor:
        return (outputs.chunk(2, dim=-1)[1] + 0.5 * math.log(2 * math.pi * math.e)).sum(dim=-1)

    def to_environment(self, actions: Tensor) -> NDArray[Any]:
        values = actions.cpu().numpy().reshape(len(actions), *self.space.shape) * self.half + self.centre
        return in_box(values, self.space)


def action_distribution(space: gymnasium.Space[Any]) -> ActionDistribution:
    """Returns the distribution family for an action space.

    Raises:
        UsageError: the space is neither Discrete, MultiDiscrete, MultiBinary nor a Box of numbers.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return CategoricalActions(space)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return MultiCategoricalActions(space)
    if isinstance(space, gymnasium.spaces.MultiBinary):
        return MultiCategoricalActions(gymnasium.spaces.MultiDiscrete(np.full(space.shape, 2)))
    if isinstance(space, gymnasium.spaces.Box):
        return GaussianActions(space)
    raise UsageError(f"actions {space}", expected="Discrete, MultiDiscrete, MultiBinary or Box actions")
