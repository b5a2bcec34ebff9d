"""The parts of an observation: how each is encoded, predicted, sampled and scored.

Choices (Discrete, MultiDiscrete, small whole numbers) are categorical; bits (MultiBinary, the hashed words of a
sentence) are Bernoulli; all other numbers are Gaussian on a scale of their own: a density, or, of whole numbers (bytes
of pictures too), the mass of the unit interval around each.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from inscape.errors import UsageError
from inscape.world_models.learned.latent.scales import symexp, symlog
from inscape.world_models.learned.latent.settings import LatentSettings
from inscape.world_models.networks.encoders.features import picture_layout
from inscape.world_models.networks.encoders.packing import packing_of
from inscape.world_models.networks.modules import linear

FEW = 32
"""A whole number of at most so many values is a choice."""
MOST = 65_536
"""Numbers of a part at most."""
LOG_STD = (-6.0, 4.0)


def perceptron(
    inputs: int, outputs: int, s: LatentSettings, generator: torch.Generator, gain: float = 1.0
) -> nn.Module:
    """Returns `s.layers` hidden layers of `s.width` with SiLU, and a linear one."""
    made: list[nn.Module] = []
    for _ in range(s.layers):
        made += [linear(inputs, s.width, 1.0, generator), nn.SiLU()]
        inputs = s.width
    return nn.Sequential(*made, linear(inputs, outputs, gain, generator))


class Choices(nn.Module):
    """Some choices among few values each."""

    low: Tensor

    def __init__(self, sizes: list[int], low: np.ndarray) -> None:
        super().__init__()
        self.sizes, self.size = sizes, len(sizes)
        self.width = self.inputs = sum(sizes)
        self.register_buffer("low", torch.as_tensor(np.asarray(low, np.int64).ravel()), persistent=False)

    def check(self, values: np.ndarray, name: str) -> None:
        """Raises UsageError if one of `[N, size]` values is none of the choices."""
        whole = values - self.low.cpu().numpy()
        wrong = ~((whole >= 0) & (whole < np.array(self.sizes)) & (whole % 1 == 0))
        if wrong.any():
            row, field = map(int, np.argwhere(wrong)[0])
            low = int(self.low[field])
            raise UsageError(
                f"{name or 'an observation'}, number {field}, is {values[row, field]} at step {row}",
                expected=f"a whole number from {low} to {low + self.sizes[field] - 1}",
            )

    def prepare(self, values: Tensor) -> Tensor:
        return (values.to(torch.int64) - self.low).to(torch.float32)

    def features(self, values: Tensor) -> Tensor:
        rows = values.to(torch.int64)
        columns = [functional.one_hot(rows[..., k], n) for k, n in enumerate(self.sizes)]
        return (columns[0] if len(columns) == 1 else torch.cat(columns, -1)).to(torch.float32)

    def log_prob(self, raw: Tensor, values: Tensor) -> Tensor:
        rows, found = values.to(torch.int64), torch.zeros(values.shape[:-1], device=raw.device)
        for k, logits in enumerate(torch.split(raw, self.sizes, -1)):
            found = found + logits.log_softmax(-1).gather(-1, rows[..., k : k + 1])[..., 0]
        return found

    def sample(self, raw: Tensor, rng: np.random.Generator) -> Tensor:
        drawn = []
        for logits in torch.split(raw, self.sizes, -1):
            noise = torch.as_tensor(rng.gumbel(size=tuple(logits.shape)), device=raw.device)
            drawn.append((logits + noise).argmax(-1))
        return torch.stack(drawn, -1).to(torch.float32)

    def mean(self, raw: Tensor) -> Tensor:
        """Returns the likeliest values, as observed."""
        best = torch.stack([logits.argmax(-1) for logits in torch.split(raw, self.sizes, -1)], -1)
        return best + self.low

    def jacobian(self, values: Tensor) -> Tensor:
        return torch.zeros(values.shape[:-1], device=values.device)


class Bits(nn.Module):
    """Numbers that are 0 or 1."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = self.width = self.inputs = size

    def check(self, values: np.ndarray, name: str) -> None:
        """Raises UsageError if a value is neither 0 nor 1."""
        if not np.isin(values, (0, 1)).all():
            raise UsageError(f"{name or 'an observation'} with other numbers than 0 and 1", expected="bits")

    def prepare(self, values: Tensor) -> Tensor:
        return values.to(torch.float32)

    def features(self, values: Tensor) -> Tensor:
        return values

    def log_prob(self, raw: Tensor, values: Tensor) -> Tensor:
        return -functional.binary_cross_entropy_with_logits(raw, values, reduction="none").sum(-1)

    def sample(self, raw: Tensor, rng: np.random.Generator) -> Tensor:
        uniform = torch.as_tensor(rng.random(tuple(raw.shape)), device=raw.device)
        return (uniform < raw.sigmoid()).to(torch.float32)

    def mean(self, raw: Tensor) -> Tensor:
        """Returns the likelier values."""
        return (raw > 0).to(torch.int64)

    def jacobian(self, values: Tensor) -> Tensor:
        return torch.zeros(values.shape[:-1], device=values.device)


class Numbers(nn.Module):
    """Numbers with a Gaussian around the one that is predicted."""

    centre: Tensor
    spread: Tensor

    def __init__(self, size: int, whole: bool, s: LatentSettings) -> None:
        super().__init__()
        self.size = self.inputs = size
        self.whole, self.noise, self.transform = whole, s.noise, s.transform
        self.width = 2 * size if s.noise == "state" else size
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("spread", torch.ones(size))
        self.log_std = nn.Parameter(torch.zeros(size), s.noise == "learned")

    def fit(self, values: np.ndarray) -> None:
        """Takes centre and spread of `[N, size]` observed numbers; what never changes keeps a spread of 1."""
        if self.transform == "standard":
            deviation = values.std(0)
            self.centre.copy_(torch.as_tensor(values.mean(0)))
            self.spread.copy_(torch.as_tensor(np.where(deviation > 1e-6, deviation, 1.0)))

    def check(self, values: np.ndarray, name: str) -> None:
        """Raises UsageError if a number is not finite."""
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            raise UsageError(f"{name or 'an observation'} that is not finite at step {row}", expected="finite numbers")

    def prepare(self, values: Tensor) -> Tensor:
        return self._scaled(values.to(torch.float32))

    def _scaled(self, values: Tensor) -> Tensor:
        return symlog(values) if self.transform == "symlog" else (values - self.centre) / self.spread

    def _raw(self, values: Tensor) -> Tensor:
        return symexp(values) if self.transform == "symlog" else values * self.spread + self.centre

    def features(self, values: Tensor) -> Tensor:
        return values

    def _normal(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        if self.noise == "state":
            mean, log_std = raw.chunk(2, -1)
            return mean, log_std.clamp(*LOG_STD)
        return raw, self.log_std.clamp(*LOG_STD)

    def log_prob(self, raw: Tensor, values: Tensor) -> Tensor:
        mean, log_std = self._normal(raw)
        if not self.whole:
            standard = (values - mean) * (-log_std).exp()
            return (-0.5 * standard**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)
        seen = self._raw(values).round()
        low = (self._scaled(seen - 0.5) - mean) * (-log_std).exp()
        high = (self._scaled(seen + 0.5) - mean) * (-log_std).exp()
        turned = low + high > 0  # the tail that is small is the one whose logarithm is known well
        low, high = torch.where(turned, -high, low), torch.where(turned, -low, high)
        upper: Tensor = torch.special.log_ndtr(high)
        lower: Tensor = torch.special.log_ndtr(low)
        return (upper + torch.log(-torch.expm1((lower - upper).clamp(max=-1e-7)))).sum(-1)

    def sample(self, raw: Tensor, rng: np.random.Generator) -> Tensor:
        mean, log_std = self._normal(raw)
        normal = torch.as_tensor(rng.standard_normal(tuple(mean.shape)), dtype=torch.float32, device=raw.device)
        drawn = mean + log_std.exp() * normal
        return self._scaled(self._raw(drawn).round()) if self.whole else drawn

    def mean(self, raw: Tensor) -> Tensor:
        """Returns the mean on the scale of the transform, as observed."""
        values = self._raw(self._normal(raw)[0])
        return values.round() if self.whole else values

    def jacobian(self, values: Tensor) -> Tensor:
        """Returns log |d scaled / d observed|: what makes the density one of the numbers as they are observed."""
        if self.whole:
            return torch.zeros(values.shape[:-1], device=values.device)
        if self.transform == "symlog":
            return -values.abs().sum(-1)
        return -self.spread.log().sum().expand(values.shape[:-1])


Part = Choices | Bits | Numbers


class Parts(nn.Module):
    """The parts of an observation of a space.

    Args:
        space: Discrete, MultiDiscrete, MultiBinary, Box, Text, or a Dict or Tuple of them.

    Attributes:
        names: of each part; `""` where an observation is one array.
        each: the parts.
        pictures: for each part, (channels, height, width) and how its axes lie, or None.

    Raises:
        UsageError: another space, or more numbers than a network should be given.
    """

    def __init__(self, space: spaces.Space[Any], settings: LatentSettings) -> None:
        super().__init__()
        self.space, self.packing = space, packing_of(space)
        given = [("", space)] if self.packing is None else [(part.name, part.space) for part in self.packing.parts]
        self.names = [name for name, _ in given]
        self.pictures = [picture_layout(part) for _, part in given]
        self.each = nn.ModuleList(_part(part, name, settings) for name, part in given)
        self.sizes = [int(part.size) for part in self.each]  # type: ignore[arg-type]

    def rows(self, observations: Any) -> np.ndarray:
        """Returns `[N, Σ sizes]` of `[N, ...]` observations, all parts side by side, checked; bytes stay bytes.

        Raises:
            UsageError: a number is none that a part can have; another shape than the space's.
        """
        if self.packing is None:
            array = np.asarray(observations)
            if array.shape[1:] != (self.space.shape or ()):
                raise UsageError(f"observations of shape {array.shape[1:]}", expected=f"{self.space.shape}")
            columns = [array.reshape(len(array), -1)]
        else:
            unpacked = self.packing.unpacked(self.packing(observations))
            columns = [array.reshape(len(array), -1) for array in unpacked]
        for part, name, values in zip(self.each, self.names, columns, strict=True):
            part.check(values, name)  # type: ignore[operator]
        whole = columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
        return whole if whole.dtype.kind in "iub" and whole.dtype.itemsize <= 4 else whole.astype(np.float32)

    def split(self, rows: np.ndarray) -> list[np.ndarray]:
        """Returns the parts of `[..., Σ sizes]` rows."""
        return np.split(rows, np.cumsum(self.sizes)[:-1], axis=-1)

    def tensors(self, rows: np.ndarray, device: torch.device) -> list[Tensor]:
        """Returns `[..., size]` of each part, on its scale."""
        return [
            part.prepare(torch.as_tensor(np.ascontiguousarray(values)).to(device))  # type: ignore[operator]
            for part, values in zip(self.each, self.split(rows), strict=True)
        ]

    def fit(self, rows: np.ndarray) -> None:
        """Takes the scales of numbers from `[N, Σ sizes]` rows."""
        for part, values, picture in zip(self.each, self.split(rows), self.pictures, strict=True):
            if isinstance(part, Numbers) and picture is None:
                part.fit(values.astype(np.float64))
            elif isinstance(part, Numbers) and part.whole and part.transform == "standard":
                part.centre.fill_(127.5)  # one scale for all pixels, so that filters see the picture as it is
                part.spread.fill_(127.5)


def _part(space: Any, name: str, settings: LatentSettings) -> Part:
    if isinstance(space, spaces.Discrete):
        return Choices([int(space.n)], np.array([space.start]))
    if isinstance(space, spaces.MultiDiscrete):
        return Choices([int(n) for n in space.nvec.ravel()], space.start)
    if isinstance(space, spaces.MultiBinary):
        return Bits(int(np.prod(space.shape)))
    if not isinstance(space, spaces.Box):
        raise UsageError(
            f"observations {name} {space}",
            expected="Discrete, MultiDiscrete, MultiBinary, Box, Text, or a Dict of them",
        )
    size, whole = int(np.prod(space.shape)), space.dtype.kind in "iub"
    if not 0 < size <= MOST:
        raise UsageError(f"observations {name} of {size:,} numbers", expected=f"from 1 to {MOST:,}")
    if whole:
        low = space.low.astype(np.int64).ravel()
        counts = space.high.astype(np.int64).ravel() - low + 1
        if counts.max() <= FEW and counts.min() > 0:
            return Choices([int(n) for n in counts], low)
    return Numbers(size, whole, settings)
