"""Learned world models by name: the built-in ones, a user's file or package.

    make_model("tabular", "FrozenLake", concentration=0.1)    a built-in model, untrained
    make_model("my_model.py:MyModel", "FrozenLake")           a class in a file, or of an installed package

A model's class has `for_task(task, settings)`. The table is text: no model is imported until it is made. A new model is
one file and one row here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from inscape.errors import UnknownSettingError, UsageError, closest


@dataclass(frozen=True)
class ModelEntry:
    """A world model known by name.

    Attributes:
        name: what a user types.
        description: what it is, in a few words.
        path: `module:Class`; the class has `for_task(task, settings)`.
        settings_path: `module:Class` of its settings, a frozen dataclass.
        worlds: what worlds it takes, in words.
    """

    name: str
    description: str
    path: str
    settings_path: str
    worlds: str


WORLD_MODELS: tuple[ModelEntry, ...] = (
    ModelEntry(
        "tabular",
        "counts of what followed each state and action: Dirichlet over successors, mean rewards, learned endings",
        "inscape.world_models.tabular.counts:LearnedTabularModel",
        "inscape.world_models.tabular.counts:TabularModelSettings",
        "finite actions, observations that repeat and determine the state",
    ),
    ModelEntry(
        "context-tree",
        "context-tree weighting: the exact mixture over all suffix trees of each bit of a percept (FAC-CTW)",
        "inscape.world_models.context_tree.model:ContextTreeModel",
        "inscape.world_models.context_tree.model:ContextTreeSettings",
        "finite actions, observations of whole numbers; hidden states",
    ),
    ModelEntry(
        "sequence",
        "a small causal transformer over actions and observations (torch)",
        "inscape.world_models.learned.sequence:SequenceModel",
        "inscape.world_models.learned.sequence:SequenceSettings",
        "finite actions, observations of whole numbers; hidden states",
    ),
)


def model_names() -> list[str]:
    """Returns the names `make_model` knows (it also takes `file.py:Class` and `package.module:Class`)."""
    return [entry.name for entry in WORLD_MODELS]


def make_model(name: str, task: Any, **settings: Any) -> Any:
    """Returns an untrained world model for a task.

    Args:
        name: one of `model_names()`; or `file.py:Class`, `package.module:Class` with `for_task(task)`.
        task: a world, its class or name, an environment, a task.
        settings: of the model, by name.

    Raises:
        UsageError: no such model, a world it does not take, or a setting out of range.
        UnknownSettingError: a setting it does not have.
    """
    from inscape.envs.loading import load_class

    entry = next((entry for entry in WORLD_MODELS if entry.name == name), None)
    if entry is None and ":" not in name:
        raise UsageError(
            f"no world model named {name!r}", expected=", ".join(model_names()), hint=closest(name, model_names())
        )
    made = load_class(name if entry is None else entry.path, "a world model")
    if not callable(getattr(made, "for_task", None)):
        raise UsageError(f"{name} has no for_task", expected="a static method for_task(task) that makes the model")
    if entry is None:
        return made.for_task(task, **settings)
    kind = load_class(entry.settings_path, "settings")
    known = [one.name for one in dataclasses.fields(kind)]
    for given in settings:
        if given not in known:
            raise UnknownSettingError(name, given, expected=", ".join(known), hint=closest(given, known))
    return made.for_task(task, kind(**settings))
