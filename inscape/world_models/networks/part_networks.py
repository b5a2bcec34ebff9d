"""What is learned of each part of an observation before the parts come together: filters over pictures, embeddings."""

from __future__ import annotations

import math
from typing import cast

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from inscape.world_models.networks.encoders.encoder import ObservationEncoder, Piece
from inscape.world_models.networks.encoders.features import picture_layout
from inscape.world_models.networks.modules import PictureRows, perceptron, pixel_network

PICTURE_FEATURES = 256
"""Numbers that the filters over a picture end in, as the last hidden layer of Mnih et al. (2013) has."""
EMBEDDING = 32
"""Numbers that stand for each choice of an embedded number."""


class PartNetworks(nn.Module):
    """Turns `[..., D]` features of an `ObservationEncoder` into `[..., width]`.

    Each picture goes through the classic filters and a layer, each number of many choices through an embedding, all
    else stays; in their order, side by side.

    Args:
        encoder: whose features these are.
        generator: of the weights.

    Attributes:
        width: numbers it gives.
    """

    def __init__(self, encoder: ObservationEncoder, generator: torch.Generator) -> None:
        super().__init__()
        self._sizes = [piece.width for piece in encoder.pieces]
        self.networks = nn.ModuleDict()
        self.width = 0
        for number, piece in enumerate(encoder.pieces):
            network, width = _network_of(piece, generator)
            if network is not None:
                self.networks[str(number)] = network
            self.width += width

    def forward(self, features: Tensor) -> Tensor:
        columns = []
        for number, column in enumerate(torch.split(features, self._sizes, dim=-1)):
            if str(number) not in self.networks:
                columns.append(column)
                continue
            rows: Tensor = self.networks[str(number)](column.reshape(-1, column.shape[-1]))
            columns.append(rows.reshape(*column.shape[:-1], -1))
        return columns[0] if len(columns) == 1 else torch.cat(columns, dim=-1)


class _Embedded(nn.Module):
    """Turns `[N, n]` numbers of choices, as floats, into `[N, n · EMBEDDING]`."""

    def __init__(self, choices: int, generator: torch.Generator) -> None:
        super().__init__()
        table = torch.empty(choices, EMBEDDING).normal_(0.0, 1 / math.sqrt(EMBEDDING), generator=generator)
        self.weight = nn.Parameter(table)

    def forward(self, numbers: Tensor) -> Tensor:
        return nn.functional.embedding(numbers.to(torch.int64), self.weight).flatten(1)


def _network_of(piece: Piece, generator: torch.Generator) -> tuple[nn.Module | None, int]:
    """Returns what is learned of a piece, None where nothing is, and how many numbers it becomes."""
    if piece.embedded:
        space = piece.space
        discrete = isinstance(space, gymnasium.spaces.Discrete)
        choices = int(space.n if discrete else np.sum(cast(gymnasium.spaces.MultiDiscrete, space).nvec))  # type: ignore[attr-defined]
        return _Embedded(choices, generator), piece.width * EMBEDDING
    picture = picture_layout(piece.space)
    if picture is None:
        return None, piece.width
    filters = pixel_network(*picture[0], (), PICTURE_FEATURES, generator, math.sqrt(2))
    return nn.Sequential(PictureRows(*picture), *filters, nn.ReLU()), PICTURE_FEATURES


def learns_parts(encoder: ObservationEncoder) -> bool:
    """Returns whether `PartNetworks` of an encoder would learn anything: there is a picture, or a number to embed."""
    return any(piece.embedded or picture_layout(piece.space) is not None for piece in encoder.pieces)


def network_over(
    encoder: ObservationEncoder,
    hidden: tuple[int, ...],
    outputs: int,
    activation: str,
    last_gain: float,
    generator: torch.Generator,
) -> nn.Sequential:
    """Returns a network from `[..., D]` features to `[..., outputs]`: `PartNetworks` if needed, a perceptron."""
    if not learns_parts(encoder):
        return perceptron((encoder.width, *hidden, outputs), activation, last_gain, generator)
    parts = PartNetworks(encoder, generator)
    return nn.Sequential(parts, *perceptron((parts.width, *hidden, outputs), activation, last_gain, generator))
