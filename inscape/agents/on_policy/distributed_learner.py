"""The torch learner of PPO and A2C in several processes: what `actor_critic` does, each with its share (`parallel`)."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from inscape.agents.interface import Metrics
from inscape.agents.learning.distributed import ProcessGroup, mean_of
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.on_policy.base import Algorithm, Schedule
from inscape.agents.on_policy.torch_learner import Rollout, RolloutBatch, TorchLearner
from inscape.world_models.networks.policy import PolicyNetwork
from inscape.world_models.networks.types import State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class DistributedLearner(TorchLearner):
    """A learner with a part of the copies, and of every minibatch's rows. Process 0 drives, the others `follow`.

    Raises:
        UsageError: the copies cannot be shared out evenly.
    """

    def __init__(self, agent: Algorithm, network: PolicyNetwork, device: torch.device, group: ProcessGroup) -> None:
        super().__init__(agent, network, device)
        self._group, self._own = group, group.copies(self.settings.num_envs)

    # ------------------------------------------------------------------------------------------- who drives

    def begin(self, task: Task, steps: int) -> None:
        # the others begin with what process 0 has loaded
        self._group.broadcast({"do": "begin", "steps": steps, "learner": self.state_dict()})
        self._begin(task, steps, self._group.number, self._group.count)

    def round(self, schedule: Schedule, steps: int) -> Metrics:
        self._group.broadcast({"do": "round", "schedule": asdict(schedule), "steps": steps})
        return super().round(schedule, steps)

    def state_dict(self) -> State:
        if self._group.number == 0 and self._copies is not None:
            self._group.broadcast({"do": "state"})
        return super().state_dict()

    def run_worker(self, task: Task) -> None:
        """Learns along with process 0, which drives, until it is done."""
        assert self._group.number > 0
        for order in self._group.orders():
            match order["do"]:
                case "begin":
                    self.load_state_dict(order["learner"])
                    self._begin(task, order["steps"], self._group.number, self._group.count)
                case "round":
                    super().round(Schedule(**order["schedule"]), order["steps"])
                case "state":
                    self.state_dict()

    # ------------------------------------------------------------------------------------------- shares

    def _sampled(self, outputs: Tensor) -> Tensor:
        """Draws with the numbers that one process would draw for these copies."""
        first = self._group.number * self._own
        of_all = outputs.new_zeros((self.settings.num_envs, *outputs.shape[1:]))
        of_all[first : first + self._own] = outputs
        return super()._sampled(of_all)[first : first + self._own]

    def _act(self) -> Rollout:
        """Acts in the copies of this process, and returns what those of all processes did."""
        own, joined, arrays = super()._act(), self._group.joined, self._group.joined_array
        assert self._copies is not None
        ended, masks = self._copies.averaged, own.action_masks
        messages = self._group.gathered({"masked": masks is not None, "episodes": {"count": ended, **own.episodes}})
        if masks is None and any(each["masked"] for each in messages):  # only other processes have got masks
            masks = torch.ones((*own.rewards.shape, self.network.scores), dtype=torch.bool, device=self.device)
        return replace(
            own,
            observations=arrays(own.observations),
            features=joined(own.features),
            action_masks=None if masks is None else joined(masks),
            actions=joined(own.actions),
            old_log_probs=joined(own.old_log_probs),
            rewards=arrays(own.rewards),
            terminated=arrays(own.terminated),
            truncated=arrays(own.truncated),
            values=arrays(own.values),
            next_values=arrays(own.next_values),
            episodes=mean_of([each["episodes"] for each in messages]),
        )

    def _backward(self, part: RolloutBatch, clip: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Computes its share of the rows, and makes gradients, loss and its parts those of all rows."""
        share, weight = self._group.share(len(part))
        loss, parts = super()._backward(part.of(share), clip)
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        sums = self._group.add_up([tensor * weight for tensor in (*gradients, loss, *parts.values())])
        for gradient, total in zip(gradients, sums):
            gradient.copy_(total)
        loss, *means = sums[len(gradients) :]
        return loss, dict(zip(parts, means, strict=True))

    def _copies_state(self, copies: EnvRunner) -> State:
        return {"parts": self._group.gathered(copies.state_dict())}
