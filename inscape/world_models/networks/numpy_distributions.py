"""What the outputs of a policy's network mean, in NumPy: what `distributions` is in torch. Imports no torch."""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium
import numpy as np

from inscape.errors import UsageError
from inscape.world_models.networks.types import Array

UNBOUNDED = 1e19
"""Bounds of actions from this magnitude on are as good as none (`finfo.max` is meant so): single precision cannot hold
the square of such a range, nor the range of the largest."""


class NumpyDistribution(Protocol):
    """A family of distributions over actions.

    Attributes:
        outputs: how many numbers the network gives for an observation.
        free: how many parameters there are beside the network's.
        scaling: `[4, D]` float32, (half range, centre, low, high) of each dimension; D = 0 where actions are numbered.
    """

    outputs: int
    free: int
    scaling: Array

    def actions(self, *shape: int) -> Array:
        """Returns memory for so many actions, as the policy draws them."""

    def taken(self, count: int) -> Array:
        """Returns memory for so many actions, as the world takes them."""

    def act(
        self, outputs: Array, free: Array, action_mask: Array | None, greedy: bool, rng: np.random.Generator
    ) -> Array:
        """Returns `[B, ...]` actions as the environment takes them: the most probable ones, or drawn."""

    def log_probs(self, outputs: Array, action_mask: Array | None) -> Array:
        """Returns `[B, A]` log-probabilities of every action.

        Raises:
            UsageError: there is no number of actions.
        """


class NumpyCategorical:
    """One of n actions; outputs are their logits."""

    free = 0
    scaling = np.zeros((4, 0), np.float32)

    def __init__(self, space: gymnasium.spaces.Discrete[Any]) -> None:
        self.outputs, self._start = int(space.n), int(space.start)

    def actions(self, *shape: int) -> Array:
        return np.zeros(shape, np.int64)

    def taken(self, count: int) -> Array:
        return np.zeros(count, np.int64)

    def act(
        self, outputs: Array, free: Array, action_mask: Array | None, greedy: bool, rng: np.random.Generator
    ) -> Array:
        scores = self.log_probs(outputs, action_mask)
        if not greedy:
            scores = scores + rng.gumbel(size=scores.shape)  # the arg max has the distribution
        return np.asarray(np.argmax(scores, axis=1)) + self._start

    def log_probs(self, outputs: Array, action_mask: Array | None) -> Array:
        logits = outputs.astype(np.float64)
        if action_mask is not None:
            logits = np.where(action_mask, logits, -np.inf)
        logits -= logits.max(axis=1, keepdims=True)
        return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


class NumpyGaussian:
    """Independent normals; outputs are their means, free parameters their log standard deviations.

    Both in units of half the range, as in `distributions.GaussianActions`: what falls outside is clipped only on its
    way to the environment.
    """

    def __init__(self, space: gymnasium.spaces.Box) -> None:
        self.outputs = self.free = int(np.prod(space.shape))
        self._space = space
        centre, half = half_range(space)
        with np.errstate(over="ignore"):  # a bound beyond single precision is infinite
            self.scaling = np.array([part.reshape(-1) for part in (half, centre, space.low, space.high)], np.float32)

    def actions(self, *shape: int) -> Array:
        return np.zeros((*shape, self.outputs), np.float32)

    def taken(self, count: int) -> Array:
        return self.actions(count)

    def act(
        self, outputs: Array, free: Array, action_mask: Array | None, greedy: bool, rng: np.random.Generator
    ) -> Array:
        noise = 0.0 if greedy else np.exp(free) * rng.standard_normal(outputs.shape, np.float32)
        half, centre, low, high = self.scaling
        actions = np.clip((outputs + noise) * half + centre, low, high)
        return np.asarray(actions.reshape(-1, *self._space.shape).astype(self._space.dtype))

    def log_probs(self, outputs: Array, action_mask: Array | None) -> Array:
        raise UsageError("log-probabilities of every action", expected="a task with Discrete actions")


def half_range(space: gymnasium.spaces.Box) -> tuple[Array, Array]:
    """Returns (centre, half range) of each dimension: an action u means centre + half · u; u itself where there is no
    bound, or one of at least `UNBOUNDED`."""
    # in half precision the range of the largest bounds would be infinite
    low, high = (bound.astype(np.result_type(bound, np.float32)) for bound in (space.low, space.high))
    bounded = (np.abs(low) < UNBOUNDED) & (np.abs(high) < UNBOUNDED)
    low, high = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
    return (low + high) / 2, (high - low) / 2


def numpy_distribution(space: gymnasium.Space[Any]) -> NumpyDistribution:
    """Returns the head for an action space, Discrete or Box."""
    if isinstance(space, gymnasium.spaces.Box):
        return NumpyGaussian(space)
    assert isinstance(space, gymnasium.spaces.Discrete)
    return NumpyCategorical(space)
