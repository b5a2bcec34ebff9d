"""Copies of a third-party environment, checked as one batch."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from inscape.envs.tasks.checking import hangs
from inscape.envs.tasks.checking.batches import batch_of
from inscape.envs.tasks.checking.bounds import Rows, array_of, numbers_check
from inscape.envs.tasks.checking.contract import MAX, Breach, Contract, EnvironmentFault
from inscape.envs.tasks.checking.one_copy import Copy, spaces_of
from inscape.envs.tasks.checking.place import Clock

Array = np.ndarray
FLOAT64 = np.dtype(np.float64)
NUMBERS = frozenset({float, int, np.float64, np.float32})
"""Types of rewards that are numbers for certain."""
FEW_BYTES = 512
"""Bytes of an observation up to which a batch is joined from bytes."""


def checked_batch(
    makers: Sequence[Callable[[], gym.Env[Any, Any]]], name: str, autoreset: str = "same-step"
) -> CheckedVectorEnv:
    """Returns copies of an environment, stepped one after another and checked as one batch.

    Args:
        makers: functions that make a copy each.
        name: of the environment, for messages.
        autoreset: `"same-step"` (last observations in `infos["final_obs"]`) or `"next-step"`.
    """
    return CheckedVectorEnv([make() for make in makers], name, autoreset)


class CheckedVectorEnv(VectorEnv[Any, Any, Any]):
    """Copies of one third-party environment, checked as `CheckedEnv` checks one, numbers as one batch.

    Observations are batches as `inscape.envs.tasks.checking.batches` has them; infos hold `"action_mask"` `[B, Σ n]`
    bool (all True in copies that tell none) where any copy tells one, and with same-step resets `"final_obs"` and
    `"_final_obs"` `[B]`.

    Args:
        envs: the copies.
        name: for messages.
        autoreset: `"same-step"` or `"next-step"`.

    Raises:
        UsageError: copies have different spaces, or spaces that are not Gymnasium's.
    """

    def __init__(self, envs: Sequence[gym.Env[Any, Any]], name: str, autoreset: str = "same-step") -> None:
        spaces = spaces_of(envs[0], name)
        self.contract = Contract(name, *spaces)
        for number, env in enumerate(envs):
            if (theirs := spaces_of(env, name)) != spaces:
                raise EnvironmentFault(
                    f"copy {number} of {name} has the spaces {theirs[0]}, {theirs[1]}; copy 0 has {spaces[0]}, "
                    f"{spaces[1]}",
                    expected="the same spaces in every copy",
                )
        self._clock = Clock()
        self.copies = [Copy(env, self.contract, number, self._clock) for number, env in enumerate(envs)]
        self.num_envs = count = len(envs)
        self._same_step = autoreset == "same-step"
        mode = AutoresetMode.SAME_STEP if self._same_step else AutoresetMode.NEXT_STEP
        self.metadata = {**envs[0].metadata, "autoreset_mode": mode}
        self.render_mode = envs[0].render_mode
        self.single_observation_space, self.single_action_space = spaces
        self._array_type, self._dtype, self._shape = array_of(spaces[0])
        self._rows: Rows | None = None
        self._bounds()
        self._elsewhere = any(copy.tells_elsewhere for copy in self.copies)
        self._gained = np.zeros(count)
        self._pack = partial(struct.Struct(f"{count}d").pack_into, self._gained.data, 0)
        self._bind()
        self._fresh = [False] * count
        hangs.watch()

    # a class that defines __getattr__ would have none of its attributes found fast
    @cached_property
    def observation_space(self) -> gym.Space[Any]:  # type: ignore[override]
        """The space of batches of observations, where Gymnasium has one."""
        return batch_space(self.single_observation_space, self.num_envs)

    @cached_property
    def action_space(self) -> gym.Space[Any]:  # type: ignore[override]
        """The space of batches of actions, where Gymnasium has one."""
        return batch_space(self.single_action_space, self.num_envs)

    @property
    def envs(self) -> list[gym.Env[Any, Any]]:
        """The copies."""
        return [copy.env for copy in self.copies]

    def _bounds(self) -> None:
        """Takes up what numbers of observations are compared with."""
        count, shape = self.num_envs, self._shape
        self._numbers = numbers_check(self.contract, (count,))[1]
        self._inside = numbers_check(self.contract, ())[0]
        # of few numbers, bytes are joined: much faster than rows of an array filled one by one
        if self._array_type is not None and 0 < np.prod(shape) * self._dtype.itemsize <= FEW_BYTES:
            self._rows = Rows((count, *shape), self._dtype, self._numbers)

    def _bind(self) -> None:
        self._steps = [copy.env.step for copy in self.copies]

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes, with `copy_seeds(seed)` if it is a number; of copies from `options["first_copy"]` on."""
        from inscape.envs.law.streams import copy_seeds

        own = dict(options or {})
        first = int(own.pop("first_copy", 0))
        if isinstance(seed, (int, np.integer)):
            seed = copy_seeds(int(seed), self.num_envs, first)
        seeds = [None] * self.num_envs if seed is None else list(seed)
        rows, masks = [], []
        for copy, copy_seed in zip(self.copies, seeds, strict=True):
            observation, mask = self._begin(copy, copy_seed, own or None)
            rows.append(observation)
            masks.append(mask)
        self._bind()
        self._fresh = [False] * self.num_envs
        return batch_of(self.single_observation_space, rows), self._infos(masks)

    def _begin(self, copy: Copy, seed: int | None = None, options: Any = None) -> tuple[Any, Array | None]:
        observation, info = copy.begin(seed, options)
        try:
            observation = self._taken(copy.number, observation)
            mask = copy.mask(info, observation) if info or self._elsewhere else None
        except Breach as breach:
            copy.breach(breach)
        return observation, None if mask is None else copy.legal(mask, False)

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        count, elsewhere, few, same_step = self.num_envs, self._elsewhere, self._rows, self._same_step
        joins = few is not None  # a bool is tested faster
        array_type, dtype, shape = self._array_type, self._dtype, self._shape
        rows: Any = [None] * count if joins or array_type is None else np.empty((count, *shape), dtype)
        rewards: list[Any] = [0.0] * count
        terminated, truncated = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        masks: dict[int, Array] = {}
        finals: dict[int, Any] = {}
        final = None
        copies = zip(range(count), self._steps, self.contract.actions(actions, count), self._fresh, strict=True)
        for i, step, action, fresh in copies:
            if fresh:
                observation, mask = self._first(i)
                rows[i] = observation.tobytes() if joins else observation
                if mask is not None:
                    masks[i] = mask
                self._fresh[i] = False
                continue
            try:
                observation, reward, over, cut, info = step(action)
            except BaseException as error:
                self.copies[i].raised(error, "step")
            if type(observation) is not array_type or observation.dtype is not dtype or observation.shape != shape:
                observation = self._conformed(i, observation)
            rewards[i] = reward
            if type(info) is not dict:
                info = self._informed(i, info)
            if over is not False or cut is not False:
                if type(over) is not bool or type(cut) is not bool:
                    over, cut = self.copies[i].flags(over, cut)
                if over or cut:
                    terminated[i], truncated[i] = over, cut
                    if same_step:
                        if array_type is None:
                            finals[i] = self._taken(i, observation)
                        else:
                            final = np.zeros((count, *shape), dtype) if final is None else final
                            final[i] = observation
                            if self._inside is None or not self._inside(*observation.tolist()):
                                self._conformed(i, observation)
                        observation, mask = self._first(i)
                        if mask is not None:
                            masks[i] = mask
                    rows[i] = observation.tobytes() if joins else observation
                    self._fresh[i] = not same_step
                    continue
            rows[i] = observation.tobytes() if joins else observation  # copied: environments reuse buffers
            if info or elsewhere:
                mask = self._mask(i, info, observation)
                if mask is not None:
                    masks[i] = self.copies[i].legal(mask, False)
        gained = self._rewards(rewards)
        if few is not None:
            batch, suspicious = few.joined(rows)
        else:
            batch = rows if array_type is not None else batch_of(self.single_observation_space, rows)
            suspicious = self._numbers is not None and self._numbers.suspicious(batch)
        if suspicious:
            self._look_at_each(batch)
        self._clock.steps += 1
        infos = self._infos([masks.get(i) for i in range(count)]) if masks else {}
        if final is not None or finals:
            infos["final_obs"] = self._final_batch(finals) if final is None else final
            infos["_final_obs"] = terminated | truncated
        return batch, gained, terminated, truncated, infos

    def _first(self, i: int) -> tuple[Any, Array | None]:
        """Starts another episode in a copy; returns its first observation, whose numbers the batch's check looks at,
        and the mask."""
        copy = self.copies[i]
        try:
            begun: Any = copy.env.reset(seed=None, options=None)
        except (Exception, SystemExit) as error:
            copy.raised(error, "reset")
        copy.require_spaces()
        if type(begun) is not tuple or len(begun) != 2 or type(begun[1]) is not dict:
            begun = copy.begun(begun)
            self._steps[i] = copy.env.step
        observation, info = begun
        if (
            type(observation) is not self._array_type
            or observation.dtype is not self._dtype
            or observation.shape != self._shape
        ):
            observation = self._conformed(i, observation)
        if not (info or self._elsewhere):
            return observation, None
        mask = self._mask(i, info, observation)
        return observation, None if mask is None else copy.legal(mask, False)

    def _final_batch(self, finals: dict[int, Any]) -> Any:
        """Returns `[B, ...]` last observations of several parts; rows of copies that go on hold anything."""
        some = next(iter(finals.values()))
        return batch_of(self.single_observation_space, [finals.get(i, some) for i in range(self.num_envs)])

    def _infos(self, masks: Sequence[Array | None]) -> dict[str, Any]:
        if all(mask is None for mask in masks):
            return {}
        everything = np.ones(sum(self.contract.mask_sizes), np.bool_)
        return {"action_mask": np.stack([everything if mask is None else mask for mask in masks])}

    def _rewards(self, rewards: list[Any]) -> Array:
        """Returns `[B]` float64 rewards, within single precision."""
        try:
            if NUMBERS.issuperset(map(type, rewards)) and math.hypot(*rewards) <= MAX:
                # none is beyond single precision, nor NaN; packed in a third of the time that `np.array` takes
                self._pack(*rewards)
                return self._gained.copy()
        except OverflowError:
            pass  # an integer beyond double precision; is named below
        kept = np.empty(self.num_envs)
        for i, reward in enumerate(rewards):
            try:
                kept[i] = self.contract.reward(reward)
            except Breach as breach:
                self.copies[i].breach(breach)
        return kept

    def _taken(self, i: int, observation: Any) -> Any:
        """Returns a copy of an observation that is not checked in the batch: the first and the last of an episode."""
        if (
            self._inside is not None
            and type(observation) is np.ndarray
            and observation.dtype is self._dtype
            and observation.shape == self._shape
            and self._inside(*observation.tolist())
        ):
            return observation.copy()
        return self._conformed(i, observation)

    def _look_at_each(self, batch: Array) -> None:
        """Names the number that is none, or reports, once, the one that is out of bounds."""
        for i in range(self.num_envs):
            self._conformed(i, batch[i])
        self._bounds()

    def _conformed(self, i: int, observation: Any) -> Any:
        try:
            return self.contract.observation(observation)
        except Breach as breach:
            self.copies[i].breach(breach)

    def _informed(self, i: int, info: Any) -> dict[str, Any]:
        try:
            return self.contract.info(info)
        except Breach as breach:
            self.copies[i].breach(breach)

    def _mask(self, i: int, info: dict[str, Any], observation: Any) -> Array | None:
        try:
            return self.copies[i].mask(info, observation)
        except Breach as breach:
            self.copies[i].breach(breach)

    def render(self) -> tuple[Any, ...]:
        """Returns what each copy draws."""
        return tuple(copy.call("render", copy.env.render) for copy in self.copies)

    def close_extras(self, **kwargs: Any) -> None:
        """Closes every copy."""
        for copy in self.copies:
            copy.close()
