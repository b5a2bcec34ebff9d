"""A game as a task of the one who learns in it, against opponents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from inscape.envs.tasks.opponents import Opponents, OpponentsVectorEnv
from inscape.envs.tasks.pettingzoo import PettingZooTask
from inscape.envs.tasks.shared_policy import no_single_environment
from inscape.envs.tasks.task import Autoreset, Task
from inscape.errors import UsageError


@dataclass(frozen=True, eq=False)
class OpponentsTask(Task):
    """A world of several players as a task of the one who learns in it; no law of one player, so `world` is None.

    Attributes:
        whole: the task of all players.
        opponents: who the others are.
        seat: the learner's player; None for one drawn for each episode.
    """

    whole: Task
    opponents: Opponents
    seat: int | None = None

    @staticmethod
    def against(whole: Task, opponents: Opponents, seat: int | None = None) -> OpponentsTask:
        """Returns the task.

        Raises:
            UsageError: it has one player, actions that are not Discrete, or neither a law nor players of PettingZoo's;
                or its copies are to be in worker processes.
        """
        if whole.players == 1:
            raise UsageError(
                f"{whole.name} has one player", expected="a world of several", hint="TicTacToe; inscape list worlds"
            )
        if whole.world is None and not isinstance(whole, PettingZooTask):
            raise UsageError(
                f"{whole.name} is neither an Inscape world nor a PettingZoo environment",
                expected="what lets opponents move inside a step",
            )
        if whole.workers is not None and whole.workers.count != "auto":
            raise UsageError(
                f"{whole.name} in worker processes, against opponents",
                expected="copies in this process: opponents, who are agents, move inside a step",
                hint="leave out workers (--workers)",
            )
        if not isinstance(whole.action_space, gym.spaces.Discrete):
            raise UsageError(
                f"the action space {whole.action_space} of {whole.name}",
                expected="Discrete actions, of which opponents say their probabilities",
                hint=f"one policy for all players: inscape train ppo {whole.name}" if whole.simultaneous else "",
            )
        return OpponentsTask(whole.name, None, whole.settings, whole.max_episode_steps, whole, opponents, seat)

    @cached_property
    def _spaces(self) -> tuple[gym.Space[Any], gym.Space[Any]]:
        return self.whole.observation_space, self.whole.action_space

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return self.whole.action_names

    def no_workers(self) -> str:
        """Returns why its copies cannot be divided over worker processes."""
        return "opponents, who are agents, move inside a step"

    def env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Refuses: opponents answer whole batches."""
        raise no_single_environment(self.whole)

    def vector_env(self, num_envs: int, autoreset: Autoreset = "same-step") -> VectorEnv[Any, Any, Any]:
        """Returns `num_envs` copies.

        Raises:
            UsageError: the copies are not to be reset in the same step.
        """
        if autoreset != "same-step":
            raise UsageError(f"autoreset {autoreset!r} against opponents", expected="same-step")
        if isinstance(self.whole, PettingZooTask):
            from inscape.envs.tasks.pettingzoo_opponents import PettingZooOpponentsVectorEnv

            return PettingZooOpponentsVectorEnv(self.whole, num_envs, self.opponents, self.seat)
        assert self.whole.world is not None
        return OpponentsVectorEnv(self.whole.world, num_envs, self.opponents, self.seat, self.max_episode_steps)

    def to_json(self) -> dict[str, Any]:
        """Returns the whole task: opponents are part of the agent that learns."""
        return self.whole.to_json()
