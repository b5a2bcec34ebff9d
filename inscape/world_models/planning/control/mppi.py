"""Model predictive path integral control, over continuous or discrete actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.world_models.planning.control.search import Search
from inscape.world_models.planning.control.settings import MPPISettings, require_gamma
from inscape.world_models.planning.interface import Evaluate, Plans


@dataclass(frozen=True)
class MPPI(MPPISettings):
    """Averages random action sequences around the last plan, weighed by exp(return/λ); the plan is one of them.

    Continuous actions: the mean moves, the deviation stays. Discrete ones: probabilities move to the weighed shares,
    which minimises the same divergence from the optimal distribution. The term of the paper that penalises distance
    from uncontrolled dynamics is left out (its α = 1): what an action costs is in the law's reward.

    Source: Williams, Wagener, Goldfain, Drews, Rehg, Boots & Theodorou (2017), "Information theoretic MPC for
    model-based reinforcement learning", ICRA, algorithm 2.
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
        """Returns a plan for each of B states; see `CEM.plan`."""
        search = Search(self, model, states, rng, evaluate)
        size = self.horizon * (search.actions or len(search.low))
        proposal = search.proposal(self.initial_std, self.uniform_share, search.carried_from(previous, size))
        chosen = proposal.centre()
        for _ in range(self.iterations):
            drawn = proposal.sample(search.rngs, self.population, self.noise_exponent)
            drawn[:, 0] = proposal.centre()  # the last plan itself, without noise
            returns = search.returns(drawn)
            proposal = proposal.fitted(drawn, self._weights(returns), 0.0, spread=False)
            chosen = proposal.centre()
            if search.actions:  # what is most probable at each step need not go together: the best that begins so
                begins = drawn[:, :, 0] == chosen[:, :1]
                chosen = drawn[np.arange(len(drawn)), np.where(begins, returns, -np.inf).argmax(axis=1)]
        return search.plans(chosen, proposal.carried(), proposal)

    def _weights(self, returns: np.ndarray) -> np.ndarray:
        """Returns `[B, N]` weights ∝ exp(return/λ)."""
        scale = self.temperature * returns.std(axis=1, keepdims=True)
        best = returns.max(axis=1, keepdims=True)
        weights = np.exp((returns - best) / np.where(scale > 0.0, scale, 1.0))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def carried_per_step(self, actions: int, dimensions: int) -> int:
        """Returns how many numbers a step of the horizon takes in what is carried to the next decision."""
        return actions or dimensions
