"""Settings of the agents that imitate. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from inscape.agents.learning.settings_checks import (
    require_counts,
    require_positive,
    require_shares,
    require_weights,
    require_widths,
)
from inscape.agents.on_policy.ppo import ClipSettings
from inscape.errors import UsageError


@dataclass(frozen=True)
class ImitationSettings:
    """Whom an agent imitates."""

    expert: str = ""
    """Whom to imitate: an agent that needs no training (value-iteration, mcts, file.py:Class), or a run folder."""
    expert_settings: dict[str, int | float | bool | str] = field(default_factory=dict)
    """The expert's settings by name and value; not of a run."""
    expert_episodes: int = 50
    """Episodes that the expert plays to be imitated (`dagger`: asks it about what it does itself instead)."""
    data: str = ""
    """Recorded episodes to imitate instead: FILE.npz, a run folder, or minari:NAME."""

    def __post_init__(self) -> None:
        require_counts(self, "expert_episodes")
        if self.expert and self.data:
            raise UsageError(
                f"expert = {self.expert!r} and data = {self.data!r}", expected="one of them: whom to imitate"
            )


@dataclass(frozen=True)
class CloneSettings(ImitationSettings):
    """Settings of behaviour cloning."""

    batch_size: int = 256
    """Decisions of the expert in a gradient step, drawn at random; where there are no more, each step takes all."""
    learning_rate: float = 1e-3
    """Adam's step size at the beginning."""
    anneal: Literal["linear", "constant"] = "linear"
    """Whether the learning rate falls linearly to zero over the training."""
    labels: Literal["actions", "probabilities"] = "actions"
    """What is imitated of an expert that can say with which probability it takes each action: the actions that it took,
    or those probabilities, which have no sampling error."""
    held_out: float = 0.1
    """Share of the episodes that is not learned from; loss and accuracy are measured there too."""
    weight_decay: float = 0.0
    """Weights are drawn towards 0 by this much of themselves, times the learning rate, in each step (AdamW)."""
    max_grad_norm: float = 10.0
    """Gradients are scaled down to this norm."""
    report_every: int = 100
    """Gradient steps between two reports."""
    normalize_observations: bool = False
    """Whether Box observations are standardised by mean and variance of what the expert observed."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Nonlinearity of the hidden layers."""
    greedy: bool = True
    """How it acts: True takes the most probable action, False draws from the policy, as a stochastic expert does."""
    threads: int = 1
    """CPU threads torch uses while learning."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "batch_size", "report_every", "threads")
        require_positive(self, "learning_rate", "max_grad_norm")
        require_weights(self, "weight_decay")
        require_widths(self)
        require_shares(self, "held_out")
        if self.held_out == 1:
            raise UsageError("held_out = 1, which leaves nothing to learn from", expected="a share below 1")
        if self.labels not in ("actions", "probabilities"):
            raise UsageError(f"labels = {self.labels!r}", expected="actions, probabilities")


@dataclass(frozen=True)
class DAggerSettings(CloneSettings):
    """Settings of DAgger."""

    num_envs: int = 8
    """Copies of the environment acted in side by side."""
    num_steps: int = 32
    """Steps each copy takes in a round; then all decisions so far are learned from."""
    gradient_steps: int = 200
    """Gradient steps after each round; the weights go on from where they were."""
    expert_share: float = 0.0
    """p: in round i, from 0, each action is the expert's with probability p^i. Round 0 is the expert's alone; with
    p = 0 all later ones are the learner's, who asks the expert everywhere and follows itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "num_envs", "num_steps", "gradient_steps")
        require_shares(self, "expert_share")


@dataclass(frozen=True)
class AIRLSettings(ImitationSettings, ClipSettings):
    """Settings of adversarial imitation."""

    form: Literal["airl", "gail"] = "airl"
    """airl learns a reward g and a shaping term h, and rewards by them; gail tells expert and learner apart by one
    network of state and action."""
    reward: Literal["state", "state-action"] = "state-action"
    """What the reward g of airl depends on; of the state alone it is the one that carries over to other dynamics."""
    reward_hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of the discriminator's networks; empty for linear ones."""
    reward_learning_rate: float = 1e-3
    """Adam's step size of the discriminator."""
    reward_steps: int = 8
    """Gradient steps of the discriminator in each round."""
    reward_batch: int = 512
    """Decisions of the expert, and as many of the learner, in each of these steps."""
    reward_decay: float = 0.0
    """The discriminator's weights are drawn towards 0 by this much of themselves, times its learning rate (AdamW)."""
    normalize_rewards: bool = False
    """Whether rewards are divided by the running deviation of discounted returns, saved with the agent."""
    learning_rate: float = 1e-3
    """Adam's step size of the policy at the beginning."""

    def __post_init__(self) -> None:
        ClipSettings.__post_init__(self)
        ImitationSettings.__post_init__(self)
        require_counts(self, "reward_steps", "reward_batch")
        require_positive(self, "reward_learning_rate")
        require_weights(self, "reward_decay")
        if any(not width >= 1 for width in self.reward_hidden):
            raise UsageError(f"reward_hidden = {self.reward_hidden!r}", expected="widths of at least 1")
        for name, known in (("form", ("airl", "gail")), ("reward", ("state", "state-action"))):
            if getattr(self, name) not in known:
                raise UsageError(f"{name} = {getattr(self, name)!r}", expected=", ".join(known))
