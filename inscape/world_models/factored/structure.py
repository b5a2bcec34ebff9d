"""What one variable depends on: Dirichlet counts for each set of parents, averaged exactly over the sets.

P(D | U) = Π_u Γ(c)/Γ(c + n_u) Π_k Γ(c/r + n_uk)/Γ(c/r) for parents U with configurations u; P(U) is uniform over sizes
and over the sets of a size; what is predicted is Σ_U P(U | D)·(n_uk + c/r)/(n_u + c).

Sources: Heckerman, Geiger & Chickering (1995), "Learning Bayesian networks", Machine Learning 20 (the BDe score);
Friedman, Murphy & Russell (1998), "Learning the structure of dynamic probabilistic networks", UAI.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

Array = np.ndarray
LEAST_WEIGHT = 1e-6
"""Sets of parents of less posterior probability are left out."""


@dataclass(frozen=True, eq=False)
class ParentSet:
    """One set of parents: the counts of the variable under each of their configurations that was seen.

    Attributes:
        parents: columns.
        keys: `[U]` the configurations as numbers, in order.
        counts: `[U, r]`.
        weight: posterior probability of the set.
    """

    parents: tuple[int, ...]
    keys: Array
    counts: Array
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Dependence:
    """What a variable of `size` values depends on, as far as is known.

    Attributes:
        sizes: how many values each column has.
        size: r, how many values the variable has.
        prior: c, the mass of the Dirichlet, spread over its values.
        sets: sets of parents, the most probable one first.
    """

    sizes: tuple[int, ...]
    size: int
    prior: float
    sets: tuple[ParentSet, ...]

    def probabilities(self, columns: Array) -> Array:
        """Returns `[B, r]` what is predicted given the `[B, …]` columns."""
        total = np.zeros((len(columns), self.size))
        for one in self.sets:
            counts = self.counts(one, columns)
            share = (counts + self.prior / self.size) / (counts.sum(axis=1, keepdims=True) + self.prior)
            total += one.weight * share
        return np.asarray(total / total.sum(axis=1, keepdims=True))

    def counts(self, one: ParentSet, columns: Array) -> Array:
        """Returns `[B, r]` counts of a set of parents under the configurations in `[B, …]` columns."""
        keys = configuration(columns, one.parents, self.sizes)
        if not len(one.keys):
            return np.zeros((len(columns), self.size))
        at = np.minimum(np.searchsorted(one.keys, keys), len(one.keys) - 1)
        return np.where((one.keys[at] == keys)[:, None], one.counts[at], 0.0)

    def gain(self, columns: Array) -> Array:
        """Returns `[B]` the information in nats that another value would give about the law, under the best set."""
        from scipy.special import digamma

        alpha = self.counts(self.sets[0], columns) + self.prior / self.size
        total = alpha.sum(axis=1, keepdims=True)
        share = alpha / total
        gain = (share * (digamma(alpha + 1.0) - digamma(total + 1.0) - np.log(share))).sum(axis=1)
        return np.asarray(np.maximum(gain, 0.0))


def learned_dependence(
    columns: Array, values: Array, times: Array, candidates: Sequence[int], sizes: Sequence[int], size: int,
    prior: float, most: int | None,
) -> Dependence:  # fmt: skip
    """Returns what a variable depends on.

    Args:
        columns: `[N, …]` integers from 0.
        values: `[N]` the variable.
        times: `[N]` how often each row was seen.
        candidates: columns that may be parents.
        sizes: how many values each column has.
        size: how many values the variable has.
        prior: mass of the Dirichlet.
        most: parents at most; None: all candidates are parents.
    """
    if most is None:
        return Dependence(
            tuple(sizes), size, prior, (_counted(columns, values, times, tuple(candidates), sizes, size),)
        )
    most = min(most, len(candidates))
    made, scores = [], []
    for number in range(most + 1):
        penalty = math.log(math.comb(len(candidates), number))
        for parents in itertools.combinations(candidates, number):
            one = _counted(columns, values, times, parents, sizes, size)
            made.append(one)
            scores.append(_log_evidence(one.counts, prior) - penalty)
    weights = np.exp(np.array(scores) - max(scores))
    weights /= weights.sum()
    order = [k for k in np.argsort(-weights, kind="stable") if weights[k] > LEAST_WEIGHT]
    kept = [ParentSet(made[k].parents, made[k].keys, made[k].counts, float(weights[k])) for k in order]
    return Dependence(tuple(sizes), size, prior, tuple(kept))


def configuration(columns: Array, parents: Sequence[int], sizes: Sequence[int]) -> Array:
    """Returns `[B]` numbers of the configurations of some columns, different for different ones."""
    keys = np.zeros(len(columns), np.int64)
    for parent in parents:
        keys = keys * sizes[parent] + columns[:, parent]
    return keys


def _counted(
    columns: Array, values: Array, times: Array, parents: tuple[int, ...], sizes: Sequence[int], size: int
) -> ParentSet:
    keys, at = np.unique(configuration(columns, parents, sizes), return_inverse=True)
    counts = np.bincount(at * size + values, times, len(keys) * size).reshape(len(keys), size)
    return ParentSet(parents, keys, counts)


def _log_evidence(counts: Array, prior: float) -> float:
    size = counts.shape[1]
    total = counts.sum(axis=1)
    apart = gammaln(prior) * len(counts) - gammaln(prior + total).sum()
    seen = counts[counts > 0]
    return float(apart + (gammaln(prior / size + seen) - gammaln(prior / size)).sum())
