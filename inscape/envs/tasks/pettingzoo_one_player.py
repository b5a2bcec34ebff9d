"""PettingZoo environments of one player: tasks of one player, as Gymnasium environments are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from inscape.envs.tasks.pettingzoo import PettingZooTask
from inscape.envs.tasks.pettingzoo_players import without_mask
from inscape.envs.tasks.task import Task


class OnePlayerEnv(gym.Env[Any, Any]):
    """A PettingZoo environment of one player as a Gymnasium environment.

    Args:
        game: what to make one of.
        render_mode: the environment's own.

    A mask that stands in the observation is handed over in `info["action_mask"]`.
    """

    def __init__(self, game: PettingZooTask, render_mode: str | None = None) -> None:
        self._env = game.make_in_turn(render_mode)
        self.observation_space, self.action_space = game.observation_space, game.action_space
        self.render_mode = render_mode
        self.metadata = dict(self._env.metadata)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._env.reset(seed=seed, options=options)
        seen, _, _, _, info = self._env.last()
        return self._taken_apart(seen, info)

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        # many games use actions as keys and indices
        self._env.step(int(action) if isinstance(action, np.integer) else action)
        seen, reward, terminated, truncated, info = self._env.last()
        observation, info = self._taken_apart(seen, info)
        return observation, reward, terminated, truncated, info

    def render(self) -> Any:
        """Returns what the environment draws."""
        return self._env.render()

    def close(self) -> None:
        self._env.close()

    def _taken_apart(self, seen: Any, info: Any) -> tuple[Any, dict[str, Any]]:
        observation, mask = without_mask(seen, self.observation_space)
        return observation, info if mask is None else {**info, "action_mask": mask}


@dataclass(frozen=True, eq=False)
class OnePlayerTask(Task):
    """A PettingZoo environment of one player, such as `pettingzoo:mpe2.simple_v3`.

    Attributes:
        game: the environment as one of several players, of which there is one.
    """

    game: PettingZooTask

    @property
    def player_names(self) -> tuple[str, ...]:
        """The player's name."""
        return self.game.player_names

    def unchecked_env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Returns one environment, without the checks of the boundary."""
        return OnePlayerEnv(self.game, render_mode)
