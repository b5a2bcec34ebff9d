"""Random shooting: the best of many random action sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.world_models.planning.control.proposals import shifted
from inscape.world_models.planning.control.search import Search
from inscape.world_models.planning.control.settings import ShootingSettings, require_gamma
from inscape.world_models.planning.interface import Evaluate, Plans


@dataclass(frozen=True)
class RandomShootingSettings(ShootingSettings):
    """Settings of random shooting."""

    population: int = 1000
    """Action sequences rolled out per decision."""


@dataclass(frozen=True)
class RandomShooting(RandomShootingSettings):
    """Draws action sequences uniformly and acts on the best.

    Source: Nagabandi, Kahn, Fearing & Levine (2018), "Neural network dynamics for model-based deep reinforcement
    learning with model-free fine-tuning", ICRA, section IV-D.
    """

    gamma: float = 0.99
    """Discount per step, from 0 to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_gamma(self)

    def plan(
        self,
        model: Any,
        states: Any,
        rng: np.random.Generator | np.ndarray,
        evaluate: Evaluate | None = None,
        previous: Plans | None = None,
    ) -> Plans:
        """Returns a plan for each of B states; see `CEM.plan`. With `previous`, the last sequence competes too."""
        search = Search(self, model, states, rng, evaluate)
        shape: tuple[int, ...] = (self.population, self.horizon)
        if search.actions:
            drawn = np.array([own.integers(search.actions, size=shape) for own in search.rngs])
        else:
            shape += (len(search.low),)
            drawn = np.array([own.uniform(search.low, search.high, shape) for own in search.rngs])
        kept = search.carried_from(previous, int(drawn[0, 0].size)).reshape(drawn[:, 0].shape)
        warm = ~np.isnan(kept).any(axis=tuple(range(1, kept.ndim)))
        drawn[warm, 0] = kept[warm]
        best = drawn[np.arange(search.batch), search.returns(drawn).argmax(axis=1)]
        return search.plans(best, shifted(best).reshape(search.batch, -1).astype(np.float64), None)

    def carried_per_step(self, actions: int, dimensions: int) -> int:
        """Returns how many numbers a step of the horizon takes in what is carried to the next decision."""
        return dimensions or 1
