"""REINFORCE: the gradient of the expected return, estimated from whole episodes.

The file reads top to bottom: settings, networks, baselines, agent (play episodes, change the policy, fit the baseline).
What other agents share is elsewhere: acting in `acting` and `torch_policy`, returns in `returns`.

Source: Williams (1992), "Simple statistical gradient-following algorithms for connectionist reinforcement learning",
Machine Learning 8; per step, discounted and with a baseline: Sutton & Barto (2018), Reinforcement Learning, section
13.3 (box) and equation 13.11.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from inscape.agents.acting import PolicyAgent
from inscape.agents.interface import Metrics, learning_task
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.learning.normalization import spread_is_rounding
from inscape.agents.learning.returns import discounted_returns
from inscape.agents.learning.settings import PolicySettings
from inscape.agents.learning.settings_checks import (
    require_counts,
    require_positive,
    require_positive_if_any,
    require_weights,
)
from inscape.agents.on_policy.base import explained_variance
from inscape.agents.on_policy.torch_learner import whole_masks
from inscape.errors import UsageError
from inscape.world_models.networks.device import resolve_device
from inscape.world_models.networks.features import refuse_pictures
from inscape.world_models.networks.modules import perceptron
from inscape.world_models.networks.policy import PolicyNetwork, TorchPolicy
from inscape.world_models.networks.tensors import (
    learning_threads,
    load_module,
    load_optimizer,
    optimizer_arrays,
    step_if_finite,
    to_arrays,
)
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

BASELINES = ("none", "mean", "value")


@dataclass(frozen=True)
class ReinforceSettings(PolicySettings):
    """Settings of REINFORCE."""

    num_envs: int = 16
    """Copies of the environment; each plays one whole episode between two updates."""
    learning_rate: float = 3e-3
    """Adam's step size of the policy."""
    baseline: Literal["none", "mean", "value"] = "value"
    """What is taken off the returns: nothing; the mean return of the other copies at the same step; V(s), learned."""
    value_learning_rate: float = 1e-2
    """Adam's step size of the value network."""
    value_steps: int = 10
    """Gradient steps of the value network after each round, on all of its returns."""
    discount_states: bool = True
    """Whether step t weighs γ^t, as the gradient of the discounted return has it. False weighs all steps alike: another
    aim, which many prefer where episodes are long."""
    entropy_coef: float = 0.0
    """Weight of the entropy bonus."""
    max_grad_norm: float | None = None
    """Gradients are scaled down to this norm, which biases them; None leaves them."""
    longest_episode: int = 10_000
    """Episodes are cut after so many steps where the task has no shorter limit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "value_steps", "longest_episode")
        require_positive(self, "value_learning_rate")
        require_positive_if_any(self, "max_grad_norm")
        require_weights(self, "entropy_coef")
        if self.baseline not in BASELINES:
            raise UsageError(f"baseline = {self.baseline!r}", expected=", ".join(BASELINES))
        if self.baseline == "mean" and self.num_envs < 2:
            raise UsageError("baseline = 'mean' with num_envs = 1", expected="other copies to take the mean of")


class PolicyAndBaseline(PolicyNetwork):
    """A policy network and, where the baseline is learned, a value network over the same encoded observations."""

    def __init__(self, task: Task, settings: ReinforceSettings, generator: torch.Generator) -> None:
        refuse_pictures(task.observation_space, "reinforce")
        super().__init__(task, settings.normalize_observations)
        hidden, learned = (self.encoder.width, *settings.hidden), settings.baseline == "value"
        self.policy = perceptron((*hidden, self.scores), settings.activation, 0.01, generator)
        self.baseline = perceptron((*hidden, 1), settings.activation, 0.0, generator) if learned else None

    def outputs(self, features: Tensor, action_mask: Tensor | None) -> Tensor:
        return self.completed(self.policy(features), action_mask)

    def values(self, features: Tensor) -> Tensor:
        """Returns `[B]` V(s); 0 where no baseline is learned."""
        return features.new_zeros(len(features)) if self.baseline is None else self.baseline(features)[..., 0]

    def policy_parameters(self) -> list[nn.Parameter]:
        """Returns what the policy depends on."""
        return [*self.policy.parameters(), *([] if self.log_std is None else [self.log_std])]


@dataclass(frozen=True)
class Episodes:
    """One episode of each copy, its N steps side by side.

    Attributes:
        features: `[N, D]`.
        action_masks: `[N, A]` bool, or None.
        actions: `[N, ...]` as the distribution samples them.
        returns: `[N]` float64, G_t.
        step: `[N]` int64, t within the episode.
        copy: `[N]` int64.
        taken: environment steps it took, those of copies that had to wait for the last one included.
        metrics: of the episodes.
    """

    features: Tensor
    action_masks: Tensor | None
    actions: Tensor
    returns: Array
    step: Array
    copy: Array
    taken: int
    metrics: Metrics


def mean_of_others(returns: Array, step: Array, copy: Array) -> Array:
    """Returns `[N]` the mean of G at the same step over the other copies' episodes; beyond them, over all their steps.

    The own episode is left out because a baseline that depends on the action shifts the gradient: with it, by the
    factor 1 − 1/B.

    Args:
        returns: `[N]` G_t.
        step, copy: `[N]` t, and which episode.
    """
    copies, length = int(copy.max()) + 1, int(step.max()) + 1
    table, there = np.zeros((copies, length)), np.zeros((copies, length))
    table[copy, step], there[copy, step] = returns, 1.0
    others, count = table.sum(axis=0) - table, there.sum(axis=0) - there
    all_others, all_count = table.sum() - table.sum(axis=1), there.sum() - there.sum(axis=1)
    mean = np.where(count > 0, others / np.maximum(count, 1.0), (all_others / np.maximum(all_count, 1.0))[:, None])
    return np.asarray(mean[copy, step])


class Reinforce(PolicyAgent):
    """REINFORCE with or without a baseline: discrete, multi-discrete and continuous actions, action masks.

    Every copy plays one episode, with the policy as it was at the beginning. Copies that are done before the last
    one wait for it: their further steps are not learned from, since of episodes started later only the short ones
    would end in time.

    The returns of an episode cut by a time limit bootstrap from V of its last observation where a value is learned.
    Without one there is nothing to bootstrap from: the rewards that would have followed count as 0, and the agent
    learns to earn much within the limit.

    Args:
        task: what to act in.
        seed: seed of weights, exploration and environment.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        settings: see `ReinforceSettings`.

    Raises:
        UsageError: unsupported spaces, or CUDA is not available.
    """

    name = "reinforce"

    def __init__(
        self, task: Task, seed: int = 0, device: str = "cpu", settings: ReinforceSettings | None = None
    ) -> None:
        s = self.settings = settings or ReinforceSettings()
        self.seed, self.device = seed, resolve_device(device)
        self.network = PolicyAndBaseline(task, s, torch.Generator().manual_seed(seed)).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.policy_parameters(), lr=s.learning_rate)
        self.value_optimizer = (
            None
            if self.network.baseline is None
            else torch.optim.Adam(self.network.baseline.parameters(), lr=s.value_learning_rate)
        )
        self.policy: TorchPolicy = TorchPolicy(self.network, self.device, seed, self.name)
        self.steps = 0
        self._task: Task | None = None  # which it learns in
        self._copies: EnvRunner | None = None
        self._pending: State | None = None  # the environment's part of a loaded state, until `learn` has a task

    def state_values(self, observation: Array) -> Array:
        """Returns `[B]` V(s), the learned baseline.

        Raises:
            UsageError: no value is learned.
        """
        if self.network.baseline is None:
            raise UsageError(
                f"state values of reinforce with baseline {self.settings.baseline!r}", expected="baseline 'value'"
            )
        return super().state_values(observation)

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps in total; yields after each round of episodes.

        Resuming is exact in worlds with a law; in other environments a resumed run begins new episodes.

        Raises:
            UsageError: it has learned in another task; or an observation, a reward or a gradient is not finite (naming
                step, and copy or tensor).
        """
        if self._copies is None:
            count = self.settings.num_envs
            self._copies = EnvRunner(task, count, self.seed, steps=self.steps // count, state=self._pending)
            self._pending = None
        self._task = learning_task(self, self._task, task)
        while self.steps < steps:
            with learning_threads(self.settings.threads):
                episodes = self._play(self._copies)
                parts = self._update(episodes)
            self.steps += episodes.taken
            yield {"steps": float(self.steps), **episodes.metrics, **parts}

    def _play(self, copies: EnvRunner) -> Episodes:
        """Plays one episode in every copy."""
        s, network = self.settings, self.network
        copies.restart()
        running, lengths = np.ones(s.num_envs, bool), np.zeros(s.num_envs, np.int64)
        seen, masks, actions, rewards = [], [], [], []
        ends_terminated, beyond = np.zeros(s.num_envs, bool), np.zeros(s.num_envs)
        with torch.inference_mode():
            while running.any():
                seen.append(copies.observation)
                mask = self.policy.tensor(copies.action_mask)
                outputs = network.outputs(network.encoder(copies.observation), mask)
                masks.append(mask)
                actions.append(network.distribution.sample(outputs, self.policy.exploring))
                transition = copies.step(network.distribution.to_environment(actions[-1]))
                rewards.append(transition.reward)
                lengths += running
                late = transition.truncated | (lengths >= s.longest_episode)
                ends_terminated |= running & transition.terminated
                cut = np.flatnonzero(running & late & ~transition.terminated)
                if len(cut) and network.baseline is not None:
                    beyond[cut] = self.policy.values(transition.next_observation[cut])
                running &= ~(transition.terminated | late)
        shape = (s.num_envs, len(seen))
        last = (np.arange(s.num_envs), lengths - 1)
        next_values, terminated, truncated = np.zeros(shape), np.zeros(shape, bool), np.zeros(shape, bool)
        next_values[last], terminated[last], truncated[last] = beyond, ends_terminated, ~ends_terminated
        gained = np.stack(rewards, axis=1)
        returns = discounted_returns(gained, next_values, terminated, truncated, s.gamma)
        own = np.arange(shape[1]) < lengths[:, None]  # [B, T]: steps of the first episode
        copy, step = np.nonzero(own)
        rows = torch.as_tensor(step * s.num_envs + copy, device=self.device)  # as collected: time first
        observations = np.stack(seen)[step, copy]
        with torch.inference_mode():
            features = network.encoder(observations)
            flat = torch.cat(actions)[rows]
            every_mask = whole_masks(masks)
            legal = None if every_mask is None else torch.cat(every_mask)[rows]
        network.encoder.update(observations)
        metrics = {
            "episode_return": float((gained * own).sum(axis=1).mean()),
            "episode_length": float(lengths.mean()),
            "waiting": 1.0 - len(step) / own.size,
        }
        return Episodes(
            features.clone(), None if legal is None else legal.clone(), flat.clone(), returns[own], step, copy,
            own.size, metrics,
        )  # fmt: skip

    def _update(self, episodes: Episodes) -> Metrics:
        """Changes the policy, then the baseline; returns what the losses were."""
        loss, parts = self._policy_gradient(episodes)
        parts["gradient_norm"] = step_if_finite(
            self.optimizer, self.network, self.settings.max_grad_norm, loss, self.steps, self.name
        )
        if self.value_optimizer is not None:
            parts["value_loss"] = self._fit_baseline(episodes, self.value_optimizer)
        return parts

    def _policy_gradient(self, episodes: Episodes) -> tuple[float, Metrics]:
        """Leaves in `.grad` of the policy −1/B·Σ_i Σ_t γ^t·(G_t − b_t)·∇log π(a_t|s_t), and the bonus's part.

        Returns:
            The loss with these gradients, and metrics.
        """
        s, network = self.settings, self.network
        returns = episodes.returns
        baseline = np.zeros_like(returns)
        if s.baseline == "mean":
            baseline = mean_of_others(returns, episodes.step, episodes.copy)
        elif s.baseline == "value":
            baseline = self.policy.values_of(episodes.features)
        weights = (returns - baseline) / s.num_envs
        if s.baseline != "none" and spread_is_rounding(returns):  # what is left is the baseline's error
            weights = np.zeros_like(weights)
        if s.discount_states:
            weights = weights * s.gamma**episodes.step
        outputs = network.outputs(episodes.features, episodes.action_masks)
        log_probs = network.distribution.log_prob(outputs, episodes.actions)
        entropy = network.distribution.entropy(outputs).mean()
        policy_loss = -(torch.as_tensor(weights, dtype=torch.float32, device=self.device) * log_probs).sum()
        loss = policy_loss - s.entropy_coef * entropy
        self.optimizer.zero_grad()
        loss.backward()
        return float(loss.detach()), {
            "policy_loss": float(policy_loss.detach()),
            "entropy": float(entropy.detach()),
            "explained_variance": explained_variance(baseline, returns),
        }

    def _fit_baseline(self, episodes: Episodes, optimizer: torch.optim.Optimizer) -> float:
        """Moves V towards the returns by `value_steps` gradient steps; returns the mean squared error before them."""
        targets = torch.as_tensor(episodes.returns, dtype=torch.float32, device=self.device)
        errors = []
        for _ in range(self.settings.value_steps):
            loss = mse_loss(self.network.values(episodes.features), targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            errors.append(float(loss.detach()))
            step_if_finite(optimizer, self.network, None, errors[-1], self.steps, self.name)
        return errors[0]

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {
            "network": to_arrays(self.network.state_dict()),
            "optimizer": optimizer_arrays(self.optimizer),
            "value_optimizer": None if self.value_optimizer is None else optimizer_arrays(self.value_optimizer),
            "steps": self.steps,
            **self.policy.rng_state(),
            "copies": self._pending if self._copies is None else self._copies.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        load_module(self.network, state["network"])
        load_optimizer(self.optimizer, state["optimizer"])
        if self.value_optimizer is not None:
            load_optimizer(self.value_optimizer, state["value_optimizer"])
        self.steps, self._task = int(state["steps"]), None
        self.policy.load_rng_state(state)
        self._copies, self._pending = None, state["copies"]
