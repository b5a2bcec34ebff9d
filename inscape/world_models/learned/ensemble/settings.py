"""Settings of the ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inscape.errors import UsageError, whole_number


@dataclass(frozen=True)
class EnsembleSettings:
    """How an ensemble is made, fitted and sampled."""

    members: int = 5
    """Networks, K."""
    features: int = 64
    """Sines of each network, beside what is linear."""
    length_scales: tuple[float, ...] = (1.5, 3.0, 6.0)
    """How far apart, in standard deviations of the inputs, things begin to differ; chosen by the evidence."""
    bootstrap: bool = True
    """Each member learns from a resample of the transitions and is stopped by those left out. Otherwise from all but
    `held_out`."""
    held_out: float = 0.2
    """Without bootstrap: share of the transitions that a member is stopped by."""
    updates: int = 300
    """Gradient steps of a member at most, after the means were solved for; 0 for none."""
    learning_rate: float = 0.02
    """Of Adam for the logits and the variances; with `tune`, means and sines move at a twentieth of it."""
    tune: bool = False
    """Whether the sines and the means are tuned by gradient steps too, after variances and logits: for worlds in which
    sines drawn at random are too few."""
    batch_size: int = 256
    """Transitions in a gradient step."""
    patience: int = 5
    """A member stops after so many looks at what it does not learn from, ten steps apart, without improvement."""
    beta: float = 0.5
    """Gradients of means are weighed by the predicted variance to this power: 0 is the plain likelihood."""
    weight_decay: float = 0.01
    """Precision of the prior over the weights of logits, for a prior over functions of that precision."""
    least_std: float = 1e-4
    """Least standard deviation predicted, in units of that of the changes seen."""
    propagation: Literal["ts-inf", "ts1", "mean"] = "ts-inf"
    """How a roll-out meets the members: one to the end, another at each step, or the mean of all without noise."""
    capacity: int = 20_000
    """Transitions remembered; the oldest are forgotten first."""

    def __post_init__(self) -> None:
        for name in ("members", "features", "batch_size", "patience", "capacity"):
            whole_number(f"{name} =", getattr(self, name), 1)
        whole_number("updates =", self.updates, 0)
        if not self.length_scales or any(not 0.0 < scale < float("inf") for scale in self.length_scales):
            raise UsageError(f"length_scales = {self.length_scales}", expected="positive numbers, one at least")
        if not 0.0 < self.held_out < 1.0:
            raise UsageError(f"held_out = {self.held_out!r}", expected="a number above 0 and below 1")
        for name, low, high in (
            ("learning_rate", 0.0, 1.0), ("beta", 0.0, 1.0), ("weight_decay", 0.0, 1e3), ("least_std", 1e-7, 1.0),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} = {getattr(self, name)!r}", expected=f"a number from {low:g} to {high:g}")
        if self.propagation not in ("ts-inf", "ts1", "mean"):
            raise UsageError(f"propagation = {self.propagation!r}", expected="'ts-inf', 'ts1' or 'mean'")
