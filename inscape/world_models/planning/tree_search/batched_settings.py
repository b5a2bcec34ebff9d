"""Settings that the batched searches `PUCT` and `Gumbel`, and agents that use them, have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.interface import check_gamma
from inscape.world_models.planning.tree_search.settings import require_count


@dataclass(frozen=True)
class BatchedSearchSettings:
    """What a batched search does, whatever its rule of selection."""

    num_simulations: int = 128
    """Simulations per decision and state."""
    gamma: float = 0.99
    """Discount per step, from 0 to 1; a state's future counts gamma times its probability of going on."""
    rollout: Literal["uniform", "none"] = "uniform"
    """How a new state is valued where nothing is given to evaluate it: by the return of uniformly random legal actions,
    or as 0."""
    max_depth: int = 200
    """Longest descent (it then stops at the stored value), and longest roll-out (what is beyond counts 0)."""
    max_nodes: int | None = None
    """Most states kept of a tree; None: one for each simulation, and twice as many where subtrees are kept between
    moves. A full tree still simulates; what is new is valued and forgotten."""
    max_outcomes: int = 8
    """Most outcomes kept of an action whose outcomes are sampled, because the model does not list them; an action tried
    n times keeps √n at most. 1 where the model has no randomness."""
    leaves: int = 1
    """Leaves valued together in each tree, in models and with `evaluate`: fewer, larger batches. Leaves under way count
    as visits (virtual visits), so that they differ."""
    value_range: tuple[float, float] | None = None
    """Lowest and highest return there can be, by which action values are scaled; None: those met in the tree."""
    keep_trees: bool = False
    """Whether plans hold the tree searched (`Plan.tree`)."""

    def __post_init__(self) -> None:
        for name in ("num_simulations", "max_depth", "max_outcomes", "leaves"):
            require_count(self, name)
        if self.max_nodes is not None:
            require_count(self, "max_nodes")
        check_gamma(self.gamma)
        if self.rollout not in ("uniform", "none"):
            raise UsageError(f"rollout = {self.rollout!r}", expected="'uniform' or 'none'")
        if self.value_range is not None:
            low, high = self.value_range
            if not -math.inf < low < high < math.inf:
                raise UsageError(
                    f"value_range = {self.value_range}", expected="two finite numbers, the lower one first"
                )

    def _require_weights(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise UsageError(f"{name} = {value}", expected="a finite number of at least 0")


class SelectionRule(BatchedSearchSettings, ABC):
    """A batched search's settings with its rule of selection, in `kernels/tree.py` number `selection`."""

    selection: ClassVar[int]

    @property
    @abstractmethod
    def value_weights(self) -> tuple[float, float]:
        """Scale and offset of σ, by which Gumbel weighs action values."""

    @abstractmethod
    def begin_roots(self, T: Any, roots: np.ndarray, keys: np.ndarray, run: int, count: int) -> dict[str, np.ndarray]:
        """Draws the roots' noise for `count` simulations and returns tables to be put in place of those of `Trees`.

        Args:
            T: `Columns`. roots: `[B]` nodes. keys: `[B]` random streams. run: how often this was called before.
        """

    @abstractmethod
    def read_roots(self, T: Any, roots: np.ndarray, engine: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns (`[B]` actions proposed, `[B]` values of the states, `[B, A]` distribution over actions)."""
