"""Markov chains with rewards: recurrent classes, gain, bias, and the term after it, by sparse linear systems.

Sources: Puterman (2005), "Markov Decision Processes", appendix A (classes, deviation matrix) and section 8.2 (gain and
bias: theorem 8.2.6); the Laurent expansion of discounted values: theorem 8.2.3 and section 10.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Chain:
    """A Markov chain: `matrix` is SciPy sparse `[S, S]`, and its rows sum to one."""

    matrix: Any

    @cached_property
    def classes(self) -> Array:
        """`[S]` number of each state's recurrent class, from 0; −1 where transient."""
        from scipy.sparse.csgraph import connected_components

        graph = self.matrix.copy()
        graph.eliminate_zeros()
        count, label = connected_components(graph, connection="strong")
        edges = graph.tocoo()
        left = np.zeros(count, bool)
        left[label[edges.row[label[edges.row] != label[edges.col]]]] = True
        numbers = np.where(left, -1, np.cumsum(~left) - 1)
        return np.asarray(numbers[label])

    @cached_property
    def stationary(self) -> Array:
        """`[S]` stationary distribution of each recurrent class, side by side: they sum to the number of classes."""
        first, others = self._parts
        found = np.zeros(len(self.classes))
        found[first] = 1.0  # visits between two visits of the first state
        found[others] = np.maximum(
            self._between.solve(self._rows(first, others).T @ np.ones(len(first)), trans="T"), 0.0
        )
        closed = self.classes >= 0
        label = self.classes[closed]
        found[closed] /= np.bincount(label, found[closed])[label]
        return found

    def gain_and_bias(self, reward: Array) -> tuple[Array, Array]:
        """Returns `[S]` g = P*·r and `[S]` h with g + h = r + P·h and P*·h = 0, for rewards `[S]`.

        Periodic chains too: P* is the limit of the averages of the powers of P, and h that of the averages of
        Σ (Pᵗr − g). Discounted values are g/(1 − γ) + h + O(1 − γ).
        """
        others = self._parts[1]
        recurrent = self.classes >= 0
        label = self.classes[recurrent]
        gains = np.bincount(label, self.stationary[recurrent] * reward[recurrent])
        gain, bias = np.zeros(len(recurrent)), np.zeros(len(recurrent))
        gain[recurrent] = gains[label]
        bias[others] = self._between.solve(reward[others] - gain[others])  # until the first state of the class
        bias[recurrent] -= np.bincount(label, self.stationary[recurrent] * bias[recurrent])[label]
        if not recurrent.all():
            passing = np.flatnonzero(~recurrent)
            into = self._rows(passing, np.flatnonzero(recurrent))
            gain[passing] = self._transient.solve(into @ gain[recurrent])
            bias[passing] = self._transient.solve(reward[passing] - gain[passing] + into @ bias[recurrent])
        return gain, bias

    @cached_property
    def _parts(self) -> tuple[Array, Array]:
        """The first state of each recurrent class, by class; and the other recurrent states."""
        closed = np.flatnonzero(self.classes >= 0)
        first = closed[np.unique(self.classes[closed], return_index=True)[1]]
        return first, np.setdiff1d(closed, first, assume_unique=True)

    def _rows(self, rows: Array, columns: Array) -> Any:
        return self.matrix[rows][:, columns]

    @cached_property
    def _between(self) -> Any:
        """Solves with I − P among recurrent states that are not the first of their class."""
        return _Factors(self._rows(self._parts[1], self._parts[1]))

    @cached_property
    def _transient(self) -> Any:
        passing = np.flatnonzero(self.classes < 0)
        return _Factors(self._rows(passing, passing))


class _Factors:
    """I − P, factored."""

    def __init__(self, matrix: Any) -> None:
        from scipy.sparse import identity
        from scipy.sparse.linalg import splu

        size = matrix.shape[0]
        self._factors = splu((identity(size) - matrix).tocsc()) if size else None

    def solve(self, right: Array, trans: str = "N") -> Array:
        return right.copy() if self._factors is None else np.asarray(self._factors.solve(right, trans=trans))
