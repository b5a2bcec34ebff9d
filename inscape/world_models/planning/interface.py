"""What a planner is: given a model, it returns plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False)
class SearchTree:
    """What a search has seen. Row 0 is the root; a state reached along several paths is one node.

    Attributes:
        states: N model states (`States` for a known world, `[N]` indices for a tabular model).
        visit_counts: `[N]` int64 passes through the node.
        depth: `[N]` int64 steps from the root when first found.
        values: `[N]` float64 estimated values for the player to move there; NaN where never visited, 0 where terminal.
        terminal: `[N]` bool.
        action_visits: `[N, A]` int64.
        action_values: `[N, A]` float64 for the player to move; −inf where illegal or never tried.
    """

    states: Any
    visit_counts: np.ndarray
    depth: np.ndarray
    values: np.ndarray
    terminal: np.ndarray
    action_visits: np.ndarray
    action_values: np.ndarray

    def __len__(self) -> int:
        return len(self.visit_counts)


@dataclass(frozen=True, eq=False)
class Plan:
    """What a planner proposes in one state.

    Attributes:
        action: the proposed action.
        action_values: `[A]` float64 estimated values for the player to move; −inf where illegal or never tried.
        visit_counts: `[A]` int64 times the action was taken in this state (in a world with cycles a simulation may pass
            it more than once).
        value: estimated value of the state for the player to move.
        tree: what was searched; None for planners without one.
        simulations: simulations run (fewer than asked for when `max_nodes` was reached).
    """

    action: int
    action_values: np.ndarray
    visit_counts: np.ndarray
    value: float
    tree: SearchTree | None = None
    simulations: int = 0


class Planner(Protocol):
    """Given a model, never an environment."""

    def plan(self, model: Any, state: Any, rng: np.random.Generator) -> Plan:
        """Returns a plan for one model state (a batch of one)."""
        ...
