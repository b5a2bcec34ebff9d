"""Random numbers in NumPy: saving and restoring a generator's state, drawing from rows of probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """Returns the state of a NumPy generator as JSON values."""
    state: dict[str, Any] = dict(rng.bit_generator.state)
    return state


def restore_rng(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Puts a NumPy generator back into `state`, as `rng_state` returned it."""
    rng.bit_generator.state = state


def drawn_indices(probability: NDArray[np.float64], numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns `[B]` indices, drawn with probabilities `[B, A]` by numbers `[B]` uniform in [0, 1): inverse transform.

    Rows need not sum to one exactly: they are scaled.
    """
    cumulative = np.cumsum(probability, axis=1)
    # the last sum may be just below one: scaling keeps the draw inside, and never on an index of probability 0
    return np.asarray(np.argmax(cumulative > numbers[:, None] * cumulative[:, -1:], axis=1))
