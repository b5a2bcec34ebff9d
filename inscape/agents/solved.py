"""A solution in hand as an agent: `evaluate(solve(world), world)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.acting import greedy_log_probs
from inscape.agents.interface import Agent
from inscape.errors import MissingLawError, UsageError
from inscape.world_models.networks.types import Array

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class SolvedAgent(Agent):
    """Acts by the policy of a `Solution`, in the world it is the solution of.

    Args:
        solution: has `policy [S]` and `q_values [S, A]`, states numbered as in `world.dynamics().states`.
        task: what to act in.

    Raises:
        MissingLawError: the task has no law.
        UsageError: the solution is of another number of states or actions, or of a fixed horizon.
    """

    name = "solution"

    def __init__(self, solution: Any, task: Task) -> None:
        if task.world is None:
            raise MissingLawError(f"a solution acting in {task.name}, which has no law", expected="the world it is of")
        self.solution, self._world = solution, task.world
        shape = len(task.world.dynamics()), task.world.num_actions
        if solution.policy.ndim != 1 or solution.q_values.shape != shape:
            raise UsageError(
                f"a solution with action values of shape {list(solution.q_values.shape)} acting in {task.name}",
                expected=f"the solution of that world, {list(shape)}",
                hint="with a horizon, what is best depends on the stage: see FiniteHorizonSolution",
            )

    def _states(self, observation: Array) -> Array:
        return np.asarray(self._world.dynamics().index_of(self._world.states_of(observation)))

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return np.asarray(self.solution.policy[self._states(observation)], np.int64)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities: 0 for the action it takes, −inf for the others."""
        chosen = np.eye(self.solution.q_values.shape[1])[self.act(observation)]
        return greedy_log_probs(chosen, action_mask)

    def action_values(self, observation: Array) -> Array:
        """Returns `[B, A]` Q*."""
        return np.asarray(self.solution.q_values[self._states(observation)])
