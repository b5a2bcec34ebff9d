"""Agents in hand: a class, or an object that acts, where elsewhere the name of an agent is given."""

from __future__ import annotations

import inspect
from typing import Any

from inscape.agents.catalogue import BUILT_IN, SB3_ALGORITHMS
from inscape.agents.interface import Agent
from inscape.envs.loading import load_class, reference_of
from inscape.errors import UsageError

IN_HAND = " (in hand)"
"""Ends the stored name of an agent that cannot be made again by it."""
GIVEN = ("task", "seed", "device", "settings")
"""What constructors of agents are given, where they take it."""


def name_of(given: Any) -> str:
    """Returns the name under which an agent is stored: that of a built-in one or of one of Stable-Baselines3,
    `package.module:Class` or `file.py:Class`; of any other its class and `IN_HAND`.

    Args:
        given: a name, a class, or an object that acts.
    """
    if isinstance(given, str):
        return given
    cls = given if isinstance(given, type) else type(given)
    if not isinstance(given, type):
        if isinstance(own := getattr(given, "name", None), str) and isinstance(given, Agent) and own.startswith("sb3:"):
            return own
        if callable(given) and not callable(getattr(given, "act", None)) and hasattr(given, "__name__"):
            return str(given.__name__).strip("<>") + IN_HAND  # a function
    if (known := known_name(cls)) is not None and isinstance(given, (type, Agent)):
        return known
    reference = reference_of(cls)
    if reference is None or (not isinstance(given, type) and not _needs_nothing(cls)):
        return cls.__name__ + IN_HAND
    return reference


def known_name(cls: type) -> str | None:
    """Returns the name of a built-in agent of this class, or `sb3:NAME` for a class of Stable-Baselines3; else None."""
    top = cls.__module__.partition(".")[0]
    for entry in BUILT_IN if top == "inscape" else ():
        if entry.path.endswith(f":{cls.__name__}") and load_class(entry.path, "agent") is cls:
            return entry.name
    for name, (path, _) in SB3_ALGORITHMS.items():
        if path == f"{top}:{cls.__name__}":
            return f"sb3:{name}"
    return None


def require_in_a_name(stored: str, source: object) -> None:
    """Raises UsageError for the stored name of an agent that has none by which it could be made again."""
    if stored.endswith(IN_HAND):
        bare = stored.removesuffix(IN_HAND)
        raise UsageError(
            f"{source} is of {bare}, an agent that a notebook or a script had in hand: it has no name by which it can "
            "be made again",
            expected="its class given beside the run",
            hint=f"load_agent(run, agent={bare}) in Python",
        )


def _needs_nothing(cls: type) -> bool:
    """Returns whether a class can be made of what constructors of agents are given."""
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (ValueError, TypeError):
        return False
    variadic = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return all(p.name in GIVEN or p.default is not p.empty or p.kind in variadic for p in parameters)
