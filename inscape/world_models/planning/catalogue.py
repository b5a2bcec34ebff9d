"""Planners by name: the built-in ones, a user's file or package.

    make_planner("uct", num_simulations=5000, gamma=0.95)     a built-in planner
    make_planner("my_planner.py:RandomShooting", samples=100) a class in a file, or of an installed package

The table is text: no planner is imported until it is made.
"""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Any, Literal

from gymnasium import spaces

from inscape.errors import UnknownSettingError, UsageError, closest

Actions = Literal["discrete", "continuous", "any"]


@dataclass(frozen=True)
class PlannerEntry:
    """A planner known by name.

    Attributes:
        name: what a user types.
        description: what it is, in a few words.
        path: `module:Class`; the class takes its settings as keywords.
        actions: which actions it chooses among.
        aliases: other names for it.
    """

    name: str
    description: str
    path: str
    actions: Actions = "discrete"
    aliases: tuple[str, ...] = ()


PLANNERS: tuple[PlannerEntry, ...] = (
    PlannerEntry(
        "uct",
        "Monte Carlo tree search by upper confidence bounds",
        "inscape.world_models.planning.tree_search.uct:UCT",
        aliases=("mcts",),
    ),
    PlannerEntry(
        "puct",
        "tree search with a prior over actions, for many states at once (AlphaZero, MuZero)",
        "inscape.world_models.planning.tree_search.puct:PUCT",
    ),
    PlannerEntry(
        "gumbel",
        "tree search that improves on its prior from few simulations, for many states at once",
        "inscape.world_models.planning.tree_search.gumbel:Gumbel",
    ),
    PlannerEntry(
        "alphabeta",
        "alpha-beta with a table of positions: two players in turn, exact where it reaches the end",
        "inscape.world_models.planning.tree_search.alpha_beta:AlphaBeta",
        aliases=("alpha-beta",),
    ),
    PlannerEntry(
        "value-iteration",
        "exact, where all states can be enumerated",
        "inscape.world_models.planning.lookup:ValueIteration",
    ),
    PlannerEntry(
        "pomcp",
        "search from a belief, where the state is hidden (POMCP)",
        "inscape.world_models.planning.beliefs.pomcp:POMCP",
    ),
    PlannerEntry(
        "icem",
        "cross-entropy method with correlated noise and elites kept, over action sequences",
        "inscape.world_models.planning.control.icem:ICEM",
        actions="any",
    ),
    PlannerEntry(
        "cem",
        "cross-entropy method over action sequences",
        "inscape.world_models.planning.control.cem:CEM",
        actions="any",
    ),
    PlannerEntry(
        "mppi",
        "random action sequences weighed by exp(return/λ)",
        "inscape.world_models.planning.control.mppi:MPPI",
        actions="any",
    ),
    PlannerEntry(
        "random-shooting",
        "best of random action sequences",
        "inscape.world_models.planning.control.random_shooting:RandomShooting",
        actions="any",
    ),
    PlannerEntry(
        "dpw",
        "tree search over continuous actions by double progressive widening",
        "inscape.world_models.planning.control.widening:DPW",
        actions="continuous",
    ),
    PlannerEntry(
        "rho-uct",
        "tree search in a context tree, which learns along each simulation (MC-AIXI)",
        "inscape.world_models.planning.tree_search.rho_uct:RhoUCT",
    ),
    PlannerEntry(
        "active-inference",
        "sequences of actions by expected free energy",
        "inscape.world_models.planning.beliefs.active_inference:ActiveInference",
    ),
)
"""The first that suits a model's actions is its default."""

_BY_OTHER_NAMES = {
    "simulations": "num_simulations", "num_simulation": "num_simulations", "discount": "gamma", "c": "exploration",
    "depth": "max_depth", "samples": "population", "num_samples": "population", "num_simulations": "population",
    "num_elites": "elites", "std": "initial_std", "sigma": "initial_std", "lambda_": "temperature",
    "alpha": "momentum", "beta": "noise_exponent",
}  # fmt: skip


def planner_names() -> list[str]:
    """Returns the names `make_planner` knows (it also takes `file.py:Class` and `package.module:Class`)."""
    return [entry.name for entry in PLANNERS]


def default_planner(action_space: spaces.Space[Any]) -> str:
    """Returns the name of the planner that is used where none is given, for actions of a space.

    Raises:
        UsageError: no planner chooses among such actions.
    """
    kind = "discrete" if isinstance(action_space, spaces.Discrete) else "continuous"
    for entry in PLANNERS:
        if entry.actions in (kind, "any"):
            return entry.name
    raise UsageError(f"no planner for actions in {action_space}", expected="a planner of your own: file.py:Class")


def planner_class(name: str) -> type[Any]:
    """Returns the class of a planner by its name, `file.py:Class` or `package.module:Class`.

    Raises:
        UsageError: there is none, or it has no `plan`.
    """
    from inscape.envs.loading import load_class

    path = next((entry.path for entry in PLANNERS if name == entry.name or name in entry.aliases), None)
    if path is None and ":" not in name:
        known = [word for entry in PLANNERS for word in (entry.name, *entry.aliases)]
        raise UsageError(
            f"no planner {name!r}",
            expected=f"one of {', '.join(known)}; file.py:Class or package.module:Class with plan(model, states, rng)",
            hint=closest(name, known),
        )
    found = load_class(path or name, "planner")
    return _require_planner(found, name)


def _require_planner(given: Any, name: str) -> type[Any]:
    if not isinstance(given, type) or not callable(getattr(given, "plan", None)):
        raise UsageError(f"the class {name} as a planner", expected="a class with plan(model, states, rng)")
    return given


def make_planner(planner: str | type[Any], defaults: dict[str, Any] | None = None, /, **settings: Any) -> Any:
    """Returns a planner made of its settings.

        make_planner("uct", num_simulations=5000, gamma=0.95)

    Args:
        planner: a name (`planner_names`), `file.py:Class`, `package.module:Class`, or a class with
            `plan(model, states, rng)`.
        defaults: settings that are handed over if the planner takes them, and dropped if not.
        settings: its settings, by name.

    Raises:
        UsageError: no such planner.
        UnknownSettingError: a setting it does not take (a `TypeError` too).
    """
    cls = planner_class(planner) if isinstance(planner, str) else _require_planner(planner, planner.__name__)
    taken = settings_of(cls)
    if taken is None:
        return cls(**{**(defaults or {}), **settings})
    for name in settings:
        if name not in taken:
            raise UnknownSettingError(cls.__name__, name, expected=", ".join(taken) or "none", hint=_hint(name, taken))
    wanted = {**(defaults or {}), **settings}
    return cls(**{name: value for name, value in wanted.items() if name in taken})


def settings_of(cls: type[Any]) -> tuple[str, ...] | None:
    """Returns the names a class's constructor takes; None where it takes any."""
    if dataclasses.is_dataclass(cls):
        return tuple(f.name for f in dataclasses.fields(cls) if f.init)
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        return None
    return None if any(p.kind is p.VAR_KEYWORD for p in parameters) else tuple(p.name for p in parameters)


def setting_defaults(cls: type[Any]) -> dict[str, tuple[Any, Any, str]]:
    """Returns the settings of a planner's class that have a default: name → (annotation, default, what it is)."""
    from inscape.attribute_docs import attribute_docs

    docs, hints = attribute_docs(cls), _hints(cls)
    try:
        parameters = inspect.signature(cls).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {
        p.name: (hints.get(p.name, type(p.default)), p.default, docs.get(p.name, ""))
        for p in parameters
        if p.default is not p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }


def _hints(cls: type[Any]) -> dict[str, Any]:
    """Returns the annotations of a class's settings, by name."""
    found: dict[str, Any] = {}
    for each in reversed(cls.__mro__):
        owner = each if dataclasses.is_dataclass(each) else vars(each).get("__init__")
        if owner is not None:
            found |= inspect.get_annotations(owner, eval_str=True)
    return found


def _hint(name: str, taken: tuple[str, ...]) -> str:
    other = _BY_OTHER_NAMES.get(name, "")
    return other if other in taken else closest(name, taken)
