"""The environment copies a learner acts in: where they are, what ended, and how to resume after a kill.

copies = EnvRunner(task, 16, seed)
transition = copies.step(actions_for(copies.observation, copies.action_mask))
transition.reward, transition.terminated, transition.next_observation      # the true successors, before any reset
copies.observation                                                   # what to act on next, after resets
copies.episodes()                                                    # means over the latest episodes, for metrics
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from inscape.agents.batches import copied, rows_of
from inscape.agents.interface import Metrics
from inscape.agents.learning.episode_log import EpisodeLog
from inscape.envs.data.transition import Transition
from inscape.envs.law.streams import later_seed
from inscape.world_models.networks.finite_checks import require_finite
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class EnvRunner:
    """`count` copies of a task, reset in the same step in which they end.

    Worlds with a law continue exactly from `state_dict`; other environments begin new episodes, not the first ones
    again.

    Args:
        task: what to act in.
        count: B.
        seed: copy i uses the random stream (seed, first + i); for environments without a law see `streams.copy_seeds`.
        first: number of the first copy; other processes have the ones before.
        steps: steps each copy has taken already, where a run is resumed.
        state: `state_dict()` of an earlier life, or None.

    Raises:
        UsageError: a first observation is not finite, or `state` is of other copies.

    Attributes:
        observation: `[B, ...]` what is to be acted on.
        action_mask: `[B, A]` bool, True where legal; None where every action is.
        steps: steps each copy has taken.
    """

    def __init__(
        self, task: Task, count: int, seed: int, *, first: int = 0, steps: int = 0, state: State | None = None
    ) -> None:
        self.env: gymnasium.vector.VectorEnv[Any, Any, Any] = task.vector_env(count, autoreset="same-step")
        self.count, self.steps = count, steps
        self._name = task.name
        # with `steps`, because a resumed run of an ordinary environment begins new episodes
        options = {"first_copy": first} if first else None
        observation, info = self.env.reset(seed=later_seed(seed, steps), options=options)
        self.observation: Array = observation
        self._require_finite_start()
        self.action_mask: Array | None = info.get("action_mask")
        self._returns, self._lengths = np.zeros(count), np.zeros(count, np.int64)
        self._log = EpisodeLog(count)
        if state is not None and state["env"] is not None:
            self.env.load_state_dict(state["env"])  # type: ignore[attr-defined]
            self.observation, self.action_mask = copied(state["observation"]), state["action_mask"]
            self._returns, self._lengths = np.array(state["returns"]), np.array(state["lengths"])
            self._log.load_state_dict(state.get("episodes"))

    def step(self, actions: Array) -> Transition:
        """Takes one action in every copy.

        Args:
            actions: `[B, ...]` as the action space has them.

        Raises:
            UsageError: a reward or an observation is not finite (naming copy and step), or an action is illegal.
        """
        observation, reward, terminated, truncated, info = self.env.step(actions)
        require_finite(reward[None], "the reward", self.steps, self._name)
        _require_finite(observation, "the observation", self.steps, self._name)
        self.steps += 1
        self._returns += reward
        self._lengths += 1
        over = terminated | truncated
        ended = np.flatnonzero(over)
        if len(ended):
            self._log.add(over[None], self._returns[None], self._lengths[None])
        else:
            self._log.skip(1)
        last = rows_of(observation, slice(0))
        if len(ended):
            last = rows_of(info["final_obs"], ended)
            _require_finite(last, "the last observation", self.steps - 1, self._name, ended)
            self._returns[ended], self._lengths[ended] = 0.0, 0
        self.observation, self.action_mask = observation, info.get("action_mask")
        return Transition(reward, terminated, truncated, ended, last, observation)

    def _require_finite_start(self) -> None:
        _require_finite(self.observation, "the first observation", self.steps, self._name)

    def restart(self) -> None:
        """Begins a new episode in every copy; those under way are forgotten, by `episodes` too.

        Raises:
            UsageError: an observation is not finite.
        """
        self.observation, info = self.env.reset()
        self._require_finite_start()
        self.action_mask = info.get("action_mask")
        self._returns[:], self._lengths[:] = 0.0, 0
        self._log.restart()

    @property
    def averaged(self) -> int:
        """How many episodes `episodes` last averaged over."""
        return self._log.averaged

    def episodes(self) -> Metrics:
        """Returns mean return and length of the latest episodes (`EpisodeLog`); nothing before there are some."""
        return self._log.report()

    def state_dict(self) -> State:
        """Returns what the copies' future depends on. Take it after `episodes`."""
        return {
            "env": self.env.state_dict() if hasattr(self.env, "state_dict") else None,
            "observation": copied(self.observation),
            "action_mask": None if self.action_mask is None else self.action_mask.copy(),
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
            "episodes": self._log.state_dict(),
        }

    def close(self) -> None:
        """Closes the environments."""
        self.env.close()


def _require_finite(rows: Any, what: str, step: int, name: str, copies: Any = None) -> None:
    """Raises unless every number of `[B, ...]` is finite (of batches that are no array, the boundary has looked)."""
    if isinstance(rows, np.ndarray) and rows.dtype.kind == "f":
        require_finite(rows[None], what, step, name, copies)
