"""Environments of other packages: what their constructors take, and which package registers an id."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym

from inscape.envs.catalogue import WorldSpec
from inscape.envs.registry import PETTINGZOO_PREFIX, PIXELS_PREFIX, load_spec
from inscape.envs.tasks.arguments import Argument, Arguments, arguments_of, checked, typed
from inscape.errors import UsageError

MODULES = {
    "ALE/": "ale_py", "MiniGrid-": "minigrid", "BabyAI-": "minigrid", "Fetch": "gymnasium_robotics",
    "Hand": "gymnasium_robotics", "AntMaze": "gymnasium_robotics", "PointMaze": "gymnasium_robotics",
    "AdroitHand": "gymnasium_robotics", "FrankaKitchen": "gymnasium_robotics", "highway-": "highway_env",
    "merge-": "highway_env", "roundabout-": "highway_env", "parking-": "highway_env", "intersection-": "highway_env",
    "racetrack-": "highway_env", "Panda": "panda_gym", "FlappyBird-": "flappy_bird_gymnasium",
    "MiniWorld-": "miniworld", "procgen": "procgen", "mo-": "mo_gymnasium",
}  # fmt: skip
"""Packages that register their environments as they are imported, by what their ids begin with."""
ATARI = re.compile(r"([A-Z][A-Za-z]+)(NoFrameskip|Deterministic)?(-ram)?-v[045]")


def module_of(name: str) -> str:
    """Returns what to type where an id is one that a package registers when it is imported; "" where none is known."""
    bare = name.rpartition(":")[2]
    for prefix, module in MODULES.items():
        if bare.startswith(prefix):
            installed = importlib.util.find_spec(module) is not None
            return f"{module}:{bare}" + ("" if installed else f", once {module.replace('_', '-')} is installed")
    if ATARI.fullmatch(bare) and "NoFrameskip" in bare:
        return f"ale_py:{bare}; ale_py:ALE/{ATARI.fullmatch(bare)[1]}-v5 with --env.frameskip 1"  # type: ignore[index]
    return ""


def environment_settings(name: str, spec: gym.envs.registration.EnvSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of an environment, checked against the arguments of what makes it.

    Raises:
        UsageError: a name that is not among them, one that is missing, or a value that a run cannot store.
    """
    limits = {key: given[key] for key in given if key in OF_GYMNASIUM}
    own = {key: value for key, value in given.items() if key not in limits}
    arguments = environment_arguments(spec)
    if arguments is None:
        return {**own, **limits}
    return {**checked(own, arguments, name, "--env."), **limits}


OF_GYMNASIUM = ("max_episode_steps", "render_mode", "disable_env_checker")
"""Arguments of `gymnasium.make` itself."""


def environment_arguments(spec: gym.envs.registration.EnvSpec) -> Arguments | None:
    """Returns the arguments of what makes an environment, with the defaults it is registered with; None where it cannot
    be imported, which making it reports."""
    entry: Any = spec.entry_point
    try:
        creator = gym.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    except (ImportError, AttributeError, gym.error.Error):
        return None
    if creator is None:
        return None
    found = arguments_of(creator)
    known = dict(found.known)
    for key, value in spec.kwargs.items():
        known[key] = replace(known.get(key, Argument(key)), default=value)
    known = {key: value for key, value in known.items() if key not in OF_GYMNASIUM}
    required = tuple(key for key in found.required if key in known and key not in spec.kwargs)
    return Arguments(known, found.takes_others, required)


def settings_from_text(name: str, texts: Mapping[str, str | None]) -> dict[str, Any]:
    """Returns the settings `--env.NAME VALUE` of an environment, each of its type.

    Args:
        name: of the environment.
        texts: as they were typed, by the names of arguments; None where there was no value.

    Raises:
        UsageError: it is a world, which has `--world.NAME`; no such argument; or a value of another type.
    """
    if not texts:
        return {}
    spec = None if name.startswith((PETTINGZOO_PREFIX, PIXELS_PREFIX)) else load_spec(name)
    option = "--env." + next(iter(texts)).replace("_", "-")
    if isinstance(spec, WorldSpec) or name.startswith(PIXELS_PREFIX):
        raise UsageError(
            f"{option} for the world {name}",
            expected="settings of worlds as --world.NAME",
            hint=option.replace("--env.", "--world."),
        )
    arguments: Arguments | None = None
    if spec is not None:
        arguments = environment_arguments(spec)
    elif name.startswith(PETTINGZOO_PREFIX):
        from inscape.envs.tasks.pettingzoo import PettingZooTask

        arguments = arguments_of(PettingZooTask(name, None, {}, None).constructor)
    found = {}
    for given, text in texts.items():
        key, value = _named(given, text, arguments)
        found[key] = typed(value, None if arguments is None else arguments.known.get(key), f"--env.{given}")
    return found


def _named(given: str, text: str | None, arguments: Arguments | None) -> tuple[str, str | None]:
    """Returns the argument that an option means, and its text: dashes stand for underscores, `no-NAME` for false."""
    known = {} if arguments is None else arguments.known
    for name in (given, given.replace("-", "_")):
        if name in known:
            return name, text
    bare = given.replace("-", "_")
    if text is None and bare.startswith("no_") and (bare[3:] in known or arguments is None or arguments.takes_others):
        return bare[3:], "false"
    return (given if given.isidentifier() else bare), text
