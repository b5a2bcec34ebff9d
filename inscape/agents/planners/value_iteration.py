"""The agent that knows: it acts on the exact solution of its world, greedily or with rationality beta.

It is the ceiling every other agent is measured against, and the kind of mind an observer's hypotheses describe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from inscape.agents.acting import choice_log_probs, sample_actions
from inscape.agents.interface import Agent
from inscape.errors import MissingLawError, PartialObservationError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World

ONE_OF_YOUR_OWN = "random, or a custom agent: file.py:Class"


@dataclass(frozen=True)
class ValueIterationSettings:
    """Settings of the agent that acts on the exact solution."""

    gamma: float | None = None
    """Discount per step; None for the world's own."""
    beta: float | None = None
    """Rationality, P(a|s) ∝ exp(beta·Q), per unit of reward; None acts greedily."""
    backup: Literal["hard", "soft-eval", "maxent"] = "hard"
    """Which backup made Q (with beta): of the best action, of the noisy policy itself, or log-sum-exp."""
    tolerance: float = 1e-8
    """Certified largest error of the values, in units of reward ("soft-eval": largest change in the last sweep)."""


class ValueIterationAgent(Agent):
    """Solves its world by (soft) value iteration when made, then looks up.

    Args:
        task: a task whose world can be enumerated and whose observation determines its state.
        seed: seed of its choices.
        settings: see `ValueIterationSettings`.

    Raises:
        MissingLawError: the task has no law, or one that can only be sampled; or it has several players.
        PartialObservationError: states of its world look the same.
        UsageError: gamma or beta out of range.
    """

    name = "value-iteration"

    def __init__(self, task: Task, seed: int = 0, settings: ValueIterationSettings | None = None) -> None:
        from inscape.world_models.planning.dynamic_programming import soft_value_iteration, value_iteration
        from inscape.world_models.tabular.model import TabularModel

        self.settings = settings or ValueIterationSettings()
        s, world = self.settings, known_law(task, "value-iteration", "q-learning, or mcts --model tabular")
        if world.players > 1:
            raise MissingLawError(
                f"{world.name} has {world.players} players, and value-iteration solves worlds of one",
                expected="a world of one player",
                hint=ONE_OF_YOUR_OWN if world.simultaneous else "random; or mcts, where each player observes the state",
            )
        self.gamma = world.gamma if s.gamma is None else s.gamma
        self.model = TabularModel.from_world(world)
        require_seen_state(world, "value-iteration")
        if s.beta is None:
            self.solution = value_iteration(self.model, self.gamma, s.tolerance)
        else:
            self.solution = soft_value_iteration(self.model, self.gamma, s.beta, s.backup, s.tolerance)
        self._rng = np.random.default_rng(seed)

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return sample_actions(self.action_log_probs(observation, action_mask), self._rng)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities of the actions by the choice rule (greedily: 0 for the best)."""
        states = self.model.init(observation)
        legal = self.model.legal_of(states)
        mask = legal if action_mask is None else legal & action_mask
        return choice_log_probs(self.solution.q_values[states], self.settings.beta, mask)

    def state_dict(self) -> State:
        """Returns the random state; the solution is computed again."""
        return {"rng": rng_state(self._rng)}

    def load_state_dict(self, state: State) -> None:
        restore_rng(self._rng, state["rng"])


def known_law(task: Task, who: str, instead: str) -> World:
    """Returns the world of a task.

    Args:
        task: what to act in.
        who: the agent that needs the law.
        instead: what to try where there is no law.

    Raises:
        MissingLawError: there is no law.
    """
    if task.world is None:
        what = "an ordinary Gymnasium environment" if task.players == 1 else "a PettingZoo environment"
        raise MissingLawError(
            f"{task.name} is {what}, and {who} needs its law",
            expected="a world with a law: a name from `inscape list worlds`, or file.py:Class",
            hint=instead if task.players == 1 else "inscape list worlds",
        )
    return task.world


def require_seen_state(world: World, who: str) -> None:
    """Checks that the acting player's observations determine the state.

    Args:
        world: what to act in.
        who: what needs that, for the message.

    Raises:
        PartialObservationError: states look the same, or it cannot be decided.
        TooManyStatesError: there are too many states to compare.
    """
    start = world.sample_initial(1, np.random.default_rng(0))
    try:
        world.states_of(world.observe(start))
    except PartialObservationError as error:
        raise unseen_state(error, who, world) from error


def unseen_state(error: PartialObservationError, who: str, world: World) -> PartialObservationError:
    """Returns the error with who needed the state, and what to try instead."""
    return PartialObservationError(
        f"{who} needs to see the state, and {error.found}",
        expected="a world whose observation determines its state",
        hint=ONE_OF_YOUR_OWN if world.players > 1 else "q-learning or ppo, which learn from what is observed",
    )
