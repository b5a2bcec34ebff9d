"""The networks of the deep agents, in torch, with weights drawn from a generator of their own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

from inscape.errors import UsageError
from inscape.world_models.networks.encoders.features import SMALLEST_PICTURE
from inscape.world_models.networks.tensors import learning_threads

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def orthogonal_(weight: Tensor, gain: float, generator: torch.Generator) -> Tensor:
    """Fills a weight with orthogonal rows or columns and returns it, the same on any number of CPU threads: the
    factorisation behind it adds up in another order with more."""
    with learning_threads(1):
        filled: Tensor = nn.init.orthogonal_(weight, gain, generator=generator)
    return filled


def linear(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> nn.Linear:
    """Returns a linear layer with orthogonal weights of the given gain and biases zero.

    Source: Saxe, McClelland & Ganguli (2014), "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks", ICLR.
    """
    # torch's own start would draw from its global generator
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    orthogonal_(layer.weight, gain, generator)
    nn.init.zeros_(layer.bias)
    assert isinstance(layer, nn.Linear)
    return layer


def perceptron(sizes: tuple[int, ...], activation: str, last_gain: float, generator: torch.Generator) -> nn.Sequential:
    """Returns linear layers of widths `sizes` with `activation` between them.

    Hidden layers have gain √2, the last one `last_gain`; biases are zero.
    """
    layers: list[nn.Module] = []
    for k, (inputs, outputs) in enumerate(pairwise(sizes)):
        last = k == len(sizes) - 2
        layers.append(linear(inputs, outputs, last_gain if last else math.sqrt(2), generator))
        if not last:
            layers.append(ACTIVATIONS[activation]())
    return nn.Sequential(*layers)


class PictureRows(nn.Module):
    """Turns `[B, D]` features of flattened pictures into `[B, channels, height, width]`.

    Args:
        shape: (channels, height, width).
        observed: the shape of an observation before it was flattened.
        order: its axes, height and width last (`features.picture_layout`).
    """

    def __init__(self, shape: tuple[int, int, int], observed: tuple[int, ...], order: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.observed = shape, observed
        self.order = (0, *(axis + 1 for axis in order))

    def forward(self, features: Tensor) -> Tensor:
        pictures = features.reshape(-1, *self.observed).permute(self.order)
        return pictures.reshape(-1, *self.shape)


def pixel_network(
    channels: int,
    height: int,
    width: int,
    hidden: tuple[int, ...],
    outputs: int,
    generator: torch.Generator,
    last_gain: float = 1.0,
) -> nn.Sequential:
    """Returns the classic network for pictures: `[B, channels, height, width]` floats to `[B, outputs]`.

    16 filters of 8 × 8 with stride 4, 32 of 4 × 4 with stride 2, then linear layers of widths `hidden` (256 in the
    paper) and `outputs`; ReLU between all of them. Orthogonal weights of gain √2, the last of `last_gain`; biases zero.

    Args:
        channels: numbers at each pixel; four stacked grey frames in the paper.
        height: pixels, at least 20.
        width: likewise.
        hidden: widths of the linear layers before the last.
        outputs: one per action.
        generator: of the weights.
        last_gain: gain of the last layer's weights.

    Raises:
        UsageError: the picture is too small for the filters.

    Source: Mnih et al. (2013), "Playing Atari with Deep Reinforcement Learning", arXiv:1312.5602, section 4.1.
    """
    if min(height, width) < SMALLEST_PICTURE:
        raise UsageError(
            f"pictures of {width} × {height} pixels for filters of 8 × 8 and 4 × 4",
            expected=f"at least {SMALLEST_PICTURE} × {SMALLEST_PICTURE}",
        )
    rows, columns = (((length - 8) // 4 + 1 - 4) // 2 + 1 for length in (height, width))
    rest = perceptron((32 * rows * columns, *hidden, outputs), "relu", last_gain, generator)
    return nn.Sequential(
        _filters(channels, 16, 8, 4, generator), nn.ReLU(), _filters(16, 32, 4, 2, generator), nn.ReLU(), nn.Flatten(),
        *rest,
    )  # fmt: skip


def _filters(inputs: int, outputs: int, size: int, stride: int, generator: torch.Generator) -> nn.Conv2d:
    layer = nn.utils.skip_init(nn.Conv2d, inputs, outputs, size, stride)  # type: ignore[no-untyped-call]
    orthogonal_(layer.weight, math.sqrt(2), generator)
    nn.init.zeros_(layer.bias)
    assert isinstance(layer, nn.Conv2d)
    return layer


def as_one_vector(parameters: Iterable[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Returns the parameters as one vector, and their gradients as another; both become views of these.

    What works on all of them at once (the optimiser, the norm, code outside torch) then needs one call. Move the
    module to its device first.
    """
    listed = list(parameters)
    vector = torch.cat([parameter.detach().reshape(-1) for parameter in listed])
    gradient = torch.zeros_like(vector)
    sizes = [parameter.numel() for parameter in listed]
    for parameter, part, slope in zip(listed, torch.split(vector, sizes), torch.split(gradient, sizes), strict=True):
        parameter.data, parameter.grad = part.view(parameter.shape), slope.view(parameter.shape)
    return vector, gradient
