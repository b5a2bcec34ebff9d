"""Numbers must be numbers: the checks that stop a run where a NaN or an infinity arises. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inscape.errors import UsageError


class DivergenceError(UsageError):
    """Learning produced numbers that are not finite."""


def require_finite(
    array: np.ndarray, what: str, first_step: int, env: str, copies: Sequence[int] | np.ndarray | None = None
) -> None:
    """Raises unless every number of a `[T, B, ...]` array is finite; the message names copy and step.

    `copies` are the numbers of the B copies; None for 0, 1, ….
    """
    finite = np.isfinite(array)
    if not finite.all():
        step, copy = np.argwhere(~finite)[0][:2]
        number = copy if copies is None else copies[copy]
        raise UsageError(
            f"{what} of copy {number} at step {first_step + step} in {env} is {array[step, copy]}",
            expected="finite numbers",
            hint=f"inscape check {env}",
        )


def divergence(agent: str, step: int, loss: float, broken: list[str]) -> DivergenceError:
    """Returns the error for a loss or gradient that is not finite; `broken` names the tensors, worst first."""
    return DivergenceError(
        f"{agent} diverged at step {step}: loss {loss}, not finite: {', '.join(broken[:3]) or 'the norm alone'}",
        expected="finite weights and gradients",
        hint="a lower learning_rate, a lower max_grad_norm, or rewards of a smaller scale",
    )
