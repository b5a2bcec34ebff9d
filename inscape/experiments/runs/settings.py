"""The settings of a run: what `settings.json` holds, what differs between two of them, the name a run gets by them."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from inscape import trust
from inscape.agents.in_hand import IN_HAND
from inscape.errors import UsageError, printable

if TYPE_CHECKING:
    from inscape.agents.interface import Agent


SETTINGS = "settings.json"
NEVER_STORED = ("trust",)
"""Settings of agents that hold for one command only: given again each time, and ignored where a file has them."""


@dataclass(frozen=True)
class RunSettings:
    """What a run does: enough to run it again, and to refuse to resume it as something else."""

    agent: str
    """Agent as it was asked for: a name, `file.py:Class` or `package.module:Class`."""

    task: dict[str, Any]
    """The task, as `Task.to_json()` gives it."""

    seed: int
    """Seed of everything random in the run."""

    steps: int
    """Environment steps in total."""

    device: str = "cpu"
    """Where tensors live."""

    agent_settings: dict[str, Any] = field(default_factory=dict)
    """Every setting of the agent, defaults included."""

    evaluate_every: int = 0
    """Steps between two points of the learning curve; a setting because evaluating may use the agent's generator."""

    evaluate_episodes: int = 10
    """Episodes of each such evaluation."""

    versions: dict[str, str] = field(default_factory=dict)
    """Versions of Python and of the packages results depend on; not compared on resume."""

    code: dict[str, dict[str, str]] = field(default_factory=dict)
    """For each name of code in agent and task, its file's absolute `path` and `sha256`; compared on resume by these."""

    during: dict[str, Any] = field(default_factory=dict)
    """What is done while it learns: `keep_best`, `stop_at`, `patience`, `video_every`; not compared on resume, where
    others may be given."""

    curriculum: dict[str, Any] = field(default_factory=dict)
    """Its curriculum, as `Curriculum.to_json` gives it; empty for none."""

    workers: dict[str, Any] = field(default_factory=dict)
    """Worker processes it was started with: `count`, `hang_seconds`, `max_restarts`; empty for none. Results do not
    depend on them: not compared on resume, where others may be given."""

    def to_json(self) -> dict[str, Any]:
        """Returns the settings as JSON values."""
        return asdict(self)

    def code_names(self) -> list[str]:
        """Returns the names in agent, task and settings whose making runs files or modules that are not Inscape's."""
        return [*trust.agent_code_names(self.agent, self.agent_settings), *trust.task_code_names(self.task)]

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> RunSettings:
        """Returns the settings stored by `to_json`, the agent's by their present names where some were renamed since.

        Raises:
            UsageError: a key is missing or unknown, or a value of another type.
        """
        from inscape.agents.registry import current_agent_settings

        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(document) - known):
            raise UsageError(f"unknown run setting {unknown[0]!r}", expected=", ".join(sorted(known)))
        try:
            settings = cls(**document)
        except TypeError as error:
            raise UsageError(f"incomplete run settings: {error}", expected=", ".join(sorted(known))) from error
        settings._require_types()
        _require_during(settings.during)
        _require_curriculum(settings.curriculum)
        stored = {name: value for name, value in settings.agent_settings.items() if name not in NEVER_STORED}
        return replace(settings, agent_settings=current_agent_settings(settings.agent, stored))

    def _require_types(self) -> None:
        """Raises UsageError unless every value is of its type: the settings come from a file."""
        for name, kind in _TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise UsageError(
                    f"run setting {name!r} is {_cut(value)}", expected=f"a {_JSON_NAMES[kind]}", hint="train again"
                )
        for name, least in (("seed", 0), ("steps", 1), ("evaluate_every", 0), ("evaluate_episodes", 1)):
            if not least <= getattr(self, name) < MOST:
                raise UsageError(
                    f"run setting {name!r} is {_cut(getattr(self, name))}", expected=f"{least} to {MOST - 1:,}",
                    hint="train again",
                )  # fmt: skip
        if not isinstance(self.task.get("name"), str) or not isinstance(self.task.get("settings", {}), dict):
            raise UsageError(
                f"run setting 'task' is {_cut(self.task)}",
                expected='{"name": "WORLD", "settings": {…}}',
                hint="train again",
            )
        if (wild := next(_wild_strings(self.to_json()), None)) is not None:
            raise UsageError(
                f"the run settings hold control characters: {ascii(wild)[:60]}",
                expected="printable text",
                hint="train again",
            )
        for name, entry in self.code.items():
            if not isinstance(entry, dict) or not all(
                isinstance(value := entry.get(key), str) and re.fullmatch(pattern, value)
                for key, pattern in (("path", r"[^\0]+"), ("sha256", "[0-9a-f]{64}"))
            ):
                raise UsageError(
                    f"run setting 'code' has {_cut(entry)} for {name!r}", expected="path and sha256", hint="train again"
                )

    def differences(self, other: RunSettings) -> list[str]:
        """Returns one line per setting that differs (`name: this -> other`): not of versions, the content of code,
        workers, and what is done while it learns.

        A file is the same by whatever path it is named.
        """
        mine, others = flat_settings(self.to_json()), flat_settings(other.to_json())
        names = differing(trust.absolute_names(self.to_json()), trust.absolute_names(other.to_json()))
        return [
            f"{name}: {_show(mine, name)} -> {_show(others, name)}"
            for name in names
            if not name.startswith(("versions", "code", "workers", "during"))
        ]


def _require_during(options: dict[str, Any]) -> None:
    """Raises UsageError unless what is done while a run learns is what `train` stores of it."""
    for name, value in options.items():
        least = DURING.get(name)
        sound = isinstance(value, bool) if name == "keep_best" else isinstance(value, int | float) and value == value
        if least is None or not sound or (least > -math.inf and not (isinstance(value, int) and value >= least)):
            raise UsageError(
                f"run setting 'during' has {name!r} = {_cut(value)}", expected=", ".join(DURING), hint="train again"
            )


def _require_curriculum(document: dict[str, Any]) -> None:
    """Raises UsageError unless a curriculum is one as `train` stores it, or none."""
    if document:
        from inscape.envs.tasks.curriculum.task import CUSTOM, Curriculum

        custom = document.get("teacher") == CUSTOM
        Curriculum.from_json({**document, "teacher": "uniform"} if custom else document)


_TYPES: dict[str, type] = {
    "agent": str, "task": dict, "seed": int, "steps": int, "device": str, "agent_settings": dict,
    "evaluate_every": int, "evaluate_episodes": int, "versions": dict, "code": dict, "workers": dict,
    "during": dict, "curriculum": dict,
}  # fmt: skip
DURING: dict[str, float] = {"keep_best": 0, "stop_at": -math.inf, "patience": 1, "video_every": 0}
"""What may be done while a run learns, and the least it may be given: what is learned does not depend on it, but for
how long."""
MOST = 2**62
"""Beyond any seed, and any number of steps."""
_JSON_NAMES = {str: "string", int: "whole number", dict: "JSON object"}


def _wild_strings(document: Any) -> Iterator[str]:
    """Yields the strings of a JSON value that could command a terminal."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and printable(value) != value:
            yield value
        elif isinstance(value, Mapping):
            waiting += [*value.values(), *value.keys()]
        elif isinstance(value, list | tuple):
            waiting += value


def _cut(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, int) or abs(value) < MOST else "a number beyond 2**62"
    return text if len(text) <= 60 else text[:57] + "..."


def differing(mine: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Returns the names of the settings that differ, sorted, those inside others as `outer.inner`."""
    one, other = flat_settings(dict(mine)), flat_settings(dict(others))
    return [name for name in sorted(set(one) | set(other)) if not _equal(one.get(name, ...), other.get(name, ...))]


def flat_settings(value: Any, name: str = "") -> dict[str, Any]:
    """Returns settings by name, those inside others as `outer.inner`."""
    if isinstance(value, dict):
        return {
            k: v
            for key, item in value.items()
            for k, v in flat_settings(item, f"{name}.{key}" if name else key).items()
        }
    return {name: list(value) if isinstance(value, tuple) else value}


def _equal(left: Any, right: Any) -> bool:
    both_nan = isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right)
    return both_nan or bool(left == right)


def _show(settings: dict[str, Any], name: str) -> str:
    return repr(settings[name]) if name in settings else "(not set)"


def run_name(settings: RunSettings) -> str:
    """Returns the name a fresh run gets: `<world>-<agent>-seed<seed>`, fit for a file name."""
    agent = settings.agent.removesuffix(IN_HAND)
    text = f"{settings.task.get('name', 'task')}-{agent}-seed{settings.seed}"
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text.replace(".py:", "-"))


def installed_versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on."""
    return dict(_installed_versions())


@functools.cache
def _installed_versions() -> Mapping[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for package in ("inscape", "numpy", "numba", "torch", "gymnasium", "stable-baselines3"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a source tree that was not installed, or an optional package
            found[package] = "not installed"
    return found


def complete_settings(agent: Agent, given: Any, lenient: bool = False) -> dict[str, Any]:
    """Returns every setting an agent runs with as JSON values: its `settings` dataclass if it has one, else `given`."""
    return settings_as_json(getattr(agent, "settings", given), lenient)


def settings_as_json(settings: Any, lenient: bool = False) -> dict[str, Any]:
    """Returns settings, a dataclass or a mapping, as they will read back from settings.json; None stays None.

    Args:
        settings: the settings.
        lenient: write out, as Python shows it, what JSON has no value for: of a run that is not stored.
    """
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        settings = dataclasses.asdict(settings)
    settings = settings if isinstance(settings, Mapping) else {}  # a custom agent may keep anything under that name
    plain = json_values(settings, default=repr if lenient else None)
    return {name: value for name, value in plain.items() if name not in NEVER_STORED}


def json_values(value: Any, default: Callable[[Any], str] | None = None) -> Any:
    """Returns the value as it will read back from settings.json (tuples become lists), to compare like with like."""
    try:
        return json.loads(json.dumps(value, default=default))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"settings that settings.json cannot hold: {error}", expected="numbers, text, lists, dictionaries"
        ) from error
