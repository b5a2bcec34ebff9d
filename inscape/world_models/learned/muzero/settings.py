"""Settings of the model that a search plans in. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from inscape.errors import UsageError


@dataclass(frozen=True)
class MuZeroModelSettings:
    """Settings of representation, dynamics and prediction."""

    latent: int = 64
    """Numbers of a model state."""
    width: int = 128
    """Width of the hidden layers."""
    support: int = 20
    """Values and rewards are classes at the whole numbers from −support to support of the transformed scale
    sign(x)·(√(|x| + 1) − 1) + x/1000: 20 reaches 421, 10 reaches 118."""
    codes: int = 0
    """Chance codes: outcomes that an action can have in the model; 0 for a world without randomness."""
    normalize: bool = True
    """Whether observed numbers are standardised by the running mean and deviation."""

    def __post_init__(self) -> None:
        for name, least in (("latent", 2), ("width", 1), ("support", 1), ("codes", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise UsageError(f"{name} = {value!r}", expected=f"a whole number of at least {least}")
        if self.codes == 1:
            raise UsageError("codes = 1", expected="0, or at least 2: one outcome is no chance")
