"""The boundary to third-party environments: every copy is wrapped in a copying, checking wrapper.

    env = CheckedEnv(gym.make("LunarLander-v3"), "LunarLander-v3")
    copies = checked_batch([lambda: gym.make("LunarLander-v3")] * 16, "LunarLander-v3")

What an environment hands over is copied (environments reuse buffers) and checked against its spaces; what raises, or
exits, is reported with copy, step and seed (`contract.EnvironmentFault`), and so is what does not come back
(`hangs`). Masks are found wherever environments keep them, and told in `info["action_mask"]`, flat and bool. Reset and
step of the old Gym interface are adapted. Built-in worlds do not pass here.
"""

from __future__ import annotations

import dis
import inspect
import logging
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from inscape.envs.tasks.checking import hangs
from inscape.envs.tasks.checking.batches import ARRAY_SPACES, batch_of
from inscape.envs.tasks.checking.bounds import numbers_check
from inscape.envs.tasks.checking.contract import MASK_KEYS, MAX, Breach, Contract, EnvironmentFault
from inscape.errors import UsageError

Array = np.ndarray
FLOAT64 = np.dtype(np.float64)
_PACKAGE = str(Path(__file__).parents[3]) + os.sep
_TASKS = str(Path(__file__).parents[1]) + os.sep
_LOG = logging.getLogger("inscape")
LONGEST = 500
"""Characters of an environment's error that are shown."""
FEW_BYTES = 512
"""Bytes of an observation up to which a batch is joined from bytes."""


class Clock:
    """Steps since the last seed: of one copy, or of all copies of a batch, which step together."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps = 0


class Place:
    """Where an error of an environment arises: its name, which copy, what seed, what step.

    Attributes:
        contract: the environment's.
        number: which copy it is.
        seed: what it was last seeded with; None if it never was.
        clock: counts steps since then.
    """

    def __init__(self, contract: Contract, number: int, clock: Clock | None = None) -> None:
        self.contract, self.number, self.clock = contract, number, clock or Clock()
        self.seed: int | None = None

    def seeded(self, seed: int | None) -> None:
        """Notes what the environment is seeded with; None changes nothing."""
        if seed is not None:
            self.seed, self.clock.steps = int(seed), 0

    def call(self, method: str, function: Callable[..., Any], *args: Any, **given: Any) -> Any:
        """Returns what a method of the environment returns; raises as `raised` where it raises."""
        try:
            return function(*args, **given)
        except BaseException as error:
            self.raised(error, method)

    def taken(self, convert: Callable[..., Any], *values: Any) -> Any:
        """Returns what a method of the contract makes of a value; raises as `breach` where that is excluded."""
        try:
            return convert(*values)
        except Breach as breach:
            self.breach(breach)

    def forbids(self) -> NoReturn:
        """Raises for a mask that forbids every action."""
        raise EnvironmentFault(
            f"{self.contract.name} forbids every action (its action mask is all False) {self.place}",
            expected="at least one legal action wherever an episode goes on",
            hint="end the episode there, or allow an action that does nothing",
        )

    @property
    def place(self) -> str:
        """Says where it is: copy, step and seed."""
        seed = "not seeded" if self.seed is None else f"seed {self.seed}"
        return f"in copy {self.number} at step {self.clock.steps} ({seed})"

    def breach(self, breach: Breach) -> NoReturn:
        """Raises for a value that its interface or space excludes."""
        raise EnvironmentFault(
            f"{breach.what} of {self.contract.name} {breach.wrong} {self.place}",
            expected=breach.expected,
            hint=breach.hint or f"inscape check {self.contract.name}",
        ) from breach.__cause__

    def raised(self, error: BaseException, method: str) -> NoReturn:
        """Raises for what the environment itself raised; an exit is an error of its code, Ctrl-C is passed on."""
        if isinstance(error, Breach):
            self.breach(error)
        if isinstance(error, KeyboardInterrupt) and not _is_statement(error):
            raise error
        at = _raised_in(error)
        text = f"{type(error).__name__}: {_text_of(error)}".rstrip(": ")
        if isinstance(error, SystemExit):
            done = f"called sys.exit({error.code!r})"[:LONGEST]
        else:
            done = f"raised {text}"
        hint = f"look at {at}" if at else ""
        if isinstance(error, (ValueError, TypeError)) and "unpack" in str(error):
            hint = (
                "return (observation, info) from reset and (observation, reward, terminated, truncated, info) from "
                "step; shimmy.GymV21CompatibilityV0 converts environments of the old Gym"
            )
        raise EnvironmentFault(
            f"{self.contract.name} {done} in {method}, {self.place}",
            expected="an environment whose reset and step return",
            hint=hint,
        ) from error


class _Copy(Place):
    """What is the same for one copy and for one among several: how it begins, and whence its masks come.

    Attributes:
        env: the environment, with its wrappers.
    """

    def __init__(self, env: gym.Env[Any, Any], contract: Contract, number: int, clock: Clock) -> None:
        super().__init__(contract, number, clock)
        self.env = env
        base = env.unwrapped
        if "seed" not in _parameters(base.reset):
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
        self._require_spaces()
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
        """Puts `_OldGym` right above the environment, below its time limit."""
        env = self.env
        if not isinstance(env, gym.Wrapper):
            self.env = env if isinstance(env, _OldGym) else _OldGym(env)
            return
        while isinstance(env.env, gym.Wrapper):
            env = env.env
        if not isinstance(env, _OldGym):
            env.env = _OldGym(env.env)

    def close(self) -> None:
        """Closes the environment; what goes wrong there is logged, since all that it was used for is done."""
        try:
            self.call("close", self.env.close)
        except EnvironmentFault as fault:
            _LOG.warning("%s", str(fault).splitlines()[0])

    def _require_spaces(self) -> None:
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


class _OldGym(gym.Wrapper[Any, Any, Any, Any]):
    """An environment with the old Gym interface: `reset() -> observation` and `step` of four values."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        taken = _parameters(env.reset)
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
        self.contract = Contract(name, *_spaces(env, name))
        self._clock = Clock()
        self.copy = _Copy(env, self.contract, copy, self._clock)
        self.env = self.copy.env
        self._direct = self.env.step
        self._array_type, self._dtype, self._shape = _array_of(self.contract.observation_space)
        self._reported = False
        self._inside, self._numbers = numbers_check(self.contract, ())
        self._actions = _numbered_actions(self.contract.action_space)
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
        except (IndexError, TypeError):
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
        spaces = _spaces(envs[0], name)
        self.contract = Contract(name, *spaces)
        for number, env in enumerate(envs):
            if (theirs := _spaces(env, name)) != spaces:
                raise EnvironmentFault(
                    f"copy {number} of {name} has the spaces {theirs[0]}, {theirs[1]}; copy 0 has {spaces[0]}, "
                    f"{spaces[1]}",
                    expected="the same spaces in every copy",
                )
        self._clock = Clock()
        self.copies = [_Copy(env, self.contract, number, self._clock) for number, env in enumerate(envs)]
        self.num_envs = count = len(envs)
        self._same_step = autoreset == "same-step"
        mode = AutoresetMode.SAME_STEP if self._same_step else AutoresetMode.NEXT_STEP
        self.metadata = {**envs[0].metadata, "autoreset_mode": mode}
        self.render_mode = envs[0].render_mode
        self.single_observation_space, self.single_action_space = spaces
        self._array_type, self._dtype, self._shape = _array_of(spaces[0])
        self._numbers = numbers_check(self.contract, (count,))[1]
        self._inside = numbers_check(self.contract, ())[0]
        # of few numbers, bytes are joined: much faster than rows of an array filled one by one
        self._few = self._array_type is not None and np.prod(self._shape) * self._dtype.itemsize <= FEW_BYTES
        self._elsewhere = any(copy.tells_elsewhere for copy in self.copies)
        self._row = None if self._array_type is None else np.dtype((self._dtype, self._shape))
        self._bind()
        self._fresh = [False] * count
        hangs.watch()

    def __getattr__(self, name: str) -> Any:
        if name in ("observation_space", "action_space"):  # not every space has a batched one
            space = batch_space(getattr(self, f"single_{name}"), self.num_envs)
            setattr(self, name, space)
            return space
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def envs(self) -> list[gym.Env[Any, Any]]:
        """The copies."""
        return [copy.env for copy in self.copies]

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

    def _begin(self, copy: _Copy, seed: int | None = None, options: Any = None) -> tuple[Any, Array | None]:
        observation, info = copy.begin(seed, options)
        try:
            observation = self._taken(copy.number, observation)
            mask = copy.mask(info, observation) if info or self._elsewhere else None
        except Breach as breach:
            copy.breach(breach)
        return observation, None if mask is None else copy.legal(mask, False)

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        count, contract, fresh, elsewhere = self.num_envs, self.contract, self._fresh, self._elsewhere
        array_type, dtype, shape, same_step = self._array_type, self._dtype, self._shape, self._same_step
        few = self._few
        rows: Any = [None] * count if few or array_type is None else np.empty((count, *shape), dtype)
        rewards: list[Any] = [0.0] * count
        terminated, truncated = np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        masks: dict[int, Array] = {}
        finals: dict[int, Any] = {}
        steps = self._steps
        for i, action in enumerate(contract.actions(actions, count)):
            if fresh[i]:
                observation, mask = self._first(i)
                rows[i] = observation.tobytes() if few else observation
                if mask is not None:
                    masks[i] = mask
                fresh[i] = False
                continue
            try:
                observation, reward, over, cut, info = steps[i](action)
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
                        finals[i] = self._taken(i, observation)
                        observation, mask = self._first(i)
                        if mask is not None:
                            masks[i] = mask
                    rows[i] = observation.tobytes() if few else observation
                    fresh[i] = not same_step
                    continue
            rows[i] = observation.tobytes() if few else observation  # copied: environments reuse buffers
            if info or elsewhere:
                mask = self._mask(i, info, observation)
                if mask is not None:
                    masks[i] = self.copies[i].legal(mask, False)
        gained = self._rewards(rewards)
        if few:
            batch = np.frombuffer(bytearray(b"".join(rows)), self._row)
        else:
            batch = rows if array_type is not None else batch_of(self.single_observation_space, rows)
        if self._numbers is not None and self._numbers.suspicious(batch):
            self._look_at_each(batch)
        self._clock.steps += 1
        infos = self._infos([masks.get(i) for i in range(count)]) if masks else {}
        if finals:
            infos["final_obs"] = self._final_batch(finals)
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
        """Returns `[B, ...]` last observations; rows of copies that go on hold anything."""
        if self._array_type is not None:
            batch = np.zeros((self.num_envs, *self._shape), self._dtype)
            for i, observation in finals.items():
                batch[i] = observation
            return batch
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
            gained = np.array(rewards)
        except Exception:  # ragged, or objects that refuse: each is looked at below
            gained = np.empty((0, 0))
        if gained.dtype is FLOAT64 and gained.ndim == 1 and gained.dot(gained) <= MAX:
            return gained  # none is beyond single precision, nor NaN
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
        self._numbers = numbers_check(self.contract, (self.num_envs,))[1]
        self._inside = numbers_check(self.contract, ())[0]

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


def _array_of(space: gym.Space[Any]) -> tuple[Any, Any, tuple[int, ...]]:
    """Returns type, dtype and shape of observations that need no conversion; (None, …) where each does."""
    if isinstance(space, ARRAY_SPACES) and space.shape:
        return np.ndarray, np.dtype(space.dtype), space.shape
    return None, None, ()


class _Numbered(dict[Any, Any]):
    """Actions by number, in the dtype of their space; any other key raises IndexError."""

    def __missing__(self, key: Any) -> Any:
        raise IndexError(key)


def _numbered_actions(space: gym.Space[Any]) -> _Numbered:
    """Returns the actions of a Discrete space by their numbers; none of other spaces, or of very many actions."""
    if not isinstance(space, gym.spaces.Discrete) or space.n > 10_000:
        return _Numbered()
    kind, start = np.dtype(space.dtype).type, int(space.start)
    return _Numbered({start + k: kind(start + k) for k in range(int(space.n))})


def _spaces(env: gym.Env[Any, Any], name: str) -> tuple[gym.Space[Any], gym.Space[Any]]:
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


def _parameters(method: Any) -> set[str]:
    """Returns the names of a method's parameters; with "seed", "options" and "**" where it takes any."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # a method in C
        return {"seed", "options"}
    names = {p.name for p in parameters}
    return names | {"seed", "options", "**"} if any(p.kind is p.VAR_KEYWORD for p in parameters) else names


_RAISE = dis.opmap["RAISE_VARARGS"]


def _is_statement(error: BaseException) -> bool:
    """Returns whether a `raise` statement outside this package raised it; of a KeyboardInterrupt, whether that was none
    of the user's: Ctrl-C arises between any two instructions, or in a signal handler of ours."""
    at = error.__traceback__
    if at is None:
        return False
    while at.tb_next is not None:
        at = at.tb_next
    code = at.tb_frame.f_code
    return code.co_code[at.tb_lasti] == _RAISE and not code.co_filename.startswith(_PACKAGE)


def _text_of(error: BaseException) -> str:
    """Returns what an error says, cut where it is long."""
    try:
        text = error.found if isinstance(error, UsageError) else str(error)
    except Exception as again:  # whatever the __str__ of an error of theirs raises
        text = f"(its text cannot be had: {type(again).__name__})"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"


def cannot_be_made(name: str, error: BaseException) -> EnvironmentFault:
    """Returns the error for a constructor of `name` that raised `error` or exited."""
    text = f"raised {type(error).__name__}: {_text_of(error)}".rstrip(": ")
    if isinstance(error, SystemExit):
        text = f"called sys.exit({error.code!r})"
    at = _raised_in(error)
    return EnvironmentFault(
        f"{name} cannot be made: its constructor {text}",
        expected="an environment that can be made",
        hint=f"look at {at}" if at else "",
    )


def _raised_in(error: BaseException) -> str:
    """Returns file and line of the innermost code outside Gymnasium and NumPy that raised; "" if there is none."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    for frame in reversed(frames):
        if frame.filename.startswith(_TASKS):
            return ""
        if not any(part in frame.filename for part in ("/gymnasium/", "/numpy/", "\\gymnasium\\", "\\numpy\\")):
            return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return ""
