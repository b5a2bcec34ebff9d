"""What `inscape train` reads before its line is parsed: `--config FILE`, and `--seeds N --jobs N`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from inscape.errors import UsageError, closest
from inscape.experiments.arguments import parsing as args
from inscape.experiments.arguments.train import TrainArguments
from inscape.experiments.runs.during.curriculum import words_of_settings
from inscape.experiments.trials.experiment import AgentSpec, WorldSpec, read_agent, read_world, with_line

OF_SETTING = "--agent.seeds"
"""How the setting `seeds` of tabular learners, learners in one run, is given to `train`, whose `--seeds` are runs."""

NOT_IN_FILES = ("agent", "task", "env_given", "wrap", "max_episode_steps", "resume", "accept_changes", "go_on")


@dataclass(frozen=True)
class TrainConfig:
    """What a file says of a training.

    Attributes:
        file: its path.
        agent, world: None where the file does not say.
        options: other arguments of `train` by name, `seeds` and `jobs` among them.
    """

    file: str
    agent: AgentSpec | None = None
    world: WorldSpec | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def read_config(path: str) -> TrainConfig:
    """Returns what a TOML file says of a training.

        agent = {name = "ppo", learning_rate = 1e-3}
        world = {name = "CartPole", max_episode_steps = 200}
        steps = 100_000

    Raises:
        UsageError: the file cannot be read, is no TOML, or has a key or value that does not belong there (with line).
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}", expected="a TOML file", hint="docs/experiments.md") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}", expected="TOML", hint="docs/experiments.md has an example") from error
    try:
        return _config(path, document)
    except UsageError as error:
        raise with_line(error, Path(path), text) from error


def _config(path: str, document: Mapping[str, Any]) -> TrainConfig:
    known = [f.name for f in fields(TrainArguments) if f.name not in NOT_IN_FILES]
    names = ["agent", "world", *known, "seeds", "jobs"]
    for key, value in document.items():
        if key not in names:
            raise UsageError(f"unknown key {key!r}", expected=", ".join(names), hint=closest(key, names))
        wanted = _kind(key)
        if key not in ("agent", "world") and (
            not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted)
        ):
            raise UsageError(f"{key!r} = {value!r}", expected=" or ".join(kind.__name__ for kind in wanted))
    folder = Path(path).parent
    agent = read_agent(document["agent"], folder) if "agent" in document else None
    if agent is not None and (agent.grid or agent.steps is not None):
        raise UsageError("'grid' or 'steps' of an agent", expected="one training", hint="inscape run for several")
    world = read_world(document["world"], folder) if "world" in document else None
    options = {key: value for key, value in document.items() if key not in ("agent", "world")}
    if "curriculum" in options:
        options["curriculum"] = tuple(words_of_settings(options["curriculum"]))
    return TrainConfig(path, agent, world, options)


def _kind(name: str) -> tuple[type, ...]:
    if name in ("device", "out", "track", "teacher"):
        return (str,)
    if name == "curriculum":
        return (dict,)
    if name == "workers":
        return (int, str)
    if name in ("keep_best", "preset"):
        return (bool,)
    return (int, float) if name in ("hang_seconds", "stop_at") else (int,)


def take_option(words: Sequence[str], option: str, metavar: str) -> tuple[list[str], str | None]:
    """Returns the line without an option, and its last value; None where it is not given.

    Raises:
        UsageError: it has no value.
    """
    rest: list[str] = []
    value: str | None = None
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, attached = word.partition("=")
        if name != option:
            rest.append(word)
            continue
        if not equals and (not left or left[0].startswith("-")):
            raise UsageError(f"{option} without a value", expected=f"{option} {metavar}")
        value = attached if equals else left.pop(0)
    return rest, value


def take_number(words: Sequence[str], option: str) -> tuple[list[str], int | None]:
    """Returns the line without an option, and its value, a whole number of at least 1.

    Raises:
        UsageError: it is none.
    """
    rest, text = take_option(words, option, "N")
    if text is None:
        return rest, None
    try:
        number = args.whole_number(text)
    except ValueError:
        number = 0
    if number < 1:
        raise UsageError(f"{option} {text}", expected="a whole number of at least 1", hint=f"{option} 5")
    return rest, number


def setting_words(words: Sequence[str]) -> list[str]:
    """Returns the line with `--agent.seeds`, the setting of tabular learners, as the parser calls it."""
    return ["--seeds" + word[len(OF_SETTING) :] if word.partition("=")[0] == OF_SETTING else word for word in words]
