"""The two-stage parse of a command's line: names first, then their settings.

The settings a command takes depend on the agent and the world it is given (`train ppo CartPole --learning-rate 1e-3`,
`evaluate random FrozenLake --world.slip 0.2`), so names come first on the line: they are read, the parser is built for
them, and then the whole line is parsed strictly by tyro. What each command takes beside is a frozen dataclass in its
module of `inscape.experiments.commands`.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import arg
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from inscape.errors import UsageError
from inscape.experiments.arguments.renamed_options import current_words
from inscape.experiments.arguments.suggestions import options_of, require_known_words

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


_WORDS = ConstructorRegistry()


@_WORDS.primitive_rule
def _whole_numbers(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int | None] | None:
    optional = kind.type == int | None
    if kind.type is not int and not optional:
        return None

    def fits(value: Any) -> bool:
        return (value is None and optional) or (isinstance(value, int) and not isinstance(value, bool))

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{None}|INT" if optional else "INT",
        instance_from_str=lambda words: None if optional and words[0] == "None" else whole_number(words[0]),
        is_instance=fits,
        str_from_instance=lambda value: [str(value)],
    )


def whole_number(text: str) -> int:
    """Returns the whole number written as `100000`, `100_000` or `1e5`.

    Raises:
        ValueError: it is not a whole number.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value.is_integer():
        raise ValueError(f"{text} is no whole number, as 100000, 100_000 or 1e5 are")
    return int(text) if text.lstrip("+-").replace("_", "").isdecimal() else int(value)


def parse(
    command: str,
    kind: type,
    argv: Sequence[str],
    extra: Mapping[str, tuple[Any, Any]] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """Returns the arguments of a command, an instance of a dataclass with the fields of `kind` and the extra groups.

    Args:
        command: name of the command.
        kind: its dataclass.
        argv: the line after the command.
        extra: name → (annotation, default) of further groups of settings.
        defaults: what stands in for arguments that are not given, other than the dataclass says.

    Raises:
        SystemExit: 2 for wrong input, said on stderr with the nearest known option; 0 after `--help`.
        UsageError: a seed or a count is negative.
    """
    whole = kind
    settings = extra["settings"][1] if extra and "settings" in extra else None
    prefix = "" if settings is None or not needs_prefix(kind, settings) else "agent."
    if settings is not None:
        argv = current_words(argv, type(settings), prefix)
    world = extra["world_settings"][1] if extra and "world_settings" in extra else None
    require_known_words(argv, options_of(kind, settings, prefix, world), command, prefix)
    if extra:
        more = [(name, annotation, field(default=default)) for name, (annotation, default) in extra.items()]
        whole = dataclasses.make_dataclass(kind.__name__, more, bases=(kind,), frozen=True)
    text = inspect.cleandoc(kind.__doc__ or "")
    more_options = {} if defaults is None else {"default": whole(**defaults)}
    given: Any = tyro.cli(
        whole, args=list(argv), prog=f"inscape {command}", description=text, registry=_WORDS, **more_options
    )
    for name in ("seed", "evaluate_every", "final_episodes"):
        value = getattr(given, name, None)
        if value is not None and value < 0:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} {value}", expected="a whole number of at least 0", hint=f"{option} 0")
    return given


def leading_names(argv: Sequence[str], count: int, usage: str) -> list[str]:
    """Returns the first words of the line, at most `count`, up to the first option.

    Raises:
        UsageError: options come before the names.
    """
    names: list[str] = []
    for word in argv:
        if word.startswith("-") or len(names) == count:
            break
        names.append(word)
    if not names and argv and not any(word in ("-h", "--help") for word in argv):
        raise UsageError(f"{argv[0]!r} where a name should be", expected=usage, hint="names first, options after them")
    return names


def settings_groups(
    kind: type, agent: str, task: Task, before: Mapping[str, Any] | None = None
) -> dict[str, tuple[Any, Any]]:
    """Returns the settings of an agent and of a task as groups of options.

    Their defaults are the task's, and over the agent's own those in `before`.
    """
    return {
        **agent_settings_group(agent, task, kind, before),
        **world_settings_group(task.name, task.settings),
    }


def task_given(arguments: Any, default: Task | None) -> Task:
    """Returns the task a line means: `default`, that its options were read for, unless they change its settings."""
    from inscape.envs.tasks.resolve import resolve_task

    if default is None:
        return resolve_task(arguments.task, changed_world_settings(arguments))
    settings = changed_world_settings(arguments, default.settings)
    unchanged = settings.keys() == default.settings.keys() and all(
        settings[name] is value for name, value in default.settings.items()
    )
    return default if unchanged else resolve_task(arguments.task, settings)


def agent_settings_group(
    spec: str, task: Any, kind: type, values: Mapping[str, Any] | None = None
) -> dict[str, tuple[Any, Any]]:
    """Returns the group of an agent's settings; empty if it has none. `values` replace defaults and presets.

    Without a prefix, unless one of them is called like an argument of the command `kind`: then all are `--agent.…`.
    """
    from inscape.agents.registry import default_settings
    from inscape.agents.settings import build_settings

    default, _ = default_settings(spec, task)
    if default is None:
        return {}
    default = build_settings(type(default), values or {}, base=default)
    if needs_prefix(kind, default):
        return {"settings": (Annotated[type(default), arg(name="agent")], default)}
    without_prefix: Any = tyro.conf.OmitArgPrefixes
    return {"settings": (without_prefix[type(default)], default)}


def needs_prefix(kind: type, settings: Any) -> bool:
    """Returns whether one of an agent's settings is called like an argument of the command `kind`."""
    own, other = ({f.name for f in dataclasses.fields(each)} for each in (kind, settings))
    return bool(own & other)


def world_settings_group(name: str, values: Mapping[str, Any] | None = None) -> dict[str, tuple[Any, Any]]:
    """Returns the group `--world.…` of a world's settings, or of a Gymnasium environment's; empty if it has none.

    `values` replace the world's defaults.
    """
    known = {key: entry for key, entry in _world_settings(name).items() if _readable(entry[1])}
    if not known:
        return {}
    fields = [
        (key, Annotated[_annotation(hint, default), arg(help=doc or "Setting of the world.")], field(default=default))
        for key, (hint, default, doc) in known.items()
    ]
    kind = dataclasses.make_dataclass("WorldSettings", fields, frozen=True)
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in (values or {}).items() if key in known}
    return {"world_settings": (Annotated[kind, arg(name="world")], kind(**given))}


def changed_world_settings(arguments: Any, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns the world's settings that differ from their defaults, as `resolve_task` takes them; with those in `base`,
    unless they were given again."""
    group, settings = getattr(arguments, "world_settings", None), dict(base or {})
    if group is None:
        return settings
    for f in dataclasses.fields(group):
        value, before = getattr(group, f.name), settings.get(f.name, f.default)
        if not _equal(value, tuple(before) if isinstance(before, list) else before):
            settings[f.name] = value
    return settings


def _world_settings(name: str) -> dict[str, tuple[Any, Any, str]]:
    import gymnasium

    from inscape.envs import registry
    from inscape.envs.catalogue import WorldSpec
    from inscape.envs.tasks.resolve import world_settings

    spec = registry.load_spec(name)
    if isinstance(spec, WorldSpec) or name.startswith(registry.PIXELS_PREFIX):
        return world_settings(name)
    if spec is None or spec.entry_point is None:
        return {}
    entry: Any = spec.entry_point
    try:
        creator = gymnasium.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry
    except (
        ImportError,
        gymnasium.error.Error,
    ):  # a package is missing: making the environment reports it in Gymnasium's words
        return {}
    parameters = inspect.signature(creator).parameters.values()
    return {
        p.name: (inspect.Parameter.empty, spec.kwargs.get(p.name, p.default), f"Argument of {name}.")
        for p in parameters
        if p.name not in ("render_mode", "self") and p.default is not p.empty
    }


def _readable(default: Any) -> bool:
    """Whether a value of this kind can be typed on a command line."""
    if isinstance(default, tuple):
        return all(map(_readable, default))
    return default is None or isinstance(default, bool | int | float | str)


def _annotation(hint: Any, default: Any) -> Any:
    simple = {bool, int, float, str}
    options = set(typing.get_args(hint)) or {hint}
    if hint in simple or options <= simple | {type(None)} or typing.get_origin(hint) in (Literal, tuple):
        return hint
    if isinstance(default, tuple):
        return types.GenericAlias(tuple, tuple(type(item) for item in default))
    return str | None if default is None else type(default)


def _equal(left: Any, right: Any) -> bool:
    return bool(left == right) or (left != left and right != right)


def words_of(text: str) -> list[str]:
    """Returns the words of a line with commas between them."""
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers_of(name: str, text: str) -> list[float]:
    """Returns the numbers of option `--name`, given with commas between them.

    Raises:
        UsageError: one is no number.
    """
    try:
        return [float(word) for word in words_of(text)]
    except ValueError as error:
        raise UsageError(
            f"--{name} {text}", expected="numbers with commas between them", hint=f"--{name} 1,5"
        ) from error


def require_positive(name: str, value: int) -> None:
    """Raises UsageError unless the value of option `--name` is at least 1."""
    if value < 1:
        raise UsageError(f"{name} = {value}", expected="at least 1", hint=f"--{name} 1")
