"""What can be acted in, by name: built-in worlds, a user's world in a file, any Gymnasium environment."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal

import gymnasium as gym
import pettingzoo

from inscape.envs.catalogue import FAMILIES, RENDERING, WorldSpec
from inscape.envs.loading import load_class, load_file, load_module
from inscape.envs.plain_classes import adopted
from inscape.errors import UsageError, closest, exits_as_errors

if TYPE_CHECKING:
    from inscape.envs.readers.pettingzoo_env import WorldAECEnv, WorldParallelEnv
    from inscape.envs.world import World

PETTINGZOO_PREFIX = "pettingzoo:"
PIXELS_PREFIX = "pixels:"


_SPECS: dict[str, WorldSpec] = {spec.name: spec for family in FAMILIES.values() for spec in family}


def register(spec: WorldSpec) -> None:
    """Adds a world to the names users may type.

    Raises:
        UsageError: the name is taken.
    """
    if spec.name in _SPECS:
        raise UsageError(f"a world named {spec.name!r} is registered already: {_SPECS[spec.name].entry}")
    _SPECS[spec.name] = spec
    _register_with_gymnasium(spec)


def world_specs() -> list[WorldSpec]:
    """Returns every registered world, those of installed plug-ins (entry points `inscape.worlds`) included."""
    found = dict(_SPECS)
    for point in entry_points(group="inscape.worlds"):
        found.setdefault(point.name, WorldSpec(point.name, point.value, "from an installed plug-in"))
    return list(found.values())


def register_all() -> None:
    """Registers the built-in worlds with Gymnasium and PettingZoo; done once by `import inscape`."""
    for spec in world_specs():
        if spec.id not in gym.registry:
            _register_with_gymnasium(spec)
    if hasattr(pettingzoo, "register"):  # from PettingZoo 1.26 on
        for spec in (spec for family in FAMILIES.values() for spec in family if spec.players > 1):
            pettingzoo.register("aec", spec.id, f"{__name__}:aec_env", kwargs={"name": spec.name})
            if spec.simultaneous:
                pettingzoo.register("parallel", spec.id, f"{__name__}:parallel_env", kwargs={"name": spec.name})


def _register_with_gymnasium(spec: WorldSpec) -> None:
    gym.register(
        id=spec.id,
        entry_point="inscape.envs.registry:make_env",
        vector_entry_point="inscape.envs.registry:make_vector_env",
        max_episode_steps=spec.max_episode_steps,
        reward_threshold=spec.reward_threshold,
        kwargs={"world": spec.name},
    )


def make_env(world: str, render_mode: str | None = None, **settings: Any) -> gym.Env[Any, Any]:
    """Returns one environment without its time limit, which `gym.make` adds."""
    return make_world(world, **settings).env(render_mode=render_mode, max_episode_steps=None)


make_env.metadata = RENDERING  # type: ignore[attr-defined]  # where `gym.make` looks for modes to derive others from


def make_vector_env(
    world: str,
    num_envs: int = 1,
    max_episode_steps: int | None = None,
    autoreset: Literal["next-step", "same-step", "disabled"] = "next-step",
    render_mode: str | None = None,
    autoreset_mode: gym.vector.AutoresetMode | str | None = None,
    **settings: Any,
) -> gym.vector.VectorEnv[Any, Any, Any]:
    """Returns `num_envs` copies for `gym.make_vec(…, vectorization_mode="vector_entry_point")`.

    Args:
        world: its name.
        num_envs: number of copies.
        max_episode_steps: the time limit, or None.
        autoreset: see `WorldVectorEnv`.
        render_mode: see `WorldVectorEnv`.
        autoreset_mode: the same as `autoreset`, by Gymnasium's name; it goes first.
        settings: of the world.
    """
    made = make_world(world, **settings)
    return made.vector_env(
        num_envs, autoreset, max_episode_steps, render_mode=render_mode, autoreset_mode=autoreset_mode
    )


def aec_env(name: str, render_mode: str | None = None, max_cycles: int | None = None, **settings: Any) -> WorldAECEnv:
    """Returns a registered world (or `file.py:Class`) as an AEC environment.

    Args:
        name: the world.
        render_mode: see `WorldAECEnv`.
        max_cycles: the time limit in steps of the law; None for the world's own.
        settings: of the world.

    Raises:
        UsageError: no such world or setting, or a world for one player.
    """
    return make_world(name, **settings).aec_env(render_mode, "default" if max_cycles is None else max_cycles)


def parallel_env(
    name: str, render_mode: str | None = None, max_cycles: int | None = None, **settings: Any
) -> WorldParallelEnv:
    """Returns a registered world (or `file.py:Class`) as a Parallel environment; arguments as `aec_env`'s.

    Raises:
        UsageError: no such world or setting, or a world whose players do not act all at once.
    """
    return make_world(name, **settings).parallel_env(render_mode, "default" if max_cycles is None else max_cycles)


def make_world(name: str | type[World], **settings: Any) -> World:
    """Returns a world by name or by `file.py:Class` / `package.module:Class`; of its class, too.

    Raises:
        UsageError: no such world, no such setting, or a value the world refuses.
    """
    if not isinstance(name, str):
        from inscape.envs.world import World

        if isinstance(name, type) and issubclass(name, World):
            return name(**settings)
        raise UsageError(f"make_world({name!r})", expected="a name, file.py:Class, or a class of worlds")
    spec = load_spec(name)
    if not isinstance(spec, WorldSpec):
        raise UsageError(f"no world named {name!r}", hint=closest(name, [s.name for s in world_specs()]))
    return world_of(spec, settings)


def world_of(spec: WorldSpec, settings: Mapping[str, Any]) -> World:
    """Returns the world that is registered, or lies in a file, with these settings over the registered ones.

    Raises:
        UsageError: no such setting, or a value the world refuses.
    """
    cls = load_class(spec.entry, "world")
    with exits_as_errors(f"the world {spec.name} was made"):
        world: World = cls(**{**spec.settings, **settings})
    world.title = spec.name
    if spec.max_episode_steps is not None:
        world.max_episode_steps = spec.max_episode_steps
    return world


def gymnasium_spec(name: str, what: str = "world") -> gym.envs.registration.EnvSpec | None:
    """Returns what Gymnasium knows by a name: an id, or `package.module:id` or `file.py:id`, where importing the module
    or the file registers the id; None if there is no such environment. `what` is looked for, for messages.

    Raises:
        UsageError: the name ends like an id (`-v0`), and its module or file is missing or does not register it.
    """
    source, _, bare = name.rpartition(":")
    if not source or name.startswith((PETTINGZOO_PREFIX, PIXELS_PREFIX, "inscape:")):
        return gym.registry.get(name)
    before = set(gym.registry)
    _ = load_file(source, what) if source.endswith(".py") else load_module(source, what)
    if bare not in gym.registry and re.search(r"-v\d+$", bare):
        own = sorted(set(gym.registry) - before)
        raise UsageError(
            f"importing {source} registers no Gymnasium environment {bare!r}",
            expected=f"one of those it registers: {', '.join(own)}"
            if own
            else "a module that calls gymnasium.register",
            hint=closest(bare, own or list(gym.registry)),
        )
    return gym.registry.get(bare)


def is_environment(made: Any) -> bool:
    """Returns whether it is a class of environments: Gymnasium's, or with the methods `reset` and `step`."""
    methods = all(callable(getattr(made, method, None)) for method in ("reset", "step"))
    return isinstance(made, type) and (issubclass(made, gym.Env) or (methods and not hasattr(made, "act")))


def _spec_of(name: str, made: Any) -> gym.envs.registration.EnvSpec:
    """Returns what Gymnasium makes an environment by, from a class of environments or a function that makes one.

    Raises:
        UsageError: it is neither.
    """
    refused = ""
    if isinstance(made, type) and issubclass(made, gym.Wrapper):
        refused = f"a wrapper goes around an environment: --wrap {name}"
    elif isinstance(made, type) and issubclass(made, gym.vector.VectorEnv):
        refused = "give the class of one copy; inscape makes as many as it needs"
    elif isinstance(made, type) and issubclass(made, pettingzoo.AECEnv | pettingzoo.ParallelEnv):
        refused = "pettingzoo:package.module, whose env() or parallel_env() makes it"
    environment = is_environment(made)
    if refused or not (environment or inspect.isfunction(made)):
        raise UsageError(
            f"{name} is {made!r}",
            expected="a subclass of inscape.World or of gymnasium.Env, a function that makes an environment, or an id "
            "that importing registers",
            hint=refused,
        )
    entry = made if not environment or issubclass(made, gym.Env) else adopted(made)
    return gym.envs.registration.EnvSpec(id=re.sub(r"\W", "", made.__name__) or "Environment", entry_point=entry)


def load_spec(name: str) -> WorldSpec | gym.envs.registration.EnvSpec | None:
    """Returns what a name stands for: a built-in world or one in a file (`CartPole`, `inscape/CartPole-v0`,
    `file.py:Class`), or a Gymnasium environment, by its id or its class (`file.py:Class`, `package.module:Class`);
    None if neither knows it. A file or module in the name is imported.

    Raises:
        UsageError: the file or module is missing, does not import, or has no such world and registers no such id.
    """
    if name.startswith((PETTINGZOO_PREFIX, PIXELS_PREFIX)):
        return None
    if ":" in name and not name.startswith("inscape:"):
        registered = gymnasium_spec(name)
        if registered is not None:
            return registered
        cls = load_class(name, "world")
        from inscape.envs.world import World

        if not (isinstance(cls, type) and issubclass(cls, World)):
            return _spec_of(name, cls)
        return WorldSpec(cls.__name__, name, (inspect.getdoc(cls) or "").split("\n")[0])
    bare = name.removeprefix("inscape:").removeprefix("inscape/")
    known = {spec.name: spec for spec in world_specs()}
    if bare in known:
        return known[bare]
    match = re.fullmatch(r"(.+)-v(\d+)", bare)
    if match and match[1] in known and known[match[1]].version == int(match[2]):
        return known[match[1]]
    if name.startswith(("inscape/", "inscape:")):
        raise UsageError(f"no world {name!r}", expected="a built-in one", hint=closest(bare, known))
    return gym.registry.get(name)
