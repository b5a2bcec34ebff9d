"""Dyna-Q: Q-learning that also learns, many times per step, from a model of what it has seen.

Source: Sutton (1990), Integrated architectures for learning, planning, and reacting, ICML; Sutton & Barto (2018),
section 8.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inscape.agents.learning.settings_checks import require_range
from inscape.agents.tabular.base import TabularAgent, TabularSettings
from inscape.world_models.networks.types import Array


@dataclass(frozen=True)
class DynaQSettings(TabularSettings):
    """Settings of Dyna-Q."""

    planning_steps: int = 10
    """Updates from the model after each step in the world."""
    outcomes: int = 16
    """What followed a pair is drawn from its last so many outcomes; 1 suits deterministic worlds."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, 0, 10_000, "planning_steps")
        require_range(self, 1, 10_000, "outcomes")


class DynaQ(TabularAgent):
    """Q-learning with a model of the last outcomes of each pair. See `TabularAgent`."""

    name = "dyna-q"
    algorithm = "dyna_q"
    Settings = DynaQSettings

    def _make_tables(self, shape: tuple[int, int, int]) -> dict[str, Array]:
        model = (*shape, self.settings.outcomes)
        return {
            **super()._make_tables(shape),
            "tried": np.zeros(shape, np.int64),
            "pairs": np.zeros((shape[0], shape[1] * shape[2]), np.int64),
            "known": np.zeros(shape[0], np.int64),
            "model_rows": np.zeros(model, np.int64),
            "model_gains": np.zeros(model),
            "model_ends": np.zeros(model, np.bool_),
        }

    def _extra(self) -> float:
        return float(self.settings.planning_steps)
