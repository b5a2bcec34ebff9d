"""Learned world models by name: the built-in ones, a user's file or package.

    make_model("tabular", "FrozenLake", concentration=0.1)    a built-in model, untrained
    make_model("my_model.py:MyModel", "FrozenLake")           a class in a file, or of an installed package

A model's class has `for_task(task, settings)`. The table is text: no model is imported until it is made. A new model is
one file and one row here.
"""

from __future__ import annotations

import dataclasses
import inspect
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
        steps: environment steps that `inscape train` gives it where no preset says otherwise.
    """

    name: str
    description: str
    path: str
    settings_path: str
    worlds: str
    steps: int = 20_000


WORLD_MODELS: tuple[ModelEntry, ...] = (
    ModelEntry(
        "tabular",
        "counts of what followed each state and action: Dirichlet over successors, mean rewards, learned endings",
        "inscape.world_models.tabular.counts:LearnedTabularModel",
        "inscape.world_models.tabular.counts:TabularModelSettings",
        "finite actions, observations that repeat and determine the state",
    ),
    ModelEntry(
        "factored",
        "a dynamic Bayesian network: each field counted under the few things it depends on, which are learned",
        "inscape.world_models.factored.model:FactoredModel",
        "inscape.world_models.factored.model:FactoredSettings",
        "finite actions, observations of whole numbers that determine the state, in several fields",
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
    ModelEntry(
        "ensemble",
        "probabilistic networks on resampled transitions, with trajectory sampling (PETS)",
        "inscape.world_models.learned.ensemble.model:EnsembleModel",
        "inscape.world_models.learned.ensemble.settings:EnsembleSettings",
        "observations of numbers or classes that determine the state; discrete or continuous actions",
        steps=1_000,
    ),
    ModelEntry(
        "program",
        "the law as source code: rules of a grid by Bayesian search",
        "inscape.world_models.learned.program.model:ProgramModel",
        "inscape.world_models.learned.program.model:ProgramSettings",
        "grids that are seen in whole numbers; one player",
    ),
    ModelEntry(
        "equations",
        "the law of motion as equations: sparse regression over a library of terms (SINDy)",
        "inscape.world_models.learned.equations.model:EquationModel",
        "inscape.world_models.learned.equations.model:EquationSettings",
        "observations of numbers that determine the state, laws without chance; one player",
        steps=400,
    ),
    ModelEntry(
        "latent",
        "a recurrent latent state learned by the evidence lower bound; its code length is a bound (torch)",
        "inscape.world_models.learned.latent.model:LatentModel",
        "inscape.world_models.learned.latent.settings:LatentSettings",
        "any observations (numbers, pictures, sentences, several parts), any actions; hidden states",
    ),
)


def model_names() -> list[str]:
    """Returns the names `make_model` knows (it also takes `file.py:Class` and `package.module:Class`)."""
    return [entry.name for entry in WORLD_MODELS]


def find_model(name: str) -> ModelEntry | None:
    """Returns the entry of a model known by name; None for anything else. Imports nothing."""
    return next((entry for entry in WORLD_MODELS if entry.name == name), None)


def model_class(name: str) -> Any:
    """Returns the class of a model by its name, `file.py:Class` or `package.module:Class`.

    Raises:
        UsageError: there is none, or it has no `for_task`.
    """
    from inscape.envs.loading import load_class

    entry = find_model(name)
    if entry is None and ":" not in name:
        raise UsageError(
            f"no world model named {name!r}",
            expected=f"{', '.join(model_names())}; file.py:Class, package.module:Class; or a run folder",
            hint=closest(name, model_names()),
        )
    made = load_class(name if entry is None else entry.path, "world model")
    if not callable(getattr(made, "for_task", None)):
        raise UsageError(f"{name} has no for_task", expected="a static method for_task(task) that makes the model")
    return made


def model_settings_class(name: str) -> type | None:
    """Returns the dataclass of a model's settings; of a custom one its attribute `Settings`; None where it has none."""
    from inscape.envs.loading import load_class

    entry = find_model(name)
    if entry is not None:
        kind: type = load_class(entry.settings_path, "settings")
        return kind
    own = getattr(model_class(name), "Settings", None)
    return own if isinstance(own, type) and dataclasses.is_dataclass(own) else None


def is_model_class(kind: Any) -> bool:
    """Returns whether a class is one of world models that can be made for a task, and not one of agents."""
    return (
        isinstance(kind, type)
        and all(callable(getattr(kind, name, None)) for name in ("for_task", "init", "step"))
        and not callable(getattr(kind, "act", None))
    )


def build_model(name: str, task: Any, settings: Any = None, seed: int = 0, device: str = "cpu") -> Any:
    """Returns an untrained model of a task.

    Args:
        name: as in `make_model`.
        task: a world, its class or name, an environment, a task.
        settings: an instance of `model_settings_class(name)`; None for the defaults.
        seed, device: for models whose `for_task` takes them.

    Raises:
        UsageError: no such model, or a world that it does not take.
    """
    made = model_class(name)
    taken = inspect.signature(made.for_task).parameters
    given = {"seed": seed, "device": device}
    chosen = {name: value for name, value in given.items() if name in taken}
    return made.for_task(task, **chosen) if settings is None else made.for_task(task, settings, **chosen)


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
    made = model_class(name)
    kind = model_settings_class(name)
    if kind is None:
        return made.for_task(task, **settings)
    known = [one.name for one in dataclasses.fields(kind)]
    for given in settings:
        if given not in known:
            raise UnknownSettingError(name, given, expected=", ".join(known), hint=closest(given, known))
    return made.for_task(task, kind(**settings))
