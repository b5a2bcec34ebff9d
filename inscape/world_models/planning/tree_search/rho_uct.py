"""ρUCT: the planner of a context tree, which learns along each simulation as it would from what happens.

Source: Veness, Ng, Hutter, Uther & Silver (2011), "A Monte-Carlo AIXI approximation", JAIR 40, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import UsageError, whole_number
from inscape.world_models.context_tree.kernels.search import search
from inscape.world_models.context_tree.model import ContextTreeModel
from inscape.world_models.interface import check_gamma
from inscape.world_models.planning.interface import Plans

AT_ONCE = 4_000_000
"""Random numbers drawn at once."""


@dataclass(frozen=True)
class RhoUCT:
    """Searches a `ContextTreeModel` from histories; values are sums of rewards over the horizon."""

    num_simulations: int = 200
    """Simulations for each decision."""
    horizon: int = 5
    """Steps looked ahead."""
    exploration: float = 0.7
    """C of the upper confidence bound, in units of the range of returns."""
    gamma: float = 1.0
    """Discount per step within the horizon."""

    begins_in_beliefs = True

    def __post_init__(self) -> None:
        whole_number("num_simulations =", self.num_simulations, 1)
        whole_number("horizon =", self.horizon, 1)
        check_gamma(self.gamma)
        if not 0.0 <= self.exploration < np.inf:
            raise UsageError(f"exploration = {self.exploration}", expected="a number of at least 0")

    def plan(self, model: Any, states: Any, rng: np.random.Generator, evaluate: Any = None) -> Plans:
        """Returns a plan for each of B histories (`model.init`, `model.update`); see `Planner.plan`.

        The model is as before afterwards, bit for bit.

        Raises:
            UsageError: another model than a context tree.
        """
        if not isinstance(model, ContextTreeModel):
            raise UsageError(
                f"rho-uct with {type(model).__name__}",
                expected="a ContextTreeModel, which learns along a simulation and takes it back",
                hint="uct, or pomcp where the state is hidden",
            )
        rows = np.atleast_2d(np.asarray(states))
        found = [self._search(model, row, rng) for row in rows]
        counts, values = (np.stack(part) for part in zip(*found, strict=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            means = np.where(counts > 0, values / counts, -np.inf)
        actions = means.argmax(axis=1)
        return Plans(actions, means.max(axis=1), means, visit_counts=counts)

    def _search(self, model: ContextTreeModel, state: np.ndarray, rng: np.random.Generator) -> tuple[Any, Any]:
        count, width = self.num_simulations, 1 + model.percept_bits + model.reward_bits
        arrays = model.search_arrays(self.horizon)
        actions = model.vocabulary.num_actions
        visits, totals = np.zeros((actions, count + 1), np.int64), np.zeros((actions, count + 1))
        slots = np.full(2 * count + 3, -1, np.int64)
        search(
            state, model.action_bits, model.percept_bits, model.reward_bits, model.settings.reward_context,
            model.reward_values(), self.gamma, self.horizon, count, self.exploration,
            rng.random((count, self.horizon, width)), *arrays, visits, totals, np.full(count + 1, -1, np.int64), slots,
            np.zeros(1, np.int64),
        )  # fmt: skip
        return visits[:, 0].copy(), totals[:, 0].copy()
