"""The networks of the deep agents, in torch, with weights drawn from a generator of their own."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def linear(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> nn.Linear:
    """Returns a linear layer with orthogonal weights of the given gain and biases zero.

    Source: Saxe, McClelland & Ganguli (2014), "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks", ICLR.
    """
    # torch's own start would draw from its global generator
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
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
