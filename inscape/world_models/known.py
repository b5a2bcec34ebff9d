"""The known model: a world's own law, asked as a model is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inscape.envs.law.states import States
from inscape.errors import UsageError
from inscape.world_models.interface import ModelStep
from inscape.world_models.tabular.model import TabularModel

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World


class KnownModel:
    """A `WorldModel` over packed `States` that reads the law itself: nothing is learned, nothing retyped.

    Args:
        world: the world; its purpose is the one planned for (`world.with_purpose(...)` for another).
        compiled: False runs the law as plain Python.

    Raises:
        UsageError: the world's actions are continuous, or all its players act at once.
    """

    def __init__(self, world: World, *, compiled: bool = True) -> None:
        if world.simultaneous:
            raise UsageError(
                f"the players of {world.name} act at once, and planners here let one act at a time",
                expected="a world with one player, or with players who move in turn",
            )
        self.world, self.compiled = world, compiled
        self.num_actions, self.num_players = world.num_actions, world.players

    @property
    def exact(self) -> bool:
        """Whether `outcomes` can be had: the law can be enumerated, not only sampled."""
        return self.world.is_enumerable

    def init(self, observations: np.ndarray) -> States:
        """Returns the states that `[B, ...]` observations determine.

        Raises:
            PartialObservationError: several states look the same.
        """
        return self.world.states_of(observations)

    def step(self, states: States, actions: np.ndarray, rng: np.random.Generator) -> ModelStep:
        """Draws a successor per row; terminal states absorb with reward 0."""
        following, reward, ended = self.world.step(states, actions, rng, compiled=self.compiled)
        return ModelStep(following, reward, np.where(ended, 0.0, 1.0), self.legal_of(following))

    def legal_of(self, states: States) -> np.ndarray:
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
        probability, following = self.world.outcomes(states, actions, compiled=self.compiled)
        count, width = probability.shape
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
