"""The two-stage parse of a command's line: names first, then their settings.

The settings a command takes depend on the agent and the world it is given (`train ppo CartPole --learning-rate 1e-3`,
`evaluate random FrozenLake --world.slip 0.2`), so names come first on the line: they are read, the parser is built for
them, and then the whole line is parsed strictly by tyro. What each command takes beside is a frozen dataclass in its
module of `inscape.experiments.commands`.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import keyword
import math
import os
import re
import shutil
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Fixed, Suppress, UseAppendAction, arg
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


NARROWEST = 40
"""Columns that help is laid out for where the terminal has fewer: tyro 1.0 never ends in one of three columns."""


@contextmanager
def _wide_enough() -> Iterator[None]:
    """Within the block, help is laid out for at least `NARROWEST` columns."""
    before = os.environ.get("COLUMNS")
    narrow = shutil.get_terminal_size().columns < NARROWEST
    if narrow:
        os.environ["COLUMNS"] = str(NARROWEST)
    try:
        yield
    finally:
        if narrow and before is None:
            del os.environ["COLUMNS"]
        elif narrow and before is not None:
            os.environ["COLUMNS"] = before


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
    options = NO_OPTIONS
    if issubclass(kind, TaskArguments):
        argv, options = task_options(argv)
    settings = extra["settings"][1] if extra and "settings" in extra else None
    prefix = "" if settings is None or not needs_prefix(kind, settings) else "agent."
    if settings is not None:
        argv = current_words(argv, type(settings), prefix)
    world, planner = (
        extra[name][1] if extra and name in extra else None for name in ("world_settings", "planner_settings")
    )
    require_known_words(argv, options_of(kind, settings, prefix, world, planner), command, prefix)
    if extra:
        whole = _class_of(kind.__name__, [(name, *group) for name, group in extra.items()], kind)
    text = inspect.cleandoc(kind.__doc__ or "")
    more_options = {} if defaults is None else {"default": whole(**defaults)}
    with _wide_enough():
        given: Any = tyro.cli(
            whole, args=list(argv), prog=f"inscape {command}", description=text, registry=_WORDS, **more_options
        )
    if options != NO_OPTIONS:
        given = dataclasses.replace(
            given,
            wrap=options.wrappers,
            max_episode_steps=options.max_episode_steps,
            env_given=tuple(options.env.items()),
        )
    for name in ("seed", "evaluate_every", "final_episodes"):
        value = getattr(given, name, None)
        if value is not None and value < 0:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} {value}", expected="a whole number of at least 0", hint=f"{option} 0")
    return given


_made: dict[Any, type] = {}
"""Classes of arguments by what they are made of, a few: the parser never forgets a class that it has read."""
_MOST_MADE = 128


def _class_of(name: str, entries: Sequence[tuple[str, Any, Any]], *bases: type) -> type:
    """Returns a frozen dataclass with fields (name, annotation, default); the same class for the same fields."""
    key: Any = (name, bases, tuple((n, hint, type(default), repr(default)) for n, hint, default in entries))
    try:
        known = _made.get(key)
    except TypeError:  # an annotation that cannot be hashed
        key = known = None
    if known is None:
        fields = [(n, hint, field(default=default)) for n, hint, default in entries]
        known = dataclasses.make_dataclass(name, fields, bases=bases, frozen=True)
        if key is not None:
            while len(_made) >= _MOST_MADE:
                _made.pop(next(iter(_made)))
            _made[key] = known
    return known


# ---------------------------------------------------------------------------------------------- options of the task


@dataclass(frozen=True, kw_only=True)
class TaskArguments:
    """What every command takes that names a world or an environment."""

    wrap: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="MODULE:NAME[:ARGUMENT=VALUE,…]")] = ()
    """A wrapper around the environment, as gymnasium.wrappers:FrameStackObservation:stack_size=4 or mine.py:MyWrapper;
    to be repeated, the innermost first."""

    max_episode_steps: Annotated[int | None, arg(metavar="N")] = None
    """Time limit in place of the usual one; -1 for none."""

    env_given: Suppress[Fixed[tuple[tuple[str, str | None], ...]]] = ()
    """The environment's own arguments, as they were typed."""


@dataclass(frozen=True)
class TaskOptions:
    """The options of a line that change a task, not read yet.

    Attributes:
        env: texts of `--env.NAME VALUE` by name; None where there was no value.
        wrappers: of `--wrap`, in order.
        max_episode_steps: of `--max-episode-steps`; None where it was not given.
    """

    env: Mapping[str, str | None]
    wrappers: tuple[str, ...] = ()
    max_episode_steps: int | None = None


NO_OPTIONS = TaskOptions({})


def task_options(argv: Sequence[str]) -> tuple[list[str], TaskOptions]:
    """Returns a line without the options that change a task, and those: tasks are made of them before the line is
    parsed, because what other options there are depends on the task's spaces.

    Raises:
        UsageError: an option without its value, or a time limit that is none.
    """
    words, env, wrappers = list(argv), dict[str, str | None](), list[str]()
    others: list[str] = []
    limit: int | None = None
    foreign = any(word.startswith("--world.") for word in words) and _names_environment(words)
    while words:
        word = words.pop(0)
        option, equals, attached = word.partition("=")
        plain = option.replace("_", "-")
        if plain.startswith("--world.") and foreign:
            option, plain = (text.replace("--world.", "--env.", 1) for text in (option, plain))
        if not (plain in ("--wrap", "--max-episode-steps") or (plain.startswith("--env.") and len(option) > 6)):
            others.append(word)
            continue
        value = attached if equals else words[0] if words and not _is_option(words[0]) else None
        if not equals and value is not None:
            words.pop(0)
        if plain.startswith("--env."):
            env[option[6:]] = value
        elif value is None:
            raise UsageError(f"{option} without a value", expected="a value", hint=f"{option} {EXAMPLES[plain]}")
        elif plain == "--wrap":
            wrappers.append(value)
        else:
            limit = _steps_of(value)
    return others, TaskOptions(env, tuple(wrappers), limit)


def _names_environment(words: Sequence[str]) -> bool:
    """Returns whether a line names an environment rather than a world, whose settings were once `--world.…` too."""
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
    return bool(names) and not is_world(names[-1])


EXAMPLES = {"--wrap": "gymnasium.wrappers:FrameStackObservation:stack_size=4", "--max-episode-steps": "500"}


def _is_option(word: str) -> bool:
    return word.startswith("--") or re.fullmatch(r"-[A-Za-z]", word) is not None


def _steps_of(text: str) -> int:
    try:
        steps = whole_number(text)
    except ValueError:
        steps = 0
    if steps < 1 and steps != -1:
        raise UsageError(
            f"--max-episode-steps {text}", expected="a positive number of steps, or -1 for no limit",
            hint="--max-episode-steps 500",
        )  # fmt: skip
    return steps


def task_options_of(arguments: Any) -> TaskOptions:
    """Returns the options that change a task from the arguments of a command."""
    if not isinstance(arguments, TaskArguments):
        return NO_OPTIONS
    return TaskOptions(dict(arguments.env_given), arguments.wrap, arguments.max_episode_steps)


def named_task(name: str, options: TaskOptions, settings: Mapping[str, Any] | None = None) -> Task:
    """Returns the task of a name with the options of a line, and a world's settings."""
    from inscape.envs.tasks.environments import settings_from_text
    from inscape.envs.tasks.resolve import resolve_task

    own = {**(settings or {}), **settings_from_text(name, options.env)}
    if not options.wrappers and options.max_episode_steps is None:
        return resolve_task(name, own)
    return resolve_task(name, own, wrappers=options.wrappers, max_episode_steps=options.max_episode_steps)


def changed_task(task: Task, options: TaskOptions) -> Task:
    """Returns a task, the one a run was trained in, with the options of a line: its wrappers come around the task's."""
    from inscape.envs.tasks.environments import settings_from_text
    from inscape.envs.tasks.resolve import resolve_task
    from inscape.envs.tasks.wrapping import WrappedTask

    if options == NO_OPTIONS:
        return task
    inner = task.inner if isinstance(task, WrappedTask) else task
    wrappers = task.wrappers if isinstance(task, WrappedTask) else ()
    return resolve_task(
        inner.name,
        {**inner.settings, **settings_from_text(inner.name, options.env)},
        wrappers=[*wrappers, *options.wrappers],
        max_episode_steps=options.max_episode_steps,
    )


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
    if default is None:
        return named_task(arguments.task, task_options_of(arguments), changed_world_settings(arguments))
    settings = changed_world_settings(arguments, default.settings)
    unchanged = settings.keys() == default.settings.keys() and all(
        settings[name] is value for name, value in default.settings.items()
    )
    return default if unchanged else named_task(arguments.task, task_options_of(arguments), settings)


def in_workers(task: Task, arguments: Any) -> Task:
    """Returns the task with its copies divided over `--workers` processes, where that is possible or asked for.

    Raises:
        UsageError: `--workers N` for copies that cannot be divided; a number out of range.
    """
    from inscape.envs.tasks.processes.workers import Workers
    from inscape.experiments.runs.training import in_workers

    if arguments.workers == 0:
        return task
    if arguments.workers == "auto" and task.no_workers():
        return in_workers(task, "auto")  # which says why not
    return in_workers(task, Workers(arguments.workers, arguments.hang_seconds, arguments.max_restarts))


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
    if not is_world(name):
        return _environment_group(name, values)
    from inscape.envs.tasks.resolve import world_settings

    known = {key: entry for key, entry in world_settings(name).items() if _readable(entry[1])}
    if not known:
        return {}
    fields = [
        (key, Annotated[_annotation(hint, default), arg(help=doc or "Setting of the world.")], default)
        for key, (hint, default, doc) in known.items()
    ]
    kind = _class_of("WorldSettings", fields)
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in (values or {}).items() if key in known}
    return {"world_settings": (Annotated[kind, arg(name="world")], kind(**given))}


def planner_settings_group(planner: str | None, hidden: Sequence[str] = ()) -> dict[str, tuple[Any, Any]]:
    """Returns the group `--planner.…` of a planner's settings; empty if it has none, or none is named.

    Args:
        planner: its name, `file.py:Class` or `package.module:Class`.
        hidden: settings that the command has options of its own for.
    """
    if planner is None:
        return {}
    from inscape.world_models.planning.catalogue import planner_class, setting_defaults

    known = [(key, *entry) for key, entry in setting_defaults(planner_class(planner)).items() if key not in hidden]
    fields = [
        (key, Annotated[_annotation(hint, default), arg(help=doc or "Setting of the planner.")], default)
        for key, hint, default, doc in known
        if _readable(default)
    ]
    if not fields:
        return {}
    kind = _class_of("PlannerSettings", fields)
    return {"planner_settings": (Annotated[kind, arg(name="planner")], kind())}


def changed_planner_settings(arguments: Any) -> dict[str, Any]:
    """Returns the planner's settings that differ from their defaults, as `make_planner` takes them."""
    group = getattr(arguments, "planner_settings", None)
    if group is None:
        return {}
    return {
        f.name: getattr(group, f.name)
        for f in dataclasses.fields(group)
        if not _equal(getattr(group, f.name), f.default)
    }


def value_of(argv: Sequence[str], option: str) -> str | None:
    """Returns the last value of an option on a line that is not parsed yet; None where it is not given."""
    value = None
    for word, following in itertools.zip_longest(argv, argv[1:]):
        name, equals, attached = word.partition("=")
        if name == option:
            value = attached if equals else following
    return value


def changed_world_settings(arguments: Any, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns the world's settings that differ from their defaults, or the environment's that were given, as
    `resolve_task` takes them; with those in `base`, unless they were given again."""
    group, settings = getattr(arguments, "world_settings", None), dict(base or {})
    if group is None:
        texts, name = task_options_of(arguments).env, str(getattr(arguments, "task", ""))
        if texts and name:
            from inscape.envs.tasks.environments import settings_from_text

            settings |= settings_from_text(name, texts)
        return settings
    for f in dataclasses.fields(group):
        value, before = getattr(group, f.name), settings.get(f.name, f.default)
        if not _equal(value, tuple(before) if isinstance(before, list) else before):
            settings[f.name] = value
    return settings


def is_world(name: str) -> bool:
    """Returns whether a name is that of a world, or of a world seen as pictures: their settings are `--world.…`."""
    from inscape.envs import registry
    from inscape.envs.catalogue import WorldSpec
    from inscape.envs.tasks.text_task import is_text_name

    if name.startswith(registry.PIXELS_PREFIX) or is_text_name(name):
        return True
    return isinstance(registry.load_spec(name), WorldSpec)


def _environment_group(name: str, values: Mapping[str, Any] | None) -> dict[str, tuple[Any, Any]]:
    """Returns the group `--env.…` of an environment's arguments: for the help, since `task_options` has read them."""
    from inscape.envs.registry import load_spec
    from inscape.envs.tasks.environments import environment_arguments

    spec: Any = load_spec(name)
    found = None if spec is None else environment_arguments(spec)
    known = [] if found is None else [a for a in found.known.values() if not keyword.iskeyword(a.name)]
    if not known:
        return {}
    fields = []
    assert found is not None
    for argument in known:
        said = f"Argument of {name}" + (f", {argument.annotation_name}." if argument.annotation_name else ".")
        shown = _shown(argument, argument.name in found.required, values)
        fields.append((argument.name, Annotated[str, arg(help=said, metavar="VALUE")], shown))
    kind = _class_of("EnvironmentSettings", fields)
    return {"environment": (Annotated[kind, arg(name="env")], kind())}


def _shown(argument: Any, required: bool, values: Mapping[str, Any] | None) -> str:
    value = (values or {}).get(argument.name, argument.default)
    return ("required" if required else "") if value is inspect.Parameter.empty else str(value)[:60]


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
