"""Looking at an agent while it learns, without a trace: what it draws while it is looked at is put back."""

from __future__ import annotations

import hashlib
import random
import sys
from collections import deque
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
        seed: of what is drawn in the block; each generator has a stream of its own, by where it is found: how many
            others there are, and in which order, differs between an agent that has learned and one just loaded.
    """
    shared = _process_wide()
    known = {id(generator) for _, generator in shared}
    found = [*((path, generator) for path, generator in _generators(agent) if id(generator) not in known), *shared]
    kept = [_state(generator) for _, generator in found]
    for path, generator in found:
        place = int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest(), "little")
        _seed(generator, int(np.random.SeedSequence([seed, place]).generate_state(1)[0]))
    try:
        yield
    finally:
        for (_, generator), state in zip(found, kept, strict=True):
            _restore(generator, state)


def _process_wide() -> list[tuple[str, Any]]:
    """Returns the generators behind the functions of `random`, `numpy.random` and torch, named."""
    torch = sys.modules.get("torch")
    bound: dict[str, Any] = {"random": random.getstate, "numpy": np.random.get_state}
    named = [(name, method.__self__) for name, method in bound.items()]
    return [*named, *([] if torch is None else [("torch", torch.default_generator)])]


def _generators(root: Any) -> list[tuple[str, Any]]:
    """Returns the random generators that an object holds, each once, with the path of attributes to it.

    Of several paths to one the shortest counts, and of these the first in the alphabet.
    """
    torch = sys.modules.get("torch")
    of_torch = () if torch is None else (torch.Generator,)
    passed = (str, bytes, int, float, np.ndarray, type, *(() if torch is None else (torch.Tensor,)))
    found: list[tuple[str, Any]] = []
    met: set[int] = set()
    kept: list[Any] = []  # so that no id is used twice
    waiting: deque[tuple[str, Any, int]] = deque([("", root, 0)])
    while waiting:
        path, value, depth = waiting.popleft()
        if value is None or isinstance(value, passed) or id(value) in met:
            continue
        met.add(id(value))
        kept.append(value)
        if isinstance(value, (np.random.Generator, np.random.RandomState, random.Random, *of_torch)):
            found.append((path, value))
        elif depth < _DEEPEST:
            waiting += [(f"{path}.{name}", item, depth + 1) for name, item in _parts(value)]
    return found


def _parts(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return sorted(((str(key), item) for key, item in value.items()), key=_name) if len(value) <= 1000 else []
    if isinstance(value, list | tuple | set | frozenset):
        return [(str(k), item) for k, item in enumerate(value)] if len(value) <= 1000 else []  # longer ones hold data
    module = type(value).__module__.partition(".")[0]
    if module in ("builtins", "numpy", "numba", "types", "functools"):
        return []
    slots = {name: getattr(value, name, None) for cls in type(value).__mro__ for name in _slots(cls)}
    return sorted({**slots, **getattr(value, "__dict__", {})}.items(), key=_name)


def _name(part: tuple[str, Any]) -> str:
    return part[0]


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
