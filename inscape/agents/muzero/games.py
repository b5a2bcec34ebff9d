"""Games of two players that one search plays for both, side by side: what `EnvRunner` is for one player."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inscape.agents.interface import Metrics
from inscape.agents.learning.episode_log import EpisodeLog
from inscape.envs.data.transition import Transition
from inscape.envs.law.states import States
from inscape.errors import UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World


class Games:
    """`count` games of a world of two who move in turn and whose rewards add up to 0, begun again as they end.

    Args:
        task: see `require`. count: B. seed: of the games.
        state: `state_dict()` of an earlier life, or None.

    Attributes:
        observation: `[B, ...]` what whoever moves observes. action_mask: `[B, A]` bool.
    """

    def __init__(self, task: Task, count: int, seed: int, state: State | None = None) -> None:
        self.world = Games.require(task)
        self._limit = task.max_episode_steps
        self._rng = np.random.default_rng([seed, 4])
        self._states = self.world.sample_initial(count, self._rng)
        self._lengths, self._totals = np.zeros(count, np.int64), np.zeros(count)
        self._log = EpisodeLog(count)
        if state is not None:
            self._states = States(np.array(state["floats"], np.float64), np.array(state["ints"], np.int64))
            if len(self._states) != count:
                raise UsageError(f"{len(self._states)} stored games", expected=f"{count}: num_envs as it was")
            self.world.require_states(self._states, "stored games")
            self._lengths, self._totals = np.array(state["lengths"], np.int64), np.array(state["totals"], np.float64)
            self._log.load_state_dict(state["episodes"])
            restore_rng(self._rng, state["rng"])
        self._look()

    @staticmethod
    def require(task: Task) -> World:
        """Returns the world of a task.

        Raises:
            UsageError: it has no law; its players are not two who move in turn, or their rewards do not add up to 0.
        """
        world = task.world
        if world is None or world.players != 2 or world.simultaneous or not world.zero_sum:
            raise UsageError(
                f"muzero on {task.name}, of {task.players} players",
                expected="one player; or a world with a law of two who move in turn, with zero_sum = True",
                hint="alphazero for other games in turn, self-play or independent:ppo for others",
            )
        return world

    def _look(self) -> None:
        self.observation = np.asarray(self.world.observe(self._states))
        self.action_mask: Array = np.asarray(self.world.legal_actions(self._states), np.bool_)
        self._movers = np.asarray(self.world.mover_of(self._states))

    def step(self, actions: Array) -> Transition:
        """Makes a move in every game; rewards are of whoever made it.

        Raises:
            UsageError: a player moves twice, or a reward is not finite.
        """
        rows, before = np.arange(len(self._states)), self._movers
        self._states, rewards, over = self.world.step(self._states, actions, self._rng)
        rewards = np.asarray(rewards, np.float64)
        if not np.isfinite(rewards).all():
            raise UsageError(f"a reward of {self.world.name} that is not finite", expected="finite numbers")
        terminated = np.asarray(over, np.bool_)
        self._lengths += 1
        self._totals += rewards[:, 0]
        cut = ~terminated & (self._lengths >= (self._limit or np.inf))
        again = ~terminated & (np.asarray(self.world.mover_of(self._states)) == before)
        if again.any():
            raise UsageError(
                f"{self.world.name}, where a player moves twice in turn", expected="players who alternate",
                hint="alphazero, which knows the law",
            )  # fmt: skip
        ended = np.flatnonzero(terminated | cut)
        last = np.asarray(self.world.observe(self._states[ended])) if len(ended) else self.observation[:0]
        self._log.add((terminated | cut)[None], self._totals[None], self._lengths[None])
        if len(ended):
            begun = self.world.sample_initial(len(ended), self._rng)
            self._states.floats[:, ended], self._states.ints[:, ended] = begun.floats, begun.ints
            self._lengths[ended], self._totals[ended] = 0, 0.0
        self._look()
        return Transition(rewards[rows, before], terminated, cut, ended, last, self.observation)

    def episodes(self) -> Metrics:
        """Returns mean return of the first player and mean length of the latest games."""
        return self._log.report()

    def state_dict(self) -> State:
        """Returns what the games' future depends on. Take it after `episodes`."""
        return {
            "floats": self._states.floats.copy(), "ints": self._states.ints.copy(), "lengths": self._lengths.copy(),
            "totals": self._totals.copy(), "episodes": self._log.state_dict(), "rng": rng_state(self._rng),
        }  # fmt: skip
