"""Settings of the latent model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inscape.errors import UsageError, whole_number


@dataclass(frozen=True)
class LatentSettings:
    """How the model is made and trained.

    Attributes:
        recurrent: width of the deterministic path.
        cell: of the deterministic path: a gated recurrent unit, or a linear map (Kalman's filter is one).
        stochastic: stochastic variables of a step; 0 for none, which makes the code length exact.
        classes: values of each variable; 0 for Gaussian ones.
        feedback: whether the deterministic path reads observations beside stochastic variables (the variational
            recurrent network of Chung et al. 2015); None: where there are no stochastic variables.
        width, layers: of the hidden layers of each perceptron; 0 layers for linear maps.
        noise: deviation of observed numbers: "fixed" at 1 in the transformed unit, "learned", one for each number, or
            "state", predicted from the state.
        transform: of observed numbers: "standard" by mean and deviation of the first data, "symlog", "none".
        min_std: smallest deviation of Gaussian stochastic variables.
        reward_head: "gaussian" (mean squared error) or "twohot" (classes in symlog units).
        objective: "elbo", the plain evidence lower bound; or "balanced", where the two sides of the divergence are
            weighted apart and `free_nats` of it cost nothing.
        dynamics_weight, representation_weight, free_nats: of the balanced objective.
        hide: probability that a part of an observation (picture, sentence, …) is hidden from the encoder in a training
            sequence, so that each learns to be predicted from the others; one is always seen.
        samples: particles of the bound in `log_prob`; more are tighter.
        updates: gradient steps of one `learn`.
        batch_size, length: sequences in each, and steps of a sequence.
        learning_rate: of Adam, at its highest.
        schedule: "cosine", falling to 0, or "constant".
        max_grad_norm: gradients are scaled down to this norm.
        average: decay of the average of the weights that is used afterwards; 0 for the last weights.
        held_out: share of the episodes that is never learned from, for the report.
        report_every: gradient steps between reports.
    """

    recurrent: int = 64
    cell: Literal["gru", "linear"] = "gru"
    stochastic: int = 8
    classes: int = 8
    feedback: bool | None = None
    width: int = 64
    layers: int = 1
    noise: Literal["fixed", "learned", "state"] = "learned"
    transform: Literal["standard", "symlog", "none"] = "standard"
    min_std: float = 0.01
    reward_head: Literal["gaussian", "twohot"] = "gaussian"
    objective: Literal["elbo", "balanced"] = "elbo"
    dynamics_weight: float = 0.5
    representation_weight: float = 0.1
    free_nats: float = 1.0
    hide: float = 0.0
    samples: int = 1
    updates: int = 1000
    batch_size: int = 32
    length: int = 32
    learning_rate: float = 2e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    max_grad_norm: float = 10.0
    average: float = 0.0
    held_out: float = 0.1
    report_every: int = 100

    def __post_init__(self) -> None:
        for name in ("recurrent", "width", "samples", "updates", "batch_size", "report_every"):
            whole_number(f"{name} =", getattr(self, name), 1)
        whole_number("length =", self.length, 2)
        for name in ("stochastic", "layers", "classes"):
            whole_number(f"{name} =", getattr(self, name), 0)
        if self.classes == 1:
            raise UsageError("classes = 1", expected="0 for Gaussian variables, or at least 2")
        if self.stochastic == 0 and self.feedback is False:
            raise UsageError(
                "stochastic = 0 and feedback = False: nothing would carry what is observed",
                expected="stochastic variables, or feedback",
            )
        options = {
            "cell": ("gru", "linear"), "noise": ("fixed", "learned", "state"),
            "transform": ("standard", "symlog", "none"), "reward_head": ("gaussian", "twohot"),
            "objective": ("elbo", "balanced"), "schedule": ("cosine", "constant"),
        }  # fmt: skip
        for name, known in options.items():
            if getattr(self, name) not in known:
                raise UsageError(f"{name} = {getattr(self, name)!r}", expected=", ".join(known))
        ranges = {
            "min_std": (1e-4, 10.0), "dynamics_weight": (0.0, 1e3), "representation_weight": (0.0, 1e3),
            "free_nats": (0.0, 1e3), "learning_rate": (0.0, 10.0), "max_grad_norm": (1e-6, 1e6),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} = {getattr(self, name)!r}", expected=f"a number from {low:g} to {high:g}")
        for name in ("average", "held_out", "hide"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise UsageError(f"{name} = {getattr(self, name)!r}", expected="a number from 0 to below 1")

    @property
    def reads_observations(self) -> bool:
        """Whether the deterministic path reads observations."""
        return self.stochastic == 0 if self.feedback is None else self.feedback

    @property
    def weights(self) -> tuple[float, float, float]:
        """Weights of the divergence's two sides, and what of it costs nothing, as the objective has them."""
        if self.objective == "elbo":
            return 1.0, 1.0, 0.0
        return self.dynamics_weight, self.representation_weight, self.free_nats
