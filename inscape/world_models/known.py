"""The known model: a world's own law, asked as a model is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from inscape.envs.law.states import States
from inscape.envs.world import World
from inscape.errors import PartialObservationError, UsageError
from inscape.world_models.interface import Batch, ModelStep, as_numpy, nothing_to_load, require_model
from inscape.world_models.tabular.model import TabularModel, check_rows, on_a_belief

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory


class KnownModel:
    """A `WorldModel` over packed `States` that reads the law itself: nothing is learned, nothing retyped.

    Args:
        world: the world; its purpose is the one planned for (`world.with_purpose(...)` for another).
        compiled: True runs the law compiled, False as plain Python; None as takes less time (`envs.compile.choice`).

    Raises:
        UsageError: all players of the world act at once.
    """

    def __init__(self, world: World, *, compiled: bool | None = None) -> None:
        if world.simultaneous:
            raise UsageError(
                f"the players of {world.name} act at once, and planners here let one act at a time",
                expected="a world with one player, or with players who move in turn",
            )
        self.world, self.compiled = world, compiled
        self.num_players = world.players

    @property
    def action_space(self) -> spaces.Space[Any]:
        """The world's: `Discrete`, or `Box` where actions are continuous."""
        return self.world.action_space

    @property
    def exact(self) -> bool:
        """Whether `outcomes` can be had: the law can be enumerated, not only sampled."""
        return bool(self.world.is_enumerable)

    def init(self, observations: Batch) -> States:
        """Returns the states that `[B, ...]` observations determine.

        Raises:
            PartialObservationError: several states look the same.
        """
        try:
            return self.world.states_of(as_numpy(observations))
        except PartialObservationError as error:
            raise error if self.num_players > 1 else on_a_belief(error) from error

    def update(self, states: States, actions: Batch, observations: Batch) -> States:
        """Returns the states that the observations determine: what was before adds nothing to them.

        Raises:
            PartialObservationError: several states look the same: filter with a `BeliefModel`.
            UsageError: not one observation per state.
        """
        check_rows(states, observations)
        return self.init(observations)

    def step(self, states: States, actions: Batch, rng: np.random.Generator) -> ModelStep:
        """Draws a successor per row; terminal states absorb with reward 0."""
        following, reward, ended = self.world.step(states, as_numpy(actions), rng, compiled=self.compiled)
        legal = None if self.world.continuous else self.legal_of(following)
        return ModelStep(following, reward, np.where(ended, 0.0, 1.0), legal)

    def state_dict(self) -> dict[str, Any]:
        """Returns {}: the law is the world's, which the maker of the model names; nothing is learned."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        nothing_to_load(state, f"the known law of {self.world.name}")

    def legal_of(self, states: States) -> np.ndarray:
        """Returns `[B, A]` bool, True where the action is legal.

        Raises:
            UsageError: the actions are continuous.
        """
        if self.world.continuous:
            raise UsageError(f"{self.world.name} has continuous actions", expected="a world with a finite action set")
        return self.world.legal_actions(states, compiled=self.compiled)

    def terminal_of(self, states: States) -> np.ndarray:
        return self.world.terminal_of(states, compiled=self.compiled)

    def mover_of(self, states: States) -> np.ndarray:
        return self.world.mover_of(states, compiled=self.compiled)

    def keys(self, states: States) -> list[bytes]:
        return states.keys()

    def outcomes(self, states: States, actions: np.ndarray) -> tuple[np.ndarray, States, np.ndarray, np.ndarray]:
        """Returns `(probability [B, K], states of B·K columns, reward [B, K] or [B, K, M], continuation [B, K])`.

        Branches that land in the same state are not merged; impossible ones have probability 0.

        Raises:
            MissingLawError: the law can only be sampled.
        """
        states = self.world.as_states(states)
        probability, following = self.world.outcomes(states, actions, compiled=self.compiled)
        count, width = probability.shape
        actions = np.asarray(actions).reshape((count, -1) if self.world.continuous else (count,))
        sources = np.repeat(np.arange(count), width)
        reward = self.world.reward_of(states[sources], np.asarray(actions)[sources], following, compiled=self.compiled)
        shape = (count, width) if self.num_players == 1 else (count, width, self.num_players)
        ended = self.terminal_of(following).reshape(count, width)
        return probability, following, reward.reshape(shape), np.where(ended, 0.0, 1.0)

    def tabular(self) -> TabularModel:
        """Returns the world as tables (see `TabularModel.from_world`)."""
        return TabularModel.from_world(self.world)

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns Σ_t log P(s_{t+1} | s_t, a_t) of an episode, in nats; −inf if it is impossible.

        The first observation and the actions are given. An episode that the world would have ended earlier, or not
        yet, is impossible.

        Raises:
            MissingLawError: the law can only be sampled.
        """
        states = trajectory.states if trajectory.states is not None else self.init(trajectory.observations)
        length = len(trajectory)
        probability, following = self.world.outcomes(states[:length], trajectory.actions, compiled=self.compiled)
        width = probability.shape[1]
        keys, wanted = following.keys(), states[1:].keys()
        same = np.array([key == wanted[row // width] for row, key in enumerate(keys)], bool).reshape(length, width)
        ended = np.zeros(length, bool)
        ended[-1:] = trajectory.terminated
        consistent = self.terminal_of(states[1:]) == ended
        with np.errstate(divide="ignore"):
            return float(np.log((same * probability).sum(axis=1) * consistent).sum())


def as_model(model: Any, reader: str) -> Any:
    """Returns what a planner simulates in: the model itself, or the `KnownModel` of a `World`.

    Raises:
        UsageError: it is an environment, a task, or no model at all; the message names the reader.
    """
    if isinstance(model, World):
        return KnownModel(model)
    require_model(model, reader)
    return model
