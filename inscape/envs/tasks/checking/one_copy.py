"""One copy of a third-party environment: how its episodes begin, how its flags are read, and whence its masks come."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from inscape.envs.tasks.checking.contract import MASK_KEYS, Breach, Contract, EnvironmentFault
from inscape.envs.tasks.checking.old_gym import OldGym, parameters_of
from inscape.envs.tasks.checking.place import Clock, Place
from inscape.errors import UsageError

Array = np.ndarray
_LOG = logging.getLogger("inscape")


class Copy(Place):
    """What is the same for one copy and for one among several: how it begins, and whence its masks come.

    Attributes:
        env: the environment, with its wrappers.
    """

    def __init__(self, env: gym.Env[Any, Any], contract: Contract, number: int, clock: Clock) -> None:
        super().__init__(contract, number, clock)
        self.env = env
        base = env.unwrapped
        if "seed" not in parameters_of(base.reset):
            self._adapt()
        self.asked = _mask_source(env)
        space = contract.observation_space
        self.key = next((k for k in MASK_KEYS if isinstance(space, gym.spaces.Dict) and k in space.spaces), None)
        self.tells_elsewhere = self.asked is not None or self.key is not None

    def begin(self, seed: int | None, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; returns the observation as the environment gives it, and its info."""
        self.seeded(seed)
        try:
            begun: Any = self.env.reset(seed=self.seed if seed is not None else None, options=options)
        except BaseException as error:
            self.raised(error, "reset")
        self.require_spaces()
        if type(begun) is tuple and len(begun) == 2 and type(begun[1]) is dict:
            return begun
        return self.begun(begun)

    def begun(self, begun: Any) -> tuple[Any, dict[str, Any]]:
        """Returns observation and info from whatever `reset` returned."""
        if isinstance(begun, tuple) and len(begun) == 2 and isinstance(begun[1], Mapping):
            return begun[0], dict(begun[1])
        if (
            isinstance(begun, tuple)
            and len(begun) == 2
            and not isinstance(self.contract.observation_space, gym.spaces.Tuple)
        ):
            self.breach(Breach("info", f"of reset is {type(begun[1]).__name__}", "a dictionary"))
        self._adapt()  # only an observation, as the old Gym has it: its steps return four values
        return begun, {}

    def _adapt(self) -> None:
        """Puts `OldGym` right above the environment, below its time limit."""
        env = self.env
        if not isinstance(env, gym.Wrapper):
            self.env = env if isinstance(env, OldGym) else OldGym(env)
            return
        while isinstance(env.env, gym.Wrapper):
            env = env.env
        if not isinstance(env, OldGym):
            env.env = OldGym(env.env)

    def close(self) -> None:
        """Closes the environment; what goes wrong there is logged, since all that it was used for is done."""
        try:
            self.call("close", self.env.close)
        except EnvironmentFault as fault:
            _LOG.warning("%s", str(fault).splitlines()[0])

    def require_spaces(self) -> None:
        """Raises if the environment has changed its spaces: what acts in it was made for those it had."""
        for name, had in (("observation", self.contract.observation_space), ("action", self.contract.action_space)):
            has = getattr(self.env, f"{name}_space", had)
            if has is not had and has != had:
                self.breach(Breach(f"the {name} space", f"has become {has}", f"{had}, as it was"))

    def mask(self, info: Mapping[str, Any], observation: Any) -> Array | None:
        """Returns the mask, `[Σ n]` bool, from wherever it is told; None if it is not told."""
        for key in MASK_KEYS:
            if info.get(key) is not None:
                if not self.contract.mask_sizes:
                    return None  # continuous actions: such a key means something else
                return self.contract.mask(info[key], f"info[{key!r}]")
        if self.key is not None:
            return self.contract.mask(observation[self.key], f"the observation's {self.key!r}")
        if self.asked is None:
            return None
        try:
            told = self.asked()
        except BaseException as error:
            self.raised(error, "action_masks")
        return None if told is None else self.contract.mask(told, "the action mask")

    def legal(self, mask: Array, over: bool) -> Array:
        """Returns a mask; raises where nothing is legal although the episode goes on (at its end, all is)."""
        if self.contract.forbidding(mask[None])[0]:
            if over:
                return np.ones_like(mask)
            self.forbids()
        return mask

    def flags(self, terminated: Any, truncated: Any) -> tuple[bool, bool]:
        """Returns both flags as booleans."""
        try:
            return self.contract.flag(terminated, "terminated"), self.contract.flag(truncated, "truncated")
        except Breach as breach:
            self.breach(breach)


def spaces_of(env: gym.Env[Any, Any], name: str) -> tuple[gym.Space[Any], gym.Space[Any]]:
    try:
        return env.observation_space, env.action_space
    except AttributeError as error:
        raise UsageError(
            f"{name} has no observation_space or no action_space ({error})",
            expected="both, as attributes",
            hint="set them in its __init__",
        ) from error


def _mask_source(env: gym.Env[Any, Any]) -> Callable[[], Any] | None:
    """Returns what asks an environment for its mask, a method or an attribute of it or of a wrapper; None if none."""
    for name in ("action_masks", "action_mask"):
        if env.has_wrapper_attr(name):
            if callable(env.get_wrapper_attr(name)):
                return lambda: env.get_wrapper_attr(name)()
            return lambda: env.get_wrapper_attr(name)
    return None
