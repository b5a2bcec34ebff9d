"""PUCT, the search of AlphaZero and MuZero, for a batch of states at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.planning.interface import Evaluate, Plans
from inscape.world_models.planning.tree_search.batched_settings import SelectionRule

if TYPE_CHECKING:
    from inscape.world_models.planning.tree_search.batched import BatchedSearch


@dataclass(frozen=True)
class PUCT(SelectionRule):
    """The planner: `PUCT(num_simulations=128).plan(model, states, rng, evaluate)`, one tree for each of B states.

    An action's upper bound is its mean return plus c(N)·P(a)·√N/(1 + N(a)), P the prior of `evaluate` (uniform without
    one) and c(N) = exploration + log((1 + N + exploration_base)/exploration_base). It proposes the action taken most
    often, whose mean return is the value of the state; `Plans.action_probs` are the shares of visits. What it needs of
    a model: finitely many actions; `mover_of` where several players act in turn.

    Source: Silver et al. (2018), Science 362, supplement; values in units of the tree's span, and no domain knowledge:
    Schrittwieser et al. (2020), Nature 588, appendix B.
    """

    selection: ClassVar[int] = 0

    exploration: float = 1.25
    """c at few visits."""
    exploration_base: float = 19652.0
    """Visits at which c grows."""
    dirichlet_fraction: float = 0.0
    """Share of the root's prior that is random, so that self-play tries everything (AlphaZero: 0.25)."""
    dirichlet_alpha: float = 0.3
    """Concentration of that part: small is uneven (AlphaZero: about 10 divided by the number of actions)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_weights("exploration")
        for name in ("exploration_base", "dirichlet_alpha"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise UsageError(f"{name} = {getattr(self, name)}", expected="a positive number")
        if not 0.0 <= self.dirichlet_fraction <= 1.0:
            raise UsageError(f"dirichlet_fraction = {self.dirichlet_fraction}", expected="a share from 0 to 1")

    def plan(self, model: Any, states: Any, rng: np.random.Generator, evaluate: Evaluate | None = None) -> Plans:
        """Returns a plan for each of B states; see `BatchedSearch` for the arguments, and for what it raises."""
        from inscape.world_models.planning.tree_search.batched import BatchedSearch

        return BatchedSearch(self, model, states, rng, evaluate, keep=False).run()

    def begin(
        self, model: Any, states: Any, rng: np.random.Generator, evaluate: Evaluate | None = None
    ) -> BatchedSearch:
        """Returns a search that goes on: `run()`, then `advance(actions, states)`, which keeps the subtrees."""
        from inscape.world_models.planning.tree_search.batched import BatchedSearch

        return BatchedSearch(self, model, states, rng, evaluate)

    # ------------------------------------------------------------------------------------------- the rule

    @property
    def value_weights(self) -> tuple[float, float]:
        return 0.0, 0.0

    def begin_roots(self, T: Any, roots: np.ndarray, keys: np.ndarray, run: int, count: int) -> dict[str, np.ndarray]:
        """Mixes noise into the roots' prior; returns the table of c(N)·√N."""
        if self.dirichlet_fraction:
            prior = T.prior[roots]
            legal = prior > 0.0
            draws = np.random.default_rng([run, *keys.view(np.uint64).tolist()])
            gamma = np.where(legal, draws.standard_gamma(self.dirichlet_alpha, prior.shape), 0.0)
            gamma += legal * 1e-300  # a small concentration can round every one of them to 0
            gamma /= gamma.sum(axis=1, keepdims=True)
            T.prior[roots] = (1.0 - self.dirichlet_fraction) * prior + self.dirichlet_fraction * gamma
        n = np.arange(int(T.visits[roots].max()) + count + self.leaves + 2, dtype=np.float64)
        c = self.exploration + np.log((1.0 + n + self.exploration_base) / self.exploration_base)
        return {"spread": c * np.sqrt(n)}

    def read_roots(self, T: Any, roots: np.ndarray, engine: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the most visited actions (of several, the one of highest value), their values, shares of visits."""
        visits = T.tried[roots]
        most = visits == visits.max(axis=1, keepdims=True)
        actions = np.where(most, T.q[roots], -np.inf).argmax(axis=1)
        return actions, T.q[roots, actions], visits / visits.sum(axis=1, keepdims=True)
