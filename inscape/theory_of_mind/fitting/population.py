"""How minds are spread over people: weights on a grid of minds, by expectation maximisation."""

from __future__ import annotations

import numpy as np

from inscape.theory_of_mind.controllers import Array

MOST_ROUNDS = 10_000
SETTLED = 1e-10
"""Gain of a round, relative to the objective, below which weights are taken to have settled."""


def population_weights(
    log_likelihoods: Array, prior: Array, concentration: float = 0.0, rounds: int = MOST_ROUNDS
) -> tuple[Array, Array]:
    """Returns `(weights [G], objective [rounds])`: how common each mind is, by maximum a posteriori.

    Every person has one mind, drawn from the weights, whose prior is Dirichlet(1 + concentration·prior): as if so many
    persons had been seen beforehand. With concentration 0 it is the nonparametric maximum-likelihood estimate. The
    objective, log posterior up to a constant, rises at every round.

    Args:
        log_likelihoods: `[N, G]` of each person's choices under each mind.
        prior: `[G]` probabilities.
        concentration: weight of the prior, in persons.
        rounds: at most.

    Source: Dempster, Laird & Rubin (1977), Journal of the Royal Statistical Society B 39(1), section 4.3; the
        nonparametric estimate: Laird (1978), Journal of the American Statistical Association 73(364).
    """
    top = log_likelihoods.max(axis=1, keepdims=True)
    likelihood = np.exp(log_likelihoods - top)
    weights, added = prior.copy(), concentration * prior
    trace: list[float] = []
    for _ in range(rounds):
        joint = likelihood * weights
        each = joint.sum(axis=1, keepdims=True)
        held = added > 0
        trace.append(float((np.log(each) + top).sum() + (added[held] * np.log(weights[held])).sum()))
        if len(trace) > 1 and trace[-1] - trace[-2] <= SETTLED * max(1.0, abs(trace[-1])):
            break
        weights = (joint / each).sum(axis=0) + added
        weights = weights / weights.sum()
    return weights, np.array(trace)


def mixed(log_likelihoods: Array, weights: Array) -> Array:
    """Returns `[N]` log Σ_g weights_g exp of `[N, G]`."""
    with np.errstate(divide="ignore"):
        joint = log_likelihoods + np.log(weights)
    top = joint.max(axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(joint - top).sum(axis=1)) + top[:, 0])


def posteriors(log_likelihoods: Array, weights: Array) -> Array:
    """Returns `[N, G]` P(mind | the choices of a person), the weights being the prior."""
    with np.errstate(divide="ignore"):
        joint = log_likelihoods + np.log(weights)
    joint = np.exp(joint - joint.max(axis=1, keepdims=True))
    return np.asarray(joint / joint.sum(axis=1, keepdims=True))
