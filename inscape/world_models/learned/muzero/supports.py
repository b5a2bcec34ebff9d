"""Numbers as classes on a compressed scale, and back, in torch and in NumPy.

Source: Schrittwieser et al. (2020), "Mastering Atari, Go, chess and shogi by planning with a learned model", Nature
588, appendix F; the scale: Pohlen et al. (2018), "Observe and look further", arXiv:1805.11593, proposition A.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

EPSILON = 0.001


def transformed(x: Any) -> Any:
    """Returns h(x) = sign(x)·(√(|x| + 1) − 1) + εx, of an array or a tensor."""
    if isinstance(x, Tensor):
        return x.sign() * ((x.abs() + 1).sqrt() - 1) + EPSILON * x
    return np.sign(x) * (np.sqrt(np.abs(x) + 1) - 1) + EPSILON * x


def restored(y: Any) -> Any:
    """Returns h⁻¹(y) = sign(y)·(((√(1 + 4ε(|y| + 1 + ε)) − 1)/(2ε))² − 1), of an array or a tensor."""
    if isinstance(y, Tensor):
        root = (1 + 4 * EPSILON * (y.abs() + 1 + EPSILON)).sqrt()
        return y.sign() * (((root - 1) / (2 * EPSILON)) ** 2 - 1)
    root = np.sqrt(1 + 4 * EPSILON * (np.abs(y) + 1 + EPSILON))
    return np.sign(y) * (((root - 1) / (2 * EPSILON)) ** 2 - 1)


def class_weights(x: Tensor, support: int) -> Tensor:
    """Returns `[..., 2·support + 1]` weights: h(x) as the mean of the two whole numbers around it.

    What lies beyond ± support counts as the end of the support.
    """
    scaled = transformed(x).clamp(-support, support) + support
    low = scaled.floor().clamp(max=2 * support - 1)
    share = (scaled - low)[..., None]
    made = torch.zeros(*x.shape, 2 * support + 1, dtype=x.dtype, device=x.device)
    made.scatter_(-1, low.long()[..., None], 1 - share)
    return made.scatter_(-1, low.long()[..., None] + 1, share)


def class_loss(logits: Tensor, x: Tensor, support: int) -> Tensor:
    """Returns `[...]` the cross-entropy of `[..., 2·support + 1]` logits and the class weights of x."""
    return -(class_weights(x, support) * logits.log_softmax(-1)).sum(-1)


def class_mean(logits: np.ndarray, support: int) -> np.ndarray:
    """Returns `[...]` float64 h⁻¹ of the mean class of `[..., 2·support + 1]` logits."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    classes = np.arange(-support, support + 1, dtype=np.float32)
    mean = (exponentials @ classes) / exponentials.sum(axis=-1)
    return np.asarray(restored(mean.astype(np.float64)))
