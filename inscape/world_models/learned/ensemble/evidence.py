"""Means in closed form: Bayesian linear regression on features whose prior the evidence chooses.

Sources: MacKay (1992), "Bayesian interpolation", Neural Computation 4(3); the linear part has a flat prior and is
integrated out, as in restricted maximum likelihood: Rasmussen & Williams (2006), "Gaussian processes for machine
learning", section 2.7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATIOS = np.concatenate([np.logspace(-10.0, 5.0, 46), [np.inf]])
"""Prior precision over noise precision, relative to the mean square of a feature summed over the rows."""


@dataclass(frozen=True, eq=False)
class Regression:
    """What the regression found.

    Attributes:
        of_features: `[F, C]` weights. of_inputs: `[I, C]`. constants: `[C]`.
        variance: `[C]` of the noise.
        log_evidence: of all targets, in nats, up to what does not depend on the features.
    """

    of_features: np.ndarray
    of_inputs: np.ndarray
    constants: np.ndarray
    variance: np.ndarray
    log_evidence: float


def regress(features: np.ndarray, inputs: np.ndarray, targets: np.ndarray, least_variance: float) -> Regression:
    """Returns the posterior mean of `targets ≈ features·w + inputs·v + c`, w ~ N(0, σ²/r), r by each target's evidence.

    Args:
        features: `[N, F]`. inputs: `[N, I]`; any rank. targets: `[N, C]`.
        least_variance: of the noise: of what is exact, no more is asked.
    """
    rows, width = targets.shape
    linear = np.concatenate([inputs, np.ones((rows, 1))], axis=1)
    left, sizes, right = np.linalg.svd(linear, full_matrices=False)
    rank = int((sizes > 1e-9 * sizes[0] * np.sqrt(rows)).sum())
    left, sizes, right = left[:, :rank], sizes[:rank], right[:rank]
    free = max(rows - rank, 1)
    rest, beside = targets - left @ (left.T @ targets), features - left @ (left.T @ features)
    values, vectors = np.linalg.eigh(beside.T @ beside)
    values = np.maximum(values, 0.0)
    kept = values > 1e-12 * max(float(values[-1]), 1e-300)
    values, vectors = values[kept], vectors[:, kept]
    along = (vectors.T @ (beside.T @ rest)) / np.sqrt(values)[:, None]  # [E, C]
    squares = (rest**2).sum(axis=0)
    scale = max(float(values.sum()) / features.shape[1], 1e-12)
    ratios = RATIOS * scale
    with np.errstate(divide="ignore"):
        shrunk = np.where(np.isinf(ratios)[:, None], 0.0, values / (values + ratios[:, None]))  # [R, E]
        log_volume = np.log1p(np.where(np.isinf(ratios)[:, None], 0.0, values / ratios[:, None])).sum(axis=1)
    unexplained = np.maximum(squares - shrunk @ along**2, 0.0) / free  # [R, C]
    variances = np.maximum(unexplained, least_variance)
    evidence = -0.5 * free * (np.log(variances) + unexplained / variances) - 0.5 * log_volume[:, None]
    if rows - rank < 3:
        evidence[:-1] = -np.inf  # too few to tell anything from a line
    best = evidence.argmax(axis=0)
    columns = np.arange(width)
    weights = vectors @ (along / np.sqrt(values)[:, None] * shrunk[best].T)
    remaining = left.T @ (targets - features @ weights)
    solved = right.T @ (remaining / sizes[:, None])
    return Regression(weights, solved[:-1], solved[-1], variances[best, columns], float(evidence[best, columns].sum()))
