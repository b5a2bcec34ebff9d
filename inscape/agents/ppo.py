"""Proximal policy optimisation on vector environments.

The file reads top to bottom: settings, loss, networks, agent (act, collect, update, learn, save). What other agents
share is elsewhere: advantages in `returns`, features in `observations`, action distributions in `distributions`.

Source: Schulman, Wolski, Dhariwal, Radford & Klimov (2017), "Proximal Policy Optimization Algorithms",
arXiv:1707.06347; initialisation and annealing as recommended by Andrychowicz et al. (2021), "What Matters In On-Policy
Reinforcement Learning?", ICLR.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from inscape.agents.acting import greedy_log_probs
from inscape.agents.device import resolve_device
from inscape.agents.distributions import CategoricalActions, GaussianActions, action_distribution
from inscape.agents.finite import require_finite
from inscape.agents.interface import Agent, Array, Metrics, State
from inscape.agents.networks import perceptron
from inscape.agents.observations import ObservationEncoder
from inscape.agents.returns import generalized_advantages
from inscape.agents.tensors import (
    load_module,
    load_optimizer,
    optimizer_arrays,
    require_finite_gradients,
    to_arrays,
)
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.registry import Task


@dataclass(frozen=True)
class PPOSettings:
    """Settings of proximal policy optimisation."""

    num_envs: int = 16
    """Copies of the environment acted in side by side."""
    num_steps: int = 128
    """Steps each copy takes between two updates."""
    epochs: int = 10
    """Passes over the collected steps at each update."""
    minibatches: int = 8
    """Parts the collected steps are split into at each pass; one gradient step each."""
    learning_rate: float = 3e-4
    """Adam's step size at the beginning."""
    anneal: Literal["linear", "constant"] = "linear"
    """Whether the learning rate falls linearly to zero over the training."""
    gamma: float = 0.99
    """Discount per step."""
    gae_lambda: float = 0.95
    """λ of generalised advantage estimation."""
    clip: float = 0.2
    """How far the probability ratio may leave 1 before it stops paying."""
    anneal_clip: bool = False
    """Whether the clip range falls with the learning rate."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    entropy_coef: float = 0.0
    """Weight of the entropy bonus."""
    max_grad_norm: float = 0.5
    """Gradients are scaled down to this norm."""
    normalize_advantages: bool = True
    """Whether advantages are shifted and scaled to mean 0, deviation 1 in each minibatch."""
    normalize_observations: bool = False
    """Whether Box observations are standardised by their running mean and variance, saved with the agent."""
    target_kl: float | None = None
    """Stop the passes of an update when the policy has moved this far (mean KL, nats); None never stops."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers, of the policy and of the value network each."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Nonlinearity of the hidden layers."""
    greedy: bool = True
    """How it acts outside `learn`: True takes the most probable action, False draws from the policy."""
    threads: int = 1
    """CPU threads torch uses while learning; more than one only pays for large networks."""

    def __post_init__(self) -> None:
        for name in ("num_envs", "num_steps", "epochs", "minibatches", "threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} = {getattr(self, name)!r}", expected="an integer of at least 1")
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} = {getattr(self, name)!r}", expected="a number from 0 to 1")
        for name in ("learning_rate", "clip", "max_grad_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} = {getattr(self, name)!r}", expected="a positive number")
        if self.num_envs * self.num_steps < 2 * self.minibatches:
            raise UsageError(
                f"{self.num_envs} copies × {self.num_steps} steps in {self.minibatches} minibatches",
                expected="at least 2 steps in each minibatch",
            )


def ppo_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    values: Tensor,
    returns: Tensor,
    entropy: Tensor,
    clip: float,
    value_coef: float,
    entropy_coef: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the loss −E[min(r·A, clip(r, 1 ± ε)·A)] + c_v·E[(V − G)²] − c_e·E[H], and its parts.

    Args:
        log_probs: `[N]` log π(a|s) under the policy being changed.
        old_log_probs: `[N]` the same when the actions were taken; r is the ratio of the two.
        advantages: `[N]` A.
        values: `[N]` V(s), being changed.
        returns: `[N]` G, what V is to predict.
        entropy: `[N]` H(π(·|s)).
        clip: ε.
        value_coef: c_v.
        entropy_coef: c_e.

    Source: Schulman et al. (2017), equations 7 and 9.
    """
    log_ratio = log_probs - old_log_probs
    ratio = log_ratio.exp()
    policy_loss = -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()
    value_loss = mse_loss(values, returns)
    mean_entropy = entropy.mean()
    loss = policy_loss + value_coef * value_loss - entropy_coef * mean_entropy
    with torch.no_grad():
        parts = {
            "policy_loss": policy_loss.detach(),
            "value_loss": value_loss.detach(),
            "entropy": mean_entropy.detach(),
            # the low-variance estimator of Schulman (2020), "Approximating KL divergence"
            "kl": (ratio - 1 - log_ratio).mean(),
            "clip_fraction": ((ratio - 1).abs() > clip).float().mean(),
        }
    return loss, parts


class ActorCritic(nn.Module):
    """Policy and value networks over encoded observations, sharing nothing but the encoder (which is not learned)."""

    def __init__(self, task: Task, settings: PPOSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.encoder = ObservationEncoder(task.observation_space, settings.normalize_observations)
        self.distribution = action_distribution(task.action_space)
        hidden = (self.encoder.width, *settings.hidden)
        continuous = isinstance(self.distribution, GaussianActions)
        outputs = self.distribution.width // 2 if continuous else self.distribution.width
        self.actor = perceptron((*hidden, outputs), settings.activation, 0.01, generator)
        self.critic = perceptron((*hidden, 1), settings.activation, 1.0, generator)
        # the deviation does not depend on the observation, as in the paper
        self.log_std = nn.Parameter(torch.zeros(outputs)) if continuous else None

    def outputs(self, features: Tensor, action_mask: Tensor | None) -> Tensor:
        """Returns `[B, width]` parameters of the action distribution; illegal actions have logit −inf."""
        outputs: Tensor = self.actor(features)
        if self.log_std is not None:
            return torch.cat([outputs, self.log_std.expand_as(outputs)], dim=-1)
        return outputs if action_mask is None else outputs.masked_fill(~action_mask, -math.inf)

    def values(self, features: Tensor) -> Tensor:
        """Returns `[B]` V(s)."""
        values: Tensor = self.critic(features)[..., 0]
        return values


@dataclass
class _Copies:
    """The environment copies being learned in, and where they are."""

    env: gymnasium.vector.VectorEnv[Any, Any, Any]
    observation: Array
    action_mask: Array | None
    returns: Array
    lengths: Array


@dataclass(frozen=True)
class _Batch:
    """What one round of collecting gave, flattened to `[N]` rows."""

    features: Tensor
    action_masks: Tensor | None
    actions: Tensor
    old_log_probs: Tensor
    advantages: Tensor
    returns: Tensor
    metrics: Metrics


class PPO(Agent):
    """Proximal policy optimisation: discrete, multi-discrete and continuous actions, action masks.

    Time limits do not end the sum of rewards: where an episode was cut, the value of its last observation stands for
    the rest.

    Args:
        task: what to act in.
        seed: seed of weights, exploration and environment.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        settings: see `PPOSettings`.

    Raises:
        UsageError: unsupported spaces, or CUDA where there is none.
    """

    name = "ppo"

    def __init__(self, task: Task, seed: int = 0, device: str = "cpu", settings: PPOSettings | None = None) -> None:
        self.settings = settings or PPOSettings()
        self.seed, self.device = seed, resolve_device(device)
        self._start = torch.Generator().manual_seed(seed)
        self.network = ActorCritic(task, self.settings, self._start).to(self.device)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=self.settings.learning_rate, eps=1e-5, fused=True
        )
        # acting outside `learn` has chance of its own, so that evaluating in between changes nothing
        self._acting = torch.Generator(self.device).manual_seed(seed * 2 + 1)
        self._exploring = torch.Generator(self.device).manual_seed(seed * 2)
        self.steps = 0
        self._copies: _Copies | None = None
        self._pending: State | None = None  # the environment's part of a loaded state, until `learn` has a task

    # ------------------------------------------------------------------------------------------- acting

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        distribution = self.network.distribution
        with torch.inference_mode():
            outputs = self.network.outputs(self.network.encoder(observation), self._tensor(action_mask))
            actions = distribution.mode(outputs) if self.settings.greedy else distribution.sample(outputs, self._acting)
        return distribution.to_environment(actions)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities as it acts: the policy's, or 0 and −inf when the settings say `greedy`.

        Raises:
            UsageError: the actions are not `Discrete`.
        """
        log_probs = self.policy_log_probs(observation, action_mask)
        return greedy_log_probs(log_probs) if self.settings.greedy else log_probs

    def policy_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log π(a|s), whether or not it acts greedily.

        Raises:
            UsageError: the actions are not `Discrete`.
        """
        distribution = self.network.distribution
        if not isinstance(distribution, CategoricalActions):
            raise UsageError("log-probabilities of every action of ppo", expected="a task with Discrete actions")
        with torch.inference_mode():
            outputs = self.network.outputs(self.network.encoder(observation), self._tensor(action_mask))
            return distribution.log_probs(outputs).cpu().numpy().astype(np.float64)

    def state_values(self, observation: Array) -> Array:
        """Returns `[B]` V(s), the critic's estimate of the discounted return."""
        with torch.inference_mode():
            return self.network.values(self.network.encoder(observation)).cpu().numpy().astype(np.float64)

    def _tensor(self, array: Array | None) -> Tensor | None:
        return None if array is None else torch.as_tensor(array, device=self.device)

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps in total (whole rounds of num_envs · num_steps); yields each.

        Resuming is exact on worlds of ours; on other environments a resumed run begins new episodes.

        Raises:
            UsageError: an observation, a reward or a gradient is not finite (naming step, and copy or tensor).
        """
        copies = self._copies or self._begin(task)
        threads = torch.get_num_threads()
        torch.set_num_threads(self.settings.threads)
        try:
            while self.steps < steps:
                remaining = max(0.0, 1.0 - self.steps / steps)
                batch = self._collect(copies, task.name)
                parts = self._update(batch, remaining)
                self.steps += self.settings.num_envs * self.settings.num_steps
                yield {"steps": float(self.steps), **batch.metrics, **parts}
        finally:
            torch.set_num_threads(threads)

    def _begin(self, task: Task) -> _Copies:
        count = self.settings.num_envs
        env = task.vector_env(count, autoreset="same-step")
        # a resumed run that cannot restore its environment begins episodes of its own, not the first ones again
        observation, info = env.reset(seed=self.seed + self.steps)
        copies = _Copies(env, observation, info.get("action_mask"), np.zeros(count), np.zeros(count, np.int64))
        if self._pending is not None and self._pending["env"] is not None:
            env.load_state_dict(self._pending["env"])  # type: ignore[attr-defined]
            copies.observation, copies.action_mask = self._pending["observation"], self._pending["action_mask"]
            copies.returns, copies.lengths = self._pending["returns"], self._pending["lengths"]
        self._pending = None
        self._copies = copies
        return copies

    def _collect(self, copies: _Copies, env_name: str) -> _Batch:
        """Acts for num_steps in every copy and turns what happened into a batch to learn from."""
        s, network = self.settings, self.network
        time, count = s.num_steps, s.num_envs
        seen = np.empty((time + 1, *copies.observation.shape), copies.observation.dtype)
        rewards, terminated, truncated = (
            np.empty((time, count)),
            np.empty((time, count), bool),
            np.empty((time, count), bool),
        )
        outputs, actions, masks = [], [], []
        ends: list[tuple[int, Array, Array]] = []  # step, copies, last observations
        episode_returns: list[Array] = []
        episode_lengths: list[Array] = []
        with torch.inference_mode():
            for t in range(time):
                seen[t] = copies.observation
                mask = self._tensor(copies.action_mask)
                out = network.outputs(network.encoder(copies.observation), mask)
                chosen = network.distribution.sample(out, self._exploring)
                copies.observation, rewards[t], terminated[t], truncated[t], info = copies.env.step(
                    network.distribution.to_environment(chosen)
                )
                copies.action_mask = info.get("action_mask")
                outputs.append(out)
                actions.append(chosen)
                masks.append(mask)
                copies.returns += rewards[t]
                copies.lengths += 1
                over = np.flatnonzero(terminated[t] | truncated[t])
                if len(over):
                    ends.append((t, over, _rows(info["final_obs"], over)))
                    episode_returns.append(copies.returns[over])
                    episode_lengths.append(copies.lengths[over])
                    copies.returns[over], copies.lengths[over] = 0.0, 0
            seen[time] = copies.observation
            require_finite(rewards, "the reward", self.steps // count, env_name)
            if seen.dtype.kind == "f":
                require_finite(seen, "the observation", self.steps // count, env_name)
            features = network.encoder(seen.reshape(-1, *seen.shape[2:]))
            values, next_values = self._values(features, ends, (time, count))
            all_outputs, all_actions = torch.cat(outputs), torch.cat(actions)
            old_log_probs = network.distribution.log_prob(all_outputs, all_actions)
        advantages = generalized_advantages(
            rewards.T, values.T, next_values.T, terminated.T, truncated.T, s.gamma, s.gae_lambda
        ).T
        returns = advantages + values
        metrics = {"explained_variance": _explained_variance(values, returns)}
        if episode_returns:
            metrics["episode_return"] = float(np.concatenate(episode_returns).mean())
            metrics["episode_length"] = float(np.concatenate(episode_lengths).mean())
        network.encoder.update(seen[:-1].reshape(-1, *seen.shape[2:]))
        return _Batch(
            features[: time * count].clone(),
            None if masks[0] is None else torch.cat([mask for mask in masks if mask is not None]).clone(),
            all_actions.clone(),
            old_log_probs.clone(),
            torch.as_tensor(advantages.reshape(-1), dtype=torch.float32, device=self.device),
            torch.as_tensor(returns.reshape(-1), dtype=torch.float32, device=self.device),
            metrics,
        )

    def _values(
        self, features: Tensor, ends: list[tuple[int, Array, Array]], shape: tuple[int, int]
    ) -> tuple[Array, Array]:
        """Returns `[T, B]` V(s_t) and V of the state reached, which at an episode's end is not the next one seen."""
        time, count = shape
        values = self.network.values(features).cpu().numpy().astype(np.float64).reshape(time + 1, count)
        next_values = values[1:].copy()
        if ends:
            last = self.state_values(np.concatenate([rows for _, _, rows in ends]))
            step = np.concatenate([np.full(len(over), t) for t, over, _ in ends])
            next_values[step, np.concatenate([over for _, over, _ in ends])] = last
        return values[:-1], next_values

    def _update(self, batch: _Batch, remaining: float) -> Metrics:
        """Runs the epochs of minibatch gradient steps; returns the means of the loss's parts over the last epoch."""
        s = self.settings
        rate = s.learning_rate * (remaining if s.anneal == "linear" else 1.0)
        clip = s.clip * (remaining if s.anneal_clip else 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        size = len(batch.actions)
        step = math.ceil(size / s.minibatches)
        updates = 0
        parts: list[dict[str, Tensor]] = []
        for _ in range(s.epochs):
            order = torch.randperm(size, generator=self._exploring, device=self.device)
            parts = []
            for begin in range(0, size - size % step if size % step == 1 else size, step):
                rows = order[begin : begin + step]
                parts.append(self._gradient_step(batch, rows, clip))
                updates += 1
            if s.target_kl is not None and float(torch.stack([p["kl"] for p in parts]).mean()) > s.target_kl:
                break
        means = {name: float(torch.stack([part[name] for part in parts]).mean()) for name in parts[0]}
        return {**means, "learning_rate": rate, "updates": float(updates)}

    def _gradient_step(self, batch: _Batch, rows: Tensor, clip: float) -> dict[str, Tensor]:
        s, network = self.settings, self.network
        features = batch.features[rows]
        masks = None if batch.action_masks is None else batch.action_masks[rows]
        outputs = network.outputs(features, masks)
        advantages = batch.advantages[rows]
        if s.normalize_advantages:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        loss, parts = ppo_loss(
            network.distribution.log_prob(outputs, batch.actions[rows]),
            batch.old_log_probs[rows],
            advantages,
            network.values(features),
            batch.returns[rows],
            network.distribution.entropy(outputs),
            clip,
            s.value_coef,
            s.entropy_coef,
        )
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        # checked before they are scaled: a norm that is not finite would spread to every gradient
        norm = nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        require_finite_gradients(float(norm), float(loss.detach()), network.named_parameters(), self.steps, self.name)
        nn.utils.clip_grads_with_norm_(network.parameters(), s.max_grad_norm, norm)
        self.optimizer.step()
        return parts

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {
            "network": to_arrays(self.network.state_dict()),
            "optimizer": optimizer_arrays(self.optimizer),
            "steps": self.steps,
            "acting": to_arrays(self._acting.get_state()),
            "exploring": to_arrays(self._exploring.get_state()),
            "copies": self._copies_state(),
        }

    def _copies_state(self) -> State | None:
        copies = self._copies
        if copies is None:
            return self._pending
        state = copies.env.state_dict() if hasattr(copies.env, "state_dict") else None
        return {
            "env": state,
            "observation": copies.observation.copy(),
            "action_mask": None if copies.action_mask is None else copies.action_mask.copy(),
            "returns": copies.returns.copy(),
            "lengths": copies.lengths.copy(),
        }

    def load_state_dict(self, state: State) -> None:
        load_module(self.network, state["network"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.steps = int(state["steps"])
        self._acting.set_state(torch.from_numpy(np.array(state["acting"])))
        self._exploring.set_state(torch.from_numpy(np.array(state["exploring"])))
        self._copies, self._pending = None, state["copies"]


def _rows(final: Array, over: Array) -> Array:
    """Returns the last observations of the copies that ended; plain Gymnasium collects them as objects."""
    return np.stack(list(final[over])) if final.dtype == object else final[over]


def _explained_variance(values: Array, returns: Array) -> float:
    variance = float(returns.var())
    return 1.0 - float((returns - values).var()) / variance if variance > 0 else 0.0
