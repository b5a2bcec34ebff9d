"""Environments with the interface of the old Gym, adapted to Gymnasium's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np


class OldGym(gym.Wrapper[Any, Any, Any, Any]):
    """An environment with the old Gym interface: `reset() -> observation` and `step` of four values."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        taken = parameters_of(env.reset)
        self._takes = None if "**" in taken else taken

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        given: dict[str, Any] = {"seed": seed, "options": options}
        if self._takes is not None and "seed" not in self._takes and seed is not None:
            seeding = getattr(self.env, "seed", None)
            if callable(seeding):
                seeding(seed)
            else:
                self.env.np_random = np.random.default_rng(seed)
        begun: Any = self.env.reset(**{k: v for k, v in given.items() if self._takes is None or k in self._takes})
        if isinstance(begun, tuple) and len(begun) == 2 and isinstance(begun[1], dict):
            return begun
        return begun, {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        done: Any = self.env.step(action)
        if len(done) != 4:
            return done  # type: ignore[no-any-return]
        observation, reward, ended, info = done
        cut = bool(isinstance(info, Mapping) and info.get("TimeLimit.truncated", False))
        return observation, reward, ended and not cut, cut, info


def parameters_of(method: Any) -> set[str]:
    """Returns the names of a method's parameters; with "seed", "options" and "**" where it takes any."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # a method in C
        return {"seed", "options"}
    names = {p.name for p in parameters}
    return names | {"seed", "options", "**"} if any(p.kind is p.VAR_KEYWORD for p in parameters) else names
