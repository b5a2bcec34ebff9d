"""Observations of any usual space as features for a network."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import one_hot

from inscape.errors import UsageError
from inscape.world_models.networks.moments import merged_moments


class ObservationEncoder(torch.nn.Module):
    """Turns `[B, ...]` observations into `[B, D]` float32 features.

    `Discrete` becomes one-hot, `MultiDiscrete` one-hots side by side, `MultiBinary` and `Box` floats (bytes divided by
    255), flattened. With `normalize`, `Box` features are shifted and scaled by the running mean and variance of what
    `update` was shown, and clipped to ±10; those statistics are buffers and so are saved with the agent.

    Args:
        space: the space of one observation.
        normalize: keep running statistics (`Box` only).

    Raises:
        UsageError: a space that is none of these.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    count: torch.Tensor
    offset: torch.Tensor

    def __init__(self, space: gymnasium.Space[Any], normalize: bool = False) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.scale = 1.0
        if isinstance(space, gymnasium.spaces.Discrete):
            self.sizes, start = [int(space.n)], np.array([space.start])
        elif isinstance(space, gymnasium.spaces.MultiDiscrete):
            self.sizes, start = [int(n) for n in space.nvec.reshape(-1)], space.start.reshape(-1)
        elif isinstance(space, (gymnasium.spaces.Box, gymnasium.spaces.MultiBinary)):
            start = np.zeros(1)
            self.scale = 1 / 255 if space.dtype == np.uint8 and isinstance(space, gymnasium.spaces.Box) else 1.0
        else:
            raise UsageError(
                f"observations {space}",
                expected="Discrete, MultiDiscrete, MultiBinary or Box",
                hint="wrap the environment in gymnasium.wrappers.FlattenObservation",
            )
        self.width = sum(self.sizes) or int(np.prod(space.shape or (1,)))
        self.normalize = normalize and not self.sizes
        self.register_buffer("offset", torch.as_tensor(start, dtype=torch.int64), persistent=False)
        if self.normalize:
            self.register_buffer("mean", torch.zeros(self.width, dtype=torch.float64))
            self.register_buffer("variance", torch.ones(self.width, dtype=torch.float64))
            self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, observations: NDArray[Any] | torch.Tensor) -> torch.Tensor:
        if isinstance(observations, torch.Tensor):
            rows = observations
        else:
            rows = torch.as_tensor(np.ascontiguousarray(observations), device=self.offset.device)
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

    def update(self, observations: NDArray[Any]) -> None:
        """Adds `[B, ...]` observations to the running mean and variance."""
        if not self.normalize:
            return
        rows = torch.as_tensor(observations, device=self.mean.device, dtype=torch.float64)
        rows = rows.reshape(len(rows), -1) * self.scale
        known = self.mean, self.variance, self.count
        found = merged_moments(*known, rows.mean(dim=0), rows.var(dim=0, unbiased=False), len(rows))
        for buffer, merged in zip(known, found, strict=True):
            buffer.copy_(merged)


def _compared(numbers: torch.Tensor, size: int) -> torch.Tensor:
    """Returns `[B, size]` one-hot rows; a row of zeros for a number out of range."""
    return numbers[:, None] == torch.arange(size, device=numbers.device)
