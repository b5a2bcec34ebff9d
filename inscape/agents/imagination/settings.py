"""Settings of the agent that learns in imagination. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inscape.agents.learning.settings import LearnerSettings
from inscape.agents.learning.settings_checks import (
    require_counts,
    require_positive,
    require_shares,
    require_weights,
    require_widths,
)
from inscape.errors import UsageError
from inscape.world_models.learned.latent.settings import LatentSettings


@dataclass(frozen=True)
class DreamerSettings(LearnerSettings):
    """Settings of the actor-critic in imagination."""

    num_envs: int = 1
    """Copies of the environment acted in side by side."""
    learning_rate: float = 3e-4
    """Step size of actor and critic."""
    gamma: float = 0.99
    """Discount per step."""
    model_learning_rate: float = 1e-3
    """Step size of the model."""
    buffer_size: int = 100_000
    """Observations remembered."""
    learning_starts: int = 500
    """Environment steps before the first gradient step; until then actions are uniform."""
    initial_steps: int = 100
    """Gradient steps of the model at that point, before actor and critic begin."""
    train_freq: int = 8
    """Environment steps, of all copies, for each round of gradient steps."""
    gradient_steps: int = 1
    """Gradient steps of model, actor and critic in each round."""
    batch_size: int = 16
    """Sequences in each gradient step."""
    length: int = 32
    """Observations in a sequence."""
    horizon: int = 15
    """Steps imagined."""
    lambda_: float = 0.95
    """λ of the returns."""
    entropy_coef: float = 3e-4
    """Weight of the policy's entropy beside normalised returns."""
    slow_weight: float = 1.0
    """Weight that draws the critic to its own slow average."""
    tau: float = 0.02
    """Share of the critic that its slow average takes over at each gradient step."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of actor and critic."""
    recurrent: int = 64
    """Width of the model's deterministic path."""
    stochastic: int = 8
    """Stochastic variables of the model's state."""
    classes: int = 8
    """Values of each; 0 for Gaussian ones."""
    width: int = 64
    """Width of the model's hidden layers."""
    layers: int = 1
    """Hidden layers of each of the model's perceptrons."""
    noise: Literal["fixed", "learned", "state"] = "learned"
    """Deviation of observed numbers in the model."""
    transform: Literal["standard", "symlog", "none"] = "standard"
    """Scale of observed numbers; "standard" by mean and deviation of the first, random steps."""
    reward_head: Literal["gaussian", "twohot"] = "twohot"
    """How rewards are predicted."""
    objective: Literal["elbo", "balanced"] = "balanced"
    """What the model learns by: the plain bound, or the balanced one."""
    free_nats: float = 1.0
    """Nats of the divergence that cost nothing, in the balanced objective."""
    report_every: int = 500
    """Environment steps between two reports, which are the points where it can be saved."""
    greedy: bool = True
    """How it acts outside `learn`: True takes the most probable action, False draws from the policy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(
            self, "buffer_size", "train_freq", "gradient_steps", "batch_size", "horizon", "report_every"
        )  # fmt: skip
        require_positive(self, "model_learning_rate")
        require_shares(self, "lambda_", "tau")
        require_weights(self, "entropy_coef", "slow_weight")
        require_widths(self)
        for name in ("learning_starts", "initial_steps"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 0:
                raise UsageError(f"{name} = {getattr(self, name)!r}", expected="a whole number, 0 or more")
        self.model()

    def model(self) -> LatentSettings:
        """Returns the settings of the model."""
        return LatentSettings(
            recurrent=self.recurrent, stochastic=self.stochastic, classes=self.classes, width=self.width,
            layers=self.layers, noise=self.noise, transform=self.transform, reward_head=self.reward_head,
            objective=self.objective, free_nats=self.free_nats, batch_size=self.batch_size, length=self.length,
            learning_rate=self.model_learning_rate,
        )  # fmt: skip
