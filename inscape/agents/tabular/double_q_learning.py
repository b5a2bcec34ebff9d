"""Double Q-learning: of two tables one says which action is best and the other what it is worth.

The maximum of noisy estimates is too high on average; an estimate that did not choose itself is not.

Source: van Hasselt (2010), Double Q-learning, NeurIPS, algorithm 1; Sutton & Barto (2018), section 6.7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inscape.agents.tabular.base import TabularAgent, TabularSettings
from inscape.world_models.networks.types import Array


@dataclass(frozen=True)
class DoubleQLearningSettings(TabularSettings):
    """Settings of tabular double Q-learning."""


class DoubleQLearning(TabularAgent):
    """Two tables `pair [2N, rows, A]` (of learner i: 2i and 2i + 1); acts on their mean, `q`. See `TabularAgent`."""

    name = "double-q-learning"
    algorithm = "double_q_learning"
    Settings = DoubleQLearningSettings

    def _make_tables(self, shape: tuple[int, int, int]) -> dict[str, Array]:
        both = (2 * shape[0], *shape[1:])
        return {
            "q": np.full(shape, self.settings.initial_value),
            "pair": np.full(both, self.settings.initial_value),
            "counts": np.zeros(both, np.int64),
        }

    @property
    def counts(self) -> Array:
        """How often each entry of either table of the first learner was updated."""
        return np.asarray(self.tables["counts"][:2].sum(axis=0))
