"""The agent that searches by alpha-beta: an exact opponent in board games of two players.

Source: see `inscape.world_models.planning.tree_search.alpha_beta`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.acting import sample_actions
from inscape.agents.interface import Agent
from inscape.agents.planners.value_iteration import known_law, unseen_state
from inscape.errors import PartialObservationError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.known import KnownModel
from inscape.world_models.networks.types import Array, State
from inscape.world_models.planning.tree_search.alpha_beta import AlphaBeta, two_in_turn

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

KEPT = 1_000
"""Decisions remembered."""


@dataclass(frozen=True)
class AlphaBetaSettings:
    """Settings of the agent that searches by alpha-beta."""

    depth: int | None = None
    """Plies to look ahead; None: as far as `max_nodes` allows, or to the end of the game."""
    max_nodes: int = 200_000
    """States to enter at each decision; the deepest search that was completed decides."""
    gamma: float | None = None
    """Discount per step; None for the world's own."""
    win: float | None = None
    """A return that nobody can exceed; None: the world's own setting `win`, where it has one."""
    table_entries: int = 2**20
    """States remembered during a search."""

    def __post_init__(self) -> None:
        self.planner(1.0)  # refuses what is out of range

    def planner(self, gamma: float) -> AlphaBeta:
        """Returns the planner with these settings."""
        discount = gamma if self.gamma is None else self.gamma
        return AlphaBeta(self.depth, self.max_nodes, discount, self.win, self.table_entries)


class AlphaBetaAgent(Agent):
    """Plays the best move that alpha-beta finds; of several the first.

    Args:
        task: a world of two players who move in turn, see everything, and earn opposite amounts.
        seed: not used: nothing is random.
        settings: see `AlphaBetaSettings`.

    Raises:
        MissingLawError: the task has no law, or is no such world.
        PartialObservationError: the players do not see everything.
        UsageError: a setting is out of range.
    """

    name = "alphabeta"

    def __init__(self, task: Task, seed: int = 0, settings: AlphaBetaSettings | None = None) -> None:
        self.settings = settings or AlphaBetaSettings()
        world = known_law(task, "alphabeta", "mcts --model tabular")
        self.model = KnownModel(two_in_turn(world))
        self.planner = self.settings.planner(world.gamma)
        self._rng = np.random.default_rng(seed)
        self._actions: OrderedDict[bytes, int] = OrderedDict()
        self._states(np.asarray(world.observe(world.sample_initial(1, np.random.default_rng(0)))))

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return sample_actions(self.action_log_probs(observation, action_mask), self._rng)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities: 0 for the move it plays, −inf for all others; one search per row."""
        rows = np.asarray(observation)
        log_probs = np.full((len(rows), self.model.world.num_actions), -np.inf)
        for b, row in enumerate(rows):
            mask = np.ones(log_probs.shape[1], bool) if action_mask is None else action_mask[b]
            action = self._action_in(row)
            if action is None:  # over: whatever is legal
                log_probs[b] = np.where(mask, -np.log(mask.sum()), -np.inf)
            else:
                log_probs[b, action] = 0.0
        return log_probs

    def _action_in(self, observation: Array) -> int | None:
        key = observation.tobytes()
        if key not in self._actions:
            states = self._states(observation[None])
            if self.model.terminal_of(states)[0]:
                return None
            plan = self.planner.plan(self.model, states, self._rng)[0]
            self._actions[key] = int(plan.action)
            if len(self._actions) > KEPT:
                self._actions.popitem(last=False)
        return self._actions[key]

    def _states(self, observations: Array) -> Any:
        try:
            return self.model.init(observations)
        except PartialObservationError as error:
            raise unseen_state(error, "alphabeta", self.model.world) from error

    def state_dict(self) -> State:
        """Returns the random state; what it searched is searched again."""
        return {"rng": rng_state(self._rng)}

    def load_state_dict(self, state: State) -> None:
        restore_rng(self._rng, state["rng"])
