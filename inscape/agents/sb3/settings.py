"""Settings of the algorithms of Stable-Baselines3, and what they become in their constructors."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Any, Literal

from inscape.agents.learning.settings_checks import (
    require_counts_if_any,
    require_gradient_steps,
    require_positive_if_any,
    require_shares_if_any,
    require_weights_if_any,
)
from inscape.errors import UsageError

RECURRENT = "recurrent-ppo"

# what is not an argument of the algorithm's constructor, or not as it is
_NO_ARGUMENTS = frozenset(
    {
        "policy",
        "num_envs",
        "anneal",
        "anneal_clip",
        "hidden",
        "lstm_hidden_size",
        "greedy",
        "threads",
        "report_every",
        "save_replay",
        "load",
        "trust",
    }
)
_ARGUMENTS = {
    "num_steps": "n_steps",
    "epochs": "n_epochs",
    "clip": "clip_range",
    "entropy_coef": "ent_coef",
    "value_coef": "vf_coef",
    "epsilon_fraction": "exploration_fraction",
    "epsilon_end": "exploration_final_eps",
}
"""How Stable-Baselines3 names settings that every agent here has under one name; the others it names alike."""


@dataclass(frozen=True)
class SB3Settings:
    """Settings of a Stable-Baselines3 algorithm. None leaves a setting at the algorithm's own default."""

    policy: str = ""
    """Name of the policy network; empty for MlpPolicy (ars: LinearPolicy; Dict observations: MultiInputPolicy)."""
    num_envs: int | None = None
    """Copies of the environment; None for 8 with on-policy algorithms and 1 with the others."""
    learning_rate: float | None = None
    """Step size of the optimiser at the beginning."""
    anneal: Literal["linear", "constant"] = "constant"
    """Whether learning_rate falls linearly to zero over the training."""
    anneal_clip: bool = False
    """PPO: whether clip falls linearly to zero over the training."""
    gamma: float | None = None
    """Discount per step."""
    batch_size: int | None = None
    """Size of a minibatch."""
    hidden: tuple[int, ...] | None = None
    """Widths of the hidden layers."""
    lstm_hidden_size: int | None = None
    """recurrent-ppo: units of the LSTM, which the hidden layers follow."""
    num_steps: int | None = None
    """On-policy: steps each copy takes between updates."""
    epochs: int | None = None
    """On-policy: passes over the collected steps."""
    gae_lambda: float | None = None
    """On-policy: λ of generalised advantage estimation."""
    clip: float | None = None
    """PPO: how far the probability ratio may leave 1."""
    entropy_coef: float | None = None
    """Weight of the entropy bonus."""
    value_coef: float | None = None
    """On-policy: weight of the value loss."""
    max_grad_norm: float | None = None
    """Gradients are scaled down to this norm."""
    buffer_size: int | None = None
    """Off-policy: transitions kept for replay."""
    learning_starts: int | None = None
    """Off-policy: steps before the first update."""
    train_freq: int | None = None
    """Off-policy: steps of each copy between updates."""
    gradient_steps: int | None = None
    """Off-policy: gradient steps at each update; −1 for as many as steps taken."""
    tau: float | None = None
    """Off-policy: how far the target network moves at each update."""
    target_update_interval: int | None = None
    """DQN: steps between updates of the target network."""
    epsilon_fraction: float | None = None
    """DQN: part of the training over which exploration falls."""
    epsilon_end: float | None = None
    """DQN: probability of a random action afterwards."""
    greedy: bool = True
    """How it acts outside `learn`: True takes the best action, False draws from the policy (DQN: with its ε)."""
    threads: int = 1
    """CPU threads torch uses while learning; more than one only pays for large networks. How many decides on the order
    of sums, and so on the last bits of the weights; OMP_NUM_THREADS does not."""
    report_every: int = 2048
    """Off-policy: environment steps between two reports of `learn`."""
    save_replay: bool = True
    """Whether a checkpoint holds the replay buffer; without it, resuming is not exact."""
    load: str = ""
    """A .zip of Stable-Baselines3 to begin from. It is unpickled, which runs code: needs `trust`."""
    trust: bool = False
    """Whether to run the code in `load`."""

    def __post_init__(self) -> None:
        require_counts_if_any(
            self, "num_envs", "lstm_hidden_size", "num_steps", "epochs", "batch_size", "buffer_size", "train_freq",
            "target_update_interval", "threads", "report_every",
        )  # fmt: skip
        require_positive_if_any(self, "learning_rate", "clip", "max_grad_norm")
        require_shares_if_any(self, "gamma", "gae_lambda", "tau", "epsilon_fraction", "epsilon_end")
        require_weights_if_any(self, "entropy_coef", "value_coef", "learning_starts")
        require_gradient_steps(self)


def constructor_arguments(settings: SB3Settings, cls: Any, name: str) -> dict[str, Any]:
    """Returns the constructor's arguments for what is set.

    Raises:
        UsageError: the algorithm has no such setting.
    """
    accepted = inspect.signature(cls).parameters
    argument_of = {
        field.name: _ARGUMENTS.get(field.name, field.name)
        for field in dataclasses.fields(settings)
        if field.name not in _NO_ARGUMENTS
    }
    given = {}
    for setting, argument in argument_of.items():
        if (value := getattr(settings, setting)) is None:
            continue
        if argument not in accepted:
            known = (own for own, argument in argument_of.items() if argument in accepted)
            raise UsageError(f"{name} has no setting {setting!r}", expected=", ".join(known))
        given[argument] = value
    if settings.anneal == "linear":
        rate = given.get("learning_rate", accepted["learning_rate"].default)
        given["learning_rate"] = _linear(rate)
    if settings.anneal_clip and "clip_range" in accepted:
        given["clip_range"] = _linear(given.get("clip_range", accepted["clip_range"].default))
    network: dict[str, Any] = {} if settings.hidden is None else {"net_arch": list(settings.hidden)}
    if settings.lstm_hidden_size is not None:
        if not name.endswith(RECURRENT):
            raise UsageError(f"{name} has no setting 'lstm_hidden_size'", expected=f"sb3:{RECURRENT}")
        network["lstm_hidden_size"] = settings.lstm_hidden_size
    return {**given, "policy_kwargs": network} if network else given


def _linear(initial: float) -> Any:
    # the last rollout may overshoot the total: without the bound the rate would turn negative
    return lambda remaining: max(0.0, remaining) * initial
