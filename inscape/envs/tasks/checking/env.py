"""One third-party environment in a copying, checking wrapper."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from inscape.envs.tasks.checking import hangs
from inscape.envs.tasks.checking.bounds import array_of, numbers_check
from inscape.envs.tasks.checking.contract import MAX, Breach, Contract
from inscape.envs.tasks.checking.one_copy import Copy, spaces_of
from inscape.envs.tasks.checking.place import Clock

Array = np.ndarray


class CheckedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """One third-party environment: what it hands over is copied and checked, what it is handed has its dtype.

    Args:
        env: the environment, with its wrappers.
        name: for messages.
        copy: which copy it is, for messages.

    Raises:
        UsageError: its spaces are not Gymnasium's; an action it cannot be handed.
        EnvironmentFault: it raised or exited; or an observation, a reward, a flag, a mask or an info is none.
    """

    def __init__(self, env: gym.Env[Any, Any], name: str, copy: int = 0) -> None:
        super().__init__(env)
        self.contract = Contract(name, *spaces_of(env, name))
        self._clock = Clock()
        self.copy = Copy(env, self.contract, copy, self._clock)
        self.env = self.copy.env
        self._direct = self.env.step
        self._array_type, self._dtype, self._shape = array_of(self.contract.observation_space)
        self._reported = False
        self._inside, self._numbers = numbers_check(self.contract, ())
        self._actions = self.contract.numbered
        self._elsewhere = self.copy.tells_elsewhere
        hangs.watch()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        own = self.copy
        observation, info = own.begin(seed, options)
        self._direct = own.env.step
        self.env = own.env
        if (
            self._inside is not None
            and type(observation) is np.ndarray
            and observation.dtype is self._dtype
            and observation.shape == self._shape
            and self._inside(*observation.tolist())
        ):
            observation = observation.copy()
        else:
            observation = self._conformed(observation)
        if not (info or self._elsewhere):
            return observation, info
        mask = self._mask(info, observation)
        return observation, info if mask is None else {**info, "action_mask": own.legal(mask, False)}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        try:
            action = self._actions[action]
        except (KeyError, TypeError):
            action = self.contract.action(action)
        try:
            observation, reward, terminated, truncated, info = self._direct(action)
        except BaseException as error:
            self.copy.raised(error, "step")
        if (
            type(observation) is self._array_type
            and observation.dtype is self._dtype
            and observation.shape == self._shape
        ):
            observation = observation.copy()
            if self._inside is not None:
                if not self._inside(*observation.tolist()):
                    observation = self._conformed(observation)
            elif self._numbers is not None and self._numbers.suspicious(observation):
                observation = self._conformed(observation)
        else:
            observation = self._conformed(observation)
        if type(reward) is not float or not -MAX <= reward <= MAX:
            reward = self._rewarded(reward)
        if (terminated is not False and terminated is not True) or (truncated is not False and truncated is not True):
            terminated, truncated = self.copy.flags(terminated, truncated)
        if type(info) is not dict:
            info = self._informed(info)
        if info or self._elsewhere:
            mask = self._mask(info, observation)
            if mask is not None:
                info = {**info, "action_mask": self.copy.legal(mask, terminated or truncated)}
        self._clock.steps += 1
        return observation, reward, terminated, truncated, info

    def render(self) -> Any:
        try:
            return self.env.render()
        except BaseException as error:
            self.copy.raised(error, "render")

    def close(self) -> None:
        self.copy.close()

    def _conformed(self, observation: Any) -> Any:
        try:
            conformed = self.contract.observation(observation)
        except Breach as breach:
            self.copy.breach(breach)
        if not self._reported and self.contract.out_of_bounds_reported():
            self._reported = True
            self._inside, self._numbers = numbers_check(self.contract, ())
        return conformed

    def _rewarded(self, reward: Any) -> float:
        try:
            return self.contract.reward(reward)
        except Breach as breach:
            self.copy.breach(breach)

    def _informed(self, info: Any) -> dict[str, Any]:
        try:
            return self.contract.info(info)
        except Breach as breach:
            self.copy.breach(breach)

    def _mask(self, info: dict[str, Any], observation: Any) -> Array | None:
        try:
            return self.copy.mask(info, observation)
        except Breach as breach:
            self.copy.breach(breach)
