"""What an agent is given to act in: a world, or any Gymnasium environment, with its time limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import gymnasium as gym
import numpy as np

from inscape.envs.registry import gymnasium_spec
from inscape.envs.tasks.boundary import CheckedEnv, cannot_be_made, checked_batch
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
        return CheckedEnv(self.unchecked_env(render_mode), self.name)

    def unchecked_env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Returns one environment as Gymnasium makes it: for those who check it, or measure what checking costs."""
        if self.world is not None:
            return self.world.env(render_mode, self.max_episode_steps)
        # Gymnasium's own checker stops at what the boundary converts; not every environment takes a render_mode
        given = {"disable_env_checker": True, **self.settings}
        if render_mode is not None:
            given["render_mode"] = render_mode
        made: gym.Env[Any, Any] = _made(lambda: gym.make(_gymnasium_id(self.name), **given), self.name)
        return made

    def vector_env(self, num_envs: int, autoreset: Autoreset = "same-step") -> gym.vector.VectorEnv[Any, Any, Any]:
        """Returns `num_envs` copies, time limit included; a Python loop over copies for an ordinary environment."""
        if self.world is not None:
            return self.world.vector_env(num_envs, autoreset, self.max_episode_steps)
        return checked_batch([self.unchecked_env] * num_envs, self.name, autoreset)

    def to_json(self) -> dict[str, Any]:
        """Returns name and settings as JSON values; `task_from_json` makes the task again."""
        return {"name": self.name, "settings": {k: _json_value(v) for k, v in self.settings.items()}}


def _gymnasium_id(name: str) -> str:
    spec = gymnasium_spec(name)
    assert spec is not None, name
    return spec.id


def _made(make: Callable[[], Made], name: str) -> Made:
    try:
        return make()
    except (gym.error.Error, TypeError) as error:
        raise UsageError(
            f"Gymnasium could not make {name!r}: {error}", hint="check its id, settings and packages"
        ) from error
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # whatever the constructor raises
        raise cannot_be_made(name, error) from error


def _json_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [_json_value(item) for item in value]
    return value
