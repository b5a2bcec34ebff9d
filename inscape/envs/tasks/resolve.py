"""From a name to a task: worlds, files, Gymnasium and PettingZoo environments, pictures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, get_type_hints

import gymnasium as gym

from inscape import trust
from inscape.envs.catalogue import WorldSpec
from inscape.envs.loading import load_class
from inscape.envs.registry import PETTINGZOO_PREFIX, PIXELS_PREFIX, load_spec, world_of, world_specs
from inscape.envs.tasks.arguments import with_absolute_files
from inscape.envs.tasks.environments import environment_settings, module_of
from inscape.envs.tasks.in_hand import IN_HAND, task_in_hand
from inscape.envs.tasks.task import Task
from inscape.envs.tasks.text_task import is_text_name, text_class, text_names, text_task
from inscape.envs.tasks.wrapping import as_wrapping, wrapped_task
from inscape.envs.worlds.pomdp.decision_file import DecisionFileWorld, is_decision_file
from inscape.errors import UsageError, closest

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

    from inscape.envs.tasks.wrapping import GivenWrapper
    from inscape.envs.world import World


class Game(Protocol):
    """A game of PettingZoo in hand, as type checkers know it."""

    @property
    def possible_agents(self) -> Any: ...


Given: TypeAlias = (
    "Task | World | type[World] | gym.Env[Any, Any] | type[gym.Env[Any, Any]] | gym.vector.VectorEnv[Any, Any, Any] | "
    "EnvSpec | Game | ModuleType | Callable[..., Any] | Path | str"
)
"""What stands for a task: a name, or something in hand."""


def world_settings(name: str) -> dict[str, tuple[Any, Any, str]]:
    """Returns the settings of a built-in world: name → (annotation, default, what it is)."""
    if name.startswith(PIXELS_PREFIX):
        from inscape.envs.tasks.pixels import DEFAULTS

        docs = {"pixels": "Pixels of each side of a picture.", "frames": "Frames stacked, the last of them now."}
        return {
            **{key: (int, DEFAULTS[key], docs[key]) for key in docs},
            **world_settings(name.removeprefix(PIXELS_PREFIX)),
        }
    if is_text_name(name):
        made = text_class(name)
        return {} if made is None else _constructor_settings(made)
    spec = load_spec(name)
    if not isinstance(spec, WorldSpec):
        return {}
    cls = load_class(spec.entry, "world")
    docs = _argument_docs(inspect.getdoc(cls) or "")
    hints = inspect.get_annotations(cls.setup, eval_str=True) if cls.setting_parameters() else {}
    return {
        key: (hints.get(key, parameter.annotation), spec.settings.get(key, parameter.default), docs.get(key, ""))
        for key, parameter in cls.setting_parameters().items()
    }


def _constructor_settings(cls: Any) -> dict[str, tuple[Any, Any, str]]:
    """Returns the settings of a class: what its constructor takes by name, but for what it has no default for."""
    docs = _argument_docs(inspect.getdoc(cls) or "")
    given = {
        key: parameter
        for key, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    # of these alone: others may be annotated with what only type checkers import
    holder = type("Settings", (), {"__module__": cls.__module__})
    holder.__annotations__ = {key: parameter.annotation for key, parameter in given.items()}
    hints = get_type_hints(holder)
    return {key: (hints[key], parameter.default, docs.get(key, "")) for key, parameter in given.items()}


def _argument_docs(text: str) -> dict[str, str]:
    """Returns name → description from the `Args:` section of a docstring."""
    section = re.search(r"^Args:\n((?:[ ]{4}.*\n?|\n)+)", text, re.MULTILINE)
    docs: dict[str, str] = {}
    names: list[str] = []
    for line in section[1].splitlines() if section else []:
        match = re.match(r"    (\w[\w, ]*): (.+)", line)
        if match and not line.startswith("     "):
            names = [name.strip() for name in match[1].split(",")]
            docs.update(dict.fromkeys(names, match[2]))
        else:
            docs.update({name: f"{docs[name]} {line.strip()}" for name in names})
    return docs


def resolve_task(
    name: Given,
    settings: Mapping[str, Any] | None = None,
    *,
    wrappers: Iterable[GivenWrapper] = (),
    max_episode_steps: int | None = None,
) -> Task:
    """Returns the task a user means by `name`: a built-in world, `file.py:Class`, `package.module:Class`, a Gymnasium
    id, a PettingZoo environment (`pettingzoo:pettingzoo.classic.rps_v2`), an Inscape world seen as pictures
    (`pixels:WORLD`), a text environment (`TextRepair`), or anything with named actions played through text
    (`text:WORLD`).

    A world or an environment in hand, its class, or a function that makes one is taken too
    (`inscape.envs.tasks.in_hand`).

        resolve_task("ALE/Pong-v5", {"frameskip": 1}, max_episode_steps=10_000,
                     wrappers=["gymnasium.wrappers:AtariPreprocessing",
                               "gymnasium.wrappers:FrameStackObservation:stack_size=4"])

    Args:
        name: of the world or environment, or it itself.
        settings: of the world, or arguments of the environment's constructor. A run stores them, and refuses what JSON
            cannot hold. Names of files that exist become absolute.
        wrappers: of Gymnasium, or custom ones, the innermost first: texts `MODULE:NAME[:ARGUMENT=VALUE,…]`, classes, or
            (class, settings). They are stored with a run, and put on again wherever it is opened.
        max_episode_steps: the time limit in place of the usual one; −1 for none.

    Raises:
        UsageError: unknown name, setting, wrapper or value; or what is neither a name nor something to act in.
    """
    wrappings = [as_wrapping(given) for given in wrappers]
    trust.allow(trust.code_names([wrapping.to_json() for wrapping in wrappings]))
    if isinstance(name, Path):
        name = str(name)
    if not isinstance(name, str):
        task = task_in_hand(name, settings)
        return wrapped_task(_limited(task, max_episode_steps), wrappings)
    given = with_absolute_files(settings or {})
    if max_episode_steps is not None:
        given["max_episode_steps"] = max_episode_steps
    trust.allow(trust.task_code_names({"name": name, "settings": given}))
    return wrapped_task(_resolve(name, given), wrappings)


def _limited(task: Task, steps: int | None) -> Task:
    """Returns the task of a world in hand with another time limit."""
    if steps is None or task.world is None:
        return task
    limit = _time_limit({"max_episode_steps": steps}, None)
    return replace(task, settings={**task.settings, "max_episode_steps": steps}, max_episode_steps=limit)


def _resolve(name: str, settings: Mapping[str, Any]) -> Task:
    given = dict(settings)
    if name.startswith(PIXELS_PREFIX):
        from inscape.envs.tasks.pixels import DEFAULTS, pixel_task

        own = {key: given.pop(key) for key in DEFAULTS if key in given}
        return pixel_task(_resolve(name.removeprefix(PIXELS_PREFIX), given), own)
    if is_decision_file(name):
        path = str(Path(name).expanduser().resolve())
        decisions = DecisionFileWorld(path=path, **given)
        return Task(path, decisions, given, decisions.max_episode_steps)
    if (text := text_task(name, given)) is not None:
        return text
    spec = load_spec(name)
    if isinstance(spec, WorldSpec):
        full = name if ":" in name else spec.name
        if "max_episode_steps" not in given or _is_setting(spec, "max_episode_steps"):
            world = world_of(spec, given)
            return Task(full, world, given, world.max_episode_steps)
        limit = _time_limit(given, None)
        world = world_of(spec, {key: value for key, value in given.items() if key != "max_episode_steps"})
        world.max_episode_steps = limit
        return Task(full, world, given, limit)
    if name.startswith(PETTINGZOO_PREFIX):
        from inscape.envs.tasks.pettingzoo import PettingZooTask

        if "max_episode_steps" in given:
            raise UsageError(
                f"max_episode_steps for {name}",
                expected="the arguments of the PettingZoo environment, most of which have a limit of their own",
                hint="--env.max_cycles 500",
            )
        game = PettingZooTask(name, None, given, None)
        _ = game.observation_space  # a missing package or a wrong setting is reported here
        if game.players == 1:
            from inscape.envs.tasks.pettingzoo_one_player import OnePlayerTask

            return OnePlayerTask(name, None, given, None, game)
        return game
    if spec is None:
        worlds = [s.name for s in world_specs()]
        raise UsageError(
            f"no world named {name!r}",
            expected="a built-in world, a Gymnasium id, or file.py:Class",
            hint=f"{name}:YourClass, to say which class of the file"
            if name.endswith(".py")
            else module_of(name) or closest(name, [*worlds, *text_names(), *gym.registry]) + "; inscape list worlds",
        )
    task = Task(name, None, environment_settings(name, spec, given), _time_limit(given, spec.max_episode_steps))
    _ = task.observation_space  # a missing package or a wrong setting is reported here
    return task


def _is_setting(spec: WorldSpec, name: str) -> bool:
    return name in load_class(spec.entry, "world").setting_parameters()


def _time_limit(settings: Mapping[str, Any], usual: int | None) -> int | None:
    """Returns the time limit of an environment that `gym.make` is given `max_episode_steps` for: −1 is none.

    Raises:
        UsageError: it is no number of steps.
    """
    given = settings.get("max_episode_steps")
    if given is None:
        return usual
    if isinstance(given, bool) or not isinstance(given, int) or (given < 1 and given != -1):
        raise UsageError(f"max_episode_steps = {given!r}", expected="a positive number of steps, or -1 for no limit")
    return None if given == -1 else given


def as_task(given: Given) -> Task:
    """Returns a task from whatever stands for one: a task, a name, or something in hand (`resolve_task`).

    Raises:
        UsageError: it is none of these, or a name that nothing has.
    """
    return given if isinstance(given, Task) else resolve_task(given)


WRAPPER_KEYS = {"name", "settings"}


def task_from_json(data: Mapping[str, Any], source: str | Path = "a stored task") -> Task:
    """Returns the task that `Task.to_json` described.

    Args:
        data: what was stored.
        source: the file it was read from, for messages.

    Raises:
        UsageError: it is not what `to_json` gives; it names code, and nobody typed that name, signed or trusted it
            (`inscape.trust`); or what `resolve_task` raises.
    """
    settings = data.get("settings", {}) if isinstance(data, Mapping) else None
    wrappers = data.get("wrappers", []) if isinstance(data, Mapping) else None
    whole = isinstance(wrappers, list) and all(
        isinstance(w, Mapping) and {"name", "settings"} == set(w) for w in wrappers
    )
    if not isinstance(settings, Mapping) or not isinstance(data.get("name"), str) or not whole:
        raise UsageError(f"{source} describes no task: {str(data)[:80]}", expected='{"name": "WORLD", "settings": {…}}')
    if data.get(IN_HAND):
        raise UsageError(
            f"{source} was played in {data['name']}, an object that a notebook or a script had in hand: it has no name "
            "by which it could be made again",
            expected="that world, or its class, given beside the run",
            hint=f"evaluate(run, {data['name']}) in Python",
        )
    trust.require_trust(trust.task_code_names(data), source)
    try:
        return wrapped_task(_resolve(data["name"], settings), wrappers or [])
    except UsageError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:  # of a value of another type
        raise UsageError(
            f"{source}: {data['name']} cannot be made with {str(dict(settings))[:80]}: {type(error).__name__}: {error}",
            expected="settings that this world takes",
        ) from error
