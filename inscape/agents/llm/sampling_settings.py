"""How tokens are drawn, as settings. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from inscape.errors import UsageError, whole_number


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn.

    Attributes:
        temperature: logits are divided by it; 0 takes the most probable token, the first of several.
        top_k: only the so many most probable tokens; 0: all.
        top_p: only the most probable tokens that together have at least this probability; 1: all.
        min_p: only tokens at least this share as probable as the most probable one; 0: all.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature = {self.temperature!r}", expected="a finite number of at least 0")
        whole_number("top_k =", self.top_k, 0)
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p = {self.top_p!r}", expected="above 0, at most 1")
        if not 0 <= self.min_p < 1:
            raise UsageError(f"min_p = {self.min_p!r}", expected="at least 0, below 1")
