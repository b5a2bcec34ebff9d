"""Samples of a batch added up by what the model sees: an update costs what its distinct prompts cost.

The clipped surrogate (Schulman et al. 2017, arXiv:1707.06347, equation 7) of a sample depends on it by its prompt, its
action and its advantage alone, and is linear in the advantage where its sign is known:

    min(r·A, clip(r, 1 − ε, 1 + ε)·A) = min(r, 1 + ε)·A where A ≥ 0, max(r, 1 − ε)·A where A < 0,

so that the sums of the positive and of the negative advantages of each (prompt, action) are all that it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inscape.agents.llm.scoring import log_softmax


@dataclass(frozen=True, eq=False)
class Tally:
    """N samples as D decisions, each a prompt with its legal actions.

    Attributes:
        rows: `[D]` the prompt of each decision.
        masks: `[D, A]` bool, True where legal.
        old: `[D, A]` log-probabilities when the actions were drawn, −inf where illegal.
        counts: `[D, A]` samples.
        gains: `[D, A]` sums of the positive advantages; losses: of the negative ones.
        returns: `[D]` means of the returns, what a value head is fitted to.
        spread: `[D]` sums of the squared distances of the returns from those means.
    """

    rows: NDArray[np.int64]
    masks: NDArray[np.bool_]
    old: NDArray[np.float64]
    counts: NDArray[np.float64]
    gains: NDArray[np.float64]
    losses: NDArray[np.float64]
    returns: NDArray[np.float64]
    spread: NDArray[np.float64]

    @property
    def samples(self) -> int:
        """N."""
        return int(self.counts.sum())

    def batches(self, size: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Returns the decisions of each minibatch of at most `size` distinct prompts, in random order."""
        order = rng.permutation(np.unique(self.rows))
        place = np.full(int(self.rows.max()) + 1, -1)
        place[order] = np.arange(len(order))
        batch = place[self.rows] // size
        return [np.flatnonzero(batch == b) for b in range(-(-len(order) // size))]


def decisions(rows: NDArray[np.int64], masks: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns `(first [D], decision [N])`: a sample of each distinct (prompt, mask), and which of them a sample is.

    Args:
        rows: `[N]` the prompt of each sample.
        masks: `[N, A]`.
    """
    _, first, decision = np.unique(rows, return_index=True, return_inverse=True)
    if (masks == masks[first[decision]]).all():
        return first, decision
    keys = np.column_stack([rows, np.packbits(masks, axis=1).astype(np.int64)])
    _, first, decision = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first, decision.reshape(-1)


def tally(
    rows: NDArray[np.int64],
    masks: NDArray[np.bool_],
    actions: NDArray[np.int64],
    advantages: NDArray[Any],
    scores: NDArray[Any],
    returns: NDArray[Any] | None = None,
) -> Tally:
    """Adds up N samples.

    Args:
        rows, masks, actions: `[N]`, `[N, A]`, `[N]`.
        advantages: `[N]`.
        scores: `[U, A]` of the prompts, as they were when the actions were drawn.
        returns: `[N]`; None where no value head is fitted.
    """
    first, decision = decisions(rows, masks)
    count, actions_count = len(first), masks.shape[1]
    cell = decision * actions_count + actions
    advantages = np.asarray(advantages, np.float64)

    def summed(weights: NDArray[np.float64] | None) -> NDArray[np.float64]:
        total = np.bincount(cell, weights, minlength=count * actions_count)
        return np.asarray(total, np.float64).reshape(count, actions_count)

    mean, spread = np.zeros(count), np.zeros(count)
    if returns is not None:
        values = np.asarray(returns, np.float64)
        mean = np.bincount(decision, values) / np.bincount(decision)
        spread = np.bincount(decision, (values - mean[decision]) ** 2, minlength=count).astype(np.float64)
    return Tally(
        rows=rows[first],
        masks=masks[first],
        old=log_softmax(scores[rows[first]], masks[first]),
        counts=summed(None),
        gains=summed(np.maximum(advantages, 0.0)),
        losses=summed(np.minimum(advantages, 0.0)),
        returns=mean,
        spread=spread,
    )
