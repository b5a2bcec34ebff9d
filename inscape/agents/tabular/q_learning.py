"""Tabular Q-learning: Q(s,a) ← Q(s,a) + α·(r + γ·(1 − terminated)·max_a′ Q(s′,a′) − Q(s,a)).

Source: Watkins (1989), Learning from Delayed Rewards, chapter 7; Watkins & Dayan (1992), Machine Learning 8.
"""

from __future__ import annotations

from dataclasses import dataclass

from inscape.agents.tabular.base import TabularAgent, TabularSettings


@dataclass(frozen=True)
class QLearningSettings(TabularSettings):
    """Settings of tabular Q-learning."""


class QLearning(TabularAgent):
    """Learns off-policy: what it tries does not change what it learns to value. See `TabularAgent`."""

    name = "q-learning"
    algorithm = "q_learning"
    Settings = QLearningSettings
