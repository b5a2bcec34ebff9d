"""How action values or log-probabilities become actions; shared by the agents that have one or the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def greedy_log_probs(scores: Array, action_mask: Array | None = None) -> Array:
    """Returns `[B, A]` log-probabilities of taking the best legal action: 0 there, −inf elsewhere.

    Ties go to the first action, so that acting greedily needs no randomness.

    Args:
        scores: `[B, A]` action values, logits or visit counts.
        action_mask: `[B, A]` bool, True where legal.
    """
    scores = scores if action_mask is None else np.where(action_mask, scores, -np.inf)
    log_probs = np.full(scores.shape, -np.inf)
    log_probs[np.arange(len(scores)), np.argmax(scores, axis=1)] = 0.0
    return log_probs


def choice_log_probs(scores: Array, beta: float | None, action_mask: Array | None = None) -> Array:
    """Returns `[B, A]` log-probabilities by the choice rule with rationality `beta`; None means greedily."""
    if beta is None:
        return greedy_log_probs(scores, action_mask)
    from inscape.world_models.choice import boltzmann_log_probs

    return np.asarray(boltzmann_log_probs(scores, beta, action_mask))


def sample_actions(log_probs: Array, rng: np.random.Generator) -> Array:
    """Returns `[B]` int64 action indices drawn from `[B, A]` log-probabilities, by inverting the distribution."""
    cumulative = np.cumsum(np.exp(log_probs), axis=1)
    # the last sum may be just below one: scaling keeps the draw inside, and never on an action of probability 0
    draws = rng.random((len(log_probs), 1)) * cumulative[:, -1:]
    return np.asarray(np.argmax(cumulative > draws, axis=1))


def rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """Returns the state of a NumPy generator as JSON values."""
    state: dict[str, Any] = dict(rng.bit_generator.state)
    return state


def restore_rng(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Puts a NumPy generator back into `state`, as `rng_state` returned it."""
    rng.bit_generator.state = state
