"""Saving and restoring the state of NumPy random generators."""

from __future__ import annotations

from typing import Any

import numpy as np


def rng_state(rng: np.random.Generator) -> dict[str, Any]:
    """Returns the state of a NumPy generator as JSON values."""
    state: dict[str, Any] = dict(rng.bit_generator.state)
    return state


def restore_rng(rng: np.random.Generator, state: dict[str, Any]) -> None:
    """Puts a NumPy generator back into `state`, as `rng_state` returned it."""
    rng.bit_generator.state = state
