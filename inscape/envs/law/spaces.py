"""The observation space of a world, from what it declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.law.law import Law


def observation_space_of(world: Law) -> gym.Space[Any]:
    """Returns the observation space a world declares; by default an unbounded Box over the state's scalars.

    Raises:
        UsageError: it defines observations and no space for them, or declares what is not a space or has several axes.
    """
    declared = world.law_function("observations")
    if declared is not None:
        space = _as_space(declared(world.params), world.name)
    elif world.law_function("observation") is not None or world.is_wide():
        raise UsageError(
            f"{world.name} defines observation but not observations",
            expected="a static method observations(params) -> gymnasium.Space",
        )
    else:
        size = sum(field.size for field in world.layouts()[0].fields)
        space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
    if world.is_wide():
        if not isinstance(space, gym.spaces.Box):
            raise UsageError(f"the observation space of {world.name} is {space}", expected="a Box")
    elif space.shape is None or len(space.shape) > 1:
        raise UsageError(
            f"the observation space of {world.name} is {space}",
            expected="Discrete, MultiDiscrete, or a Box of one axis",
            hint="write wide observations entry by entry: observation_entry(params, view, k)",
        )
    return space


def _as_space(declared: Any, name: str) -> gym.Space[Any]:
    """Returns what `observations` declared as a space; an int is Discrete, a tuple of ints MultiDiscrete."""
    if isinstance(declared, gym.Space):
        return declared
    if isinstance(declared, (int, np.integer)):
        return gym.spaces.Discrete(int(declared))
    if isinstance(declared, (tuple, list)) and all(isinstance(n, (int, np.integer)) for n in declared):
        return gym.spaces.MultiDiscrete(np.array(declared, np.int64))
    raise UsageError(
        f"observations of {name} returned {declared!r}",
        expected="a gymnasium Space, a number of values (Discrete), or one number per entry (MultiDiscrete)",
    )
