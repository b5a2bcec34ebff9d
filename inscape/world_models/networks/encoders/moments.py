"""Running mean and variance of batches."""

from __future__ import annotations

from typing import Any


def merged_moments(mean: Any, variance: Any, weight: Any, more: Any, spread: Any, count: int) -> tuple[Any, Any, Any]:
    """Returns mean, variance and weight of numbers known by those and of `count` more, of mean `more` and variance
    `spread`; numbers, arrays and tensors alike.

    Source: Chan, Golub & LeVeque (1983), The American Statistician 37(3), equations 2.1.
    """
    total = weight + count
    shift = more - mean
    squares = variance * weight + spread * count + shift**2 * weight * count / total
    return mean + shift * count / total, squares / total, total
