"""A sparse prior over the successors of an action: how many there are is unknown, and so is whether they are alike.

The support has k of n states, each set of k alike, P(k) ∝ 2^−k; given it, with probability ½ each, all k are equally
probable, or the law is Dirichlet(1, …, 1) over them. Everything is summed out exactly: with counts N_i of k₀ different
successors, N in all,

    P(D | k, equal) = [n−k₀ over k−k₀]/[n over k] · k^−N,
    P(D | k, Dirichlet) = [n−k₀ over k−k₀]/[n over k] · Γ(k)/Γ(k + N) · Π Γ(1 + N_i).

Source: Friedman & Singer (1999), "Efficient Bayesian parameter estimation in large discrete domains", NIPS 11, for the
Dirichlet part; Strens (2000), ICML, uses such priors in posterior sampling.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.special import digamma, gammaln

MORE = 12
"""Successors beyond those seen that are taken to be possible at most."""


@functools.lru_cache(maxsize=200_000)
def posterior(counts: tuple[int, ...], size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns `(k [J], P(k, equal | D) [J], P(k, Dirichlet | D) [J])` for the counts of the successors seen.

    Args:
        counts: how often each successor was seen, at least once.
        size: n, how many states there are; at least as many as were seen.
    """
    seen, total = len(counts), sum(counts)
    low = max(seen, 1)
    k = np.arange(low, min(max(size, low), low + MORE) + 1, dtype=np.float64)
    size = max(size, low)
    contains = _log_choose(size - seen, k - seen) - _log_choose(size, k)
    shared = contains - k * math.log(2.0)
    equal = shared - total * np.log(k)
    other = shared + gammaln(k) - gammaln(k + total) + float(gammaln(1.0 + np.array(counts, np.float64)).sum())
    most = max(equal.max(), other.max())
    equal, other = np.exp(equal - most), np.exp(other - most)
    mass = equal.sum() + other.sum()
    return k, equal / mass, other / mass


@functools.lru_cache(maxsize=200_000)
def predictive(counts: tuple[int, ...], size: int) -> tuple[np.ndarray, float]:
    """Returns P of each successor seen `[k₀]`, and P of all others together; they add up to 1.

    Args:
        counts, size: as in `posterior`.
    """
    k, equal, other = posterior(counts, size)
    seen, total = len(counts), sum(counts)
    number = np.array(counts, np.float64)
    probability = float((equal / k).sum()) + (1.0 + number) * float((other / (k + total)).sum())
    return probability, float(((k - seen) * (equal / k + other / (k + total))).sum())


def drawn(counts: tuple[int, ...], size: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Returns a draw from the posterior over laws: of each successor seen, and of all others together.

    Args:
        counts, size: as in `posterior`.
        rng: what is drawn from.
    """
    k, equal, other = posterior(counts, size)
    which = int(rng.choice(2 * len(k), p=np.append(equal, other)))
    support, seen = int(k[which % len(k)]), len(counts)
    if which < len(k):
        return np.full(seen, 1.0 / support), (support - seen) / support
    alpha = np.append(1.0 + np.array(counts, np.float64), np.ones(support - seen))
    law = rng.dirichlet(alpha)
    return law[:seen], float(law[seen:].sum())


def _log_choose(n: float, k: np.ndarray) -> np.ndarray:
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))


@functools.lru_cache(maxsize=200_000)
def information(counts: tuple[int, ...], size: int) -> float:
    """Returns the information in nats that the next successor would give about the law: H[mean law] − E[H[law]].

    Args:
        counts, size: as in `posterior`.
    """
    k, equal, other = posterior(counts, size)
    probability, unseen = predictive(counts, size)
    left = size - len(counts)
    entropy = -float((probability * np.log(probability)).sum())
    if left > 0 and unseen > 0.0:
        entropy -= unseen * math.log(unseen / left)
    number, total = np.array(counts, np.float64), float(sum(counts))
    seen = (digamma(2.0 + number) * (1.0 + number)).sum() + (k - len(counts)) * digamma(2.0)
    noise = float((equal * np.log(k)).sum() + (other * (digamma(k + total + 1.0) - seen / (k + total))).sum())
    return max(0.0, entropy - noise)
