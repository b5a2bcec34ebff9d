"""Monte Carlo control: learns from whole returns, and believes no estimate but where a time limit cuts an episode.

Source: Sutton & Barto (2018), sections 5.3, 5.4 (first visit, every visit), 5.7 (off-policy, weighted importance
sampling).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from inscape.agents.learning.settings_checks import require_range
from inscape.agents.tabular.base import TabularAgent, TabularSettings
from inscape.envs.tasks.task import Task
from inscape.world_models.networks.types import Array

VISITS = ("first", "every", "off-policy")


@dataclass(frozen=True)
class MonteCarloSettings(TabularSettings):
    """Settings of Monte Carlo control."""

    learning_rate_power: float = 0.6
    """The n-th return of a pair counts learning_rate · n^−power: 1 is their mean, of which less forgets poorer policies
    sooner. Off-policy, weights decide."""
    visits: Literal["first", "every", "off-policy"] = "first"
    """Returns learned from: of first visits in an episode, of every visit, or of the greedy policy by weighing."""
    longest_episode: int = 10_000
    """Where the task sets no limit, episodes are cut after so many steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, 1, 10**7, "longest_episode")


class MonteCarlo(TabularAgent):
    """Learns at the end of each episode from the returns of its steps. See `TabularAgent`."""

    name = "monte-carlo"
    algorithm = "monte_carlo"
    Settings = MonteCarloSettings

    def __init__(self, task: Task, seed: int = 0, settings: MonteCarloSettings | None = None) -> None:
        self._longest = task.max_episode_steps or (settings or MonteCarloSettings()).longest_episode
        super().__init__(task, seed, settings)
        self._limit = self._longest

    def _make_tables(self, shape: tuple[int, int, int]) -> dict[str, Array]:
        episode = (shape[0], self._longest)
        return {
            **super()._make_tables(shape),
            "weights": np.zeros(shape),
            "stamps": np.zeros(shape, np.int64),
            "past_rows": np.zeros(episode, np.int64),
            "past_actions": np.zeros(episode, np.int64),
            "past_gains": np.zeros(episode),
            "past_chances": np.ones(episode),
            "first": np.zeros(episode, np.bool_),
        }

    def _extra(self) -> float:
        return float(VISITS.index(self.settings.visits))
