"""Inscape: one law, many readers. Worlds to act in, agents, models that predict, observers that infer minds."""

from __future__ import annotations

import importlib
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

register_all()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'inscape' has no attribute {name!r}")
