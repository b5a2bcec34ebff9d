"""Networks that read and draw pictures of any size: filters of 4 × 4 that halve, and their counterpart."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from inscape.world_models.networks.modules import PictureRows, linear, orthogonal_

SMALL = 8
"""Pictures are halved until the shorter side is below twice this."""
FILTERS = 16


def _halved(height: int, width: int) -> list[tuple[int, int]]:
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * SMALL:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


class PictureReader(nn.Module):
    """`[N, numbers]` of flattened pictures to `[N, width]` features."""

    def __init__(
        self, layout: tuple[tuple[int, int, int], tuple[int, ...], tuple[int, ...]], width: int,
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        shape, observed, order = layout
        self.rows = PictureRows(shape, observed, order)
        sizes = _halved(*shape[1:])
        layers: list[nn.Module] = []
        channels = shape[0]
        for k in range(len(sizes) - 1):
            layer = nn.utils.skip_init(nn.Conv2d, channels, FILTERS * 2**k, 4, 2, 1)  # type: ignore[no-untyped-call]
            orthogonal_(layer.weight, 1.4, generator)
            nn.init.zeros_(layer.bias)
            layers += [layer, nn.SiLU()]
            channels = FILTERS * 2**k
        flat = channels * sizes[-1][0] * sizes[-1][1]
        self.layers = nn.Sequential(*layers, nn.Flatten(), linear(flat, width, 1.0, generator))

    def forward(self, numbers: Tensor) -> Tensor:
        lead = numbers.shape[:-1]
        features: Tensor = self.layers(self.rows(numbers.reshape(-1, numbers.shape[-1])))
        return features.reshape(*lead, -1)


class PictureDrawer(nn.Module):
    """`[N, D]` states to `[N, numbers]` of flattened pictures, in the order in which they are observed."""

    def __init__(
        self, layout: tuple[tuple[int, int, int], tuple[int, ...], tuple[int, ...]], inputs: int,
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        shape, observed, order = layout
        self.sizes = _halved(*shape[1:])[::-1]
        depth = len(self.sizes) - 1
        channels = FILTERS * 2 ** max(0, depth - 1)
        self.first = (channels, *self.sizes[0])
        self.start = linear(inputs, channels * self.sizes[0][0] * self.sizes[0][1], 1.0, generator)
        layers = []
        for k in range(depth):
            after = shape[0] if k == depth - 1 else channels // 2
            layer = nn.utils.skip_init(nn.Conv2d, channels, after, 3, 1, 1)  # type: ignore[no-untyped-call]
            orthogonal_(layer.weight, 1.0 if k == depth - 1 else 1.4, generator)
            nn.init.zeros_(layer.bias)
            layers.append(layer)
            channels = after
        if not depth:
            self.start = linear(inputs, shape[0] * self.sizes[0][0] * self.sizes[0][1], 1.0, generator)
            self.first = (shape[0], *self.sizes[0])
        self.layers = nn.ModuleList(layers)
        self.ordered = [observed[axis] for axis in order]
        self.back = [0, *(order.index(axis) + 1 for axis in range(len(order)))]

    def forward(self, states: Tensor) -> Tensor:
        lead = states.shape[:-1]
        held: Tensor = self.start(states.reshape(-1, states.shape[-1])).reshape(-1, *self.first)
        for layer, size in zip(self.layers, self.sizes[1:], strict=True):
            held = layer(functional.interpolate(functional.silu(held), size=size, mode="nearest"))
        return held.reshape(-1, *self.ordered).permute(self.back).reshape(*lead, -1)
