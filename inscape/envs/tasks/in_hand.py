"""Tasks of what a user has in hand: a world, an environment, its class, or a function that makes one.

    task_in_hand(MyWorld)                          a class of worlds, or a world
    task_in_hand(MyEnv), task_in_hand(MyEnv(8))    a class of Gymnasium environments, or an environment
    task_in_hand(lambda: MyEnv(8))                 a function that makes one
    task_in_hand(connect_four_v3)                  a module of PettingZoo, its env, or its parallel_env

Learners act in several copies. A class or a function makes each of them; an environment is copied as it is, and where
it cannot be copied, made again from its `spec`.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pettingzoo

from inscape.envs.loading import load_class, reference_of
from inscape.envs.registry import PETTINGZOO_PREFIX, world_specs
from inscape.envs.tasks.checking.contract import EnvironmentFault
from inscape.envs.tasks.pettingzoo import PettingZooTask
from inscape.envs.tasks.task import Task, json_value
from inscape.envs.world import World
from inscape.errors import UsageError
from inscape.trust import allow

ACCEPTED = (
    "a world, an environment of Gymnasium or PettingZoo, the class of one, a function that makes one, or a name: a "
    "built-in world, a Gymnasium id, file.py:Class"
)
IN_HAND = "in_hand"
"""Key of a stored task whose world or environment cannot be found again by its name."""
_OF_COPIES = ("num_envs", "vectorization_mode", "vector_kwargs", "wrappers")
"""Arguments of `gymnasium.make_vec` that are not those of an environment."""
_STANDARD_WRAPPERS = (gym.wrappers.TimeLimit, gym.wrappers.OrderEnforcing, gym.wrappers.PassiveEnvChecker)


def task_in_hand(given: Any, settings: Mapping[str, Any] | None = None) -> Task:
    """Returns the task of something in hand.

    Args:
        given: see above; a `Task` is returned as it is.
        settings: arguments of a class or a function.

    Raises:
        UsageError: it is nothing to act in; or settings for what is made already.
    """
    settings = dict(settings or {})
    if isinstance(given, Task):
        _require_no_settings(settings, f"the task {given.name}")
        return given
    if isinstance(given, type):
        return _of_class(given, settings)
    if isinstance(given, World):
        _require_no_settings(settings, "a world")
        return _of_world(given)
    if isinstance(given, ModuleType):
        return _of_module(given, settings)
    if isinstance(given, gym.envs.registration.EnvSpec):
        return _of_maker(functools.partial(gym.make, given, disable_env_checker=True), given.id, settings)
    if (made := _of_made(given)) is not None:
        _require_no_settings(settings, "an environment")
        return made
    if callable(given):
        return _of_maker(given, getattr(given, "__name__", type(given).__name__).strip("<>"), settings)
    raise _nothing_to_act_in(f"an object of {type(given).__name__}", given)


def _nothing_to_act_in(shown: str, given: Any) -> UsageError:
    if hasattr(given, "action_spec"):
        hint = "shimmy's DmControlCompatibilityV0 makes a Gymnasium environment of one of dm_env"
    elif hasattr(given, "act") or hasattr(given, "predict"):
        hint = "the agent comes first, what it acts in second"
    else:
        hint = "inscape list worlds"
    return UsageError(f"{shown} as a world", expected=ACCEPTED, hint=hint)


def _require_no_settings(settings: Mapping[str, Any], what: str) -> None:
    if settings:
        raise UsageError(
            f"the settings {dict(settings)} for {what} made already", hint="give its class, or make it with them"
        )


# ----------------------------------------------------------------------------------------------------- worlds


def _of_class(cls: type, settings: dict[str, Any]) -> Task:
    if issubclass(cls, World):
        return _of_world(cls(**settings))
    if issubclass(cls, (pettingzoo.AECEnv, pettingzoo.ParallelEnv)):
        return _GameInHand(
            cls.__name__, None, settings, None, maker=cls, at_once=issubclass(cls, pettingzoo.ParallelEnv)
        )
    if issubclass(cls, gym.Env) or _acts_like_one(cls):
        return EnvironmentInHand(cls.__name__, None, settings, None, maker=cls, stored_as=reference_of(cls))
    raise _nothing_to_act_in(f"the class {cls.__name__}", cls)


def _of_world(world: World) -> Task:
    usual = {name: parameter.default for name, parameter in world.setting_parameters().items()}
    cls = type(world)
    while (sized_from := vars(cls).get("_sized_from")) is not None:  # a variant: see `variant_of`
        cls = sized_from[0]
    if not _as_its_settings_say(world):  # another purpose, or other dynamics, than a world of these settings has
        return WorldInHand(world.name, world, _changed(world.settings, usual), world.max_episode_steps)
    for spec in world_specs():
        titled = spec.name == world.title or (spec.name == world.name and not spec.settings)
        if titled and load_class(spec.entry, "world") is cls:
            own = _changed(world.settings, usual | dict(spec.settings))
            return Task(spec.name, world, own, world.max_episode_steps)
    own = _changed(world.settings, usual)
    return WorldInHand(world.name, world, own, world.max_episode_steps, stored_as=reference_of(cls))


def _as_its_settings_say(world: World) -> bool:
    """Returns whether a world made again of its settings has the same parameters and purpose."""
    made = type(world)(**world.settings).packed
    return all(np.array_equal(one, other, equal_nan=one.dtype.kind == "f") for one, other in zip(world.packed, made))


def _changed(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that are not as usual; an array, which may be long, unless it is the very one."""
    changed = {}
    for name, value in settings.items():
        same = name in usual and (
            value is usual[name] or (type(value) is type(usual[name]) and _equal(value, usual[name]))
        )
        if not same:
            changed[name] = value
    return changed


def _equal(value: Any, other: Any) -> bool:
    return isinstance(value, (str, int, float, bool, tuple)) and bool(value == other)


@dataclass(frozen=True, eq=False)
class WorldInHand(Task):
    """A world of a class that is not registered.

    Attributes:
        stored_as: the name by which it is found again; None of a class written in a notebook or a script.
    """

    stored_as: str | None = field(default=None, kw_only=True)

    def to_json(self) -> dict[str, Any]:
        return _stored(self.name, self.stored_as, self.settings)


# ----------------------------------------------------------------------------------------------- environments


@dataclass(frozen=True, eq=False)
class EnvironmentInHand(Task):
    """Copies of an environment of Gymnasium that a class or a function makes, or that are copied of one.

    Attributes:
        maker: makes one, of `settings`.
        stored_as: the name by which it is found again; None where there is none.
        stored_settings: what it is made again with; None: `settings`.
    """

    maker: Callable[..., Any] = field(kw_only=True)
    stored_as: str | None = field(default=None, kw_only=True)
    stored_settings: dict[str, Any] | None = field(default=None, kw_only=True)

    def unchecked_env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Returns one environment as its maker makes it."""
        made = _made(self.maker, self.settings, render_mode, self.name)
        if isinstance(made, gym.vector.VectorEnv) or not (isinstance(made, gym.Env) or _acts_like_one(type(made))):
            raise EnvironmentFault(f"{self.name} made {type(made).__name__}", expected="a Gymnasium environment")
        return made if isinstance(made, gym.Env) else _Duck(made)

    def to_json(self) -> dict[str, Any]:
        settings = self.settings if self.stored_settings is None else self.stored_settings
        return _stored(self.name, self.stored_as, settings)


@dataclass(frozen=True, eq=False)
class _GameInHand(PettingZooTask):
    """Copies of an environment of PettingZoo that a class or a function makes, or that are copied of one."""

    maker: Callable[..., Any] = field(kw_only=True)
    at_once: bool = field(kw_only=True)
    stored_as: str | None = field(default=None, kw_only=True)

    @property
    def _maker(self) -> tuple[Callable[..., Any], bool]:
        return self.maker, self.at_once

    def to_json(self) -> dict[str, Any]:
        return _stored(self.name, self.stored_as, self.settings)


class _Duck(gym.Env[Any, Any]):
    """An object with spaces, `reset` and `step` that is no `gymnasium.Env`, as one."""

    def __init__(self, env: Any) -> None:
        self.wrapped = env
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.metadata = getattr(env, "metadata", {}) or {}
        self.render_mode = getattr(env, "render_mode", None)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        taken = _parameters(self.wrapped.reset)
        given = {"seed": seed, "options": options}
        if "seed" not in taken and seed is not None and callable(seeding := getattr(self.wrapped, "seed", None)):
            seeding(seed)
        return self.wrapped.reset(**{name: value for name, value in given.items() if name in taken})

    def step(self, action: Any) -> Any:
        stepped = self.wrapped.step(action)
        if isinstance(stepped, tuple) and len(stepped) == 4:  # as the old Gym has it
            observation, reward, ended, info = stepped
            late = bool(isinstance(info, Mapping) and info.get("TimeLimit.truncated", False))
            return observation, reward, ended and not late, late, info
        return stepped

    def render(self) -> Any:
        return self.wrapped.render()

    def close(self) -> None:
        if callable(closing := getattr(self.wrapped, "close", None)):
            closing()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "wrapped":
            raise AttributeError(name)
        return getattr(self.wrapped, name)


def _acts_like_one(cls: type) -> bool:
    return callable(getattr(cls, "reset", None)) and callable(getattr(cls, "step", None)) and not issubclass(cls, World)


def _of_made(env: Any) -> Task | None:
    """Returns the task of an environment, or None for what is none."""
    if isinstance(env, gym.vector.VectorEnv):
        return _of_copies(env, getattr(env, "env_fns", None), getattr(env, "spec", None))
    if isinstance(env, (pettingzoo.AECEnv, pettingzoo.ParallelEnv)):
        world = getattr(getattr(env, "unwrapped", env), "world", None)
        if isinstance(world, World):
            return _of_world(world)
        at_once = isinstance(env, pettingzoo.ParallelEnv)
        name = str(getattr(env, "metadata", {}).get("name", type(env.unwrapped).__name__))
        return _GameInHand(name, None, {}, None, maker=_Copier(env, name), at_once=at_once)
    if isinstance(env, gym.Env):
        return _of_environment(env)
    if hasattr(env, "num_envs") and hasattr(env, "envs"):  # a DummyVecEnv of Stable-Baselines3
        return _of_environment(env.envs[0])
    if hasattr(env, "num_envs") and hasattr(env, "venv"):  # wrapped: its wrappers are not those of one environment
        raise UsageError(
            f"{type(env).__name__}, copies of an environment within wrappers of Stable-Baselines3",
            expected=ACCEPTED,
            hint="the environment itself: copies are made of it; sb3:NAME keeps Stable-Baselines3's algorithms",
        )
    if _acts_like_one(type(env)) and hasattr(env, "observation_space") and hasattr(env, "action_space"):
        return EnvironmentInHand(type(env).__name__, None, {}, None, maker=_Copier(env, type(env).__name__))
    return None


def _of_copies(env: Any, makers: Any, spec: Any) -> Task:
    """Returns the task of one of the environments of a vector environment."""
    world = getattr(getattr(env, "unwrapped", env), "world", None)
    if isinstance(world, World):
        return _of_world(world)
    if not isinstance(env, gym.vector.VectorWrapper):
        if makers:
            return _of_maker(makers[0], getattr(spec, "id", type(env).__name__), {})
        if spec is not None:
            own = {name: value for name, value in spec.kwargs.items() if name not in _OF_COPIES}
            return _of_maker(functools.partial(gym.make, spec.id, **own), spec.id, {})
    raise UsageError(
        f"{type(env).__name__}, a vector environment",
        expected=ACCEPTED,
        hint="one environment: copies are made of it, num_envs of them (a setting of the agent)",
    )


def _of_environment(env: gym.Env[Any, Any]) -> Task:
    world, limit, standard, inner = getattr(env.unwrapped, "world", None), None, True, env
    while isinstance(inner, gym.Wrapper):
        if isinstance(inner, gym.wrappers.TimeLimit):
            shorter = inner._max_episode_steps
            limit = shorter if limit is None else min(limit, shorter)
        standard = standard and isinstance(inner, _STANDARD_WRAPPERS)
        inner = inner.env
    if isinstance(world, World) and standard:
        task = _of_world(world)
        own = getattr(env.unwrapped, "max_episode_steps", None)
        return dataclasses.replace(task, max_episode_steps=own if limit is None else limit)
    spec = env.spec
    if spec is None:
        name = world.name if isinstance(world, World) else type(env.unwrapped).__name__
        return EnvironmentInHand(name, None, {}, limit, maker=_Copier(env, name))
    again = spec.id if standard and not spec.additional_wrappers and spec.id in gym.registry else None
    settings = {name: value for name, value in spec.kwargs.items() if name != "render_mode"}
    if limit != gym.spec(again).max_episode_steps if again else False:
        settings["max_episode_steps"] = -1 if limit is None else limit
    return EnvironmentInHand(
        spec.id, None, {}, limit, maker=_Copier(env, spec.id), stored_as=again, stored_settings=settings
    )


class _Copier:
    """Makes copies of an environment: of the object, or where it cannot be copied, from its `spec`.

    Args:
        env: the environment, which is not used itself.
        name: for messages.
    """

    def __init__(self, env: Any, name: str) -> None:
        self.env, self.name = env, name

    def __call__(self, render_mode: str | None = None) -> Any:
        shows = getattr(self.env, "render_mode", None)
        other = shows == "human" or (render_mode is not None and shows != render_mode)
        if other and (made := self._from_spec(render_mode)) is not None:
            return made
        try:
            made = copy.deepcopy(self.env)
        except Exception as error:  # pickling of C objects raises whatever it likes
            made = self._from_spec(render_mode)
            if made is None:
                raise UsageError(
                    f"{self.name} cannot be copied ({type(error).__name__}: {error}), and agents act in copies",
                    expected="its class, or a function that makes one",
                    hint=f"lambda: {type(getattr(self.env, 'unwrapped', self.env)).__name__}(…)",
                ) from error
            return made
        if render_mode is not None and shows != render_mode and hasattr(made, "unwrapped"):
            made.unwrapped.render_mode = render_mode
        return made

    def _from_spec(self, render_mode: str | None) -> Any:
        """Returns the environment made again as `gymnasium.make` made it; None if it cannot be."""
        spec = getattr(self.env, "spec", None)
        wrappers = getattr(spec, "additional_wrappers", ())
        if spec is None or any(wrapper.kwargs is None for wrapper in wrappers):
            return None
        shown = render_mode is not None or "render_mode" in spec.kwargs  # not every environment takes it
        given: dict[str, Any] = {"render_mode": render_mode} if shown else {}
        return gym.make(spec, disable_env_checker=True, **given)


def _of_module(module: ModuleType, settings: dict[str, Any]) -> Task:
    if not any(callable(getattr(module, name, None)) for name in ("parallel_env", "env")):
        raise _nothing_to_act_in(f"the module {module.__name__}", module)
    name = PETTINGZOO_PREFIX + module.__name__
    allow([name])
    game = PettingZooTask(name, None, settings, None)
    _ = game.observation_space  # what is wrong is reported here
    return game


def _of_maker(make: Callable[..., Any], name: str, settings: dict[str, Any]) -> Task:
    """Returns the task of what a function makes; it makes one to see what that is."""
    made = _made(make, settings, None, name)
    if isinstance(made, str) or ((isinstance(made, type) or callable(made)) and not hasattr(made, "reset")):
        raise _nothing_to_act_in(f"{name}, which made {made!r}"[:120], made)
    if isinstance(made, (World, Task)):
        return task_in_hand(made)
    seen = _of_made(made)
    if seen is None:
        raise _nothing_to_act_in(f"{name}, which made an object of {type(made).__name__}", made)
    if callable(closing := getattr(made, "close", None)):
        closing()
    if isinstance(seen, _GameInHand):
        return _GameInHand(seen.name, None, settings, None, maker=make, at_once=seen.at_once)
    if isinstance(seen, EnvironmentInHand):
        shown = seen.name if name in ("lambda", "partial", "thunk", "") else name
        return EnvironmentInHand(shown, None, settings, seen.max_episode_steps, maker=make)
    return seen


def _made(make: Callable[..., Any], settings: Mapping[str, Any], render_mode: str | None, name: str) -> Any:
    """Returns what a class or a function makes; `render_mode` is given where it is taken."""
    given = dict(settings)
    if render_mode is not None and "render_mode" in _parameters(make):
        given["render_mode"] = render_mode
    try:
        return make(**given)
    except UsageError:
        raise
    except TypeError as error:
        raise UsageError(
            f"{name} cannot be made: {error}",
            expected="a class or a function that can be called without arguments",
            hint=f"an instance, or lambda: {name}(…)",
        ) from error
    except (Exception, SystemExit) as error:  # whatever the constructor raises
        raise EnvironmentFault(
            f"{name} cannot be made: it raised {type(error).__name__}: {error}", expected="one that can be made"
        ) from error


def _parameters(function: Any) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # not every function written in C says what it takes
        return ()


# --------------------------------------------------------------------------------------------------- their names


def _stored(name: str, reference: str | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is stored of a task: how it is found again, or that it cannot be."""
    if reference is None:
        return {"name": name, "settings": _plain(settings), IN_HAND: True}
    return {"name": reference, "settings": _plain(settings)}


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings as JSON values; of what JSON has no value for, how Python shows it."""
    plain = {name: json_value(value) for name, value in settings.items()}
    for name, value in plain.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError):
            plain[name] = repr(value)[:200]
    return plain
