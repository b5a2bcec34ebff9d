"""What an agent is given to act in: a world, or any Gymnasium environment, with its time limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import gymnasium as gym
import numpy as np

from inscape.envs.process_settings import kept_process_settings
from inscape.envs.registry import gymnasium_spec, load_spec
from inscape.envs.tasks.checking.env import CheckedEnv
from inscape.envs.tasks.checking.place import cannot_be_made
from inscape.envs.tasks.checking.vector_env import checked_batch
from inscape.envs.tasks.processes.workers import Registered, Workers, WorkerVectorEnv, as_workers
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
        workers: processes that `vector_env` divides third-party copies over; None keeps them in this one.
    """

    name: str
    world: World | None
    settings: dict[str, Any]
    max_episode_steps: int | None
    workers: Workers | None = field(default=None, kw_only=True)
    exact_env: ClassVar[bool] = False
    """Whether what `env` returns has `state_dict` and `load_state_dict`, from which it goes on exactly."""

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
        made: gym.Env[Any, Any] = _made(lambda: gym.make(_gymnasium_spec(self.name), **given), self.name)
        return made

    def vector_env(self, num_envs: int, autoreset: Autoreset = "same-step") -> gym.vector.VectorEnv[Any, Any, Any]:
        """Returns `num_envs` copies, time limit included; an ordinary environment's in worker processes (`in_workers`),
        or in a Python loop."""
        if self.world is not None:
            return self.world.vector_env(num_envs, autoreset, self.max_episode_steps)
        if self.workers is None:
            return checked_batch([self.unchecked_env] * num_envs, self.name, autoreset)
        return self.worker_env(num_envs, self.workers, autoreset)

    def worker_env(
        self, num_envs: int, workers: Workers, autoreset: Autoreset = "same-step", with_infos: bool = False
    ) -> WorkerVectorEnv:
        """Returns `num_envs` copies in worker processes; arguments as those of `WorkerVectorEnv`."""
        spaces = self.observation_space, self.action_space
        made = _CheckedCopies(replace(self, workers=None))
        # a file or module in the name registers the id in the worker too
        prepare = Registered(None if ":" in self.name else gymnasium_spec(self.name))
        return WorkerVectorEnv(
            made, num_envs, workers, self.name, spaces, autoreset, prepare=prepare, with_infos=with_infos
        )

    def in_workers(self, workers: Workers | int | Literal["auto"]) -> Self:
        """Returns the task with its copies divided over worker processes, where what goes wrong in one is made again.

        Args:
            workers: how many processes, or `Workers` with the limits; 0 for copies in this process.

        Raises:
            UsageError: a number below 0; or the task is a built-in world, or not made of copies that can be divided.
        """
        given = as_workers(workers)
        if given is not None and (why := self.no_workers()):
            raise UsageError(
                f"worker processes for {self.name}: {why}",
                expected="a third-party environment (Gymnasium, PettingZoo)",
                hint="leave out workers (--workers)",
            )
        changed = replace(self, workers=given)
        if "_spaces" in self.__dict__:  # else an environment is made to look at them
            changed.__dict__["_spaces"] = self._spaces
        return changed

    def no_workers(self) -> str:
        """Returns why copies of this task cannot be divided over worker processes; "" where they can."""
        if self.world is not None:
            return "a world's law steps all copies in compiled code, faster than messages between processes"
        return ""

    def to_json(self) -> dict[str, Any]:
        """Returns name and settings as JSON values; `task_from_json` makes the task again."""
        return {"name": self.name, "settings": {k: json_value(v) for k, v in self.settings.items()}}


@dataclass(frozen=True)
class _CheckedCopies:
    """Makes a copy of a Gymnasium environment in a worker process."""

    task: Task

    def __call__(self, number: int, render_mode: str | None) -> CheckedEnv:
        return CheckedEnv(self.task.unchecked_env(render_mode), self.task.name, number)


def _gymnasium_spec(name: str) -> Any:
    """Returns the id of a registered environment, and else what makes one of a class."""
    spec = load_spec(name)
    assert isinstance(spec, gym.envs.registration.EnvSpec), name
    return spec.id if gym.registry.get(spec.id) is spec else spec


def _made(make: Callable[[], Made], name: str) -> Made:
    try:
        with kept_process_settings(name):
            return make()
    except (gym.error.Error, TypeError) as error:
        raise UsageError(
            f"Gymnasium could not make {name!r}: {error}", hint="check its id, settings and packages"
        ) from error
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # whatever the constructor raises
        raise cannot_be_made(name, error) from error


def json_value(value: Any) -> Any:
    """Returns a setting as a JSON value, where there is one."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [json_value(item) for item in value]
    return value
