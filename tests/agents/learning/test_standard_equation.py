"""The gradient of each way of learning by the one equation, against the method's own, written down in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from inscape.agents import standard_equation
from inscape.agents.learning.standard_equation import METHODS
from inscape.errors import UsageError

T = 6
RNG = np.random.default_rng(0)
THETA = RNG.normal(size=T)
COUNTS = np.array([3.0, 0.0, 5.0, 1.0, 1.0, 0.0])
WEIGHTS, REWARDS = RNG.random(T) + 0.1, RNG.normal(size=T)
RETURNS, TEACHER = RNG.random(T) + 0.2, RNG.dirichlet(np.ones(T))
OBSERVED = np.array([0, 1, 1, 0, 1, 0], bool)  # outcomes that agree with what was seen
RULE, POOL, TELLS = RNG.random(T), np.array([1, 1, 0, 1, 1, 0], bool), RNG.random(T)


def log(values: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(values)


def gradient_of(loss: Callable[[Tensor], Tensor]) -> np.ndarray:
    theta = torch.tensor(THETA, requires_grad=True)
    return torch.autograd.grad(loss(theta.log_softmax(0)), theta)[0].numpy()


def mean(weights: Any, log_p: Tensor) -> Tensor:
    return -(torch.tensor(np.asarray(weights) / np.sum(weights)) * log_p).sum()


def expected_policy_gradient(log_p: Tensor) -> Tensor:
    value = (log_p.exp() * torch.tensor(RETURNS)).sum()
    return -value / value.detach()


def tilted(log_p: Tensor, bonus: Any) -> Tensor:
    q = (log_p.detach() + torch.tensor(np.asarray(bonus))).softmax(0)
    return -(q * log_p).sum()


def posterior_regularised(log_p: Tensor) -> Tensor:
    q = log_p.detach().exp().numpy() * OBSERVED * np.exp(2.0 * RULE)
    return mean(q, log_p)


def generator(log_p: Tensor) -> Tensor:
    """What a generator minimises against the discriminator that is best at this moment: ½·E_p[log(1 − D)]."""
    data = torch.tensor(COUNTS / COUNTS.sum())
    discriminator = data / (data + log_p.exp()).detach()
    return 0.5 * (log_p.exp() * (1 - discriminator).log()).sum()


SMOOTHED = 0.9 * COUNTS / COUNTS.sum() + 0.1 / T
CASES: dict[str, tuple[dict[str, Any], Callable[[Tensor], Tensor]]] = {
    "maximum likelihood": ({"experience": log(COUNTS), "divergence": 0}, lambda p: mean(COUNTS, p)),
    "data re-weighting": ({"experience": log(COUNTS * WEIGHTS), "divergence": 0}, lambda p: mean(COUNTS * WEIGHTS, p)),
    "label smoothing": (
        {"experience": log(SMOOTHED), "divergence": 0},
        lambda p: 0.9 * mean(COUNTS, p) + 0.1 * mean(np.ones(T), p),
    ),
    "reward-augmented maximum likelihood": (
        {"experience": REWARDS / 0.7, "divergence": 0},
        lambda p: mean(np.exp(REWARDS / 0.7), p),
    ),
    "expectation maximisation": (
        {"experience": log(OBSERVED.astype(float))},
        lambda p: -p[torch.tensor(OBSERVED)].logsumexp(0),
    ),
    "policy gradient": ({"experience": log(RETURNS)}, expected_policy_gradient),
    "reinforcement as inference": ({"experience": REWARDS / 0.3}, lambda p: tilted(p, REWARDS / 0.3)),
    "distillation": ({"experience": log(TEACHER), "divergence": 0}, lambda p: mean(TEACHER, p)),
    "posterior regularisation": ({"experience": log(OBSERVED.astype(float)) + 2.0 * RULE}, posterior_regularised),
    "learning from rules": ({"experience": 2.0 * RULE}, lambda p: tilted(p, 2.0 * RULE)),
    "active learning": (
        {"experience": log(POOL.astype(float)) + 3.0 * TELLS, "divergence": 0},
        lambda p: mean(POOL * np.exp(3.0 * TELLS), p),
    ),
    "adversarial": (
        {"teacher": COUNTS / COUNTS.sum(), "uncertainty": 0, "measure": "jensen-shannon"},
        generator,
    ),
}


def test_every_listed_method_is_compared() -> None:
    assert list(CASES) == list(METHODS)


@pytest.mark.parametrize("method", CASES)
def test_the_gradient_is_the_methods_own(method: str) -> None:
    settings, loss = CASES[method]
    np.testing.assert_allclose(standard_equation(THETA, **settings).gradient, gradient_of(loss), rtol=0, atol=1e-10)


@pytest.mark.parametrize("measure", ["cross-entropy", "kl"])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 2.0), (2.0, 0.0)])
def test_no_other_teacher_is_better(measure: Any, alpha: float, beta: float) -> None:
    best = standard_equation(THETA, REWARDS, alpha, beta, measure)
    rng = np.random.default_rng(1)
    for q in [*rng.dirichlet(np.ones(T), 100), *(0.99 * best.q + 0.01 * rng.dirichlet(np.ones(T), 50))]:
        other = standard_equation(THETA, REWARDS, alpha, beta, measure, teacher=q)
        assert other.objective >= best.objective - 1e-12


def test_the_gradient_is_that_of_the_divergence() -> None:
    for measure in ("cross-entropy", "kl", "jensen-shannon"):
        q, step = TEACHER, 1e-6
        slopes = []
        for t in range(T):
            move = step * np.eye(T)[t]
            up, down = (standard_equation(THETA + s * move, teacher=q, measure=measure).divergence for s in (1, -1))
            slopes.append((up - down) / (2 * step))
        found = standard_equation(THETA, teacher=q, measure=measure).gradient
        np.testing.assert_allclose(found, slopes, atol=1e-8)


def test_alternating_steps_of_expectation_maximisation_never_lose_likelihood() -> None:
    theta, before = THETA.copy(), np.array(-np.inf)
    for _ in range(20):
        solution = standard_equation(theta, log(OBSERVED.astype(float)))
        likelihood = -solution.objective
        assert likelihood >= before - 1e-12
        before, theta = likelihood, log(0.5 * solution.q + 0.5 * np.exp(theta) / np.exp(theta).sum())


def test_batches_are_their_rows_and_ties_are_shared() -> None:
    rows = RNG.normal(size=(3, 2, T))
    batch = standard_equation(rows, REWARDS)
    np.testing.assert_array_equal(batch.q[1, 1], standard_equation(rows[1, 1], REWARDS).q)
    hard = standard_equation(np.zeros(4), [1.0, 1.0, 0.0, -np.inf], uncertainty=0)
    np.testing.assert_allclose(hard.q, [0.5, 0.5, 0, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"logits": [0.0, np.nan], "experience": [0.0, 0.0]}, "logit"),
        ({"logits": [0.0, -np.inf], "experience": [-np.inf, 0.0]}, "forbids every outcome"),
        ({"logits": [0.0, 0.0], "experience": [0.0, np.inf]}, "experience that is NaN"),
        ({"logits": [0.0, 0.0], "experience": [0.0, 0.0], "uncertainty": -1.0}, "weights"),
        ({"logits": [0.0, 0.0]}, "no experience"),
        ({"logits": [0.0, 0.0], "teacher": [0.7, 0.7]}, "no distribution"),
        ({"logits": [0.0, 0.0], "experience": [0.0, 0.0], "measure": "wasserstein"}, "measure"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        standard_equation(**arguments)
