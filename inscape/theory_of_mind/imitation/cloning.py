"""Behaviour cloning: a policy that does what an expert did, by maximum likelihood.

Source: Pomerleau (1989), "ALVINN: an autonomous land vehicle in a neural network", NIPS 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from inscape.agents.acting import PolicyAgent
from inscape.agents.interface import Metrics, learning_task
from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError
from inscape.theory_of_mind.imitation.demonstrations import Demonstrations, demonstrations_of, gathered
from inscape.theory_of_mind.imitation.settings import CloneSettings
from inscape.world_models.networks.device import resolve_device
from inscape.world_models.networks.distributions import CategoricalActions, GaussianActions
from inscape.world_models.networks.part_networks import network_over
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

LEAST_LOG_STD = -4.0
"""Of continuous actions: an expert without noise would draw the deviation to 0, and its gradients to infinity."""
MEASURED = 4096
"""Decisions at most that loss and accuracy are measured on for a report."""


class ImitatingNetwork(PolicyNetwork):
    """A policy over encoded observations; there is no value."""

    def __init__(self, task: Task, settings: CloneSettings, seed: int) -> None:
        super().__init__(task, settings.normalize_observations)
        generator = torch.Generator().manual_seed(seed)
        self.policy = network_over(self.encoder, settings.hidden, self.scores, settings.activation, 0.01, generator)

    def outputs(self, features: Tensor, action_mask: Tensor | None) -> Tensor:
        return self.completed(self.policy(features), action_mask)

    def values(self, features: Tensor) -> Tensor:
        raise UsageError("state values of an agent that imitates", expected="an agent that learns from rewards")


class Clone(PolicyAgent):
    """Behaviour cloning: discrete, multi-discrete and continuous actions, action masks, any usual observations.

    `steps` are gradient steps: nothing is acted out but the expert's episodes. Checkpoints hold the demonstrations, so
    that a run is resumed without its expert or file. The expert sees what is observed, as the clone does: in a world
    that hides its state, an expert that remembers does what no memoryless clone can.

    Args:
        task: what to act in.
        seed: seed of weights, batches, the expert and its episodes.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        settings: see `CloneSettings`.
        expert: an agent in hand to imitate, instead of the one that the settings name.
        data: recorded episodes to imitate, instead.

    Raises:
        UsageError: unsupported spaces, CUDA is not available; when it learns, as `gathered`.

    Attributes:
        steps: gradient steps taken.
        demonstrations: what is imitated; None before it learns.
    """

    name = "clone"
    settings: CloneSettings

    def __init__(
        self,
        task: Task,
        seed: int = 0,
        device: str = "cpu",
        settings: CloneSettings | None = None,
        expert: Any = None,
        data: Sequence[Trajectory] | None = None,
    ) -> None:
        s = self.settings = settings or self._default_settings()
        self.seed, self.device, self.expert = seed, resolve_device(device), expert
        self.network = ImitatingNetwork(task, s, seed).to(self.device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay)
        self.policy: TorchPolicy = TorchPolicy(self.network, self.device, seed, self.name)
        self.steps = 0
        self._made_for = task
        self._task: Task | None = None
        self.demonstrations: Demonstrations | None = None
        if data is not None:
            self.demonstrate(data)

    def _default_settings(self) -> CloneSettings:
        return CloneSettings()

    def demonstrate(self, trajectories: Sequence[Trajectory]) -> None:
        """Takes recorded episodes as what is to be imitated, instead of what the settings say.

        Raises:
            UsageError: as `demonstrations_of`.
        """
        self._take(demonstrations_of(self._made_for, trajectories))

    def state_values(self, observation: Array) -> Array:
        """Refuses: it has learned no values.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"state values of {self.name}", expected="an agent that learns from rewards")

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until `steps` gradient steps were taken in total; yields every `report_every`.

        Metrics: `loss`, mean −log π(a|s) of the expert's actions, in nats (of its probabilities, the cross entropy);
        `accuracy`, the share whose most probable action is the expert's (continuous actions: `error`, the mean absolute
        difference in units of half the range); both for episodes held out, as `held_out_loss` and so on.

        Raises:
            UsageError: as `gathered`; it has learned in another task; or a gradient is not finite.
        """
        s = self.settings
        self._task = learning_task(self, self._task, task)
        if self.demonstrations is None:
            self._take(gathered(s, task, self.seed, self.expert))
        learned, held_out = self._split()
        while self.steps < steps:
            until = min(steps, (self.steps // s.report_every + 1) * s.report_every)
            with learning_threads(s.threads):
                while self.steps < until:
                    rate = s.learning_rate * (1 - self.steps / steps if s.anneal == "linear" else 1.0)
                    self._gradient_step(learned, rate)
                    self.steps += 1
                found = self.measured(learned)
                if held_out is not None:
                    found |= {f"held_out_{name}": value for name, value in self.measured(held_out).items()}
            yield {
                "steps": float(self.steps), **found, "demonstrations": float(len(learned)),
                **({} if learned.mean_return is None else {"expert_return": learned.mean_return}),
            }  # fmt: skip

    def _take(self, demonstrations: Demonstrations) -> None:
        self.demonstrations = replace(demonstrations, next_observations=None)
        self.network.encoder.update(demonstrations.observations)

    def _split(self) -> tuple[Demonstrations, Demonstrations | None]:
        """Returns what is learned from, and whole episodes that are not; the same at each call."""
        assert self.demonstrations is not None
        episodes = np.unique(self.demonstrations.episode)
        kept = int(len(episodes) * self.settings.held_out)
        if not kept:
            return self.demonstrations, None
        out = np.isin(self.demonstrations.episode, np.random.default_rng(self.seed).permutation(episodes)[:kept])
        return self.demonstrations.of(~out), self.demonstrations.of(out)

    def _gradient_step(self, demonstrations: Demonstrations, rate: float) -> None:
        s, count = self.settings, len(demonstrations)
        batch = demonstrations
        if count > s.batch_size:
            generator, where = self.policy.exploring, self.device
            rows = torch.randint(count, (s.batch_size,), generator=generator, device=where).cpu().numpy()
            batch = demonstrations.of(rows)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._losses(batch)[0].mean()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        step_if_finite(self.optimizer, self.network, s.max_grad_norm, float(loss.detach()), self.steps, self.name)
        if self.network.log_std is not None:
            with torch.no_grad():
                self.network.log_std.clamp_(min=LEAST_LOG_STD)

    def _losses(self, batch: Demonstrations) -> tuple[Tensor, Tensor, Tensor]:
        """Returns `[N]` −log π(a|s), or the cross entropy with the targets; the policy's outputs, and the actions."""
        network = self.network
        with torch.no_grad():
            features = network.encoder(batch.observations).clone()
        outputs = network.outputs(features, self.policy.tensor(batch.action_masks))
        actions = torch.as_tensor(batch.actions, device=self.device)
        if batch.targets is None:
            return -network.distribution.log_prob(outputs, actions), outputs, actions
        if not isinstance(network.distribution, CategoricalActions):
            raise UsageError(f"probabilities of every action of {self.name}", expected="Discrete actions")
        targets = torch.as_tensor(batch.targets, dtype=torch.float32, device=self.device)
        log_probs = network.distribution.log_probs(outputs)
        # 0 · log 0 = 0, where neither takes the action; −∞ only where the expert takes what its mask forbids
        taken = targets > 0
        return -(targets * torch.where(taken, log_probs, torch.zeros_like(log_probs))).sum(dim=-1), outputs, actions

    def measured(self, demonstrations: Demonstrations) -> Metrics:
        """Returns loss and accuracy, or error, of the present policy on decisions of an expert."""
        count = len(demonstrations)
        if count > MEASURED:
            demonstrations = demonstrations.of(np.linspace(0, count - 1, MEASURED).astype(np.int64))
        with torch.inference_mode():
            losses, outputs, actions = self._losses(demonstrations)
            mode = self.network.distribution.mode(outputs)
        if isinstance(self.network.distribution, GaussianActions):
            difference = {"error": float((mode - actions).abs().mean())}
        else:
            same = mode == actions
            difference = {"accuracy": float((same if same.ndim == 1 else same.all(dim=-1)).float().mean())}
        return {"loss": float(losses.mean()), **difference}

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {
            "network": to_arrays(self.network.state_dict()),
            "optimizer": optimizer_arrays(self.optimizer),
            "steps": self.steps,
            **self.policy.rng_state(),
            "demonstrations": None if self.demonstrations is None else self.demonstrations.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        load_module(self.network, state["network"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.steps, self._task = int(state["steps"]), None
        self.policy.load_rng_state(state)
        self.demonstrations = Demonstrations.from_state(state["demonstrations"])
