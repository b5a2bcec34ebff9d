"""Looking at an agent while it learns, without a trace: what it draws while it is looked at is put back."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_DEEPEST = 6
"""Attributes of attributes that are followed to find generators."""


@contextmanager
def apart(agent: Any, seed: int) -> Iterator[None]:
    """Lets an agent act, seeded apart: its random generators begin at `seed` and are put back at the end.

    Agents of Inscape learn and act with different generators, so that learning is left alone anyway; a custom one may
    have a single generator for both, or draw from the process-wide ones. Those are found as attributes of the agent,
    in containers too: NumPy generators and `RandomState`s, torch generators, `random.Random`.

    Args:
        agent: the agent.
        seed: of what is drawn in the block; each generator has a stream of its own.
    """
    shared = _process_wide()
    known = {id(generator) for generator in shared}
    generators = [*(generator for generator in _generators(agent) if id(generator) not in known), *shared]
    kept = [_state(generator) for generator in generators]
    for number, generator in enumerate(generators):
        _seed(generator, int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
    try:
        yield
    finally:
        for generator, state in zip(generators, kept, strict=True):
            _restore(generator, state)


def _process_wide() -> list[Any]:
    """Returns the generators behind the functions of `random`, `numpy.random` and torch."""
    torch = sys.modules.get("torch")
    bound: list[Any] = [random.getstate, np.random.get_state]
    return [*(method.__self__ for method in bound), *([] if torch is None else [torch.default_generator])]


def _generators(root: Any) -> list[Any]:
    """Returns the random generators that an object holds, in the order of its attributes, each once."""
    torch = sys.modules.get("torch")
    of_torch = () if torch is None else (torch.Generator,)
    passed = (str, bytes, int, float, np.ndarray, type, *(() if torch is None else (torch.Tensor,)))
    found: list[Any] = []
    met: set[int] = set()
    kept: list[Any] = []  # so that no id is used twice
    waiting: list[tuple[Any, int]] = [(root, 0)]
    while waiting:
        value, depth = waiting.pop()
        if value is None or isinstance(value, passed) or id(value) in met:
            continue
        met.add(id(value))
        kept.append(value)
        if isinstance(value, (np.random.Generator, np.random.RandomState, random.Random, *of_torch)):
            found.append(value)
        elif depth < _DEEPEST:
            waiting += [(item, depth + 1) for item in reversed(_parts(value))]
    return found


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values()) if len(value) <= 1000 else []
    if isinstance(value, list | tuple | set | frozenset):
        return list(value) if len(value) <= 1000 else []  # longer ones hold data
    module = type(value).__module__.partition(".")[0]
    if module in ("builtins", "numpy", "numba", "types", "functools"):
        return []
    slots = [getattr(value, name, None) for cls in type(value).__mro__ for name in _slots(cls)]
    return [*getattr(value, "__dict__", {}).values(), *slots]


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state()
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state().clone()


def _seed(generator: Any, seed: int) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = type(generator.bit_generator)(seed).state
    elif isinstance(generator, np.random.RandomState | random.Random):
        generator.seed(seed)
    else:
        generator.manual_seed(seed)


def _restore(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState):
        generator.set_state(state)
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)
