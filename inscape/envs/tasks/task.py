"""What an agent is given to act in: a world, or any Gymnasium environment, with its time limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import gymnasium as gym
import numpy as np

from inscape.envs.registry import gymnasium_spec
from inscape.errors import UsageError
from inscape.on_demand import without_cached_properties

if TYPE_CHECKING:
    from inscape.envs.world import World

if TYPE_CHECKING:
    _VectorWrapper = gym.vector.VectorWrapper[Any, Any, Any, Any, Any]
else:
    _VectorWrapper = gym.vector.VectorWrapper  # Gymnasium below 1.4 has no generic one

Autoreset = Literal["next-step", "same-step"]
Made = TypeVar("Made")


class _MasksInInfo(gym.Wrapper[Any, Any, Any, Any]):
    """An environment with a method `action_masks` that says the same in `info["action_mask"]`, as the others do."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, self._told(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, self._told(info)

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        return {"action_mask": np.asarray(self.get_wrapper_attr("action_masks")(), np.bool_), **info}


def _with_masks_in_info(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return _MasksInInfo(env) if env.has_wrapper_attr("action_masks") else env


class _SeededCopies(_VectorWrapper):
    """Copies of an ordinary environment, of which no two share a random stream, whatever the seeds of their runs."""

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes, with `copy_seeds(seed)` if it is a number; of copies from `options["first_copy"]` on."""
        from inscape.envs.law.streams import copy_seeds

        own = dict(options or {})
        first = int(own.pop("first_copy", 0))
        seeds: Any = copy_seeds(seed, self.num_envs, first) if isinstance(seed, int) else seed
        observation, info = super().reset(seed=seeds, options=own or None)
        return observation, _with_whole_masks(info)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(actions)
        return observation, reward, terminated, truncated, _with_whole_masks(info)


def _with_whole_masks(info: dict[str, Any]) -> dict[str, Any]:
    """Returns the infos of copies with `action_mask [B, A]` bool; everything is legal in a copy that gave no mask."""
    if "action_mask" not in info:
        return info
    given, masks = info["_action_mask"], info["action_mask"]
    if given.all() and masks.dtype != object:
        return {**info, "action_mask": masks.astype(np.bool_, copy=False)}
    some = np.asarray(masks[int(np.argmax(given))], np.bool_)
    rows = [
        np.asarray(mask, np.bool_) if known else np.ones_like(some) for mask, known in zip(masks, given, strict=True)
    ]
    return {**info, "action_mask": np.stack(rows)}


@dataclass(frozen=True, eq=False)
class Task:
    """Something to act in: an Inscape world, or any Gymnasium environment, with its time limit.

    Attributes:
        name: as resolved; a world's name, `file.py:Class`, or a Gymnasium id.
        world: the law, or None for an ordinary Gymnasium environment.
        settings: what differs from the defaults; enough, with the name, to make the task again.
    """

    name: str
    world: World | None
    settings: dict[str, Any]
    max_episode_steps: int | None

    def __getstate__(self) -> dict[str, Any]:
        """Returns what the task is; spaces, pictures and environment classes are looked up again."""
        return without_cached_properties(self)

    @cached_property
    def _spaces(self) -> tuple[gym.Space[Any], gym.Space[Any]]:
        if self.world is not None:
            return self.world.observation_space, self.world.action_space
        env = self.env()
        spaces = env.observation_space, env.action_space
        env.close()
        return spaces

    @property
    def observation_space(self) -> gym.Space[Any]:
        """The space of one copy's observations."""
        return self._spaces[0]

    @property
    def action_space(self) -> gym.Space[Any]:
        """The space of one copy's actions."""
        return self._spaces[1]

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions; their numbers where the environment gives none; empty for continuous actions."""
        if self.world is not None:
            return self.world.action_names
        if isinstance(self.action_space, gym.spaces.Discrete):
            return tuple(str(int(self.action_space.start) + k) for k in range(int(self.action_space.n)))
        return ()

    @property
    def players(self) -> int:
        """How many act."""
        return 1 if self.world is None else self.world.players

    @property
    def simultaneous(self) -> bool:
        """Whether several players act all at once."""
        return self.world is not None and self.world.simultaneous

    @property
    def player_names(self) -> tuple[str, ...]:
        """The players' names."""
        return ("player_0",) if self.world is None else self.world.agents

    def env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Returns one environment, its time limit included."""
        if self.world is not None:
            return self.world.env(render_mode, self.max_episode_steps)
        # not every environment takes a render_mode
        given = self.settings if render_mode is None else {**self.settings, "render_mode": render_mode}
        made: gym.Env[Any, Any] = _gymnasium(lambda: gym.make(_gymnasium_id(self.name), **given), self.name)
        return _with_masks_in_info(made)

    def vector_env(self, num_envs: int, autoreset: Autoreset = "same-step") -> gym.vector.VectorEnv[Any, Any, Any]:
        """Returns `num_envs` copies, time limit included; a Python loop over copies for an ordinary environment."""
        if self.world is not None:
            return self.world.vector_env(num_envs, autoreset, self.max_episode_steps)
        mode = gym.vector.AutoresetMode.SAME_STEP if autoreset == "same-step" else gym.vector.AutoresetMode.NEXT_STEP
        made = _gymnasium(
            lambda: gym.make_vec(
                _gymnasium_id(self.name),
                num_envs,
                vectorization_mode="sync",
                vector_kwargs={"autoreset_mode": mode},
                wrappers=[_with_masks_in_info],  # type: ignore[list-item]
                **self.settings,
            ),
            self.name,
        )
        return _SeededCopies(made)

    def to_json(self) -> dict[str, Any]:
        """Returns name and settings as JSON values; `task_from_json` makes the task again."""
        return {"name": self.name, "settings": {k: _json_value(v) for k, v in self.settings.items()}}


def _gymnasium_id(name: str) -> str:
    spec = gymnasium_spec(name)
    assert spec is not None, name
    return spec.id


def _gymnasium(make: Callable[[], Made], name: str) -> Made:
    try:
        return make()
    except (gym.error.Error, TypeError) as error:
        raise UsageError(
            f"Gymnasium could not make {name!r}: {error}", hint="check its id, settings and packages"
        ) from error


def _json_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_json_value(item) for item in value]
    return value
