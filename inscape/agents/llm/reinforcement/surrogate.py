"""An update of the language model by a clipped surrogate over tallied samples; PPO and the group methods share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inscape.agents.interface import Metrics
from inscape.agents.llm.reinforcement.reference import estimates
from inscape.agents.llm.reinforcement.tally import Tally
from inscape.agents.llm.scoring import masked_log_softmax
from inscape.agents.llm.settings import KLEstimator
from inscape.agents.llm.trainer import LanguageLearner
from inscape.world_models.networks.types import Array


@dataclass(frozen=True)
class Weights:
    """What the loss of an update is made of, beside the surrogate.

    Attributes:
        entropy: weight of the mean entropy.
        kl: weight of the divergence from the reference, in the loss.
        value: weight of the value head's squared error; 0 leaves the head out.
        estimator: how the divergence is estimated; `exact` is the sum over the actions.
    """

    entropy: float
    kl: float = 0.0
    value: float = 0.0
    estimator: KLEstimator = "exact"


def improve(
    learner: LanguageLearner,
    tally: Tally,
    prompts: Sequence[str],
    weights: Weights,
    reference: Array | None = None,
) -> Metrics:
    """Takes `epochs` passes over the tallied samples, a gradient step for each minibatch of prompts.

    Args:
        learner: whose policy is improved.
        tally: the samples; advantages already normalised, if at all.
        prompts: the U prompts that `tally.rows` counts through.
        weights: of the loss.
        reference: `[D, A]` log-probabilities of the reference, where `weights.kl` is above 0.

    Returns:
        Means over the gradient steps; `ratio_gap` is the largest |r − 1| of the first minibatch, 0 to rounding.

    Raises:
        NotFiniteLossError: a loss is not finite; the weights are as before that step.
    """
    s = learner.settings
    old, masks = learner.tensor(tally.old.astype(np.float32)), learner.tensor(tally.masks)
    counts, gains, losses = (
        learner.tensor(part.astype(np.float32)) for part in (tally.counts, tally.gains, tally.losses)
    )
    returns, spread = (learner.tensor(part.astype(np.float32)) for part in (tally.returns, tally.spread))
    near = None if reference is None else learner.tensor(np.where(tally.masks, reference, 0.0).astype(np.float32))
    sums, steps, first_gap = np.zeros(6), 0, 0.0
    for _ in range(s.epochs):
        batches = tally.batches(s.prompts_per_batch, learner.rng)
        for rows in batches:
            seen, place = np.unique(tally.rows[rows], return_inverse=True)
            picked, local = learner.tensor(rows), learner.tensor(place.reshape(-1))
            scores, values = learner.policy([prompts[row] for row in seen], values=weights.value > 0)
            log_probs = masked_log_softmax(scores[local], masks[picked])
            finite = log_probs.masked_fill(~masks[picked], 0.0)
            log_ratio = finite - old[picked].masked_fill(~masks[picked], 0.0)
            ratio, count = log_ratio.exp(), counts[picked]
            total = count.sum()
            surrogate = ratio.clamp_max(1 + s.clip) * gains[picked] + ratio.clamp_min(1 - s.clip) * losses[picked]
            probabilities = log_probs.exp()
            visits = count.sum(1)
            policy_loss = -surrogate.sum() / total
            entropy = -(visits * (probabilities * finite).sum(1)).sum() / total
            loss = policy_loss - weights.entropy * entropy
            value_loss, drift = loss.new_zeros(()), loss.new_zeros(())
            if weights.value > 0:
                error = visits * (values[local] - returns[picked]).square() + spread[picked]
                value_loss = error.sum() / total
                loss = loss + weights.value * value_loss
            if near is not None:
                drift = _drift(probabilities, finite - near[picked], count, weights.estimator) / total
                loss = loss + weights.kl * drift
            # every sample weighs the same, in whichever batch its prompt came
            learner.descend(loss * (total.item() * len(batches) / tally.samples))
            with torch.no_grad():
                gap = (ratio - 1).abs().masked_fill(count == 0, 0.0)
                old_kl = -(count * log_ratio).sum() / total
                clipped = (count * (gap > s.clip)).sum() / total
            if steps == 0:
                first_gap = float(gap.max())
            sums += [x.item() for x in (policy_loss, value_loss, entropy, old_kl, clipped, drift)]
            steps += 1
    names = ("policy_loss", "value_loss", "entropy", "approximate_kl", "clipped", "kl_to_reference")
    return {**{name: float(mean) for name, mean in zip(names, sums / steps, strict=True)}, "ratio_gap": first_gap}


def _drift(probabilities: Tensor, log_ratio: Tensor, count: Tensor, estimator: KLEstimator) -> Tensor:
    """Returns the divergence from the reference, summed over the samples."""
    if estimator == "exact":
        return (count.sum(1) * (probabilities * log_ratio).sum(1)).sum()
    return (count * estimates(log_ratio, estimator)).sum()
