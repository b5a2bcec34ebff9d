"""One equation for many ways of learning: uncertainty, divergence, experience.

    min over q, θ of   −α·H(q) + β·D(q, p_θ) − E_q[f]

q is a helper distribution (the *teacher*) over outcomes t, p_θ the model (the *student*), f says how much experience of
whatever kind speaks for t, H is Shannon's entropy and D a divergence. With the cross-entropy for D the teacher is, at a
fixed model,

    q(t) ∝ exp((β·log p_θ(t) + f(t)) / α),

and the student then descends D(q, p_θ). Which experience, α and β are given decides what that is: maximum likelihood,
re-weighted data, label smoothing, reward-augmented maximum likelihood, expectation maximisation, policy gradients,
reinforcement as inference, distillation, posterior regularisation, learning from rules, active learning, adversarial
learning. `METHODS` lists them; the tests compare each gradient with the method's own.

Source: Hu and Xing (2022), "Toward a 'Standard Model' of Machine Learning", Harvard Data Science Review 4(4),
equations 3.2 (the equation), 3.3 (teacher and student) and tables 1 and 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inscape.errors import UsageError

Measure = Literal["cross-entropy", "kl", "jensen-shannon"]
MEASURES = ("cross-entropy", "kl", "jensen-shannon")


@dataclass(frozen=True, eq=False)
class StandardSolution:
    """The teacher at a fixed model, and what it asks of the model.

    Attributes:
        q: `[..., T]` the teacher.
        log_q: `[..., T]`, −inf where q is 0.
        uncertainty: `[...]` H(q), in nats.
        divergence: `[...]` D(q, p).
        experience: `[...]` E_q[f]; NaN where the teacher was given without an experience.
        objective: `[...]` −α·H + β·D − E_q[f], which q minimises.
        gradient: `[..., T]` ∂D(q, p)/∂logits at fixed q: the student descends it.
    """

    q: NDArray[np.float64]
    log_q: NDArray[np.float64]
    uncertainty: NDArray[np.float64]
    divergence: NDArray[np.float64]
    experience: NDArray[np.float64]
    objective: NDArray[np.float64]
    gradient: NDArray[np.float64]


def standard_equation(
    logits: ArrayLike,
    experience: ArrayLike | None = None,
    uncertainty: float = 1.0,
    divergence: float = 1.0,
    measure: Measure = "cross-entropy",
    teacher: ArrayLike | None = None,
) -> StandardSolution:
    """Returns the teacher that minimises the equation at a categorical model, and the model's gradient.

    Args:
        logits: `[..., T]` θ of the model p_θ = softmax(θ); −inf where an outcome is impossible.
        experience: `[..., T]` f; −inf where experience forbids an outcome. None only with `teacher`.
        uncertainty: α ≥ 0; with 0 the teacher is the best outcome, ties alike.
        divergence: β ≥ 0; with 0 the teacher follows experience alone, and the student the teacher.
        measure: D: `cross-entropy` −E_q[log p], `kl` KL(q ‖ p), or `jensen-shannon`, which needs `teacher`.
        teacher: `[..., T]` q itself, where it is known (adversarial learning: the data).

    Raises:
        UsageError: shapes that do not fit, weights below 0, NaN, or an experience that forbids all that the model can.
    """
    theta = np.asarray(logits, np.float64)
    if measure not in MEASURES:
        raise UsageError(f"measure {measure!r}", expected=", ".join(MEASURES))
    if not (np.isfinite(uncertainty) and np.isfinite(divergence) and uncertainty >= 0 and divergence >= 0):
        raise UsageError(f"weights {uncertainty}, {divergence}", expected="finite numbers of at least 0")
    if theta.ndim < 1 or not theta.shape[-1]:
        raise UsageError(f"logits of shape {theta.shape}", expected="[..., T] for at least one outcome")
    if np.isnan(theta).any() or (theta == np.inf).any():
        raise UsageError("a logit that is NaN or infinite", expected="numbers, or −inf where impossible")
    log_p = _log_softmax(theta)
    f = None if experience is None else np.broadcast_to(np.asarray(experience, np.float64), theta.shape)
    if f is not None and (np.isnan(f).any() or (f == np.inf).any()):
        raise UsageError("an experience that is NaN or infinite", expected="numbers, or −inf where forbidden")
    log_q = (
        _given(teacher, theta.shape) if teacher is not None else _teacher(log_p, f, uncertainty, divergence, measure)
    )
    q = np.exp(log_q)
    entropy = -_expected(q, log_q)
    if measure == "jensen-shannon":
        log_m = np.logaddexp(log_q, log_p) - np.log(2)
        p = np.exp(log_p)
        distance = (
            _expected(q, log_q - np.where(q > 0, log_m, 0)) + _expected(p, log_p - np.where(p > 0, log_m, 0))
        ) / 2
        slope = np.where(p > 0, np.where(p > 0, log_p, 0) - np.where(p > 0, log_m, 0), 0) / 2
        gradient = p * (slope - _expected(p, slope)[..., None])
    else:
        distance = -_expected(q, log_p) - (entropy if measure == "kl" else 0)
        gradient = np.exp(log_p) - q
    earned = np.full(entropy.shape, np.nan) if f is None else _expected(q, f)
    objective = -uncertainty * entropy + divergence * distance - (0 if f is None else earned)
    return StandardSolution(q, log_q, entropy, distance, earned, np.asarray(objective), gradient)


def _teacher(
    log_p: NDArray[np.float64], f: NDArray[np.float64] | None, alpha: float, beta: float, measure: Measure
) -> NDArray[np.float64]:
    if f is None or measure == "jensen-shannon":
        raise UsageError(
            "no experience to find a teacher from" if f is None else "jensen-shannon has no teacher in closed form",
            expected="the teacher itself",
            hint="teacher=q, such as the frequencies of the data",
        )
    # 0·(−inf) is 0: with β = 0 the model does not forbid anything
    score = f + (beta * log_p if beta else 0.0)
    if (score == -np.inf).all(-1).any():
        raise UsageError(
            "experience forbids every outcome that the model can produce",
            expected="an outcome with finite experience and logit",
            hint="smooth the experience, or divergence=0 to follow it alone",
        )
    weight = alpha + (beta if measure == "kl" else 0.0)
    if weight == 0:
        best = score == score.max(-1, keepdims=True)
        return np.where(best, -np.log(best.sum(-1, keepdims=True)), -np.inf)
    return _log_softmax(score / weight)


def _given(teacher: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    q = np.broadcast_to(np.asarray(teacher, np.float64), shape)
    if not ((q >= 0).all() and np.allclose(q.sum(-1), 1.0, atol=1e-9)):
        raise UsageError("a teacher that is no distribution", expected="numbers of at least 0 that sum to 1")
    with np.errstate(divide="ignore"):
        return np.log(q)


def _log_softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    best = values.max(-1, keepdims=True)
    if not np.isfinite(best).all():
        raise UsageError("a row of logits without a finite number", expected="an outcome that is possible")
    shifted = values - best
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def _expected(q: NDArray[np.float64], values: Any) -> NDArray[np.float64]:
    """Returns E_q[values], where 0·(−inf) is 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(q > 0, q * values, 0.0).sum(-1))


@dataclass(frozen=True)
class StandardMethod:
    """How a way of learning is written in the equation.

    Attributes:
        experience: f(t), in words.
        uncertainty, divergence: α, β; ε stands for 0 in the limit, τ for a temperature.
        gradient: what ∂D/∂θ then is.
        ours: which learning method of the platform is one.
    """

    experience: str
    uncertainty: str
    divergence: str
    gradient: str
    ours: str


METHODS: dict[str, StandardMethod] = {
    "maximum likelihood": StandardMethod(
        "log of the data's frequencies", "1", "ε", "−E_data[∇ log p]",
        "`clone`, stage 1 of `llm`, `sequence`, tabular models",
    ),
    "data re-weighting": StandardMethod(
        "log of the data's weighted frequencies", "1", "ε", "−E_data[w·∇ log p] / Σw", "search targets of `alphazero`"
    ),
    "label smoothing": StandardMethod(
        "log((1 − s)·frequency + s/T)", "1", "ε", "cross-entropy on smoothed labels", "Dirichlet priors of models"
    ),
    "reward-augmented maximum likelihood": StandardMethod(
        "R(t)/τ, R a reward for outcomes near the target", "1", "ε", "−E_{exp(R/τ)/Z}[∇ log p]", "`clone_beta` of `llm`"
    ),
    "expectation maximisation": StandardMethod(
        "0 where t agrees with what was observed, else −inf", "1", "1", "−∇ log p(observed)",
        "mixtures of minds in `inscape fit`",
    ),
    "policy gradient": StandardMethod(
        "log Q(t), returns above 0", "1", "1", "−∇ E_p[Q] / E_p[Q]", "`reinforce`, `ppo`, `a2c`, `llm`"
    ),
    "reinforcement as inference": StandardMethod(
        "Q(t)/τ", "1", "1", "−E_{p·exp(Q/τ)/Z}[∇ log p]", "`maxent` planners, the optimum of KL-regularised `llm`"
    ),
    "distillation": StandardMethod(
        "another model's log-probabilities", "1", "ε", "−E_teacher[∇ log p]", "`clone` of an expert's probabilities"
    ),
    "posterior regularisation": StandardMethod(
        "that of expectation maximisation + λ·(how well t keeps a rule)", "1", "1", "−E_{p·exp(λ·rule)/Z}[∇ log p]",
        "observers with a prior over minds",
    ),
    "learning from rules": StandardMethod(
        "λ·(truth of a soft logical rule of t)", "1", "1", "as posterior regularisation, without data", "action masks"
    ),
    "active learning": StandardMethod(
        "log of the frequencies in the pool + λ·(how much an answer would tell)", "1", "ε",
        "−E over what is asked about [∇ log p(answer)]", "`dagger`, questions with most information",
    ),
    "adversarial": StandardMethod(
        "teacher = the data, D = Jensen–Shannon", "0", "1", "that of the generator under the best discriminator",
        "`airl` (its form)",
    ),
}  # fmt: skip
"""Ways of learning as settings of `standard_equation`."""
