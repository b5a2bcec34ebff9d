"""What on-policy agents and their learners share: settings, schedule, loss terms, first weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np

from inscape.agents.acting import Policy
from inscape.agents.interface import Metrics
from inscape.agents.learning.settings import PolicySettings
from inscape.agents.learning.settings_checks import require_counts, require_positive, require_shares, require_weights
from inscape.envs.tasks.shared_policy import PlayersTask
from inscape.errors import UsageError
from inscape.world_models.networks.initialization import perceptron_weights
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from torch import Tensor

    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World


Backend = Literal["auto", "torch", "compiled", "cuda"]


MOMENTS = {"adam": {"first", "second"}, "rmsprop": {"square"}}
"""What an optimiser keeps of each weight."""


@dataclass(frozen=True)
class OnPolicySettings(PolicySettings):
    """Settings of the agents that learn from what they have just done."""

    num_steps: int = 128
    """Steps each copy takes between two updates."""
    anneal: Literal["linear", "constant"] = "linear"
    """Whether the learning rate falls linearly to zero over the training."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    entropy_coef: float = 0.0
    """Weight of the entropy bonus."""
    max_grad_norm: float = 0.5
    """Gradients are scaled down to this norm."""
    normalize_advantages: bool = True
    """Whether advantages are shifted and scaled to mean 0, deviation 1 in each minibatch."""
    normalize_rewards: bool = True
    """Whether rewards are divided by the running deviation of discounted returns, saved with the agent: then it learns
    alike whatever the scale of rewards."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "num_steps")
        require_shares(self, "gae_lambda")
        require_positive(self, "max_grad_norm")
        require_weights(self, "value_coef", "entropy_coef")
        if self.normalize_advantages and self.num_envs * self.num_steps < 2:
            raise UsageError("normalised advantages of 1 copy × 1 step", expected="at least 2 steps")


@dataclass(frozen=True)
class BackendSettings(OnPolicySettings):
    """Settings of the on-policy agents that several learners can run (`ActorCriticAgent`)."""

    backend: Backend = "auto"
    """What runs it: "torch"; "compiled" (Numba, on the CPU); "cuda" (torch, worlds with a law stepped on the GPU);
    "auto": compiled or cuda wherever that can be."""


@dataclass(frozen=True)
class Schedule:
    """How one update goes.

    Attributes:
        rate: learning rate.
        clip: how far a probability ratio may leave 1; infinite where nothing is clipped.
        epochs: passes over the collected steps.
        minibatches: parts of a pass, a gradient step each.
        target_kl: mean KL after which no further pass is made.
    """

    rate: float
    clip: float = math.inf
    epochs: int = 1
    minibatches: int = 1
    target_kl: float = math.inf


class LossTerms(NamedTuple):
    """What a loss is made of, each `[N]`.

    Attributes:
        log_probs: log π(a|s) under the policy being changed.
        old_log_probs: the same when the actions were taken.
        advantages: A.
        values: V(s), being changed.
        returns: what V is to predict.
        entropy: H(π(·|s)).
    """

    log_probs: Tensor
    old_log_probs: Tensor
    advantages: Tensor
    values: Tensor
    returns: Tensor
    entropy: Tensor


class Learner(Policy, Protocol):
    """Networks, optimiser and environment copies of an on-policy agent: what a backend provides."""

    backend: str

    @property
    def value_unit(self) -> float: ...
    def begin(self, task: Task, steps: int) -> None: ...
    def round(self, schedule: Schedule, steps: int) -> Metrics: ...
    def state_dict(self) -> State: ...
    def load_state_dict(self, state: State) -> None: ...


def law_of(task: Task) -> World | None:
    """Returns the law behind a task, that of all players where the task is one player's part; None if it has none."""
    return task.whole.world if isinstance(task, PlayersTask) else task.world


def first_weights(
    settings: OnPolicySettings, width: int, outputs: int, seed: int
) -> dict[str, list[tuple[Array, Array]]]:
    """Returns (weight, bias) of each layer of "actor" and "critic", the same for every backend.

    Gains √2, and 0.01 for the policy's last layer: Andrychowicz et al. (2021), "What Matters In On-Policy Reinforcement
    Learning?", ICLR. The value's last layer is zero: before the first reward every advantage is exactly 0, and none is
    an error of the critic.
    """
    rng = np.random.default_rng([seed, 1])
    return {
        "actor": perceptron_weights((width, *settings.hidden, outputs), 0.01, rng),
        "critic": perceptron_weights((width, *settings.hidden, 1), 0.0, rng),
    }


def explained_variance(values: Array, returns: Array) -> float:
    """Returns 1 − Var(G − V)/Var(G): 1 for values that predict returns, 0 for a constant."""
    variance = float(returns.var())
    return 1.0 - float((returns - values).var()) / variance if variance > 0 else 0.0


class Algorithm(Protocol):
    """What a learner asks of the agent it works for: its settings, and the loss its algorithm minimises."""

    @property
    def settings(self) -> OnPolicySettings: ...
    @property
    def seed(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def optimizer(self) -> str: ...
    @property
    def epsilon(self) -> float: ...
    def loss(self, terms: LossTerms, clip: float | Tensor) -> tuple[Tensor, dict[str, Tensor]]: ...
