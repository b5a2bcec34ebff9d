"""A gated recurrent unit in torch whose memory is reset inside a sequence wherever an episode begins."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from inscape.world_models.networks.kernels import gru
from inscape.world_models.networks.modules import orthogonal_


class GRU(nn.Module):
    """Remembers `size` numbers: `[T, B, inputs]` to `[T, B, size]`.

    On the CPU whole sequences run in compiled code (`kernels.gru`), elsewhere step by step in torch; the equations and
    the layout of the weights are those of `torch.nn.GRU`. Weights are orthogonal, gate by gate, biases 0.

    Args:
        inputs: width of the input.
        size: numbers remembered.
        generator: draws the weights.
    """

    def __init__(self, inputs: int, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.size = size
        self.input_weight = nn.Parameter(_orthogonal_gates(inputs, size, generator))
        self.input_bias = nn.Parameter(torch.zeros(3 * size))
        self.hidden_weight = nn.Parameter(_orthogonal_gates(size, size, generator))
        self.hidden_bias = nn.Parameter(torch.zeros(3 * size))

    def forward(self, inputs: Tensor, first: Tensor, starts: Tensor) -> Tensor:
        """Returns `[T, B, size]`, what is remembered after each step.

        Args:
            inputs: `[T, B, inputs]`.
            first: `[B, size]`, what was remembered before the first step.
            starts: `[T, B]` bool: an episode begins with this step, and what was remembered before it counts as 0.
        """
        shares = linear(inputs, self.input_weight, self.input_bias)
        if shares.device.type == "cpu" and shares.dtype == torch.float32:
            compiled: Tensor = _Compiled.apply(  # type: ignore[no-untyped-call]
                shares, self.hidden_weight, self.hidden_bias, first, starts
            )
            return compiled
        return self.step_by_step(shares, first, starts)

    def step_by_step(self, shares: Tensor, first: Tensor, starts: Tensor) -> Tensor:
        """Returns the same in plain torch, from the inputs' shares in the gates `[T, B, 3·size]`."""
        hidden, found = first, []
        for share, begins in zip(shares, starts, strict=True):
            hidden = hidden.masked_fill(begins[:, None], 0.0)
            x_r, x_z, x_n = share.chunk(3, dim=-1)
            p_r, p_z, p_n = linear(hidden, self.hidden_weight, self.hidden_bias).chunk(3, dim=-1)
            candidate = torch.tanh(x_n + torch.sigmoid(x_r + p_r) * p_n)
            hidden = torch.lerp(candidate, hidden, torch.sigmoid(x_z + p_z))
            found.append(hidden)
        return torch.stack(found)


class _Compiled(torch.autograd.Function):
    """The compiled sequence as one operation of torch's."""

    @staticmethod
    def forward(ctx: Any, shares: Tensor, weight: Tensor, bias: Tensor, first: Tensor, starts: Tensor) -> Tensor:
        steps, count, size = *starts.shape, weight.shape[1]
        hidden = torch.empty(steps, count, size)
        gates, before = np.empty((steps, count, 4 * size), np.float32), np.empty((steps, count, size), np.float32)
        plain = [tensor.detach().contiguous().numpy() for tensor in (shares, weight, bias, first, starts)]
        gru.forward(*plain, hidden.numpy(), gates, before)
        ctx.kept = (plain[1], plain[4], gates, before)
        return hidden

    @staticmethod
    def backward(ctx: Any, *changes: Tensor) -> tuple[Tensor | None, ...]:
        weight, starts, gates, before = ctx.kept
        steps, count, size = before.shape
        found = [
            torch.empty(*shape) for shape in ((steps, count, 3 * size), (3 * size, size), (3 * size,), (count, size))
        ]
        gru.backward(
            weight, starts, gates, before, changes[0].contiguous().numpy(), *(gradient.numpy() for gradient in found)
        )
        return (*found, None)


def _orthogonal_gates(inputs: int, size: int, generator: torch.Generator) -> Tensor:
    return torch.cat([orthogonal_(torch.empty(size, inputs), 1.0, generator) for _ in range(3)])
