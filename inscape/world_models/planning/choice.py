"""The one choice rule. The acting agent and the observer's likelihood both call it; neither keeps a copy.

Source: Luce (1959), "Individual Choice Behavior"; as the likelihood of inverse planning: Baker, Saxe & Tenenbaum
(2009), "Action understanding as inverse planning", Cognition 113(3).
"""

from __future__ import annotations

import numpy as np

from inscape.errors import UsageError


def check_beta(beta: float | np.ndarray) -> None:
    """Raises UsageError unless every `beta` is finite and at least 0."""
    if not np.all(np.isfinite(beta)) or np.any(np.asarray(beta) < 0):
        raise UsageError(
            f"beta = {beta}",
            expected="a finite number of at least 0, per unit of reward (0: uniform over legal actions)",
            hint="a large beta such as 100 for an almost greedy mind",
        )


def boltzmann_log_probs(
    q_values: np.ndarray, beta: float | np.ndarray, action_mask: np.ndarray | None = None
) -> np.ndarray:
    """Returns log π(a|s) = β·Q(s,a) − log Σ_a′ exp(β·Q(s,a′)), a′ legal.

    Args:
        q_values: `[..., A]` action values, in reward units; those of illegal actions are ignored, and a legal action
            of value −inf is never chosen.
        beta: rationality, per reward unit: a scalar, or an array of shape `[...]` (one per row). 0 is uniform over
            the legal actions.
        action_mask: `[..., A]` bool, True where legal; None means every action.

    Returns:
        `[..., A]` log-probabilities, −inf where illegal.

    Raises:
        UsageError: beta is negative or not finite; a legal action's value is NaN or +inf; a row has no legal action.
    """
    check_beta(beta)
    q = np.asarray(q_values, np.float64)
    mask = np.ones(q.shape, bool) if action_mask is None else np.broadcast_to(np.asarray(action_mask, bool), q.shape)
    _check_rows(q, mask)
    allowed = mask & ~np.isneginf(q)
    # values are shifted before they are scaled, so that neither a large β nor large values overflow
    best = np.where(allowed, q, -np.inf).max(axis=-1, keepdims=True)
    advantage = np.where(allowed, q, best) - best
    with np.errstate(over="ignore"):  # β times a difference may reach −inf: probability 0
        scaled = np.where(allowed, np.expand_dims(np.asarray(beta, np.float64), -1) * advantage, -np.inf)
    return np.asarray(scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True)))


def boltzmann_value(
    q_values: np.ndarray, beta: float | np.ndarray, action_mask: np.ndarray | None = None
) -> np.ndarray:
    """Returns `[...]` values Σ_a π(a|s)·Q(s,a) of acting by the choice rule (see `boltzmann_log_probs`)."""
    probabilities = np.exp(boltzmann_log_probs(q_values, beta, action_mask))
    return np.asarray((probabilities * np.where(probabilities > 0, q_values, 0.0)).sum(axis=-1))


def _check_rows(q: np.ndarray, mask: np.ndarray) -> None:
    empty = ~mask.any(axis=-1)
    if empty.any():
        raise UsageError(
            f"row {np.argwhere(empty)[0].tolist()} has no legal action",
            expected="at least one legal action in every row of action_mask",
            hint="leave terminal states out before asking for a choice",
        )
    wrong = mask & (np.isnan(q) | np.isposinf(q))
    if wrong.any():
        index = np.argwhere(wrong)[0].tolist()
        raise UsageError(f"q_values{index} = {q[tuple(index)]}", expected="finite action values")
    hopeless = np.isneginf(np.where(mask, q, -np.inf)).all(axis=-1)
    if hopeless.any():
        row = np.argwhere(hopeless)[0].tolist()
        raise UsageError(f"every legal action of row {row} has value −inf", expected="finite action values")
