"""Settings that learners with networks have in common, each defined once. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inscape.agents.learning.settings_checks import require_counts, require_positive, require_shares, require_widths


@dataclass(frozen=True)
class LearnerSettings:
    """Settings of every built-in learner with networks."""

    num_envs: int = 16
    """Copies of the environment acted in side by side."""
    learning_rate: float = 3e-4
    """The optimiser's step size at the beginning."""
    gamma: float = 0.99
    """Discount per step."""
    threads: int = 1
    """CPU threads torch uses while learning; more than one only pays for large networks. How many decides on the order
    of sums, and so on the last bits of the weights; OMP_NUM_THREADS does not."""

    def __post_init__(self) -> None:
        require_counts(self, "num_envs", "threads")
        require_positive(self, "learning_rate")
        require_shares(self, "gamma")


@dataclass(frozen=True)
class PolicySettings(LearnerSettings):
    """Settings of agents with a policy network, which is learned by its gradient."""

    normalize_observations: bool = False
    """Whether Box observations are standardised by their running mean and variance, saved with the agent."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of the policy and of the value network each."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Nonlinearity of the hidden layers."""
    greedy: bool = True
    """How it acts outside `learn`: True takes the most probable action, False draws from the policy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_widths(self)
