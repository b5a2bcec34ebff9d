"""A world model as a run: gathers experience in rounds, fits the model after each, acts by planning in it.

`inscape train tabular FrozenLake`: a world model's name stands where an agent's does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.interface import Agent, Metrics, learning_task
from inscape.agents.learning.model_settings import ModelLearningSettings, model_settings, run_settings_class
from inscape.agents.models.acting import SearchingActor
from inscape.agents.models.collecting import Collector, actor_in, plans_with, round_size
from inscape.agents.models.episodes import packed_episodes, unpacked_episodes
from inscape.errors import UsageError
from inscape.world_models.catalogue import build_model, model_settings_class
from inscape.world_models.interface import fit_model, require
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task

MOST_GAMMA = 0.99
"""Discount where the world's own is 1 and plans are made in what was learned: a way to an end may not be known yet."""


class ModelLearner(Agent):
    """Learns a world model, and acts by planning in it.

    Args:
        task: what to act in; one player.
        seed: of the model, what is gathered and the plans.
        settings: the model's, and `ModelLearningSettings`; None for the defaults.
        model: a name (`model_names()`, `file.py:Class`), or a model in hand.
        device: where tensors live, for models that have some.

    Attributes:
        model: the world model.
        steps: environment steps it has learned from.

    Raises:
        UsageError: several players; a world that the model does not take; a model that lacks what `collect` needs; no
            such planner; a setting out of range.
    """

    name = "model"

    def __init__(
        self, task: Task, seed: int = 0, settings: Any = None, model: Any = "tabular", device: str = "cpu"
    ) -> None:
        if task.players > 1:
            raise UsageError(
                f"a world model of {task.name}, which has {task.players} players",
                expected="a world of one player: what is learned holds one reward",
            )
        own = model_settings_class(model) if isinstance(model, str) else None
        self.settings: Any = run_settings_class(own)() if settings is None else settings
        if isinstance(model, str):
            model = build_model(model, task, model_settings(self.settings, own), seed, device)
        require(model, "learn", "training")
        self.model, self.seed, self.steps = model, seed, 0
        self.gamma = _gamma(self.settings, task)
        self._task = task
        self._collector = Collector(task, model, self.settings, self.gamma, seed)
        self._replays = bool(getattr(model, "replays", False))
        self._episodes: list[Trajectory] = []
        self._actor: Any = None
        planner = plans_with(model, self.settings, self.gamma)
        if planner is None:
            self.action_log_probs = self._action_log_probs
            return
        probe = SearchingActor(model, planner, task, seed, self.name)
        self.plan_for = self._plan_for
        if probe.remembers:
            self.initial_memory = probe.initial_memory
            self.act_with_memory = self._act_with_memory

    # ------------------------------------------------------------------------------------------- acting

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns actions; where what was seen and done before matters, as at the first step of an episode."""
        actions: Array = self._acting().act(observation, action_mask)
        return actions

    def _acting(self) -> Any:
        if self._actor is None:
            self._actor = actor_in(self.model, self.settings, self.gamma, self._task, self.seed, self.name)
        return self._actor

    def _action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        log_probs: Array = self._acting().action_log_probs(observation, action_mask)
        return log_probs

    def _act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        found: tuple[Array, Array] = self._acting().act_with_memory(observation, memory, reward, action_mask)
        return found

    def _plan_for(self, observation: Array) -> Any:
        return self._acting().plan_for(observation)

    # ------------------------------------------------------------------------------------------- learning

    def demonstrate(self, episodes: Sequence[Trajectory]) -> None:
        """Makes these the episodes that are learned from, and none are gathered."""
        self._collector.give(episodes)

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until `steps` environment steps in total, or until recorded episodes are used up; yields a round."""
        learning_task(self, self._task, task)
        while self.steps < steps:
            new = self._collector.round(min(steps - self.steps, round_size(self.settings, self.steps)))
            if not new:
                return
            self._actor = None
            report = fit_model(self.model, self._to_learn(new))
            self.steps += sum(map(len, new))
            found: dict[str, float] = {
                "steps": float(self.steps),
                "held_out_bits_per_step": report.held_out_bits_per_step,
                "prequential_bits_per_step": report.prequential_bits_per_step,
                **report.metrics,
            }
            whole = [episode for episode in new if episode.terminated or len(episode) == task.max_episode_steps]
            if whole:
                found["episode_return"] = float(np.mean([episode.total_reward for episode in whole]))
                found["episode_length"] = float(np.mean([len(episode) for episode in whole]))
            yield {name: value for name, value in found.items() if not math.isnan(value)}

    def _to_learn(self, new: list[Trajectory]) -> list[Trajectory]:
        """Returns what the model is given: the new episodes, or all that are kept."""
        if not self._replays:
            return new
        self._episodes += new
        excess = sum(map(len, self._episodes)) - self.settings.replay_steps
        while excess > 0 and len(self._episodes) > 1:
            excess -= len(self._episodes.pop(0))
        return list(self._episodes)

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {
            "steps": self.steps,
            "seed": self.seed,
            "collector": self._collector.state_dict(),
            "model": self.model.state_dict(),
            "episodes": packed_episodes(self._episodes),
        }

    def load_state_dict(self, state: State) -> None:
        self.steps, self.seed = int(state["steps"]), int(state["seed"])
        self._collector.load_state_dict(state["collector"])
        self.model.load_state_dict(state["model"])
        self._episodes = unpacked_episodes(state["episodes"])
        self._actor = None


def _gamma(settings: ModelLearningSettings, task: Task) -> float:
    if settings.gamma is not None:
        return settings.gamma
    return min(task.world.gamma, MOST_GAMMA) if task.world is not None else MOST_GAMMA
