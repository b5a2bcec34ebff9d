"""What follows from a posterior over minds, in every observer that has one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError, closest
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.minds import Mind, name_of


class OfMinds(ABC):
    """Beliefs about which of `minds` acts.

    Attributes:
        minds: the G hypotheses.
    """

    minds: tuple[Mind, ...]

    @abstractmethod
    def posterior(self) -> Array:
        """Returns `[G]` P(mind | all that was observed)."""

    @abstractmethod
    def log_evidence(self) -> float:
        """Returns log P(actions | states), in nats."""

    def evidence(self) -> float:
        """Returns P(actions | states): 1 before any evidence (`log_evidence` does not underflow)."""
        return math.exp(self.log_evidence())

    def marginal(self, f: str | Callable[[Mind], Any], probabilities: ArrayLike | None = None) -> dict[Any, Any]:
        """Returns the posterior of a feature of the minds: `{value: probability}`, in order of first appearance.

        Args:
            f: a function of the mind, or the name of an attribute such as `"goal"`, `"beta"`, `"backup"` or `"params"`
                (dotted for an attribute's own). Minds without that attribute are keyed by their name; values that
                cannot be keys (purposes and parameters holding arrays) by their text.
            probabilities: `[..., G]` to marginalise instead of the posterior (`posterior_over`, say); the result then
                holds arrays `[...]`.

        Raises:
            UsageError: no mind has the attribute; probabilities of another shape.
        """
        feature = self._feature(f) if isinstance(f, str) else f
        weights = self.posterior() if probabilities is None else np.asarray(probabilities, np.float64)
        if weights.shape[-1:] != (len(self.minds),):
            raise UsageError(f"probabilities of shape {weights.shape}", expected=f"[..., {len(self.minds)}]")
        groups: dict[Any, list[int]] = {}
        for g, mind in enumerate(self.minds):
            groups.setdefault(_label(feature(mind)), []).append(g)
        summed = {label: weights[..., members].sum(axis=-1) for label, members in groups.items()}
        return summed if weights.ndim > 1 else {label: float(value) for label, value in summed.items()}

    def expect(self, f: Callable[[Mind], ArrayLike]) -> Any:
        """Returns the posterior mean Σ P(mind | …)·f(mind): a float, or an array of the shape f returns.

        Minds of probability 0 are not asked.
        """
        posterior = self.posterior()
        held = np.flatnonzero(posterior > 0)
        values = [np.asarray(f(self.minds[g]), np.float64) for g in held]
        odd = next((g for g, value in zip(held, values) if value.shape != values[0].shape), None)
        if odd is not None:
            raise UsageError(
                f"f gives arrays of different shapes, and another one for the mind ({name_of(self.minds[odd])})",
                expected="a number, or arrays of one shape, for every mind",
            )
        mean = np.tensordot(posterior[held], np.array(values), axes=1)
        return float(mean) if mean.ndim == 0 else mean

    def _feature(self, path: str) -> Callable[[Mind], Any]:
        """Returns what reads the attribute `path` off a mind, or the mind's name where it has none."""

        def read(mind: Mind) -> Any:
            value: Any = mind
            for part in path.split("."):
                if not hasattr(value, part):
                    return name_of(mind)
                value = getattr(value, part)
            return value

        first = path.split(".")[0]
        if not any(hasattr(mind, first) for mind in self.minds):
            known = sorted({name for mind in self.minds for name in getattr(mind, "__dataclass_fields__", {})})
            raise UsageError(
                f"minds have no axis {path!r}",
                expected=", ".join(known) if known else "an attribute of the minds, or a function of a mind",
                hint=closest(path, known),
            )
        return read


def _label(value: Any) -> Any:
    holds_arrays = isinstance(value, tuple) and any(isinstance(entry, np.ndarray) for entry in value)
    return repr(value) if holds_arrays else value
