"""Gathering experience for a model: who acts is a data source, what comes back are episodes of so many steps in all.

Sources: ε-greedy plans: Sutton (1991), "Dyna", SIGART Bulletin 2(4); disagreement: Sekar et al. (2020), ICML; posterior
sampling: Strens (2000), ICML; Osband, Russo & Van Roy (2013), NeurIPS, algorithm 1.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.learning.model_settings import ModelLearningSettings
from inscape.agents.models.acting import NoisyActor, SearchingActor, TableActor
from inscape.agents.models.curious import CuriousModel, curious_table
from inscape.agents.random_agent import RandomAgent
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.law.states import States
from inscape.errors import UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.episodes import check_episodes, check_spaces
from inscape.world_models.interface import require

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

# experiments stand on agents, which name what they ask of them and do not import it
EPISODES = ("inscape.experiments.runs.storage.episodes", "load_trajectories")
CURIOUS_GAMMA = 0.98
"""Most that the future counts where disagreement is sought: it is paid wherever little is known, without end."""
AT_ONCE = 64
DEFAULTS = {"num_simulations": 200, "horizon": 20, "population": 64}
"""Settings of planners that have them, where `planner_settings` does not say."""


def plans_with(model: Any, settings: ModelLearningSettings, gamma: float) -> Any:
    """Returns the planner that settings name for a model; None where its tables are solved exactly.

    Raises:
        UsageError: no such planner, or a setting that it does not have.
    """
    from inscape.world_models.planning.catalogue import make_planner

    name = settings.planner
    if name == "auto":
        if callable(getattr(model, "tabular", None)):
            if settings.planner_settings:
                raise UsageError(
                    f"planner_settings {settings.planner_settings} with planner auto, which solves tables exactly",
                    expected="a planner that has settings", hint="--planner uct",
                )  # fmt: skip
            return None
        # sequences of actions are simulated a batch at a time, which is what models made of networks are fast at
        name = getattr(model, "default_planner", "icem")
    return make_planner(name, {"gamma": gamma, **DEFAULTS}, **settings.planner_settings)


def actor_in(model: Any, settings: ModelLearningSettings, gamma: float, task: Task, seed: int, name: str) -> Any:
    """Returns the agent that acts by planning in a model."""
    planner = plans_with(model, settings, gamma)
    if planner is None:
        return TableActor(model.tabular(), gamma, np.random.default_rng(seed), name)
    return SearchingActor(model, planner, task, seed, name)


class Collector:
    """Gathers episodes as `settings.collect` says, or hands out recorded ones (`settings.data`), a round at a time.

    Args:
        task: what is acted in.
        model: the model that is being learned; None for random play alone.
        settings: who acts.
        gamma: discount of plans.
        seed: of everything random.

    Raises:
        UsageError: the model lacks what the source needs, or none is given.
    """

    def __init__(self, task: Task, model: Any, settings: ModelLearningSettings, gamma: float, seed: int) -> None:
        self.task, self.model, self.settings, self.gamma = task, model, settings, gamma
        self._rng = np.random.default_rng([seed, 2])
        self._fitted = False  # whether plans can be made in the model
        self._recorded: list[Trajectory] | None = None
        self._used = 0  # steps of the recorded episodes handed out
        source = settings.collect
        if source != "random" and model is None:
            raise UsageError(
                f"collect = {source!r} without a model", expected="a world model that is learned on the way",
                hint="--model tabular",
            )  # fmt: skip
        if source == "disagreement":
            require(model, "disagreement", "collect = 'disagreement'")
        if source == "posterior":
            require(model, "sample_model", "collect = 'posterior'")

    def give(self, episodes: Sequence[Trajectory]) -> None:
        """Makes these the recorded episodes that are handed out.

        Raises:
            UsageError: none of them has a step; something is not finite or not of the task's spaces (episode and step).
        """
        given = list(episodes)
        if wrong := [one for one in given if not isinstance(one, Trajectory)]:
            raise UsageError(f"data of {type(wrong[0]).__name__}", expected="a list of Trajectory", hint="rollout(…)")
        check_episodes(given, f"a model of {self.task.name}")
        check_spaces(given, self.task.observation_space, self.task.action_space, f"a model of {self.task.name}")
        self._recorded = [episode for episode in given if len(episode)]

    def ready(self) -> None:
        """Says that plans can be made in the model from the first round on: it has learned before."""
        self._fitted = True

    def round(self, steps: int) -> list[Trajectory]:
        """Returns the next episodes, of `steps` steps in all: the last one is cut. Fewer, or none: no more recorded."""
        if self.settings.data and self._recorded is None:
            module, name = EPISODES
            self.give(getattr(importlib.import_module(module), name)(self.settings.data))
        if self._recorded is not None:
            found = _slice(self._recorded, self._used, self._used + steps)
            self._used += sum(map(len, found))
            return found
        found, left, length = [], steps, 1.0
        while left > 0:
            count = max(1, min(AT_ONCE, int(left / length)))
            for episode in self._episodes(count):
                if left > 0:
                    episode = _cut(episode, left)
                    found.append(episode)
                    left -= len(episode)
            length = max(1.0, sum(map(len, found)) / len(found))
        self._fitted = True
        return found

    def _episodes(self, count: int) -> list[Trajectory]:
        from inscape.agents.rollout import rollout

        if self.settings.collect == "posterior":
            return [rollout(self._drawn(), self.task, 1, self._seed())[0] for _ in range(count)]
        return rollout(self._actor(), self.task, count, self._seed())

    def _seed(self) -> int:
        return int(self._rng.integers(2**31))

    def _actor(self) -> Any:
        source = self.settings.collect
        if source == "random" or not self._fitted:
            return RandomAgent(self.task, self._seed())
        if source == "disagreement":
            return self._curious()
        actor = actor_in(self.model, self.settings, self.gamma, self.task, self._seed(), self.task.name)
        return actor if source == "planning" else NoisyActor(actor, self.settings.epsilon, self.task, self._seed())

    def _curious(self) -> Any:
        gamma = min(self.gamma, CURIOUS_GAMMA)
        if self.settings.planner == "auto" and callable(getattr(self.model, "tabular", None)):
            return TableActor(curious_table(self.model), gamma, np.random.default_rng(self._seed()), "curious")
        return actor_in(CuriousModel(self.model), self.settings, gamma, self.task, self._seed(), "curious")

    def _drawn(self) -> Any:
        # a table's own draws know no way to what was never tried
        drawn = getattr(self.model, "sample_optimistic", self.model.sample_model)(self._rng)
        return actor_in(drawn, self.settings, self.gamma, self.task, self._seed(), "posterior")

    def state_dict(self) -> dict[str, Any]:
        """Returns where it stands; recorded episodes are not repeated."""
        return {"rng": rng_state(self._rng), "fitted": self._fitted, "used": self._used}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        restore_rng(self._rng, state["rng"])
        self._fitted, self._used = bool(state["fitted"]), int(state["used"])


def gathered(
    collector: Collector, steps: int, fit: Callable[[Sequence[Trajectory]], Any]
) -> Iterator[list[Trajectory]]:
    """Yields rounds of episodes until `steps` steps in all, `fit` having been called with each."""
    taken = 0
    while taken < steps:
        episodes = collector.round(min(steps - taken, round_size(collector.settings, taken)))
        if not episodes:
            return
        taken += sum(map(len, episodes))
        fit(episodes)
        yield episodes


def round_size(settings: ModelLearningSettings, taken: int) -> int:
    """Returns how many steps there are between two fits after `taken` ones."""
    return max(settings.round_steps, math.ceil(settings.round_growth * taken))


def _slice(episodes: Sequence[Trajectory], start: int, stop: int) -> list[Trajectory]:
    """Returns steps `start` to `stop` of episodes laid end to end."""
    found, at = [], 0
    for episode in episodes:
        low, high = max(start - at, 0), min(stop - at, len(episode))
        if low < high:
            found.append(_part(episode, low, high))
        at += len(episode)
    return found


def _cut(episode: Trajectory, steps: int) -> Trajectory:
    return episode if len(episode) <= steps else _part(episode, 0, steps)


def _part(episode: Trajectory, low: int, high: int) -> Trajectory:
    """Returns steps `low` to `high` of an episode; where it does not come to its end, it is truncated."""
    if (low, high) == (0, len(episode)):
        return episode
    whole, states, masks = high == len(episode), episode.states, episode.action_masks
    return dataclasses.replace(
        episode,
        observations=episode.observations[low : high + 1],
        actions=episode.actions[low:high],
        rewards=episode.rewards[low:high],
        terminated=episode.terminated and whole,
        truncated=episode.truncated or not whole,
        states=None if states is None else States(states.floats[:, low : high + 1], states.ints[:, low : high + 1]),
        action_masks=None if masks is None else masks[low:high],
    )
