"""What a mind can do, of what is legal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError, closest
from inscape.theory_of_mind.controllers import Array

if TYPE_CHECKING:
    from inscape.envs.world import World


def check_can(can: Any) -> Any:
    """Returns what a mind can do, in a form that does not change: a function, a tuple of names, or an array."""
    if can is None or callable(can):
        return can
    if isinstance(can, str):
        return (can,)
    entries = can if isinstance(can, np.ndarray) else list(can) if isinstance(can, Iterable) else None
    if entries is not None and len(entries) and all(isinstance(entry, str) for entry in entries):
        return tuple(entries)
    mask = np.asarray(entries)
    if entries is None or mask.dtype != np.bool_ or mask.ndim not in (1, 2):
        raise UsageError(
            f"can = {can!r}", expected="names of actions, [A] or [S, A] bool, or a function of a State and an action"
        )
    mask = mask.copy()
    mask.flags.writeable = False
    return mask


def ability(world: World, can: Any, who: str) -> Array:
    """Returns `[S, A]` bool: what a mind can do in each state, of what is legal there.

    Raises:
        UsageError: unknown actions; another shape; nothing is left in a state.
    """
    dynamics = world.dynamics()
    legal = dynamics.legal
    names = list(world.action_names)
    if can is None:
        return np.asarray(legal)
    if callable(can):
        able: Callable[[Any, str], Any] = can
        mask = np.array(
            [[bool(able(world.unpack(dynamics.states, s), name)) for name in names] for s in range(len(dynamics))]
        )
    elif isinstance(can, tuple):
        unknown = [name for name in can if name not in names]
        if unknown:
            raise UsageError(
                f"the mind ({who}) can {unknown[0]!r}", expected=", ".join(names), hint=closest(unknown[0], names)
            )
        mask = np.array([name in can for name in names])
    else:
        mask = can
    if mask.shape not in ((len(names),), legal.shape):
        raise UsageError(
            f"what the mind ({who}) can do has shape {mask.shape}",
            expected=f"[A] = [{len(names)}] or [S, A] = {list(legal.shape)}",
        )
    left = legal & mask
    stuck = legal.any(axis=1) & ~left.any(axis=1)
    if stuck.any():
        state = world.unpack(dynamics.states, int(np.argmax(stuck)))
        raise UsageError(
            f"the mind ({who}) can do nothing in {state}", expected="at least one legal action in every state"
        )
    return np.asarray(left)


def in_words(can: Any) -> str:
    """Returns what a mind can do in a few words."""
    if isinstance(can, tuple):
        return " or ".join(can)
    return getattr(can, "__name__", "some actions") if callable(can) else "some actions"
