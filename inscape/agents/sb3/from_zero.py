"""Environments as Stable-Baselines3 knows them: numbered from 0, asked for masks."""

from __future__ import annotations

import logging
from typing import Any

import gymnasium
import numpy as np

from inscape.envs.tasks.checking.contract import MASK_KEYS
from inscape.world_models.networks.types import Array

_LOG = logging.getLogger("inscape")


class IgnoredMasks:
    """Says, once, that an algorithm without masks acts where an environment restricts actions.

    Args:
        who: the algorithm, and where it acts: `sb3:ppo in MyEnv-v0`; empty where it obeys masks.
    """

    def __init__(self, who: str) -> None:
        self._who = who

    def __call__(self, mask: Array | None) -> None:
        """Takes a mask `[..., A]` as it comes."""
        if self._who and mask is not None and not mask.all():
            _LOG.warning(
                "%s: actions are restricted, and this algorithm takes no masks: what is forbidden reaches the "
                "environment (sb3:maskable-ppo and ppo obey masks)",
                self._who,
            )
            self._who = ""


class FromZero(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An ordinary environment whose numbered actions and observations begin at 0, which is all Stable-Baselines3 knows.

    It keeps the last `info["action_mask"]` (flat, as `CheckedEnv` tells it), for sb3-contrib's masked algorithms.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], ignored: IgnoredMasks | None = None) -> None:
        super().__init__(env)
        self._ignored = ignored or IgnoredMasks("")
        self._observed, self._taken = env.observation_space, env.action_space
        self.observation_space, self.action_space = space_from_zero(self._observed), space_from_zero(self._taken)
        self._mask: Array | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._masked_by(info)
        return from_zero(observation, self._observed), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(to_environment(action, self._taken))
        self._masked_by(info)
        return from_zero(observation, self._observed), reward, terminated, truncated, info

    def _masked_by(self, info: dict[str, Any]) -> None:
        self._mask = info.get("action_mask")
        if self._mask is not None:
            self._ignored(self._mask)

    def action_masks(self) -> Array:
        """Returns `[A]` bool, True where legal; everything is, where the environment does not say."""
        if self._mask is None:
            return np.ones(mask_size(self.action_space), np.bool_)
        return self._mask


def space_from_zero(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """Returns the space with the same numbers of values, counted from 0; the very space where they are already.

    Action masks among observations are left out: they are obeyed where they can be, and not observed.
    """
    if isinstance(space, gymnasium.spaces.Dict):
        parts = {key: space_from_zero(part) for key, part in space.items() if key not in MASK_KEYS}
        same = len(parts) == len(space.spaces) and all(parts[key] is part for key, part in space.items())
        return space if same else gymnasium.spaces.Dict(parts)
    if isinstance(space, gymnasium.spaces.Discrete) and space.start:
        return gymnasium.spaces.Discrete(int(space.n))
    if isinstance(space, gymnasium.spaces.MultiDiscrete) and space.start.any():
        return gymnasium.spaces.MultiDiscrete(space.nvec)
    return space


def from_zero(observation: Any, space: gymnasium.Space[Any]) -> Any:
    """Returns one observation, or a batch, as `space_from_zero(space)` has it."""
    if isinstance(space, gymnasium.spaces.Dict):
        return {key: from_zero(observation[key], part) for key, part in space.items() if key not in MASK_KEYS}
    start = _start(space)
    return observation if start is None else observation - start


def to_environment(actions: Any, space: gymnasium.Space[Any]) -> Any:
    """Returns one action of `space_from_zero(space)`, or a batch, as `space` has it."""
    if isinstance(space, gymnasium.spaces.MultiBinary):  # Stable-Baselines3's are floating-point numbers
        return np.asarray(actions).astype(space.dtype)
    start = _start(space)
    return actions if start is None else actions + start


def _start(space: gymnasium.Space[Any]) -> Any:
    numbered = isinstance(space, (gymnasium.spaces.Discrete, gymnasium.spaces.MultiDiscrete))
    return space.start if numbered and np.any(space.start) else None  # type: ignore[attr-defined]


def mask_size(space: gymnasium.Space[Any]) -> int:
    """Returns Σ n, the choices of all parts of a finite action."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(space.n)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return int(space.nvec.sum())
    assert isinstance(space, gymnasium.spaces.MultiBinary), space
    return 2 * int(np.prod(space.shape))
