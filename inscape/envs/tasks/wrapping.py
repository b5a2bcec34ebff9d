"""Gymnasium's wrappers, and custom ones, around the environment of a task, by name.

    resolve_task("ALE/Pong-v5", wrappers=["gymnasium.wrappers:FrameStackObservation:stack_size=4"])
    resolve_task("CartPole-v1", wrappers=[(FrameStackObservation, {"stack_size": 4}), "mine.py:Shaped"])

A wrapper is stored by its name and settings, beside those of the task, and put on again wherever the task is made. The
first is innermost, above the time limit.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from inscape.envs.loading import load_class, load_file, load_module
from inscape.envs.tasks.arguments import arguments_of, checked, require_json, typed, with_absolute_files
from inscape.envs.tasks.task import Task, json_value
from inscape.errors import UsageError, closest

if TYPE_CHECKING:
    from typing import TypeAlias

    GivenWrapper: TypeAlias = (
        "str | Callable[..., Any] | tuple[str | Callable[..., Any], Mapping[str, Any]] | Mapping[str, Any] | Wrapping"
    )

GYMNASIUM = "gymnasium.wrappers"
FORM = f"{GYMNASIUM}:NAME[:ARGUMENT=VALUE,…], file.py:Class or package.module:Class"


@dataclass(frozen=True)
class Wrapping:
    """A wrapper by name, with its settings.

    Attributes:
        name: `package.module:Class` or `file.py:Class`.
        settings: what it is given beside the environment.
    """

    name: str
    settings: Mapping[str, Any]

    def __call__(self, env: gym.Env[Any, Any], task: str) -> gym.Env[Any, Any]:
        """Returns an environment inside the wrapper.

        Raises:
            UsageError: the wrapper refuses it, or gives back something else.
        """
        try:
            wrapped = load_wrapper(self.name)(env, **self.settings)
        except UsageError:
            raise
        except (Exception, SystemExit) as error:  # whatever a wrapper raises
            raise UsageError(
                f"{self.name} cannot be put around {task}: {type(error).__name__}: {error}",
                expected=f"an environment that it takes; here {env.observation_space} → {env.action_space}",
                hint="the order of wrappers is that of the line: the first is innermost",
            ) from error
        if not isinstance(wrapped, gym.Env):
            raise UsageError(f"{self.name} made {type(wrapped).__name__} of {task}", expected="a Gymnasium environment")
        return wrapped

    def to_json(self) -> dict[str, Any]:
        """Returns name and settings as JSON values."""
        return {"name": self.name, "settings": {key: json_value(value) for key, value in self.settings.items()}}

    def __str__(self) -> str:
        import json

        words = [f"{key}={v if isinstance(v, str) else json.dumps(json_value(v))}" for key, v in self.settings.items()]
        return ":".join([self.name, *([",".join(words)] if words else [])])


@dataclass(frozen=True, eq=False)
class WrappedTask(Task):
    """A task inside wrappers. What they make of it follows no law, so `world` is None.

    Attributes:
        inner: the task without them.
        wrappers: the innermost first.
    """

    inner: Task
    wrappers: tuple[Wrapping, ...]

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions: the inner task's, unless a wrapper changes the actions."""
        same = self.action_space == self.inner.action_space
        return self.inner.action_names if same else super().action_names

    def unchecked_env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Returns one environment inside the wrappers."""
        inner = self.inner
        if type(inner) is Task and inner.world is None:
            env = inner.unchecked_env(render_mode)
        else:
            env = inner.env(render_mode)
            if inner.max_episode_steps is not None:  # wrappers look for it where Gymnasium puts it
                env = gym.wrappers.TimeLimit(env, inner.max_episode_steps)
        for wrapping in self.wrappers:
            env = wrapping(env, self.name)
        return env

    def to_json(self) -> dict[str, Any]:
        """Returns the inner task as JSON values, and the wrappers beside them."""
        return {**self.inner.to_json(), "wrappers": [wrapping.to_json() for wrapping in self.wrappers]}


def wrapped_task(inner: Task, wrappers: Iterable[GivenWrapper]) -> Task:
    """Returns a task inside wrappers; the very task without any.

    Raises:
        UsageError: a wrapper that is none, with settings that it does not take, or for a task of several players.
    """
    wrappings = tuple(as_wrapping(given) for given in wrappers)
    if not wrappings:
        return inner
    if inner.players > 1:
        raise UsageError(
            f"the wrapper {wrappings[0].name} around {inner.name}, which has {inner.players} players",
            expected="a task of one player: Gymnasium's wrappers know no other",
            hint="SuperSuit wraps PettingZoo environments; put it into a module of yours: pettingzoo:my.module",
        )
    if isinstance(inner, WrappedTask):
        wrappings = (*inner.wrappers, *wrappings)
        inner = inner.inner
    task = WrappedTask(inner.name, None, inner.settings, inner.max_episode_steps, inner, wrappings)
    _ = task.observation_space  # what a wrapper does not take is reported here
    return task


def as_wrapping(given: GivenWrapper) -> Wrapping:
    """Returns a wrapper from a text (`FORM`), a class, (class or name, settings), or what `Wrapping.to_json` gave.

    Raises:
        UsageError: it is none of these, there is no such wrapper, or it does not take the settings.
    """
    if isinstance(given, Wrapping):
        return given
    texts: dict[str, str] | None = None
    settings: Any = {}
    if isinstance(given, str):
        name, texts = _parsed(given)
    elif isinstance(given, Mapping):
        name, settings = str(given.get("name")), given.get("settings", {})
    else:
        wrapper, settings = given if isinstance(given, tuple) and len(given) == 2 else (given, {})
        name = wrapper if isinstance(wrapper, str) else _name_of(wrapper)
    if not isinstance(settings, Mapping):
        raise UsageError(f"the settings {settings!r} of the wrapper {name}", expected="a dictionary of its arguments")
    arguments = arguments_of(load_wrapper(name), skip=1)
    if texts is not None:
        settings = {key: typed(text, arguments.known.get(key), f"{name}:{key}=") for key, text in texts.items()}
    require_json(settings, name)
    return Wrapping(name, checked(with_absolute_files(settings), arguments, name, f"{name}:"))


def load_wrapper(name: str) -> Callable[..., Any]:
    """Returns the wrapper of a name.

    Raises:
        UsageError: there is none of that name, or it is no wrapper of single environments.
    """
    source, _, attribute = name.rpartition(":")
    if not source:
        known = [n for n in dir(gym.wrappers) if n[:1].isupper()]
        near = name if name in known else None
        hint = f"{GYMNASIUM}:{near}" if near else closest(name, known)
        raise UsageError(f"the wrapper {name!r}", expected=FORM, hint=hint)
    module = load_file(source, "wrapper") if source.endswith(".py") else load_module(source, "wrapper")
    if not hasattr(module, attribute):
        own = [n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, gym.Wrapper)]
        raise UsageError(
            f"{source} has no wrapper {attribute!r}",
            expected=f"one of {', '.join(sorted(own))}" if own else "a module with a subclass of gymnasium.Wrapper",
            hint=closest(attribute, own),
        )
    wrapper = load_class(name, "wrapper")
    if inspect.isclass(wrapper) and issubclass(wrapper, gym.vector.VectorWrapper):
        raise UsageError(
            f"{name} wraps environments of several copies",
            expected="a wrapper of one environment",
            hint=f"{GYMNASIUM}:{attribute}" if hasattr(gym.wrappers, attribute) else "",
        )
    if not (inspect.isclass(wrapper) and issubclass(wrapper, gym.Wrapper)) and not inspect.isfunction(wrapper):
        raise UsageError(
            f"{name} is {wrapper!r}",
            expected="a subclass of gymnasium.Wrapper, or a function from an environment to one",
        )
    return wrapper


def _parsed(text: str) -> tuple[str, dict[str, str]]:
    """Returns the name and the settings, still texts, that `FORM` has."""
    match = re.fullmatch(r"([^=]+?)(?::([A-Za-z_]\w*=.*))?", text, re.DOTALL)
    if match is None:
        raise UsageError(f"the wrapper {text!r}", expected=FORM)
    name, rest = match[1], match[2]
    words = re.split(r"[,:](?=[A-Za-z_]\w*=)", rest) if rest else []
    settings = {}
    for word in words:
        key, _, value = word.partition("=")
        if key in settings:
            raise UsageError(f"{key} twice in the wrapper {text!r}", expected="each argument once")
        settings[key] = value
    return name, settings


def _name_of(wrapper: Any) -> str:
    """Returns the name by which a class or function is found again.

    Raises:
        UsageError: it cannot be found again.
    """
    module, attribute = getattr(wrapper, "__module__", None), getattr(wrapper, "__qualname__", None)
    if module is None or attribute is None:
        raise UsageError(f"the wrapper {wrapper!r}", expected=f"a class, (class, settings), or {FORM}")
    found = sys.modules.get(module)
    file = str(getattr(found, "__file__", None) or "")
    if "." in attribute or getattr(found, attribute, None) is not wrapper or (module == "__main__" and not file):
        raise UsageError(
            f"the wrapper {attribute} of {module} could not be found again by a run",
            expected="a class at the top of a module or a file",
            hint=f"put it into a file, and name it: file.py:{attribute.rpartition('.')[2]}",
        )
    if module == "__main__" or module.startswith("inscape_file_"):
        return f"{file}:{attribute}"
    public = sys.modules.get(GYMNASIUM)
    if public is not None and getattr(public, attribute, None) is wrapper:
        return f"{GYMNASIUM}:{attribute}"
    return f"{module}:{attribute}"
