"""What can be acted in, by name: our worlds, a user's world in a file, any Gymnasium environment."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import gymnasium as gym
import numpy as np

from inscape.envs.catalogue import FAMILIES, WorldSpec
from inscape.errors import UsageError, closest

if TYPE_CHECKING:
    from inscape.envs.law import World

Autoreset = Literal["next-step", "same-step"]
Made = TypeVar("Made")
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
    """Registers our worlds with Gymnasium; done once by `import inscape`."""
    for spec in world_specs():
        if spec.id not in gym.registry:
            _register_with_gymnasium(spec)


def _register_with_gymnasium(spec: WorldSpec) -> None:
    gym.register(
        id=spec.id,
        entry_point="inscape.envs.registry:make_env",
        vector_entry_point="inscape.envs.registry:make_vector_env",
        max_episode_steps=spec.max_episode_steps,
        kwargs={"world": spec.name},
    )


def make_env(world: str, render_mode: str | None = None, **settings: Any) -> gym.Env[Any, Any]:
    """Returns one environment without its time limit, which `gym.make` adds."""
    return make_world(world, **settings).env(render_mode=render_mode, max_episode_steps=None)


def make_vector_env(
    world: str,
    num_envs: int = 1,
    max_episode_steps: int | None = None,
    autoreset: Autoreset = "next-step",
    render_mode: str | None = None,
    **settings: Any,
) -> gym.vector.VectorEnv[Any, Any, Any]:
    """Returns `num_envs` copies for `gym.make_vec(…, vectorization_mode="vector_entry_point")`."""
    if render_mode is not None:
        raise UsageError(f"render_mode {render_mode!r} for a vector environment", hint="watch one copy: gym.make(…)")
    return make_world(world, **settings).vector_env(num_envs, autoreset, max_episode_steps)


def make_world(name: str, **settings: Any) -> World:
    """Returns a world by name or by `file.py:Class` / `package.module:Class`.

    Raises:
        UsageError: no such world, no such setting, or a value the world refuses.
    """
    spec = find_spec(name)
    if spec is None:
        raise UsageError(f"no world named {name!r}", hint=closest(name, [s.name for s in world_specs()]))
    cls = load_class(spec.entry, "world")
    world: World = cls(**{**spec.settings, **settings})
    world.title = spec.name
    if spec.max_episode_steps is not None:
        world.__dict__["max_episode_steps"] = spec.max_episode_steps
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
    _ = load_file(source, what) if source.endswith(".py") else _load_module(source, what)
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


def find_spec(name: str) -> WorldSpec | None:
    """Returns the world a name stands for: `CartPole`, `inscape/CartPole-v0`, `file.py:Class`; None if not ours."""
    if name.startswith((PETTINGZOO_PREFIX, PIXELS_PREFIX)):
        return None
    if ":" in name and not name.startswith("inscape:"):
        if gymnasium_spec(name) is not None:
            return None
        cls = load_class(name, "world")
        from inscape.envs.law import World

        if not (isinstance(cls, type) and issubclass(cls, World)):
            theirs = isinstance(cls, type) and issubclass(cls, gym.Env)
            raise UsageError(
                f"{name} is {cls!r}",
                expected="a subclass of inscape.World, or the id of a Gymnasium environment that importing registers",
                hint="gymnasium.register it, and give its id after the colon: package.module:Id-v0" if theirs else "",
            )
        return WorldSpec(cls.__name__, name, (inspect.getdoc(cls) or "").split("\n")[0])
    bare = name.removeprefix("inscape:").removeprefix("inscape/")
    known = {spec.name: spec for spec in world_specs()}
    if bare in known:
        return known[bare]
    match = re.fullmatch(r"(.+)-v(\d+)", bare)
    if match and match[1] in known and known[match[1]].version == int(match[2]):
        return known[match[1]]
    if name.startswith(("inscape/", "inscape:")):
        raise UsageError(f"no world {name!r}", expected="one of ours", hint=closest(bare, known))
    return None


def world_settings(name: str) -> dict[str, tuple[Any, Any, str]]:
    """Returns the settings of one of our worlds: name → (annotation, default, what it is)."""
    if name.startswith(PIXELS_PREFIX):
        from inscape.envs.pixels import DEFAULTS

        docs = {"pixels": "Pixels of each side of a picture.", "frames": "Frames stacked, the last of them now."}
        return {
            **{key: (int, DEFAULTS[key], docs[key]) for key in docs},
            **world_settings(name.removeprefix(PIXELS_PREFIX)),
        }
    spec = find_spec(name)
    if spec is None:
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


# ---------------------------------------------------------------------------------------------- plug-ins from files


def load_class(entry: str, what: str) -> Any:
    """Returns the object `file.py:Class` or `package.module:Class` names. `what` is its role, for messages.

    Raises:
        UsageError: no such file or module, it does not import, or has no such class.
    """
    source, _, attribute = entry.rpartition(":")
    if not source or not attribute:
        raise UsageError(f"{entry!r} does not name a {what}", expected="file.py:Class or package.module:Class")
    module = load_file(source, what) if source.endswith(".py") else _load_module(source, what)
    if not hasattr(module, attribute):
        public = [
            n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__
        ]  # fmt: skip
        raise UsageError(
            f"{source} has no class {attribute!r}",
            expected=f"one of {', '.join(public)}" if public else f"a class {attribute} in {source}",
        )
    return getattr(module, attribute)


def _load_module(source: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"no module {error.name!r} for the {what} {source!r}", expected="file.py:Class or package.module:Class"
        ) from error


def load_file(path: str, what: str) -> ModuleType:
    """Returns the module in a file, imported once per content.

    Raises:
        UsageError: the file is missing, or fails to import (its own error is shown).
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"no file {path!r} for the {what}", expected="a path such as examples/elevator.py:Elevator")
    digest = hashlib.sha256(str(file.resolve()).encode() + file.read_bytes()).hexdigest()[:12]
    name = f"inscape_file_{file.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except UsageError:
        del sys.modules[name]
        raise
    except Exception as error:  # whatever a user's file raises is the user's to read, without our traceback
        del sys.modules[name]
        at = f"{path}:{line}" if (line := line_of(error, file)) else path
        told = error.msg if isinstance(error, SyntaxError) and error.msg else error
        raise UsageError(f"{at} failed to import: {type(error).__name__}: {told}", hint=f"python {path}") from error
    return module


def line_of(error: BaseException, file: str | Path) -> int | None:
    """Returns the line of `file` at which an error arose, or None if it arose elsewhere."""
    where = Path(file).resolve()
    if isinstance(error, SyntaxError) and error.filename is not None and Path(error.filename).resolve() == where:
        return error.lineno
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if Path(frame.filename).resolve() == where), None)


# ---------------------------------------------------------------------------------------------- tasks


class _ToldMasks(gym.Wrapper[Any, Any, Any, Any]):
    """An environment with a method `action_masks` that says the same in `info["action_mask"]`, as the others do."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, self._told(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, self._told(info)

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        return {"action_mask": np.asarray(self.get_wrapper_attr("action_masks")(), np.bool_), **info}


def _with_masks_told(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return _ToldMasks(env) if env.has_wrapper_attr("action_masks") else env


class _SeededCopies(gym.vector.VectorWrapper[Any, Any, Any, Any, Any]):
    """Copies of an ordinary environment, of which no two share a stream of chance, whatever the seeds of their runs."""

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes, with `copy_seeds(seed)` if it is a number; of copies from `options["first_copy"]` on."""
        from inscape.envs.streams import copy_seeds

        own = dict(options or {})
        first = int(own.pop("first_copy", 0))
        seeds: Any = copy_seeds(seed, self.num_envs, first) if isinstance(seed, int) else seed
        observation, info = super().reset(seed=seeds, options=own or None)
        return observation, _with_whole_masks(info)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(actions)
        return observation, reward, terminated, truncated, _with_whole_masks(info)


def _with_whole_masks(info: dict[str, Any]) -> dict[str, Any]:
    """Returns what copies told with `action_mask [B, A]` bool; all is legal in a copy that told none."""
    if "action_mask" not in info:
        return info
    told, masks = info["_action_mask"], info["action_mask"]
    if told.all() and masks.dtype != object:
        return {**info, "action_mask": masks.astype(np.bool_, copy=False)}
    some = np.asarray(masks[int(np.argmax(told))], np.bool_)
    rows = [
        np.asarray(mask, np.bool_) if known else np.ones_like(some) for mask, known in zip(masks, told, strict=True)
    ]
    return {**info, "action_mask": np.stack(rows)}


@dataclass(frozen=True, eq=False)
class Task:
    """Something to act in: a world of ours, or any Gymnasium environment, with its time limit.

    Attributes:
        name: as resolved; a world's name, `file.py:Class`, or a Gymnasium id.
        world: the law, or None for an ordinary Gymnasium environment.
        settings: what differs from the defaults; enough, with the name, to make the task again.
    """

    name: str
    world: World | None
    settings: dict[str, Any]
    max_episode_steps: int | None

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
        return _with_masks_told(made)

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
                wrappers=[_with_masks_told],  # type: ignore[list-item]
                **self.settings,
            ),
            self.name,
        )
        return _SeededCopies(made)

    def to_json(self) -> dict[str, Any]:
        """Returns name and settings as JSON values."""
        return {"name": self.name, "settings": {k: _json_value(v) for k, v in self.settings.items()}}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Task:
        """Returns the task `to_json` described."""
        return resolve_task(data["name"], dict(data.get("settings", {})))


def resolve_task(name: str, settings: Mapping[str, Any] | None = None) -> Task:
    """Returns the task a user means by `name`: one of our worlds, `file.py:Class`, a Gymnasium id, a PettingZoo
    environment (`pettingzoo:pettingzoo.classic.rps_v2`), or a world of ours seen as pictures (`pixels:WORLD`).

    Raises:
        UsageError: unknown name, setting or value.
    """
    given = dict(settings or {})
    if name.startswith(PIXELS_PREFIX):
        from inscape.envs.pixels import pixel_task

        return pixel_task(name, given)
    spec = find_spec(name)
    if spec is not None:
        world = make_world(name, **given)
        full = name if ":" in name else spec.name
        return Task(full, world, given, world.max_episode_steps)
    if name.startswith(PETTINGZOO_PREFIX):
        from inscape.envs.pettingzoo_task import PettingZooTask

        theirs = PettingZooTask(name, None, given, None)
        _ = theirs.observation_space  # a missing package or a wrong setting is reported here
        return theirs
    registered = gymnasium_spec(name)
    if registered is None:
        ours = [s.name for s in world_specs()]
        raise UsageError(
            f"no world named {name!r}",
            expected="one of our worlds, a Gymnasium id, or file.py:Class",
            hint=closest(name, [*ours, *gym.registry]) + "; inscape list worlds",
        )
    task = Task(name, None, given, registered.max_episode_steps)
    task.env().close()  # a missing package or a wrong setting is reported here
    return task


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
