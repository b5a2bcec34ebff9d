"""Policy and value networks in torch, and the rounds of acting and learning with them: any task, any device."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from inscape.agents.copies import Copies
from inscape.agents.device import resolve_device
from inscape.agents.distributions import GaussianActions, action_distribution
from inscape.agents.features import picture_layout
from inscape.agents.interface import Array, Metrics, State
from inscape.agents.networks import PictureRows, perceptron, pixel_network
from inscape.agents.normalization import ReturnNormalizer
from inscape.agents.observations import ObservationEncoder
from inscape.agents.on_policy import LossTerms, OnPolicyAgent, Schedule, explained_variance, first_weights
from inscape.agents.parallel import part_of, team, team_device
from inscape.agents.returns import generalized_advantages
from inscape.agents.tensors import learning_threads, load_module, require_finite_gradients, to_arrays
from inscape.agents.torch_policy import TorchPolicy

if TYPE_CHECKING:
    from inscape.envs.registry import Task


class ActorCritic(nn.Module):
    """Policy and value networks over encoded observations, sharing nothing but the encoder (which is not learned).

    Both are perceptrons; over pictures (`features.picture_layout`) the classic filters, then layers of widths `hidden`.
    """

    def __init__(self, task: Task, settings: Any, seed: int) -> None:
        super().__init__()
        self.encoder = ObservationEncoder(task.observation_space, settings.normalize_observations)
        self.distribution = action_distribution(task.action_space)
        hidden = (self.encoder.width, *settings.hidden)
        continuous = isinstance(self.distribution, GaussianActions)
        outputs = self.distribution.width // 2 if continuous else self.distribution.width
        generator = torch.Generator().manual_seed(seed)
        picture = picture_layout(task.observation_space)
        if picture is None:
            self.actor = perceptron((*hidden, outputs), settings.activation, 0.01, generator)
            self.critic = perceptron((*hidden, 1), settings.activation, 1.0, generator)
            for name, layers in first_weights(settings, self.encoder.width, outputs, seed).items():
                _set_weights(getattr(self, name), layers)
        else:
            (channels, height, width), _ = picture
            self.actor, self.critic = (
                nn.Sequential(
                    PictureRows(*picture),
                    *pixel_network(channels, height, width, settings.hidden, size, generator, gain),
                )
                for size, gain in ((outputs, 0.01), (1, 1.0))
            )
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


def _set_weights(network: nn.Sequential, layers: list[tuple[Array, Array]]) -> None:
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, (weight, bias) in zip(linear, layers, strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))


@dataclass(frozen=True)
class Batch:
    """What one round of acting gave, flattened to `[N]` rows, time first."""

    features: Tensor
    action_masks: Tensor | None
    actions: Tensor
    old_log_probs: Tensor
    advantages: Tensor
    returns: Tensor
    metrics: Metrics


class TorchLearner(TorchPolicy):
    """Collects with `num_envs` copies and learns from what they did, in torch."""

    backend = "torch"
    network: ActorCritic

    def __init__(self, agent: OnPolicyAgent, task: Task, device: str) -> None:
        self.agent, self.settings = agent, agent.settings
        where = team_device(resolve_device(device))
        super().__init__(ActorCritic(task, self.settings, agent.seed).to(where), where, agent.seed, agent.name)
        self._team = team(str(self.device))
        self._own = self.settings.num_envs if self._team is None else self._team.copies(self.settings.num_envs)
        self.optimizer = make_optimizer(agent, list(self.network.parameters()), self.device)
        self._rewards = (
            ReturnNormalizer(self.settings.num_envs, self.settings.gamma) if self.settings.normalize_rewards else None
        )
        self._copies: Copies | None = None
        self._pending: State | None = None  # the environments' part of a loaded state, until `begin` has a task

    # ------------------------------------------------------------------------------------------- learning

    def begin(self, task: Task, steps: int) -> None:
        if self._team is not None:  # the others begin with what process 0 has loaded
            self._team.told({"do": "begin", "steps": steps, "learner": self.state_dict()})
        self._begin(task, steps)

    def _begin(self, task: Task, steps: int) -> None:
        number, processes = (0, 1) if self._team is None else (self._team.number, self._team.count)
        state = None if self._pending is None else part_of(self._pending, number, processes)
        taken = steps // self.settings.num_envs
        self._copies = Copies(task, self._own, self.agent.seed, first=number * self._own, steps=taken, state=state)
        self._pending = None
        if self._rewards is not None and state is not None and state["env"] is None:
            self._rewards.restart()

    def follow(self, task: Task) -> None:
        """Learns along with process 0, which drives, until it is done."""
        assert self._team is not None and self._team.number > 0
        for order in self._team.orders():
            match order["do"]:
                case "begin":
                    self.load_state_dict(order["learner"])
                    self._begin(task, order["steps"])
                case "round":
                    self._round(Schedule(**order["schedule"]), order["steps"])
                case "state":
                    self.state_dict()

    def round(self, schedule: Schedule, steps: int) -> Metrics:
        if self._team is not None:
            self._team.told({"do": "round", "schedule": asdict(schedule), "steps": steps})
        return self._round(schedule, steps)

    def _round(self, schedule: Schedule, steps: int) -> Metrics:
        with learning_threads(self.settings.threads):
            batch = self.collect()
            return {**batch.metrics, **self.update(batch, schedule, steps)}

    def collect(self) -> Batch:
        """Acts for num_steps in every copy and turns what happened into a batch to learn from."""
        s, network, copies = self.settings, self.network, self._copies
        assert copies is not None
        time, count = s.num_steps, self._own
        seen = np.empty((time + 1, *copies.observation.shape), copies.observation.dtype)
        rewards, terminated, truncated = (
            np.empty((time, count)),
            np.empty((time, count), bool),
            np.empty((time, count), bool),
        )
        outputs, actions, masks = [], [], []
        ends: list[tuple[int, Array, Array]] = []  # step, copies, last observations
        with torch.inference_mode():
            for t in range(time):
                seen[t] = copies.observation
                mask = self.tensor(copies.action_mask)
                out = network.outputs(network.encoder(copies.observation), mask)
                chosen = self._sampled(out)
                happened = copies.step(network.distribution.to_environment(chosen))
                rewards[t], terminated[t], truncated[t] = happened.reward, happened.terminated, happened.truncated
                if len(happened.ended):
                    ends.append((t, happened.ended, happened.last_observation))
                outputs.append(out)
                actions.append(chosen)
                masks.append(mask)
            seen[time] = copies.observation
            features = network.encoder(seen.reshape(-1, *seen.shape[2:]))
            values, next_values = self._values(features, ends, (time, count))
            all_outputs, all_actions = torch.cat(outputs), torch.cat(actions)
            old_log_probs = network.distribution.log_prob(all_outputs, all_actions)
        masks_of_all = None if masks[0] is None else torch.cat([mask for mask in masks if mask is not None])
        features, seen = features[: time * count], seen[:-1]
        episodes = copies.episodes()
        if self._team is not None:
            joined, arrays = self._team.joined, self._team.joined_array
            features, all_actions, old_log_probs = (
                joined(rows.reshape(time, count, *rows.shape[1:])).flatten(0, 1)
                for rows in (features, all_actions, old_log_probs)
            )
            if masks_of_all is not None:
                masks_of_all = joined(masks_of_all.reshape(time, count, -1)).flatten(0, 1)
            rewards, terminated, truncated, values, next_values, seen = map(
                arrays, (rewards, terminated, truncated, values, next_values, seen)
            )
            over = sum(len(copies_over) for _, copies_over, _ in ends)
            episodes = _mean_of(self._team.gathered({"count": over, **episodes}))
        if self._rewards is not None:
            rewards = self._rewards(rewards, terminated | truncated)
        advantages = generalized_advantages(
            rewards.T, values.T, next_values.T, terminated.T, truncated.T, s.gamma, s.gae_lambda
        ).T
        returns = advantages + values
        network.encoder.update(seen.reshape(-1, *seen.shape[2:]))
        return Batch(
            features.clone(),
            None if masks_of_all is None else masks_of_all.clone(),
            all_actions.clone(),
            old_log_probs.clone(),
            torch.as_tensor(advantages.reshape(-1), dtype=torch.float32, device=self.device),
            torch.as_tensor(returns.reshape(-1), dtype=torch.float32, device=self.device),
            {"explained_variance": explained_variance(values, returns), **episodes},
        )

    def _sampled(self, outputs: Tensor) -> Tensor:
        """Draws an action for each copy of this process; with the numbers that one process would draw for it."""
        sample = self.network.distribution.sample
        if self._team is None:
            return sample(outputs, self.exploring)
        first = self._team.number * self._own
        of_all = outputs.new_zeros((self.settings.num_envs, *outputs.shape[1:]))
        of_all[first : first + self._own] = outputs
        return sample(of_all, self.exploring)[first : first + self._own]

    def _values(
        self, features: Tensor, ends: list[tuple[int, Array, Array]], shape: tuple[int, int]
    ) -> tuple[Array, Array]:
        """Returns `[T, B]` V(s_t) and V of the state reached, which at an episode's end is not the next one seen."""
        time, count = shape
        values = self.network.values(features).cpu().numpy().astype(np.float64).reshape(time + 1, count)
        next_values = values[1:].copy()
        if ends:
            last = self.values(np.concatenate([rows for _, _, rows in ends]))
            step = np.concatenate([np.full(len(over), t) for t, over, _ in ends])
            next_values[step, np.concatenate([over for _, over, _ in ends])] = last
        return values[:-1], next_values

    def update(self, batch: Batch, schedule: Schedule, steps: int) -> Metrics:
        """Runs the epochs of minibatch gradient steps; returns the means of the loss's parts over the last epoch."""
        for group in self.optimizer.param_groups:
            group["lr"] = schedule.rate
        size = len(batch.actions)
        step = math.ceil(size / schedule.minibatches)
        updates = 0
        parts: list[dict[str, Tensor]] = []
        for _ in range(schedule.epochs):
            order = torch.randperm(size, generator=self.exploring, device=self.device)
            parts = []
            for begin in range(0, size - size % step if size % step == 1 else size, step):
                parts.append(self.gradient_step(batch, order[begin : begin + step], schedule.clip, steps))
                updates += 1
            if (
                math.isfinite(schedule.target_kl)
                and float(torch.stack([p["kl"] for p in parts]).mean()) > schedule.target_kl
            ):
                break
        means = {name: float(torch.stack([part[name] for part in parts]).mean()) for name in parts[0]}
        return {**means, "updates": float(updates)}

    def gradient_step(self, batch: Batch, rows: Tensor, clip: float, steps: int) -> dict[str, Tensor]:
        """Takes one gradient step on some rows of the batch; returns the parts of the loss."""
        s, network = self.settings, self.network
        advantages = batch.advantages[rows]
        if s.normalize_advantages:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        weight = 1.0
        if self._team is not None:
            share, weight = self._team.share(len(rows))
            rows, advantages = rows[share], advantages[share]
        features = batch.features[rows]
        masks = None if batch.action_masks is None else batch.action_masks[rows]
        outputs = network.outputs(features, masks)
        terms = LossTerms(
            network.distribution.log_prob(outputs, batch.actions[rows]),
            batch.old_log_probs[rows],
            advantages,
            network.values(features),
            batch.returns[rows],
            network.distribution.entropy(outputs),
        )
        loss, parts = self.agent.loss(terms, clip)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self._team is not None:
            loss, parts = self._added_up(loss, parts, weight)
        # checked before they are scaled: a norm that is not finite would spread to every gradient
        norm = nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        require_finite_gradients(float(norm), float(loss.detach()), network.named_parameters(), steps, self.agent.name)
        nn.utils.clip_grads_with_norm_(network.parameters(), s.max_grad_norm, norm)
        self.optimizer.step()
        return parts

    def _added_up(self, loss: Tensor, parts: dict[str, Tensor], weight: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Makes gradients, loss and its parts, of this process's rows, those of all rows."""
        assert self._team is not None
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        told = [loss, *parts.values()]
        sums = self._team.add_up([tensor.detach() * weight for tensor in (*gradients, *told)])
        for gradient, total in zip(gradients, sums):
            gradient.copy_(total)
        loss, *means = sums[len(gradients) :]
        return loss, dict(zip(parts, means, strict=True))

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        if self._team is not None and self._team.number == 0 and self._copies is not None:
            self._team.told({"do": "state"})
        return {
            "network": to_arrays(self.network.state_dict()),
            "optimizer": named_moments(self.optimizer, self.network),
            **self.chance(),
            "reward_scale": None if self._rewards is None else self._rewards.state_dict(),
            "copies": self._pending if self._copies is None else self._copies_state(self._copies),
        }

    def _copies_state(self, copies: Copies) -> State:
        return copies.state_dict() if self._team is None else {"parts": self._team.gathered(copies.state_dict())}

    def load_state_dict(self, state: State) -> None:
        load_module(self.network, state["network"])
        load_moments(self.optimizer, self.network, state["optimizer"])
        self.load_chance(state)
        if self._rewards is not None:
            self._rewards.load_state_dict(state["reward_scale"])
        self._copies, self._pending = None, state["copies"]


def _mean_of(episodes: list[State]) -> Metrics:
    """Returns the means over the episodes of all processes from those of each, and how many each had."""
    total = sum(entry["count"] for entry in episodes)
    names = [name for name in max(episodes, key=len) if name != "count"]
    return {name: sum(entry["count"] * entry[name] for entry in episodes if name in entry) / total for name in names}


def make_optimizer(agent: OnPolicyAgent, parameters: list[nn.Parameter], device: torch.device) -> torch.optim.Optimizer:
    """Returns the optimiser the agent's class names."""
    rate = agent.settings.learning_rate
    if agent.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate, alpha=0.99, eps=agent.epsilon, foreach=True)
    return torch.optim.Adam(parameters, lr=rate, eps=agent.epsilon, fused=True)


MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq", "square": "square_avg"}
"""Our names of an optimiser's arrays, and torch's."""


def named_moments(optimizer: torch.optim.Optimizer, network: nn.Module) -> State:
    """Returns {"steps", "first" | "second" | "square": {parameter: array}}: the same for every backend."""
    states = {name: optimizer.state.get(parameter, {}) for name, parameter in network.named_parameters()}
    steps = [int(state["step"]) for state in states.values() if "step" in state]
    found: State = {"steps": max(steps, default=0)}
    for ours, theirs in MOMENTS.items():
        if any(theirs in state for state in states.values()):
            found[ours] = {name: to_arrays(state[theirs]) for name, state in states.items()}
    return found


def load_moments(optimizer: torch.optim.Optimizer, network: nn.Module, moments: State) -> None:
    """Puts what `named_moments` returned into an optimiser over the parameters of `network`."""
    optimizer.state.clear()
    if not moments["steps"]:
        return
    group = optimizer.param_groups[0]
    with_weights = group.get("fused") or group.get("capturable")  # then the count is read where they are
    for name, parameter in network.named_parameters():
        where = parameter.device if with_weights else None
        state: dict[str, Tensor] = {"step": torch.tensor(float(moments["steps"]), device=where)}
        for ours, theirs in MOMENTS.items():
            if ours in moments:
                state[theirs] = torch.from_numpy(np.array(moments[ours][name])).to(parameter.device)
        optimizer.state[parameter] = state
