"""Scales on which numbers are predicted: symmetric logarithm, and classes along it.

Source: Hafner et al. (2023), "Mastering diverse domains through world models", arXiv:2301.04104, equations 9 and 10.
"""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 63
REACH = 12.0
"""Rewards and values are classes from −symexp(12) ≈ −160,000 to as much above 0."""


def symlog(x: Tensor) -> Tensor:
    """Returns sign(x)·log(1 + |x|)."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """Returns sign(x)·(exp|x| − 1), the inverse of `symlog`."""
    return x.sign() * x.abs().expm1()


def bins(device: torch.device | None = None) -> Tensor:
    """Returns `[BINS]` centres of the classes, in symlog units; the middle one is 0."""
    return torch.linspace(-REACH, REACH, BINS, device=device)


def two_hot(x: Tensor) -> Tensor:
    """Returns `[..., BINS]` weights: symlog(x) as the weighted mean of its two neighbours among the bins."""
    scaled = (symlog(x).clamp(-REACH, REACH) + REACH) * (BINS - 1) / (2 * REACH)
    low = scaled.floor().clamp(max=BINS - 2)
    share = (scaled - low)[..., None]
    made = torch.zeros(*x.shape, BINS, device=x.device)
    made.scatter_(-1, low.long()[..., None], 1 - share)
    return made.scatter_(-1, low.long()[..., None] + 1, share)


def two_hot_loss(logits: Tensor, x: Tensor) -> Tensor:
    """Returns `[...]` cross-entropy of `[..., BINS]` logits and the two-hot weights of x."""
    return -(two_hot(x) * logits.log_softmax(-1)).sum(-1)


def two_hot_mean(logits: Tensor) -> Tensor:
    """Returns `[...]` the number `[..., BINS]` logits stand for: symexp of the mean bin."""
    return symexp((logits.softmax(-1) * bins(logits.device)).sum(-1))
