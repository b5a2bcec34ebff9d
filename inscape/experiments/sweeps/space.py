"""Search spaces: which settings of an agent a sweep tries, and which values of each."""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inscape.agents.settings import build_settings
from inscape.errors import UnknownSettingError, UsageError, closest
from inscape.experiments.trials.experiment import with_line

SHIPPED = Path(__file__).with_name("spaces.toml")
KEYS = ("low", "high", "log", "choices")
TABULAR = (
    "q-learning", "double-q-learning", "sarsa", "expected-sarsa", "n-step-sarsa", "monte-carlo", "dyna-q", "td-lambda",
)  # fmt: skip


@dataclass(frozen=True)
class SearchRange:
    """The values of one setting that a sweep tries: a range, or choices.

    Attributes:
        low, high: the ends, both included; only whole numbers in between where both are whole.
        log: whether the logarithm is drawn uniformly.
        choices: values to choose from, in place of a range.

    Raises:
        UsageError: neither a range nor choices; ends in the wrong order; a logarithm of what is not positive.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(frozen(value) for value in self.choices))
        example = "{low = 1e-4, high = 1e-2, log = true}, or {choices = [0.9, 0.99]}"
        if self.choices:
            if self.low is not None or self.high is not None or self.log:
                raise UsageError("both choices and a range", expected=example)
            return
        if self.low is None or self.high is None:
            raise UsageError("no values to try", expected=example)
        for end in (self.low, self.high):
            if isinstance(end, bool) or not isinstance(end, (int, float)) or not math.isfinite(end):
                raise UsageError(f"an end of {end!r}", expected="a finite number")
        if not self.low < self.high:
            raise UsageError(f"a range from {self.low} to {self.high}", expected="low below high")
        if self.log and not self.low > 0:
            raise UsageError(f"a logarithmic range from {self.low}", expected="low above 0")

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def values(self) -> tuple[Any, ...]:
        """Returns the choices, or both ends: what a settings class must accept."""
        return self.choices or (self.low, self.high)

    def suggest(self, trial: Any, name: str) -> Any:
        """Returns the value that an Optuna trial takes."""
        if self.choices:
            coded = trial.suggest_categorical(name, [json.dumps(value) for value in self.choices])
            return frozen(json.loads(coded))
        if self.whole:
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        return trial.suggest_float(name, float(self.low or 0), float(self.high or 0), log=self.log)

    def parameter(self, value: Any) -> Any:
        """Returns a value as Optuna's parameter; None where it is not among those tried."""
        if self.choices:
            return next((json.dumps(one) for one in self.choices if one == value and type(one) is type(value)), None)
        inside = isinstance(value, (int, float)) and not isinstance(value, bool) and self.low <= value <= self.high  # type: ignore[operator]
        return value if inside and (not self.whole or isinstance(value, int)) else None

    def describe(self) -> str:
        """Returns it in a few characters."""
        if self.choices:
            return ", ".join(str(value) for value in self.choices)
        return f"{self.low:g} to {self.high:g}" + (" (log)" if self.log else "")


Space = Mapping[str, SearchRange]
"""Setting → values that are tried."""


def shipped_space(agent: str) -> Space:
    """Returns the search space that comes with an agent.

    Raises:
        UsageError: it has none.
    """
    document = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    table = document.get("tabular" if agent in TABULAR else agent)
    if table is None:
        known = ", ".join([*TABULAR, *(name for name in document if name != "tabular")])
        raise UsageError(
            f"no search space comes with agent {agent!r}", expected=f"one of {known}; or a space of your own",
            hint="--search FILE.toml with lines such as: learning_rate = {low = 1e-4, high = 1e-2, log = true}",
        )  # fmt: skip
    return {name: _range(name, entry) for name, entry in table.items()}


def read_space(path: str | Path) -> Space:
    """Returns the search space in a TOML file: `SETTING = {low = …, high = …}`, `{choices = […]}`, or one value.

    Raises:
        UsageError: the file cannot be read, is no TOML, or has an entry that is none (the line is named).
    """
    file, text, document = _document(path)
    try:
        return space_of(document)
    except UsageError as error:
        raise with_line(error, file, text) from error


def space_of(document: Mapping[str, Any]) -> Space:
    """Returns a space given as a mapping: setting → `SearchRange`, a table of its arguments, a list of choices, or one
    value.

    Raises:
        UsageError: there is no setting, or an entry is none of these.
    """
    if not document:
        raise UsageError("a search space without settings", expected="SETTING = {low = …, high = …} or {choices = […]}")
    return {name: _range(name, entry) for name, entry in document.items()}


def require_space(space: Space, agent: str, cls: type, base: Any) -> None:
    """Raises `UsageError` unless every setting exists and every value of the space is accepted, others as in `base`.

    Args:
        space: to be checked.
        agent: whose it is.
        cls: the agent's settings class.
        base: its defaults in the world.
    """
    names = [f.name for f in dataclasses.fields(cls) if f.init]
    for name, one in space.items():
        if name not in names:
            raise UnknownSettingError(agent, name, expected=", ".join(names), hint=closest(name, names))
        for value in one.values():
            try:
                build_settings(cls, {name: value}, base=base)
            except UsageError as error:
                if not _fits_elsewhere(cls, name, value):
                    raise UsageError(
                        f"search space of {name!r}: {error.found}", expected=error.expected, hint=error.hint
                    ) from error


def _fits_elsewhere(cls: type, name: str, value: Any) -> bool:
    """Whether a value that the defaults refuse may do with other settings: minibatches that need more copies."""
    try:
        made = build_settings(cls, {name: value})
    except UsageError:
        wide = {other: 64 for other in ("num_envs", "num_steps") if other != name and hasattr(cls, other)}
        try:
            made = build_settings(cls, {**wide, name: value})
        except UsageError:
            return False
    return made is not None


def _document(path: str | Path) -> tuple[Path, str, dict[str, Any]]:
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {file}: {error}", expected="a search space (TOML)") from error
    try:
        return file, text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: {error}", expected="TOML", hint="docs/experiments.md has an example") from error


def _range(name: str, entry: Any) -> SearchRange:
    if isinstance(entry, SearchRange):
        return entry
    if isinstance(entry, Sequence) and not isinstance(entry, str):
        entry = {"choices": entry}
    elif not isinstance(entry, Mapping):
        entry = {"choices": [entry]}
    for key in entry:
        if key not in KEYS:
            raise UsageError(f"unknown key {key!r} of {name!r}", expected=", ".join(KEYS), hint=closest(key, KEYS))
    if "choices" in entry and (not isinstance(entry["choices"], (list, tuple)) or not entry["choices"]):
        raise UsageError(f"search space of {name!r}: no values to try", expected="choices = [ONE, OTHER]")
    try:
        return SearchRange(**entry)
    except UsageError as error:
        raise UsageError(f"search space of {name!r}: {error.found}", expected=error.expected) from error


def frozen(value: Any) -> Any:
    """Returns a value as settings have it: lists as tuples."""
    return tuple(frozen(one) for one in value) if isinstance(value, (list, tuple)) else value
