"""The distribution that tokens are drawn from: temperature, then top-k, top-p and min-p, as one log-softmax.

Learning needs the probabilities of what was drawn *under the distribution it was drawn from*; drawing and learning both
ask `sampled_log_probs`, so they cannot disagree.

Sources: Fan, Lewis & Dauphin (2018), arXiv:1805.04833 (top-k); Holtzman et al. (2020), arXiv:1904.09751 (top-p);
Nguyen et al. (2024), arXiv:2407.01082 (min-p). Order and inclusiveness as in transformers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from inscape.agents.llm.sampling_settings import Sampling


def sampled_log_probs(logits: Tensor, sampling: Sampling) -> Tensor:
    """Returns `[..., V]` float32 log-probabilities of the distribution that tokens are drawn from; −inf where cut off.

    Args:
        logits: `[..., V]` of the model.
        sampling: temperature and cut-offs.
    """
    logits = logits.float()
    if sampling.temperature == 0:
        best = logits.argmax(-1, keepdim=True)
        return torch.full_like(logits, -torch.inf).scatter(-1, best, 0.0)
    scaled = logits / sampling.temperature
    if sampling.top_k and sampling.top_k < scaled.shape[-1]:
        least = scaled.topk(sampling.top_k, dim=-1).values[..., -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    if sampling.top_p < 1:
        ordered, order = scaled.sort(dim=-1, descending=True, stable=True)
        probabilities = ordered.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities  # what more probable tokens have already
        cut = (before >= sampling.top_p).scatter(-1, order, before >= sampling.top_p)
        scaled = scaled.masked_fill(cut, -torch.inf)
    if sampling.min_p > 0:
        probabilities = scaled.softmax(-1)
        scaled = scaled.masked_fill(probabilities < sampling.min_p * probabilities.amax(-1, keepdim=True), -torch.inf)
    return scaled.log_softmax(-1)


def drawn(log_probs: Tensor, uniforms: Tensor) -> Tensor:
    """Returns `[B]` tokens of `[B, V]` log-probabilities: where the cumulated probability passes `[B]` uniforms.

    A token of probability 0 is never drawn, whatever rounding does.
    """
    probabilities = log_probs.double().exp()
    total = probabilities.cumsum(-1)
    places = torch.searchsorted(total, uniforms.double()[:, None] * total[:, -1:], right=True)[:, 0]
    last = probabilities.shape[-1] - 1 - (probabilities.flip(-1) > 0).int().argmax(-1)
    return torch.minimum(places, last)
