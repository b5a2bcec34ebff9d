"""The planner that looks actions up in the exact solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.envs.world import World
from inscape.errors import UsageError
from inscape.world_models.interface import require
from inscape.world_models.known import KnownModel
from inscape.world_models.planning.dynamic_programming import Solution
from inscape.world_models.planning.interface import Plans
from inscape.world_models.planning.solve import solve


@dataclass(frozen=True)
class ValueIteration:
    """Acts by the exact solution of what can be enumerated: `plan(world, planner="value-iteration")`."""

    gamma: float = 0.99
    """Discount per step, from 0 to 1."""
    tolerance: float = 1e-8
    """Bound on the error of every value."""

    def plan(self, model: Any, states: Any, rng: np.random.Generator, evaluate: Any = None) -> Plans:
        """Returns a plan for each of B states; see `Planner.plan`. Nothing is random, and nothing evaluated.

        Raises:
            UsageError: the model has no tables, or a state is terminal.
        """
        world = model.world if isinstance(model, KnownModel) else model
        if not isinstance(world, World):
            require(world, "tabular", "value iteration")
        solution = solve(world, self.gamma, tolerance=self.tolerance)
        assert isinstance(solution, Solution)
        if isinstance(world, World):
            rows = np.asarray(world.dynamics().index_of(world.as_states(states)))
            over = world.terminal_of(world.dynamics().states[rows])
        else:
            rows, over = np.atleast_1d(states), np.atleast_1d(world.tabular().terminal[states])
        if over.any():
            raise UsageError("a terminal state", expected="a state in which something can still be done")
        return Plans(solution.policy[rows], solution.values[rows], solution.q_values[rows])
