"""SARSA, expected SARSA and SARSA of n steps: the values of the policy that is followed, exploration included.

Source: Rummery & Niranjan (1994), CUED/F-INFENG/TR 166; van Seijen, van Hasselt, Whiteson & Wiering (2009), ADPRL;
Sutton & Barto (2018), sections 6.4, 6.6 and 7.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inscape.agents.learning.settings_checks import require_range
from inscape.agents.tabular.base import TabularAgent, TabularSettings
from inscape.world_models.networks.types import Array


@dataclass(frozen=True)
class SarsaSettings(TabularSettings):
    """Settings of SARSA."""


@dataclass(frozen=True)
class ExpectedSarsaSettings(TabularSettings):
    """Settings of expected SARSA."""


@dataclass(frozen=True)
class NStepSarsaSettings(SarsaSettings):
    """Settings of SARSA of n steps."""

    n: int = 4
    """Rewards in each target, before the estimate takes over."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range(self, 1, 10_000, "n")


class Sarsa(TabularAgent):
    """Q(s,a) ← Q(s,a) + α·(r + γ·Q(s′,a′) − Q(s,a)), a′ the action that comes next. See `TabularAgent`."""

    name = "sarsa"
    algorithm = "sarsa"
    Settings = SarsaSettings

    @property
    def n(self) -> int:
        """Rewards in each target."""
        return 1

    def _make_tables(self, shape: tuple[int, int, int]) -> dict[str, Array]:
        waiting = (shape[0], self.n)
        return {
            **super()._make_tables(shape),
            "planned": np.full(shape[0], -1, np.int64),
            "last_rows": np.zeros(waiting, np.int64),
            "last_actions": np.zeros(waiting, np.int64),
            "last_gains": np.zeros(waiting),
        }

    def _begin_episode(self) -> None:
        self.tables["planned"][:] = -1


class NStepSarsa(Sarsa):
    """As SARSA, with n rewards before the estimate: from one step towards Monte Carlo. See `TabularAgent`."""

    name = "n-step-sarsa"
    Settings = NStepSarsaSettings

    @property
    def n(self) -> int:
        return int(self.settings.n)


class ExpectedSarsa(TabularAgent):
    """As SARSA, with the mean over the next action: the same aim with less noise. See `TabularAgent`."""

    name = "expected-sarsa"
    algorithm = "expected_sarsa"
    Settings = ExpectedSarsaSettings
