"""Agents by name: the built-in ones, any Stable-Baselines3 algorithm, a user's file or package, entry points.

    make_agent("ppo", task)                         a built-in agent
    make_agent("sb3:dqn", task)                     Stable-Baselines3, sb3-contrib
    make_agent("independent:ppo", task)             one such learner for each player
    make_agent("my_agent.py:MyAgent", task)         a class in a file
    make_agent("my_package.agents:MyAgent", task)   a class in an installed package
    make_agent("name", task)                        an entry point of the group `inscape.agents`

The table of built-in agents is text: nothing heavy is imported until an agent is made.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from inscape.agents.adapters import as_agent, for_task
from inscape.agents.catalogue import BUILT_IN, SB3_ALGORITHMS, AgentEntry, LearnerName
from inscape.agents.in_hand import known_name
from inscape.agents.interface import Agent, AnyAgent, Learner
from inscape.agents.learning.model_settings import run_settings_class
from inscape.agents.presets import Preset, preset_for, preset_in_use
from inscape.agents.renamed_settings import current_settings, may_be_old, renamed_settings
from inscape.agents.settings import build_settings
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UnknownSettingError, UsageError, closest, exits_as_errors, out_of_memory, whole_number
from inscape.trust import agent_code_names, allow
from inscape.world_models.catalogue import (
    ModelEntry,
    find_model,
    is_model_class,
    model_names,
    model_settings_class,
)

if TYPE_CHECKING:
    from inscape.envs.tasks.resolve import Given
    from inscape.envs.tasks.task import Task

SEEDS = 2**62
"""How many seeds there are: two streams are made of each, and torch takes 64 bits."""
ENTRY_POINT_GROUP = "inscape.agents"
SB3_PREFIX = "sb3:"
MODEL_LEARNER = "inscape.agents.models.learner:ModelLearner"
"""What stands as an agent for the name of a world model."""
INDEPENDENT_PREFIX = "independent:"


def _sb3_entry(algorithm: str) -> AgentEntry:
    return AgentEntry(
        SB3_PREFIX + algorithm,
        "Stable-Baselines3: " + SB3_ALGORITHMS[algorithm][1],
        "inscape.agents.sb3.agent:" + ("RecurrentSB3Agent" if algorithm == "recurrent-ppo" else "SB3Agent"),
        "inscape.agents.sb3.settings:SB3Settings",
        learns=True,
        steps=100_000,
    )


def _independent_entry(spec: str) -> AgentEntry:
    learner = spec.removeprefix(INDEPENDENT_PREFIX)
    entry = find_entry(learner)
    if entry is None or not entry.learns or learner.startswith((INDEPENDENT_PREFIX, SB3_PREFIX)):
        raise UsageError(f"independent learners {learner!r}", expected="a built-in agent that learns", hint="ppo, dqn")
    return replace(
        entry, name=spec, description="one for each player: " + entry.description,
        path="inscape.agents.multi_agent.independent:Independent",
    )  # fmt: skip


def _model_entry(entry: ModelEntry) -> AgentEntry:
    return AgentEntry(
        entry.name, "learns a world model and plans in it: " + entry.description, MODEL_LEARNER, learns=True,
        steps=entry.steps,
    )  # fmt: skip


def is_model_spec(spec: str) -> bool:
    """Returns whether a name is that of a world model, and not of an agent.

    Raises:
        UsageError: it is `file:Class` or `module:Class`, and that cannot be imported.
    """
    if ":" in spec:
        return not spec.startswith((SB3_PREFIX, INDEPENDENT_PREFIX)) and is_model_class(_load(spec))
    return find_model(spec) is not None and all(entry.name != spec for entry in BUILT_IN)


def _path(spec: str, entry: AgentEntry | None) -> str:
    """Returns where the class of an agent is found: for a model of a user's, that of what learns models."""
    return entry.path if entry else MODEL_LEARNER if is_model_spec(spec) else spec


def agent_entries() -> list[AgentEntry]:
    """Returns every agent known by name: built in, Stable-Baselines3, entry points. Imports none of them."""
    return [*BUILT_IN, *(_sb3_entry(name) for name in SB3_ALGORITHMS), *_from_packages()]


def _from_packages() -> Iterator[AgentEntry]:
    for point in _entry_points():
        yield AgentEntry(point.name, f"from the package {_package(point)}", point.value)


def agent_names() -> list[str]:
    """Returns the names `make_agent` knows (it also takes `file.py:Class` and `package.module:Class`)."""
    return [entry.name for entry in agent_entries()]


def is_agent_spec(spec: str) -> bool:
    """Returns whether `spec` is the name of an agent or a world model, or names a class that is one.

    Raises:
        UsageError: it is `file:Class` or `module:Class`, and that cannot be imported.
    """
    if spec in agent_names() or find_model(spec) or spec.startswith((SB3_PREFIX, INDEPENDENT_PREFIX)):
        return True
    return ":" in spec and (callable(getattr(_load(spec), "act", None)) or is_model_class(_load(spec)))


def is_built_in(spec: str) -> bool:
    """Returns whether an agent comes with this package, Stable-Baselines3's included."""
    if spec.startswith((SB3_PREFIX, INDEPENDENT_PREFIX)):
        return True
    return find_model(spec) is not None or any(entry.name == spec for entry in BUILT_IN)


def find_entry(spec: str) -> AgentEntry | None:
    """Returns the entry of an agent known by name; None for `file.py:Class` and `package.module:Class`.

    Raises:
        UsageError: the name is unknown; the message has the closest known one.
    """
    if spec.startswith(SB3_PREFIX):
        algorithm = spec.removeprefix(SB3_PREFIX)
        if algorithm not in SB3_ALGORITHMS:
            raise UsageError(
                f"no Stable-Baselines3 algorithm {algorithm!r}",
                expected=", ".join(SB3_PREFIX + name for name in SB3_ALGORITHMS),
                hint=closest(algorithm, SB3_ALGORITHMS),
            )
        return _sb3_entry(algorithm)
    if spec.startswith(INDEPENDENT_PREFIX):
        return _independent_entry(spec)
    built_in = next((entry for entry in BUILT_IN if entry.name == spec), None)
    if built_in is None and (model := find_model(spec)) is not None:
        return _model_entry(model)
    # built-in names first: reading every installed package's entry points takes longer than a small training run
    for entry in itertools.chain(BUILT_IN, _from_packages()):
        if entry.name == spec:
            return entry
    if ":" in spec:
        return None
    raise UsageError(
        f"no agent {spec!r}",
        expected=f"one of {', '.join(agent_names())}; a world model: {', '.join(model_names())}; or file.py:Class; or "
        "package.module:Class",
        hint=_class_hint(spec) or closest(spec, [*agent_names(), *model_names()]),
    )


def _class_hint(spec: str) -> str:
    return f"{spec}:YourClass, to say which class of the file" if spec.endswith(".py") else ""


def learns_with_players(spec: Any) -> bool:
    """Returns whether an agent's `learn` takes a world of several players whole, and not one of its players' part.

    Args:
        spec: a name, a class, or an agent in hand.
    """
    if not isinstance(spec, str):
        return bool(getattr(spec, "learns_with_players", False))
    entry = find_entry(spec)
    return bool(getattr(_load(entry.path if entry else spec), "learns_with_players", False))


def learns(spec: str) -> bool:
    """Returns whether an agent has `learn`.

    Raises:
        UsageError: there is no such agent, or its file cannot be imported.
    """
    entry = find_entry(spec)
    return callable(getattr(_load(spec), "learn", None)) if entry is None else entry.learns


def settings_class(spec: str) -> type | None:
    """Returns the settings dataclass of an agent (for a command line to read), or None if it has none.

    A custom class may have a dataclass `Settings` as an attribute.
    """
    entry = find_entry(spec)
    if entry is not None and entry.settings_path:
        cls: type = _load(entry.settings_path)
        return cls
    if is_model_spec(spec):
        return run_settings_class(model_settings_class(spec))
    return _own_settings_class(_load(entry.path if entry else spec))


def default_steps(spec: str, task: Given) -> int:
    """Returns how many environment steps to train for when the user does not say."""
    entry, task = find_entry(spec), as_task(task)
    preset = preset_in_use(spec, task)
    return preset.steps if preset else entry.steps if entry else AgentEntry.steps


def default_settings(spec: str, task: Given) -> tuple[Any, Preset | None]:
    """Returns the settings an agent gets in a task by default, and the preset they come from, to be printed.

    Where each of several players is a separate row, `num_envs` is the nearest multiple of their number.
    """
    task = as_task(task)
    cls, preset = settings_class(spec), preset_in_use(spec, task)
    if cls is None:
        return None, None
    try:
        settings = build_settings(cls, preset.settings if preset else {})
    except UsageError:
        if preset is None or not preset.own:
            raise
        preset = preset_for(spec, task.name)  # one saved before the agent's settings changed
        settings = build_settings(cls, preset.settings if preset else {})
    rows, num_envs = _rows_of_a_copy(spec, task), getattr(settings, "num_envs", None)
    if isinstance(num_envs, int) and num_envs % rows:
        with suppress(UsageError):  # such as for minibatches that do not divide it: learning raises UsageError
            settings = dataclasses.replace(settings, num_envs=max(1, round(num_envs / rows)) * rows)
    return settings, preset


def _rows_of_a_copy(spec: str, task: Task) -> int:
    """Returns how many rows of a learner's batch a copy of the task makes: its players, where all learn one policy."""
    from inscape.envs.tasks.shared_policy import PlayersTask

    if isinstance(task, PlayersTask):
        return task.whole.players
    return task.players if task.simultaneous and not learns_with_players(spec) else 1


@overload
def make_agent(
    spec: LearnerName | type[Learner],
    task: Given,
    seed: int = 0,
    device: str = "cpu",
    settings: Any = None,
) -> Learner: ...


@overload
def make_agent(
    spec: Any,
    task: Given,
    seed: int = 0,
    device: str = "cpu",
    settings: Any = None,
) -> AnyAgent: ...


def make_agent(
    spec: Any,
    task: Given,
    seed: int = 0,
    device: str = "cpu",
    settings: Any = None,
) -> Agent:
    """Returns the agent that a spec names, ready to act in `task`.

    Args:
        spec: a name from `agent_names()`, `file.py:Class` or `package.module:Class`; or a class, also of
            Stable-Baselines3. An agent in hand is returned as it is (see `as_agent`).
        task: what it is to act in: a name, or a task, a world, an environment, its class or what makes one.
        seed: seed of everything random in the agent.
        device: `"auto"`, `"cpu"` or `"cuda"`; agents without tensors ignore it.
        settings: a settings object, used as it is; or a mapping of some settings by name, over the preset of this
            agent in this world if there is one, else over the defaults; None for those alone.

    Raises:
        UsageError: unknown name; a file that is missing, does not import or lacks the class; a constructor that asks
            for more than `task`, `seed`, `device` and `settings`; an unknown setting; a seed below 0 or too large.
    """
    task = as_task(task)
    seed = whole_number("seed", seed, most=SEEDS - 1)
    if not isinstance(spec, str):
        if not isinstance(spec, type):
            return for_task(_in_hand(spec, task, settings), task)
        if (known := known_name(spec)) is None:
            return for_task(_made_of_class(spec, task, seed, device, settings), task)
        spec = known
    allow(agent_code_names(spec, settings if isinstance(settings, Mapping) else {}))
    entry = find_entry(spec)
    cls = _load(path := _path(spec, entry))
    settings = _settings_for(spec, task, settings)
    arguments: dict[str, Any] = {"task": task, "seed": seed, "device": device, "settings": settings}
    if path == MODEL_LEARNER:
        arguments["model"] = spec
    if spec.startswith(SB3_PREFIX):
        arguments["algorithm"] = spec.removeprefix(SB3_PREFIX)
    if spec.startswith(INDEPENDENT_PREFIX):
        arguments["algorithm"] = spec.removeprefix(INDEPENDENT_PREFIX)
    with exits_as_errors(f"{spec} was made for {task.name}"):
        try:
            made = _construct(cls, spec, arguments)
        except Exception as error:  # whatever its libraries raise where memory ends
            if (told := out_of_memory(error, f"{spec} was made for {task.name}")) is not None:
                raise told from error
            raise
    agent = as_agent(made, None if entry is None else entry.name)
    if entry is not None:
        agent.name = entry.name
    return for_task(agent, task)


def _in_hand(agent: Any, task: Task, settings: Any) -> Agent:
    if settings:
        raise UsageError(
            f"settings {settings} for an agent that is made already",
            expected="its class, which is made with them",
            hint=f"{type(agent).__name__}",
        )
    if isinstance(getattr(agent, "policy", None), np.ndarray) and not callable(getattr(agent, "act", None)):
        from inscape.agents.solved import SolvedAgent

        return SolvedAgent(agent, task)
    return as_agent(agent)


def _made_of_class(cls: type, task: Task, seed: int, device: str, settings: Any) -> Agent:
    """Returns an agent of a custom class in hand."""
    own = _own_settings_class(cls)
    if settings is None or isinstance(settings, Mapping):
        if own is None and settings:
            raise _no_settings(dict(settings or {}), cls.__name__)
        settings = None if own is None else build_settings(own, settings or {})
    given = {"task": task, "seed": seed, "device": device, "settings": settings}
    return as_agent(_construct(cls, cls.__name__, given))


def _no_settings(settings: Mapping[str, Any], owner: str) -> UsageError:
    return UnknownSettingError(
        owner, next(iter(settings)), expected="no settings: there is no dataclass `Settings` in the agent's class"
    )


def _settings_for(spec: str, task: Task, settings: Any) -> Any:
    default, _ = default_settings(spec, task)
    if settings is not None and not isinstance(settings, Mapping):
        if default is not None and not isinstance(settings, type(default)):
            raise UsageError(
                f"settings of {spec} of type {type(settings).__name__}",
                expected=f"{type(default).__name__}, or a mapping of some settings by name",
                hint='settings={"gamma": 0.9}',
            )
        return settings
    if default is None:
        if settings:
            raise _no_settings(settings, spec)
        return None
    settings = settings or {}
    current = current_settings(type(default), settings)
    if changed := [name for name in settings if name not in current]:
        rows = renamed_settings(type(default))
        renamed = ", ".join(f"{name!r} is now {rows[name].new!r}" for name in changed)
        warnings.warn(f"settings of {spec}: {renamed}; old names work until the next release", FutureWarning, 3)
    return build_settings(type(default), current, base=default)


def current_agent_settings(spec: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns stored settings of an agent by their present names; those of a custom agent as they are.

    Imports the agent's settings only where a name or value may be an old one. A custom agent's settings, which may
    inherit from a built-in agent's, are brought up to date when the agent is made: opening a run must not run a
    user's code.
    """
    if spec.removeprefix(INDEPENDENT_PREFIX) == "dqn" and values and "normalize_rewards" not in values:
        values = {**values, "normalize_rewards": False}  # a run of before there was the setting
    if not may_be_old(values):
        return dict(values)
    try:
        entry = find_entry(spec)
    except UsageError:  # an agent that is not installed here: its run can be read all the same
        entry = None
    if entry is None or not entry.settings_path:
        return dict(values)
    return current_settings(_load(entry.settings_path), values)


def _own_settings_class(cls: type) -> type | None:
    own = getattr(cls, "Settings", None)
    return own if isinstance(own, type) and dataclasses.is_dataclass(own) else None


def _construct(cls: Any, spec: str, available: dict[str, Any]) -> Any:
    """Calls the constructor with those of the available arguments that it takes."""
    if not isinstance(cls, type):
        raise UsageError(f"{spec} is {cls!r}", expected="a class with a method act(self, observation)")
    parameters = inspect.signature(cls).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        taken = available
    else:
        taken = {name: value for name, value in available.items() if name in {p.name for p in parameters}}
    missing = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in taken
    ]
    if missing:
        raise UsageError(
            f"{spec} cannot be made: its constructor asks for {', '.join(missing)}",
            expected="any of task, seed, device and settings; a default for everything else",
        )
    if taken.get("settings") is None:
        taken.pop("settings", None)
    try:
        return cls(**taken)
    except UsageError:
        raise
    except Exception as error:
        if not spec.partition(":")[0].endswith(".py"):  # not a user's file: a defect to be seen whole
            raise
        from inscape.envs.loading import line_of

        file = spec.rpartition(":")[0]
        at = f"{file}:{line}" if (line := line_of(error, file)) else spec
        raise UsageError(
            f"{spec} cannot be made: {type(error).__name__}: {error} ({at})",
            expected="a constructor that works with any of task, seed, device and settings",
        ) from error


def _load(path: str) -> Any:
    from inscape.envs.loading import load_class

    return load_class(path, "agent")


def _entry_points() -> Iterable[EntryPoint]:
    return entry_points(group=ENTRY_POINT_GROUP)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value.partition(":")[0]
