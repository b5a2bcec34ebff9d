"""Distributions over action sequences: Gaussian, and categorical at each step.

Sources: noise with power ∝ 1/f^β: Timmer & König (1995), "On generating power law noise", Astronomy and Astrophysics
300, whose amplitudes are drawn as well; categorical draws as the largest of log p + Gumbel noise: Gumbel (1954), as in
Maddison, Tarlow & Minka (2014), "A* sampling", NeurIPS, section 2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Rngs = list[np.random.Generator]


@lru_cache(maxsize=32)
def amplitudes(horizon: int, exponent: float) -> np.ndarray:
    """Returns `[H // 2 + 1]` what the terms of a spectrum are multiplied by: variance 1 at each step, power ∝ 1/f^β.

    Frequency 0 has the power of the lowest one above it.
    """
    frequency = np.fft.rfftfreq(horizon)
    power = np.maximum(frequency, 1.0 / horizon) ** -exponent
    # how many numbers of the sequence a term stands for: itself and its mirror image, of which 0 and 1/2 have none
    share = np.where((frequency == 0.0) | (frequency == 0.5), 1.0, 2.0)
    scale = np.sqrt(horizon * power / (share * power).sum() * horizon / 2.0)
    scale[share == 1.0] *= np.sqrt(2.0)
    scale.setflags(write=False)
    return np.asarray(scale)


def coloured_noise(rngs: Rngs, shape: tuple[int, ...], horizon: int, exponent: float) -> np.ndarray:
    """Returns `[B, *shape, H]` standard normal numbers, correlated along the last axis; row b from generator b."""
    noise = np.empty((len(rngs), *shape, horizon))
    for row, rng in zip(noise, rngs):
        rng.standard_normal(out=row)
        if exponent > 0.0 and horizon > 1:  # a product with a matrix would be shorter, but BLAS starts threads for it
            scale, terms = amplitudes(horizon, exponent), np.zeros((*shape, horizon // 2 + 1), np.complex128)
            terms.real = row[..., : horizon // 2 + 1]
            terms.imag[..., 1 : (horizon + 1) // 2] = row[..., horizon // 2 + 1 :]
            row[...] = np.fft.irfft(scale * terms, horizon)
    return noise


class Proposal(ABC):
    """A distribution over action sequences for each of B states."""

    @abstractmethod
    def sample(self, rngs: Rngs, count: int, exponent: float) -> np.ndarray:
        """Returns `[B, count, H]` or `[B, count, H, D]` sequences; row b from generator b alone."""

    @abstractmethod
    def fitted(self, sequences: np.ndarray, weights: np.ndarray, momentum: float, spread: bool) -> Proposal:
        """Returns the distribution moved towards `[B, N]` weighted sequences, which sum to 1 per row.

        Args:
            sequences: `[B, N, H, …]`. weights: `[B, N]`.
            momentum: weight of what it is now.
            spread: whether its deviation moves too (Gaussian).
        """

    @abstractmethod
    def centre(self) -> np.ndarray:
        """Returns `[B, H, …]`: its mean, or the most probable actions."""

    @abstractmethod
    def carried(self) -> np.ndarray:
        """Returns `[B, K]`: what the next decision, a step on, starts from."""


@dataclass(frozen=True, eq=False)
class Gaussian(Proposal):
    """Independent components of mean and deviation `[B, H, D]`; what is drawn is brought within bounds.

    Attributes:
        mean, std: `[B, H, D]`.
        low, high: `[D]` bounds of the actions.
    """

    mean: np.ndarray
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def sample(self, rngs: Rngs, count: int, exponent: float) -> np.ndarray:
        _, horizon, dimensions = self.mean.shape
        noise = coloured_noise(rngs, (count, dimensions), horizon, exponent).swapaxes(2, 3)
        drawn = self.mean[:, None] + self.std[:, None] * noise
        return np.asarray(np.clip(drawn, self.low, self.high, out=drawn))

    def fitted(self, sequences: np.ndarray, weights: np.ndarray, momentum: float, spread: bool) -> Gaussian:
        shape = weights.shape + (1,) * (sequences.ndim - 2)
        weighed = weights.reshape(shape)
        mean = (weighed * sequences).sum(axis=1)
        std = self.std
        if spread:
            variance = (weighed * (sequences - mean[:, None]) ** 2).sum(axis=1)
            std = momentum * self.std + (1.0 - momentum) * np.sqrt(variance)
        return Gaussian(momentum * self.mean + (1.0 - momentum) * mean, std, self.low, self.high)

    def centre(self) -> np.ndarray:
        return np.asarray(np.clip(self.mean, self.low, self.high))

    def carried(self) -> np.ndarray:
        return np.asarray(shifted(self.mean).reshape(len(self.mean), -1))


@dataclass(frozen=True, eq=False)
class Categorical(Proposal):
    """Independent choices, with probabilities `probs [B, H, A]` at each step."""

    probs: np.ndarray

    def sample(self, rngs: Rngs, count: int, exponent: float) -> np.ndarray:
        horizon, actions = self.probs.shape[1:]
        if exponent == 0.0:
            drawn = np.array([rng.random((count, horizon)) for rng in rngs])
            cumulative = self.probs.cumsum(axis=2)
            cumulative[..., -1] = 1.0
            return np.asarray((drawn[..., None] >= cumulative[:, None]).sum(axis=3))
        from scipy.special import ndtr

        # the largest of log p + Gumbel noise has probability p, whatever the noise of other steps is
        share = np.clip(ndtr(coloured_noise(rngs, (count, actions), horizon, exponent)), 1e-300, 1.0 - 2.0**-53)
        with np.errstate(divide="ignore"):
            scores = np.log(self.probs).swapaxes(1, 2)[:, None] - np.log(-np.log(share))
        return np.asarray(scores.argmax(axis=2))

    def fitted(self, sequences: np.ndarray, weights: np.ndarray, momentum: float, spread: bool) -> Categorical:
        chosen = sequences[..., None] == np.arange(self.probs.shape[2])
        share = (weights[:, :, None, None] * chosen).sum(axis=1)
        return Categorical(momentum * self.probs + (1.0 - momentum) * share)

    def centre(self) -> np.ndarray:
        return np.asarray(self.probs.argmax(axis=2))

    def carried(self) -> np.ndarray:
        ahead = np.concatenate([self.probs[:, 1:], np.full_like(self.probs[:, :1], 1.0 / self.probs.shape[2])], axis=1)
        return np.asarray(ahead.reshape(len(ahead), -1))


def shifted(sequences: np.ndarray, axis: int = 1) -> np.ndarray:
    """Returns sequences a step on, the last action repeated; `axis` is that of time."""
    last = np.take(sequences, [-1], axis=axis)
    rest = np.take(sequences, np.arange(1, sequences.shape[axis]), axis=axis)
    return np.concatenate([rest, last], axis=axis)
