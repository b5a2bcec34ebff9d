"""Settings of the agent that plans in a model for search. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inscape.agents.learning.settings import LearnerSettings
from inscape.agents.learning.settings_checks import (
    require_counts,
    require_positive,
    require_shares,
    require_weights,
)
from inscape.errors import UsageError
from inscape.world_models.learned.muzero.settings import MuZeroModelSettings


@dataclass(frozen=True)
class MuZeroSettings(LearnerSettings):
    """Settings of MuZero."""

    num_envs: int = 1
    """Copies of the environment acted in side by side."""
    learning_rate: float = 2e-3
    """The optimiser's step size at the beginning."""
    anneal: Literal["linear", "constant"] = "linear"
    """Whether the learning rate falls linearly to a tenth over the training."""
    gamma: float = 0.99
    """Discount per step."""
    num_simulations: int = 16
    """Simulations per search, in its episodes, as it acts and as it searches remembered steps again."""
    value_scale: float = 0.1
    """How much action values weigh against the prior in a search."""
    value_range: tuple[float, float] | None = None
    """Lowest and highest return there can be, by which searches scale values; None: those met in a tree."""
    exploration: float = 1.0
    """Scale of the Gumbel noise at the roots of its own episodes: 1 draws from the search's policy, 0 is greedy."""
    random_moves: float = 0.0
    """Share of actions drawn uniformly while it learns."""
    latent: int = 64
    """Numbers of a model state."""
    width: int = 128
    """Width of the model's hidden layers."""
    support: int = 20
    """Values and rewards are classes at the whole numbers from −support to support of the transformed scale: 20 reaches
    421, 10 reaches 118."""
    codes: int = 0
    """Chance codes: outcomes that an action can have in the model; 0 for a world without randomness."""
    normalize: bool = True
    """Whether observed numbers are standardised by the running mean and deviation."""
    unroll: int = 5
    """Steps that the model is unrolled for in a gradient step."""
    n_step: int = 5
    """Rewards summed before the search's value of what followed."""
    buffer_size: int = 100_000
    """Steps remembered."""
    priority: float = 0.6
    """Exponent of errors of values as priorities of replay; 0 draws uniformly."""
    priority_beta: float = 1.0
    """Exponent of the weights that correct for those priorities; 0 does not correct."""
    learning_starts: int = 200
    """Environment steps before the first gradient step; until then actions are uniform."""
    train_freq: int = 1
    """Environment steps, of all copies, for each round of gradient steps."""
    gradient_steps: int = 1
    """Gradient steps of a round."""
    batch_size: int = 64
    """Sequences in each gradient step."""
    reanalyse: int = 64
    """Remembered steps that are searched again with the present model before each gradient step."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    consistency_coef: float = 2.0
    """Weight of the loss by which foreseen states are those of what was observed; 0 for none."""
    code_coef: float = 1.0
    """Weight of the loss of the chance codes' probabilities."""
    weight_decay: float = 1e-4
    """Decay of the weights, apart from the gradient."""
    max_grad_norm: float = 5.0
    """Gradients are scaled down to this norm."""
    report_every: int = 200
    """Environment steps between two reports, which are the points where it can be saved."""
    greedy: bool = True
    """How it acts outside `learn`: True takes what the search proposes, False draws from the search's policy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(
            self, "num_simulations", "unroll", "n_step", "buffer_size", "train_freq", "gradient_steps", "batch_size",
            "report_every",
        )  # fmt: skip
        require_positive(self, "max_grad_norm")
        require_shares(self, "random_moves", "priority", "priority_beta")
        require_weights(
            self, "value_scale", "exploration", "value_coef", "consistency_coef", "code_coef", "weight_decay"
        )
        for name in ("learning_starts", "reanalyse"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise UsageError(f"{name} = {value!r}", expected="a whole number, 0 or more")
        if self.anneal not in ("linear", "constant"):
            raise UsageError(f"anneal = {self.anneal!r}", expected="'linear' or 'constant'")
        least = self.unroll + self.n_step + 1
        if self.buffer_size // self.num_envs < least:
            raise UsageError(
                f"buffer_size = {self.buffer_size:,} for {self.num_envs} copies",
                expected=f"at least {least} steps of each: unroll and n_step ahead of a step",
            )
        self.model()

    def model(self) -> MuZeroModelSettings:
        """Returns the settings of the model."""
        return MuZeroModelSettings(
            latent=self.latent, width=self.width, support=self.support, codes=self.codes, normalize=self.normalize
        )
