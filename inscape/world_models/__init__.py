"""World models and the planners that search them. Names load on first use, so importing this package is cheap."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inscape.world_models.choice import boltzmann_log_probs, boltzmann_value
    from inscape.world_models.dynamic_programming import (
        SoftSolution,
        Solution,
        policy_evaluation,
        soft_value_iteration,
        value_iteration,
    )
    from inscape.world_models.interface import FitReport, ModelStep, Plan, Planner, SearchTree, WorldModel
    from inscape.world_models.known import KnownModel
    from inscape.world_models.learned_tabular import LearnedTabularModel
    from inscape.world_models.tabular import TabularModel
    from inscape.world_models.tree_search import UCT

_HOMES = {
    "choice": ("boltzmann_log_probs", "boltzmann_value"),
    "dynamic_programming": (
        "SoftSolution",
        "Solution",
        "policy_evaluation",
        "soft_value_iteration",
        "value_iteration",
    ),
    "interface": ("FitReport", "ModelStep", "Plan", "Planner", "SearchTree", "WorldModel"),
    "known": ("KnownModel",),
    "learned_tabular": ("LearnedTabularModel",),
    "tabular": ("TabularModel",),
    "tree_search": ("UCT",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 (grouped as in _HOMES)
    "boltzmann_log_probs", "boltzmann_value", "SoftSolution", "Solution", "policy_evaluation", "soft_value_iteration",
    "value_iteration", "FitReport", "ModelStep", "Plan", "Planner", "SearchTree", "WorldModel", "KnownModel",
    "LearnedTabularModel", "TabularModel", "UCT",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
