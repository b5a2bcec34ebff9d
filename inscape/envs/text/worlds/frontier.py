"""How much of a proxy reward a policy can earn at a distance from its reference, and what becomes of the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inscape.errors import UsageError


class FrontierPoint(NamedTuple):
    """A policy of one decision, by its exact numbers.

    Attributes:
        kl: E_s KL(π(·|s) ‖ π₀(·|s)), in nats.
        proxy: expected proxy reward.
        truth: expected true reward.
        policy: `[S, A]` π.
    """

    kl: float
    proxy: float
    truth: float
    policy: NDArray[np.float64]


def policy_point(
    policy: ArrayLike, proxy: ArrayLike, truth: ArrayLike, reference: ArrayLike, states: ArrayLike
) -> FrontierPoint:
    """Returns where a policy is.

    Args:
        policy: `[S, A]` probabilities.
        proxy, truth: `[S, A]` rewards.
        reference: `[S, A]` or `[A]` π₀; the divergence is infinite where π has what π₀ has not.
        states: `[S]` probabilities of the states.
    """
    pi, paid, worth, prior, weights = _checked(policy, proxy, truth, reference, states)
    held = np.where(pi > 0, pi, 1.0)
    with np.errstate(divide="ignore"):
        divergence = np.where(pi > 0, pi * (np.log(held) - np.log(np.where(pi > 0, prior, 1.0))), 0.0).sum(1)
    kl = float(weights[weights > 0] @ divergence[weights > 0])
    return FrontierPoint(kl, float(weights @ (pi * paid).sum(1)), float(weights @ (pi * worth).sum(1)), pi)


def proxy_frontier(
    proxy: ArrayLike, truth: ArrayLike, reference: ArrayLike, states: ArrayLike, taus: Sequence[float]
) -> list[FrontierPoint]:
    """Returns the policies that earn most proxy for their divergence: π_τ ∝ π₀·exp(proxy/τ) for each τ > 0.

    π_τ maximises E[proxy] − τ·KL, and no policy of the same divergence earns more proxy. Along it, as τ falls, proxy
    rises and truth may turn: over-optimisation (Gao, Schulman & Hilton 2023, arXiv:2210.10760, who measure it against
    √KL; the tilted optimum is in Korbak et al. 2022, arXiv:2205.11275).

    Raises:
        UsageError: a τ is not above 0 (inf is the reference), or arrays do not fit.
    """
    start, paid, worth, prior, weights = _checked(reference, proxy, truth, reference, states)
    points = []
    for tau in taus:
        if not tau > 0:
            raise UsageError(f"tau = {tau!r}", expected="a number above 0")
        scores = np.where(prior > 0, paid / tau, -np.inf)
        tilted = start * np.exp(scores - scores.max(1, keepdims=True))
        points.append(policy_point(tilted / tilted.sum(1, keepdims=True), paid, worth, prior, weights))
    return points


def best_proxy_at(
    kl: float, proxy: ArrayLike, truth: ArrayLike, reference: ArrayLike, states: ArrayLike
) -> FrontierPoint:
    """Returns the frontier's point of a divergence, by bisection in τ; at its end if that is less.

    Raises:
        UsageError: the divergence is negative or not a number.
    """
    if not kl >= 0:
        raise UsageError(f"kl = {kl!r}", expected="at least 0 nats")
    spread = float(np.ptp(np.asarray(proxy, np.float64))) or 1.0
    low, high = np.log(spread * 1e-5), np.log(spread * 1e8)
    for _ in range(100):
        middle = 0.5 * (low + high)
        (point,) = proxy_frontier(proxy, truth, reference, states, [float(np.exp(middle))])
        low, high = (middle, high) if point.kl > kl else (low, middle)
    return proxy_frontier(proxy, truth, reference, states, [float(np.exp(0.5 * (low + high)))])[0]


def _checked(policy: ArrayLike, *others: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """Returns policy, proxy, truth, reference `[S, A]` and states `[S]`."""
    proxy, truth, reference, states = (np.asarray(one, np.float64) for one in others)
    if proxy.ndim != 2 or truth.shape != proxy.shape or states.shape != proxy.shape[:1]:
        raise UsageError(
            f"proxy {proxy.shape}, truth {truth.shape}, states {states.shape}", expected="[S, A], [S, A], [S]"
        )
    if not (np.isfinite(proxy).all() and np.isfinite(truth).all()):
        raise UsageError("rewards that are not finite", expected="finite numbers")
    arrays = []
    for name, given in (("policy", np.asarray(policy, np.float64)), ("reference", reference)):
        if given.shape not in (proxy.shape, proxy.shape[1:]):
            raise UsageError(f"{name} {given.shape} for rewards {proxy.shape}", expected="[S, A] or [A]")
        arrays.append(np.broadcast_to(given, proxy.shape))
    for name, rows in (("policy", arrays[0]), ("reference", arrays[1]), ("states", states[None])):
        if not (rows >= 0).all() or not np.allclose(rows.sum(1), 1):
            raise UsageError(f"{name}: rows that are no probabilities", expected="at least 0, with a sum of 1")
    return arrays[0], proxy, truth, arrays[1], states
