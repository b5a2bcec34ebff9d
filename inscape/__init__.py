"""Inscape: one law, many readers. Worlds to act in, agents, models that predict, observers that infer minds."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from inscape.envs.registry import register_all

if TYPE_CHECKING:
    from inscape.envs.law import World
    from inscape.envs.registry import make_world, resolve_task

__version__ = "0.1.0"
__all__ = ["World", "__version__", "make_world", "resolve_task"]

_HOMES = {
    "World": "inscape.envs.law",
    "make_world": "inscape.envs.registry",
    "resolve_task": "inscape.envs.registry",
}

# Threads that wait by spinning steal the very core the others need when the machine is shared: with one busy neighbour
# two spinning threads were measured 30 times slower than one. Sleeping at once costs half the speed when it is quiet.
# A short spin (about 10 µs) keeps both: 117 M CartPole steps/s quiet, 52 M beside a busy process. libgomp
# reads it when it is loaded, by torch or by the first parallel kernel, so it is set before either is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

register_all()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'inscape' has no attribute {name!r}")
