"""Checks that settings dataclasses share; each raises `UsageError` with the setting's name. Imports no torch."""

from __future__ import annotations

import math
from typing import Any

from inscape.errors import UsageError


def require_counts(settings: Any, *names: str) -> None:
    """Raises UsageError unless each named setting is at least 1."""
    for name in names:
        if not getattr(settings, name) >= 1:
            raise UsageError(f"{name} = {getattr(settings, name)!r}", expected="an integer of at least 1")


def require_counts_if_any(settings: Any, *names: str) -> None:
    """Raises UsageError unless each named setting is None, or at least 1."""
    require_counts(settings, *(name for name in names if getattr(settings, name) is not None))


def require_shares(settings: Any, *names: str) -> None:
    """Raises UsageError unless each named setting is from 0 to 1."""
    require_range(settings, 0, 1, *names)


def require_range(settings: Any, low: float, high: float, *names: str) -> None:
    """Raises UsageError unless each named setting is from `low` to `high`."""
    for name in names:
        if not low <= getattr(settings, name) <= high:
            raise UsageError(f"{name} = {getattr(settings, name)!r}", expected=f"a number from {low:,} to {high:,}")


def require_positive(settings: Any, *names: str) -> None:
    """Raises UsageError unless each named setting is positive and finite."""
    for name in names:
        if not 0 < getattr(settings, name) < math.inf:
            raise UsageError(f"{name} = {getattr(settings, name)!r}", expected="a positive number")


def require_positive_if_any(settings: Any, *names: str) -> None:
    """Raises UsageError unless each named setting is None, or positive and finite."""
    require_positive(settings, *(name for name in names if getattr(settings, name) is not None))


def require_shares_if_any(settings: Any, *names: str) -> None:
    """Raises UsageError unless each named setting is None, or from 0 to 1."""
    require_shares(settings, *(name for name in names if getattr(settings, name) is not None))


def require_weights(settings: Any, *names: str) -> None:
    """Raises UsageError unless each named setting is at least 0 and finite."""
    for name in names:
        if not 0 <= getattr(settings, name) < math.inf:
            raise UsageError(f"{name} = {getattr(settings, name)!r}", expected="a finite number of at least 0")


def require_weights_if_any(settings: Any, *names: str) -> None:
    """Raises UsageError unless each named setting is None, or at least 0 and finite."""
    require_weights(settings, *(name for name in names if getattr(settings, name) is not None))


def require_finite(settings: Any, *names: str) -> None:
    """Raises UsageError unless each named setting is a finite number."""
    for name in names:
        if not math.isfinite(getattr(settings, name)):
            raise UsageError(f"{name} = {getattr(settings, name)!r}", expected="a finite number")


def require_widths(settings: Any) -> None:
    """Raises UsageError unless every width in `hidden` is at least 1."""
    if any(not width >= 1 for width in settings.hidden):
        raise UsageError(f"hidden = {settings.hidden!r}", expected="widths of at least 1")


def require_minibatches(settings: Any) -> None:
    """Raises UsageError unless every minibatch of a round has 2 steps: advantages of one have no deviation."""
    if settings.num_envs * settings.num_steps < 2 * settings.minibatches:
        raise UsageError(
            f"{settings.num_envs} copies × {settings.num_steps} steps in {settings.minibatches} minibatches",
            expected="at least 2 steps in each minibatch",
        )


def require_gradient_steps(settings: Any) -> None:
    """Raises UsageError unless `gradient_steps` is at least 1, or −1 for one after each environment step, or None."""
    count = settings.gradient_steps
    if count is not None and count < 1 and count != -1:
        raise UsageError(f"gradient_steps = {count!r}", expected="an integer of at least 1, or -1 for one a step")


def require_updates(settings: Any) -> None:
    """Raises UsageError unless an off-policy agent's updates can be made: when they start, how many, from how much."""
    if settings.learning_starts < 0:
        raise UsageError(f"learning_starts = {settings.learning_starts!r}", expected="an integer of at least 0")
    require_gradient_steps(settings)
    if not 0 < settings.tau <= 1:
        raise UsageError(f"tau = {settings.tau!r}", expected="a number above 0, at most 1")
    if settings.batch_size > settings.buffer_size:
        raise UsageError(
            f"batch_size = {settings.batch_size!r} from a memory of {settings.buffer_size}",
            expected="at most buffer_size",
        )
