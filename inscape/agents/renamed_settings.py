"""Settings that were renamed: their old names are accepted for one release, in stored runs, in Python and on the
command line.

One table. Whoever renames a setting adds a row; `build_settings` and the command line read it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inscape.errors import UsageError


@dataclass(frozen=True)
class Renamed:
    """A setting whose name changed, or only its values.

    Attributes:
        settings: name of the settings class that has it; classes that inherit from it have it too.
        old: its name before.
        new: its name now, the same where only values changed.
        values: pairs of a value as it was written before and as it is now; other values are unchanged.
    """

    settings: str
    old: str
    new: str
    values: tuple[tuple[Any, Any], ...] = ()

    @property
    def was_flag(self) -> bool:
        """Whether it was a bool, which the command line writes as `--name` and `--no-name`."""
        return any(isinstance(old, bool) for old, _ in self.values)

    def value(self, value: Any) -> Any:
        """Returns the value as it is written now."""
        return next((new for old, new in self.values if type(old) is type(value) and old == value), value)


RENAMED = (
    Renamed("BackendSettings", "backend", "backend", (("resident", "cuda"),)),
    Renamed("TreeSearchSettings", "patience", "averaging_visits"),
    Renamed("TabularSettings", "steps_per_report", "report_every"),
    Renamed("LanguageModelSettings", "horizon", "num_steps"),
    Renamed("LanguageModelSettings", "entropy", "entropy_coef"),
    Renamed("LanguageModelSettings", "value_weight", "value_coef"),
    Renamed("LanguageModelSettings", "kl_weight", "kl_coef"),
    Renamed("LanguageModelSettings", "max_gradient_norm", "max_grad_norm"),
    Renamed("LanguageModelSettings", "anneal", "anneal", ((True, "linear"), (False, "constant"))),
    Renamed("SB3Settings", "n_envs", "num_envs"),
    Renamed("SB3Settings", "n_steps", "num_steps"),
    Renamed("SB3Settings", "n_epochs", "epochs"),
    Renamed("SB3Settings", "schedule", "anneal"),
    Renamed("SB3Settings", "clip_range", "clip"),
    Renamed("SB3Settings", "ent_coef", "entropy_coef"),
    Renamed("SB3Settings", "vf_coef", "value_coef"),
    Renamed("SB3Settings", "net_arch", "hidden"),
    Renamed("SB3Settings", "exploration_fraction", "epsilon_fraction"),
    Renamed("SB3Settings", "exploration_final_eps", "epsilon_end"),
    Renamed("SB3Settings", "steps_per_report", "report_every"),
)


def renamed_settings(cls: type) -> dict[str, Renamed]:
    """Returns the rows that concern a settings class, by old name."""
    classes = {base.__name__ for base in cls.__mro__ if base.__module__.startswith("inscape.")}
    own = {f.name for f in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else set()
    # a custom class that inherits may define a setting under what is an old name here
    return {row.old: row for row in RENAMED if row.settings in classes and (row.old == row.new or row.old not in own)}


def current_settings(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings by their present names and values.

    Args:
        cls: the settings class.
        values: settings by name, present or old.

    Raises:
        UsageError: a setting is given by its old and its present name.
    """
    rows = renamed_settings(cls)
    current: dict[str, Any] = {}
    for name, value in values.items():
        row = rows.get(name)
        present = name if row is None else row.new
        if present in current or (present != name and present in values):
            raise UsageError(
                f"{cls.__name__} with {name!r} and {present!r}",
                expected=f"one of them: {name!r} is the old name of {present!r}",
                hint=f"leave out {name!r}",
            )
        current[present] = value if row is None else row.value(value)
    return current


def may_be_old(values: Mapping[str, Any]) -> bool:
    """Returns whether some setting is called as one was before in any agent; saves importing the agent to know."""
    return any(
        row.old in values and (row.old != row.new or row.value(values[row.old]) != values[row.old]) for row in RENAMED
    )
