"""Several players for learners of one player: each player of each copy becomes a row of its own.

    one_player(resolve_task("StagHunt")).vector_env(16)      # 8 copies × 2 hunters, a row each

What learns on such rows is one policy for all players ("parameter sharing").

Source: Gupta, Egorov & Kochenderfer (2017), "Cooperative multi-agent control using deep reinforcement learning",
AAMAS workshops, LNCS 10642, §4 (parameter sharing).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from inscape.envs.tasks.checking.batches import folded
from inscape.envs.tasks.task import Autoreset, Task
from inscape.errors import UsageError

Array = np.ndarray


class PlayersVectorEnv(VectorEnv[Any, Any, Any]):
    """Rows (copy, player) of a vector environment whose players act all at once: row `copy · M + player`.

    Observations `[B·M, ...]`, rewards, masks and actions are those of the row's player; both flags are those of its
    copy. No Python loop over copies or players.

    Args:
        env: a vector environment with observations `[B, M, ...]`, rewards `[B, M]`, masks `[B, M, A]` and actions
            `[B, M, ...]`, reset in the same step.
        players: M.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], players: int) -> None:
        self.env, self.players = env, players
        self.num_envs = env.num_envs * players
        self.metadata = env.metadata
        self.single_observation_space = env.single_observation_space
        self.single_action_space = env.single_action_space
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def __getattr__(self, name: str) -> Any:
        if name != "observation_space":
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)  # not every space has one
        return self.observation_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes; seed and options are those of the copies, but `"first_copy"` counts rows."""
        if options and "first_copy" in options:
            options = {**options, "first_copy": options["first_copy"] // self.players}
        observation, info = self.env.reset(seed=seed, options=options)
        return self._rows(observation), self._info(info)

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        actions = np.asarray(actions)
        joint = actions.reshape(self.env.num_envs, self.players, *actions.shape[1:])
        observation, reward, terminated, truncated, info = self.env.step(joint)
        flags = np.repeat(terminated, self.players), np.repeat(truncated, self.players)
        return self._rows(observation), self._rows(reward), *flags, self._info(info)

    def _rows(self, batch: Any) -> Any:
        return folded(batch, (self.num_envs,), axes=2)

    def _info(self, info: dict[str, Any]) -> dict[str, Any]:
        rows: dict[str, Any] = {name: self._rows(info[name]) for name in ("action_mask", "final_obs") if name in info}
        for name in ("_final_obs", "_cut_off"):
            if name in info:
                rows[name] = np.repeat(info[name], self.players)
        return rows

    def state_dict(self) -> dict[str, Any] | None:
        """Returns what the copies' future depends on; None where the environment cannot say."""
        return self.env.state_dict() if hasattr(self.env, "state_dict") else None

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict()`."""
        self.env.load_state_dict(state)  # type: ignore[attr-defined]

    def close(self, **kwargs: Any) -> None:
        self.env.close(**kwargs)


@dataclass(frozen=True, eq=False)
class PlayersTask(Task):
    """A task of several players as one player meets it, whichever of them: what a shared policy learns in.

    It is no law of one player, so `world` is None.

    Attributes:
        whole: the task of all players.
    """

    whole: Task

    @cached_property
    def _spaces(self) -> tuple[gym.Space[Any], gym.Space[Any]]:
        return self.whole.observation_space, self.whole.action_space

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return self.whole.action_names

    def no_workers(self) -> str:
        """Returns why its copies cannot be divided over worker processes."""
        return "rows are players; divide the copies of the whole task"

    def env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Refuses: one player alone is no environment."""
        raise no_single_environment(self.whole)

    def vector_env(self, num_envs: int, autoreset: Autoreset = "same-step") -> VectorEnv[Any, Any, Any]:
        """Returns `num_envs` rows: the players of num_envs / M copies.

        Raises:
            UsageError: `num_envs` is no multiple of M, or the copies are not to be reset in the same step.
        """
        if autoreset != "same-step":
            raise UsageError(f"autoreset {autoreset!r} for rows of players", expected="same-step")
        return PlayersVectorEnv(self.whole.vector_env(self.num_copies(num_envs), autoreset), self.whole.players)

    def num_copies(self, num_envs: int) -> int:
        """Returns in how many copies `num_envs` rows are the players.

        Raises:
            UsageError: `num_envs` is no multiple of M.
        """
        players = self.whole.players
        if num_envs % players:
            nearest = max(1, round(num_envs / players)) * players
            raise UsageError(
                f"{num_envs} rows for the {players} players of {self.name}, each of which takes one",
                expected=f"a multiple of {players}",
                hint=f"num_envs = {nearest} (--num-envs {nearest})",
            )
        return num_envs // players

    def to_json(self) -> dict[str, Any]:
        """Returns the whole task, from which this one is made again."""
        return self.whole.to_json()


def one_player(task: Task) -> Task:
    """Returns the task as a learner of one policy meets it: itself, or with several players one of them.

    Raises:
        UsageError: the players act in turn, so that one player's next observation is not known when it has acted.
    """
    if task.players == 1:
        return task
    if not task.simultaneous:
        raise UsageError(
            f"{task.name} has {task.players} players who act in turn",
            expected="a learner that meets opponents",
            hint=f"inscape train self-play {task.name}, or independent:ppo for a learner of each player",
        )
    return PlayersTask(task.name, None, task.settings, task.max_episode_steps, task)


def no_single_environment(task: Task) -> UsageError:
    """Returns the refusal of one Gymnasium environment for several players."""
    return UsageError(
        f"{task.name} has {task.players} players, and a Gymnasium environment has one",
        expected="a task of one player, or what acts in many copies at once",
        hint=f"inscape train {'ppo' if task.simultaneous else 'self-play'} {task.name}; "
        f"inscape evaluate random {task.name}",
    )
