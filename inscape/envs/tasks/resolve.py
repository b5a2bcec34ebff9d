"""From a name to a task: worlds, files, Gymnasium and PettingZoo environments, pictures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from inscape import trust
from inscape.envs.catalogue import WorldSpec
from inscape.envs.loading import load_class
from inscape.envs.registry import PETTINGZOO_PREFIX, PIXELS_PREFIX, load_spec, world_of, world_specs
from inscape.envs.tasks.task import Task
from inscape.envs.worlds.pomdp.decision_file import DecisionFileWorld, is_decision_file
from inscape.errors import UsageError, closest

if TYPE_CHECKING:
    from inscape.envs.world import World


def world_settings(name: str) -> dict[str, tuple[Any, Any, str]]:
    """Returns the settings of a built-in world: name → (annotation, default, what it is)."""
    if name.startswith(PIXELS_PREFIX):
        from inscape.envs.tasks.pixels import DEFAULTS

        docs = {"pixels": "Pixels of each side of a picture.", "frames": "Frames stacked, the last of them now."}
        return {
            **{key: (int, DEFAULTS[key], docs[key]) for key in docs},
            **world_settings(name.removeprefix(PIXELS_PREFIX)),
        }
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


def resolve_task(name: str | World | type[World], settings: Mapping[str, Any] | None = None) -> Task:
    """Returns the task a user means by `name`: a built-in world, `file.py:Class`, a Gymnasium id, a PettingZoo
    environment (`pettingzoo:pettingzoo.classic.rps_v2`), or an Inscape world seen as pictures (`pixels:WORLD`).

    A world in hand, or its class, is taken too.

    Raises:
        UsageError: unknown name, setting or value; or what is neither a name nor a world.
    """
    if not isinstance(name, str):
        return _task_of_world(name, dict(settings or {}))
    trust.allow(trust.task_code_names({"name": name, "settings": settings or {}}))
    return _resolve(name, settings or {})


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
    spec = load_spec(name)
    if isinstance(spec, WorldSpec):
        world = world_of(spec, given)
        full = name if ":" in name else spec.name
        return Task(full, world, given, world.max_episode_steps)
    if name.startswith(PETTINGZOO_PREFIX):
        from inscape.envs.tasks.pettingzoo import PettingZooTask

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
            hint=closest(name, [*worlds, *gym.registry]) + "; inscape list worlds",
        )
    task = Task(name, None, given, _time_limit(given, spec.max_episode_steps))
    _ = task.observation_space  # a missing package or a wrong setting is reported here
    return task


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


def as_task(given: Task | World | type[World] | str) -> Task:
    """Returns a task from whatever stands for one: a task, a name, a world or its class.

    Raises:
        UsageError: it is none of these, or a name that nothing has.
    """
    return given if isinstance(given, Task) else resolve_task(given)


def _task_of_world(given: Any, settings: Mapping[str, Any]) -> Task:
    """Returns the task of a world in hand, or of a class of worlds.

    Raises:
        UsageError: it is neither; or settings for a world that is made already.
    """
    from inscape.envs.world import World

    if isinstance(given, type) and issubclass(given, World):
        given, settings = given(**settings), {}
    if not isinstance(given, World):
        shown = f"the class {given.__name__}" if isinstance(given, type) else f"an object of {type(given).__name__}"
        raise UsageError(
            f"{shown} as a world",
            expected="a world, its class, or a name: a built-in world, a Gymnasium id, file.py:Class",
            hint='gymnasium.register("Mine-v0", Mine), then resolve_task("Mine-v0")',
        )
    if settings:
        raise UsageError(
            f"the settings {dict(settings)} for a world made already", hint="give its class, or make it with them"
        )
    known = given.setting_parameters()
    own = {k: v for k, v in given.settings.items() if k not in known or v is not known[k].default}
    return Task(given.name, given, own, given.max_episode_steps)


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
    if not isinstance(settings, Mapping) or not isinstance(data.get("name"), str):
        raise UsageError(f"{source} describes no task: {str(data)[:80]}", expected='{"name": "WORLD", "settings": {…}}')
    trust.require_trust(trust.task_code_names(data), source)
    try:
        return _resolve(data["name"], settings)
    except UsageError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:  # of a value of another type
        raise UsageError(
            f"{source}: {data['name']} cannot be made with {str(dict(settings))[:80]}: {type(error).__name__}: {error}",
            expected="settings that this world takes",
        ) from error
