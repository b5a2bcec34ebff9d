"""iCEM: the cross-entropy method with coloured noise, elites kept, and a shifted start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.world_models.planning.control.cem import improve
from inscape.world_models.planning.control.search import Search
from inscape.world_models.planning.control.settings import ICEMSettings, require_gamma
from inscape.world_models.planning.interface import Evaluate, Plans


@dataclass(frozen=True)
class ICEM(ICEMSettings):
    """The cross-entropy method as improved for few samples.

    Noise along a sequence is correlated (`noise_exponent`). A share of the elites is kept from one iteration to the
    next and, a step on, from one decision to the next. The population shrinks as the distribution narrows; the mean
    joins the last one, and its best sequence is acted on. Discrete actions: the same, their draws being as persistent.

    Source: Pinneri, Sawant, Blaes, Achterhold, Stueckler, Rolinek & Martius (2020), "Sample-efficient cross-entropy
    method for real-time planning", CoRL, algorithm 1. Sequences that tie for the last place among the
    elites share it.
    """

    gamma: float = 0.99
    """Discount per step, from 0 to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_gamma(self)

    @property
    def kept(self) -> int:
        """How many elites are kept."""
        return int(self.keep * self.elite_count)

    def plan(
        self,
        model: Any,
        states: Any,
        rng: np.random.Generator | np.ndarray,
        evaluate: Evaluate | None = None,
        previous: Plans | None = None,
    ) -> Plans:
        """Returns a plan for each of B states; see `CEM.plan`."""
        return improve(self, Search(self, model, states, rng, evaluate), previous, self.kept, self.decay)

    def carried_per_step(self, actions: int, dimensions: int) -> int:
        """Returns how many numbers a step of the horizon takes in what is carried to the next decision."""
        return (actions or dimensions) + self.kept * (dimensions or 1)
