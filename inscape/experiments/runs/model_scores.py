"""What is measured of a world model while it learns, and after: held-out code length, and regret where it is exact."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from inscape.errors import MissingLawError, PartialObservationError, TooManyStatesError, UsageError

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task

EPISODES, STEPS = 20, 2_000
"""What a model is scored on: so many episodes of random play, or this many steps if that is fewer."""
MOST_STATES = 2_000
"""States up to which regret and excess bits are computed at every point of a learning curve."""


class ModelScores:
    """Scores the model that an agent learns, on the same held-out random play each time.

    Args:
        agent: has `model`, with `log_prob`; of any other agent there is nothing to score.
        task: what it is of.
        seed: of the held-out episodes.
    """

    def __init__(self, agent: Any, task: Task, seed: int) -> None:
        self.agent, self.task, self.seed = agent, task, seed
        self._held_out: list[Trajectory] | None = None

    def __call__(self) -> dict[str, float]:
        """Returns `model/bits`, and where the law allows `model/excess_bits` and `model/regret`; {} without a model."""
        from inscape.agents.models.learner import ModelLearner
        from inscape.world_models.scoring.code_length import bits

        if not isinstance(self.agent, ModelLearner) or not callable(getattr(self.agent.model, "log_prob", None)):
            return {}
        if self._held_out is None:
            self._held_out = held_out(self.task, self.seed)
        try:
            found = {"model/bits": bits(self.agent.model, self._held_out).per_step}
        except UsageError:  # it cannot score what it has not met, such as before it has learned anything
            return {}
        found |= self._exact()
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def _exact(self) -> dict[str, float]:
        """Returns excess bits and regret against the true law, those that there are."""
        from inscape.world_models.scoring.exact import exact_bits, regret

        model, world, found = self.agent.model, self.task.world, {}
        if world is None or not world.is_enumerable or world.players > 1:
            return {}
        try:
            if len(world.dynamics(max_states=MOST_STATES).states) > MOST_STATES:
                return {}
            if callable(getattr(model, "transition_log_probs", None)):
                found["model/excess_bits"] = exact_bits(model, world).excess
            if callable(getattr(model, "tabular", None)) and model.action_space == self.task.action_space:
                found["model/regret"] = regret(model, world).regret
        except (MissingLawError, PartialObservationError, TooManyStatesError):  # the truth is no table
            pass
        return found


def held_out(task: Task, seed: int) -> list[Trajectory]:
    """Returns random play that no run learns from."""
    from inscape.agents.rollout import rollout

    episodes: list[Trajectory] = []
    while len(episodes) < EPISODES and sum(map(len, episodes)) < STEPS:
        episodes += rollout("random", task, 4, seed + len(episodes))
    return episodes
