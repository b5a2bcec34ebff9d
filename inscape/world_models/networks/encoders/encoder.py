"""Observations of any usual space as features for a network."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import one_hot

from inscape.errors import UsageError
from inscape.world_models.networks.encoders.features import picture_layout
from inscape.world_models.networks.encoders.moments import merged_moments
from inscape.world_models.networks.encoders.packing import ObservationPacking, packing_of

ONE_HOT = 256
"""Choices of a number of a part up to which its features are one-hot; numbers of more are embedded."""
MOST_NUMBERS = 10_000_000
"""Inputs of a network: a layer of 64 units has 2.6 GB of weights then, and its optimiser twice as much."""
MOST_CHOICES = 1_000_000
"""Choices of the numbers of a part, together, up to which they are embedded."""


class Piece(NamedTuple):
    """What some neighbouring features are.

    Attributes:
        space: the space of the part of observations that they come from.
        width: how many they are.
        embedded: whether they are numbers of choices, to be embedded.
    """

    space: gymnasium.Space[Any]
    width: int
    embedded: bool = False


def many_choices(space: gymnasium.Space[Any]) -> bool:
    """Returns whether numbers of a space are embedded, having too many choices for one-hot features."""
    return bool(isinstance(space, gymnasium.spaces.Discrete) and space.n > ONE_HOT) or bool(
        isinstance(space, gymnasium.spaces.MultiDiscrete) and space.nvec.max() > ONE_HOT
    )


class _Numbers(torch.nn.Module):
    """Turns `[B, ...]` numbers of choices into `[B, n]` float32, each number in a range of its own, counted from 0.

    Raises:
        UsageError: they have more choices than can be embedded.
    """

    offset: torch.Tensor

    def __init__(self, space: Any, name: str) -> None:
        super().__init__()
        single = isinstance(space, gymnasium.spaces.Discrete)
        sizes = np.array([space.n] if single else space.nvec.reshape(-1), dtype=object)
        if sizes.sum() > MOST_CHOICES:
            raise UsageError(
                f"observations with {name or 'numbers'} of {sizes.sum():,} choices",
                expected=f"at most {MOST_CHOICES:,}, to be embedded",
                hint="a wrapper that makes it a Box, or several numbers of fewer choices: --wrap file.py:MyWrapper",
            )
        self.width = len(sizes)
        first = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        offset = np.asarray(space.start, np.int64).reshape(-1) - first
        self.register_buffer("offset", torch.as_tensor(offset), persistent=False)

    def forward(self, observations: NDArray[Any]) -> torch.Tensor:
        rows = torch.as_tensor(np.ascontiguousarray(observations, np.int64), device=self.offset.device)
        return (rows.reshape(len(rows), -1) - self.offset).to(torch.float32)


class ObservationEncoder(torch.nn.Module):
    """Turns `[B, ...]` observations into `[B, D]` float32 features; it is not learned.

    `Discrete` becomes one-hot, `MultiDiscrete` one-hots side by side, `MultiBinary` and `Box` floats (bytes divided by
    255), flattened. With `normalize`, `Box` features are shifted and scaled by the running mean and variance of what
    `update` was shown, and clipped to ±10; those statistics are buffers and so are saved with the agent.

    Args:
        space: the space of one observation.
        normalize: keep running statistics (`Box` only).

    Raises:
        UsageError: a space that is none of these, or that holds nothing.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    count: torch.Tensor
    offset: torch.Tensor

    def __init__(self, space: gymnasium.Space[Any], normalize: bool = False) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.scale = 1.0
        self.packing = packing_of(space)
        self.parts = torch.nn.ModuleList()
        self.pieces: list[Piece] = []
        if self.packing is not None:
            self._hold_parts(self.packing, normalize)
            return
        if isinstance(space, gymnasium.spaces.Discrete):
            self.sizes, start = [int(space.n)], np.array([space.start])
        elif isinstance(space, gymnasium.spaces.MultiDiscrete):
            self.sizes, start = [int(n) for n in space.nvec.reshape(-1)], space.start.reshape(-1)
        elif isinstance(space, (gymnasium.spaces.Box, gymnasium.spaces.MultiBinary)):
            start = np.zeros(1)
            self.scale = 1 / 255 if space.dtype == np.uint8 and isinstance(space, gymnasium.spaces.Box) else 1.0
        else:
            raise UsageError(f"observations {space}", expected="Discrete, MultiDiscrete, MultiBinary or Box")
        self.width = sum(self.sizes) or int(np.prod(space.shape or (1,)))
        if not self.width:
            raise UsageError(f"observations {space} hold nothing to observe", expected="at least one number")
        if self.width > MOST_NUMBERS:
            raise UsageError(
                f"observations {space} are {self.width:,} numbers for a network",
                expected=f"at most {MOST_NUMBERS:,}",
                hint="a wrapper that turns them into fewer: --wrap file.py:MyWrapper",
            )
        self.pieces.append(Piece(space, self.width))
        self.normalize = normalize and not self.sizes
        self.register_buffer("offset", torch.as_tensor(start, dtype=torch.int64), persistent=False)
        if self.normalize:
            self.register_buffer("mean", torch.zeros(self.width, dtype=torch.float64))
            self.register_buffer("variance", torch.ones(self.width, dtype=torch.float64))
            self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def _hold_parts(self, packing: ObservationPacking, normalize: bool) -> None:
        """Makes an encoder for each part."""
        self.normalize = normalize
        self.register_buffer("offset", torch.zeros(1, dtype=torch.int64), persistent=False)
        for part in packing.parts:
            if many_choices(part.space):
                numbers = _Numbers(part.space, part.name)
                self.pieces.append(Piece(part.space, numbers.width, embedded=True))
                self.parts.append(numbers)
            else:
                encoder = ObservationEncoder(part.space, normalize and picture_layout(part.space) is None)
                self.pieces += encoder.pieces
                self.parts.append(encoder)
        self.width = sum(piece.width for piece in self.pieces)

    def forward(self, observations: Any) -> torch.Tensor:
        """Returns `[B, D]` features of `[B, ...]` observations: an array, a tensor, or a batch of several parts."""
        if self.packing is not None:
            unpacked = self.packing.unpacked(self.packing(observations))
            columns = [encoder(array) for encoder, array in zip(self.parts, unpacked, strict=True)]
            return columns[0] if len(columns) == 1 else torch.cat(columns, dim=1)
        if isinstance(observations, torch.Tensor):
            rows = observations
        else:
            rows = torch.as_tensor(_readable(observations), device=self.offset.device)
        rows = rows.reshape(len(rows), -1)
        if self.sizes:
            rows = rows.to(torch.int64) - self.offset
            # a tensor may lie on a GPU, where `one_hot` would wait to see whether its numbers are in range
            given = isinstance(observations, torch.Tensor)
            make = _compared if given else one_hot
            columns = [make(rows[:, k], size) for k, size in enumerate(self.sizes)]
            return (columns[0] if len(columns) == 1 else torch.cat(columns, dim=1)).to(torch.float32)
        if self.normalize:
            standard = (rows.to(torch.float64) * self.scale - self.mean) / torch.sqrt(self.variance + 1e-8)
            return standard.clamp(-10, 10).to(torch.float32)
        return rows.to(torch.float32) * self.scale if self.scale != 1.0 else rows.to(torch.float32)

    def update(self, observations: Any) -> None:
        """Adds `[B, ...]` observations to the running mean and variance."""
        if not self.normalize:
            return
        if self.packing is not None:
            for encoder, array in zip(self.parts, self.packing.unpacked(self.packing(observations)), strict=True):
                if isinstance(encoder, ObservationEncoder):
                    encoder.update(array)
            return
        rows = torch.as_tensor(_readable(observations), device=self.mean.device, dtype=torch.float64)
        rows = rows.reshape(len(rows), -1) * self.scale
        known = self.mean, self.variance, self.count
        found = merged_moments(*known, rows.mean(dim=0), rows.var(dim=0, unbiased=False), len(rows))
        for buffer, merged in zip(known, found, strict=True):
            buffer.copy_(merged)


def _compared(numbers: torch.Tensor, size: int) -> torch.Tensor:
    """Returns `[B, size]` one-hot rows; a row of zeros for a number out of range."""
    return numbers[:, None] == torch.arange(size, device=numbers.device)


def _readable(array: Any) -> NDArray[Any]:
    """Returns an array in a dtype that torch computes with."""
    rows: NDArray[Any] = np.ascontiguousarray(array)
    return rows.astype(np.float64) if rows.dtype.kind == "u" and rows.dtype.itemsize > 1 else rows
