"""The process-wide random generators, of Python, NumPy and torch, for libraries that draw from them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from inscape.world_models.networks.types import State


def global_state() -> State:
    name, keys, position, has_gauss, cached = np.random.get_state()
    version, words, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state().numpy().copy(),
        "numpy": {"name": str(name), "keys": np.array(keys), "rest": [int(position), int(has_gauss), float(cached)]},
        "python": {"version": version, "words": np.array(words, np.uint64), "gauss": gauss},
    }


def _set_global_state(state: State) -> None:
    torch.set_rng_state(torch.from_numpy(np.array(state["torch"])))
    numpy_state = state["numpy"]
    np.random.set_state((numpy_state["name"], np.array(numpy_state["keys"]), *numpy_state["rest"]))
    python = state["python"]
    random.setstate((python["version"], tuple(int(word) for word in python["words"]), python["gauss"]))


def seeded_globals(seed: int) -> State:
    """Returns the process-wide random state that a seed gives, and leaves the present one alone."""
    with isolated_globals(None):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        return global_state()


@contextmanager
def isolated_globals(state: State | None) -> Iterator[None]:
    """Runs with the given process-wide random state (None: as it is) and puts back what there was."""
    before = global_state()
    if state is not None:
        _set_global_state(state)
    try:
        yield
    finally:
        _set_global_state(before)
