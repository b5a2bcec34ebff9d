"""An Inscape agent where Stable-Baselines3 expects one of its policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from inscape.agents.adapters import as_agent, for_task
from inscape.agents.interface import Agent, RememberingAgent, can_remember, can_score
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError
from inscape.world_models.networks.types import Array

if TYPE_CHECKING:
    from inscape.envs.tasks.resolve import Given
    from inscape.envs.tasks.task import Task


class SB3Policy:
    """An Inscape agent where Stable-Baselines3 expects an object with `predict`: see `as_sb3_policy`."""

    def __init__(self, agent: Agent, task: Task) -> None:
        self.agent, self.observation_space, self.action_space = agent, task.observation_space, task.action_space
        self._remembering = agent if can_remember(agent) else None
        scores = can_score(agent) and isinstance(task.action_space, gymnasium.spaces.Discrete)
        self._scores = scores and self._remembering is None
        self._memory: Array | None = None

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
        action_masks: Array | None = None,
    ) -> tuple[Array, Any]:
        """Returns the actions `[B, ...]` for a batch of observations, or one action for one; and what is remembered.

        Args:
            observation: `[B, ...]` as a `VecEnv` has them, or `[...]`.
            state: what the last call returned; None at first.
            episode_start: `[B]` bool, True where an episode begins; None: only where there is no `state`.
            deterministic: take the most probable action, where actions are `Discrete` and the agent has
                `action_log_probs` and no memory; any other acts as its settings say.
            action_masks: `[B, A]` bool, True where legal, as the `evaluate_policy` of sb3-contrib asks for them.
        """
        rows, masks = np.asarray(observation), action_masks
        alone = rows.ndim == len(self.observation_space.shape or ())
        if alone:
            rows, masks = rows[None], None if masks is None else masks.reshape(1, -1)
        if self._remembering is not None:
            memory = self._remembered(self._remembering, len(rows), state, episode_start)
            actions, self._memory = self._remembering.act_with_memory(rows, memory, np.zeros(len(rows)), masks)
            state = self._memory
        elif deterministic and self._scores:
            log_probs = self.agent.action_log_probs(rows, masks)  # type: ignore[attr-defined]
            actions = log_probs.argmax(axis=1) + int(self.action_space.start)  # type: ignore[attr-defined]
        else:
            actions = self.agent.act(rows, masks)
        return (actions[0] if alone else actions), state

    def _remembered(self, agent: RememberingAgent, count: int, state: Any, episode_start: Array | None) -> Array:
        fresh = agent.initial_memory(count)
        if state is None and episode_start is not None:
            state = self._memory  # sb3-contrib's masked evaluation (2.9) does not hand on what it was given
        if state is None or len(state) != count:
            return fresh
        if episode_start is None:
            return np.asarray(state)
        begins = np.asarray(episode_start, np.bool_).reshape(count, *[1] * (fresh.ndim - 1))
        return np.where(begins, fresh, state)


def as_sb3_policy(agent: Any, task: Given) -> SB3Policy:
    """Returns an agent as the `evaluate_policy` of Stable-Baselines3 takes one.

        evaluate_policy(as_sb3_policy(agent, task), env, n_eval_episodes=100)

    Where actions are illegal at times, take the one of `sb3_contrib.common.maskable.evaluation`, which asks the
    environment for masks (`LawVecEnv` has them): that of Stable-Baselines3 hands on none, and agents may act illegally.
    Agents that remember do so; as their last reward they
    get 0, because a policy of Stable-Baselines3 is not given rewards.

    Args:
        agent: an `Agent`, or any object with `act`.
        task: what it acts in, or what stands for it.

    Raises:
        UsageError: `agent` has no `act`, or the task has several players.
    """
    task = as_task(task)
    if task.world is not None and task.world.players > 1:
        raise UsageError(
            f"{task.name} has {task.world.players} players, and Stable-Baselines3 knows one",
            expected="a task of one player",
            hint="inscape.agents.rollout.evaluate_players",
        )
    return SB3Policy(for_task(as_agent(agent), task), task)
