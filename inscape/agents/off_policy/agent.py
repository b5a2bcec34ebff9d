"""What agents that learn from a replay memory share: settings, rounds of acting and updating, several processes.

An algorithm defines how it explores (`_explore`), what gradient steps are (`_update`), and what it saves; see
`dqn` and `sac`.

Under `torchrun` (`inscape.agents.learning.distributed`) the copies are shared out. Transitions are broadcast to
all processes after each round of `train_freq` steps, so that every process holds the same memory and draws the same
transitions from it; each computes its own rows of a minibatch, and gradients are added up.
"""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from inscape.agents.interface import Agent, Metrics, learning_task
from inscape.agents.learning.distributed import group_device, mean_of, part_of, process_group
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.learning.normalization import ReturnNormalizer, load_reward_scale
from inscape.agents.learning.settings import LearnerSettings
from inscape.agents.learning.settings_checks import require_counts, require_updates
from inscape.envs.data.transition import Transition
from inscape.errors import PartialObservationError, UsageError
from inscape.world_models.networks.device import resolve_device
from inscape.world_models.networks.encoders.encoder import ObservationEncoder
from inscape.world_models.networks.encoders.packing import ObservationPacking
from inscape.world_models.networks.part_networks import learns_parts
from inscape.world_models.networks.replay import ReplayMemory
from inscape.world_models.networks.tensors import learning_threads
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OffPolicySettings(LearnerSettings):
    """Settings of the agents that learn from a replay memory."""

    num_envs: int = 1
    """Copies of the environment acted in side by side."""
    buffer_size: int = 1_000_000
    """Transitions remembered, of all copies together."""
    batch_size: int = 256
    """Transitions in each gradient step."""
    learning_starts: int = 1_000
    """Environment steps before the first gradient step; until then actions are uniform."""
    train_freq: int = 1
    """Steps of every copy between rounds of gradient steps."""
    gradient_steps: int = 1
    """Gradient steps in each round; −1 for as many as environment steps were taken since the last."""
    tau: float = 0.005
    """Share of the network that the target network takes over at each of its updates; 1 copies it."""
    n_step: int = 1
    """Rewards summed before the value of what follows."""
    report_every: int = 1_000
    """Environment steps between two reports, which are the points where it can be saved."""
    backend: Literal["auto", "torch", "compiled"] = "auto"
    """What computes updates: compiled code (numbers on the CPU, one process), torch (anything), or whichever fits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "buffer_size", "batch_size", "train_freq", "n_step", "report_every")
        require_updates(self)


class Step(NamedTuple):
    """One step of B copies.

    Attributes:
        observation: `[B, ...]` what was acted on.
        action: `[B, ...]` as the memory holds actions.
        transition: what it led to.
        action_mask: `[B, A]` bool, what is legal next; None where everything is.
    """

    observation: Array
    action: Array
    transition: Transition
    action_mask: Array | None


class OffPolicyAgent(Agent):
    """An agent that acts for `train_freq` steps in every copy, remembers them, and takes gradient steps on memories.

    An algorithm's constructor calls `_prepare` first and sets `memory` and `_packing`.

    Attributes:
        steps: environment steps so far, of all copies.
        memory: transitions of all copies.
    """

    settings: OffPolicySettings
    memory: ReplayMemory
    _packing: ObservationPacking | None
    """How observations of several parts are packed, as the memory holds them."""

    def _prepare(self, seed: int, device: str, settings: OffPolicySettings) -> None:
        self.settings, self.seed, self.steps = settings, seed, 0
        self.device = group_device(resolve_device(device))
        self._group = process_group(str(self.device))
        count = settings.num_envs if self._group is None else self._group.copies(settings.num_envs)
        first = 0 if self._group is None else self._group.number * count
        self._own = slice(first, first + count)
        """Which of the copies are this process's."""
        self._rewards = (
            ReturnNormalizer(settings.num_envs, settings.gamma)
            if getattr(settings, "normalize_rewards", False)
            else None
        )
        self._task: Task | None = None
        self._copies: EnvRunner | None = None
        self._pending: State | None = None  # the copies' part of a loaded state, until `learn` has a task

    def _compiles(self, backend: str, encoder: ObservationEncoder) -> bool:
        """Returns whether compiled code computes the updates.

        Raises:
            UsageError: `backend` demands it where only torch can.
        """
        obstacles = {
            "pictures": encoder.packing is None and learns_parts(encoder),
            "observations of several parts": encoder.packing is not None,
            f"numbers on {self.device}": self.device.type != "cpu",
            "several processes": self._group is not None,
        }
        found = [name for name, there in obstacles.items() if there]
        if backend == "compiled" and found:
            raise UsageError(
                f"a compiled update of {found[0]}", expected="numbers on the cpu, in one process", hint="--backend auto"
            )
        return not found and backend != "torch"

    # ------------------------------------------------------------------------------------------- what algorithms define

    @abstractmethod
    def _explore(self, observation: Array, action_mask: Array | None, steps: int) -> Array:
        """Returns `[b, ...]` actions to learn from for this process's copies, as the memory holds them.

        Random numbers are drawn for all copies, by every process alike.

        Args:
            observation: `[b, ...]`.
            action_mask: `[b, A]` bool, or None.
            steps: of the whole training.
        """

    @abstractmethod
    def _to_environment(self, actions: Array) -> Array:
        """Returns actions as the environment takes them."""

    @abstractmethod
    def _update(self, count: int, progress: float) -> Sequence[Mapping[str, Tensor | float]]:
        """Takes `count` gradient steps; returns what to report of each. `progress` goes from 0 to 1."""

    # ------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps in total (whole rounds of train_freq · num_envs).

        Yields every `report_every` steps and at the end. Resuming is exact in worlds with a law; in other environments
        a resumed run begins new episodes.

        Raises:
            UsageError: it has learned in another task; or an observation, a reward or a gradient is not finite (naming
                step, and copy or tensor).
        """
        s = self.settings
        self._task = learning_task(self, self._task, task)
        if self._copies is None:
            copies = (
                part_of(self._pending, 0, 1 if self._group is None else self._group.count) if self._pending else None
            )
            if self._group is not None:  # the others begin with what process 0 has loaded
                self._group.broadcast({"do": "begin", "agent": self.state_dict()})
            self._begin(task, copies)
        size = s.num_envs * s.train_freq
        if self.steps < steps and math.ceil(steps / size) * size <= s.learning_starts:
            logger.warning(
                "%s learns nothing in %d steps: learning starts after %d (--learning-starts).",
                self.name, steps, s.learning_starts,
            )  # fmt: skip
        while self.steps < steps:
            if self._group is not None:
                self._group.broadcast({"do": "learn", "steps": steps})
            yield self._learn_until_report(task, steps)

    def run_worker(self, task: Task) -> None:
        """Learns along with process 0 of several (`inscape.agents.learning.distributed`), until that one is done."""
        assert self._group is not None and self._group.number > 0
        for order in self._group.orders():
            match order["do"]:
                case "begin":
                    self.load_state_dict(order["agent"])
                    copies = self._pending
                    self._begin(
                        task, None if copies is None else part_of(copies, self._group.number, self._group.count)
                    )
                case "learn":
                    self._learn_until_report(task, order["steps"])
                case "state":
                    self._copies_state()

    def _begin(self, task: Task, copies: State | None) -> None:
        first, taken = self._own.start, self.steps // self.settings.num_envs
        self._copies = EnvRunner(
            task, self._own.stop - first, self.seed, first=first, steps=taken, state=copies, packing=self._packing
        )
        if self._rewards is not None and (copies is None or copies["env"] is None):
            self._rewards.restart()
        self._pending = None

    def _learn_until_report(self, task: Task, steps: int) -> Metrics:
        """Acts and updates until a report is due, and returns it."""
        s, copies = self.settings, self._copies
        assert copies is not None
        parts: list[Mapping[str, Tensor | float]] = []
        with learning_threads(s.threads):
            while True:
                before = self.steps
                self._collect(task, copies, steps)
                if self.steps > s.learning_starts and len(self.memory):
                    count = s.gradient_steps if s.gradient_steps > 0 else self.steps - before
                    parts += self._update(count, before / steps)
                if self.steps // s.report_every > before // s.report_every or self.steps >= steps:
                    break
        episodes = copies.episodes()
        if self._group is not None:
            episodes = mean_of(self._group.gathered({"count": copies.averaged, **episodes}))
        means = {name: _mean([part[name] for part in parts]) for name in (parts[0] if parts else ())}
        return {"steps": float(self.steps), **episodes, **means, "updates": float(len(parts))}

    def _collect(self, task: Task, copies: EnvRunner, steps: int) -> list[Step]:
        """Acts for train_freq steps in this process's copies; remembers the steps of all, and returns its own."""
        own = [self._step(copies, steps) for _ in range(self.settings.train_freq)]
        of_all = own if self._group is None else joined_steps(self._group.gathered(steps_message(own)))
        for observation, action, transition, action_mask in of_all:
            last_mask = None if action_mask is None else _last_mask(task, transition)
            self.memory.add(observation, action, transition, action_mask, last_mask)
        if (
            self._rewards is not None
        ):  # counted now, divided by when they are learned from: the memory holds them as paid
            transitions = [step.transition for step in of_all]
            ended = np.stack([one.terminated | one.truncated for one in transitions])
            self._rewards(np.stack([one.reward for one in transitions]), ended)
        self._seen([step.observation for step in of_all])
        return own

    def _step(self, copies: EnvRunner, steps: int) -> Step:
        observation, mask = copies.observation, copies.action_mask
        chosen = self._explore(observation, mask, steps)
        transition = copies.step(self._to_environment(chosen))
        self.steps += self.settings.num_envs
        return Step(observation, chosen, transition, copies.action_mask)

    def _seen(self, observations: list[Array]) -> None:
        """Receives what was acted on in a round, `[B, ...]` of all copies for each step."""

    @property
    def value_unit(self) -> float:
        """What values are to be multiplied by to be in the task's own units."""
        return 1.0 if self._rewards is None else self._rewards.deviation

    def _scaled(self, reward: Array) -> Array:
        """Returns rewards of the memory, float32, as they are learned from."""
        if self._rewards is None:
            return reward
        clip = self._rewards.clip
        return (reward / self._rewards.deviation).clip(-clip, clip).astype(np.float32)

    # ------------------------------------------------------------------------------------------- saving

    @abstractmethod
    def _own_state(self) -> State:
        """Returns the part of `state_dict` that is the algorithm's: networks, optimisers, random streams."""

    @abstractmethod
    def _load_own_state(self, state: State) -> None:
        """Resumes from what `_own_state` returned."""

    def state_dict(self) -> State:
        return {
            **self._own_state(),
            "memory": self.memory.state_dict(),
            "steps": self.steps,
            "copies": self._copies_state(),
            "reward_scale": None if self._rewards is None else self._rewards.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        self._load_own_state(state)
        self.memory.load_state_dict(state["memory"])
        self.steps = int(state["steps"])
        if "reward_scale" not in state:  # saved before rewards were normalised: its values are of rewards as paid
            self._rewards = None
        load_reward_scale(self._rewards, state.get("reward_scale"))
        self._task, self._copies, self._pending = None, None, state["copies"]

    def _copies_state(self) -> State | None:
        if self._copies is None:
            return self._pending
        if self._group is None:
            return self._copies.state_dict()
        if self._group.number == 0:
            self._group.broadcast({"do": "state"})
        return {"parts": self._group.gathered(self._copies.state_dict())}


def steps_message(steps: Sequence[Step]) -> State:
    """Returns what the other processes need of consecutive steps of a process's copies."""
    transitions = [step.transition for step in steps]
    return {
        # what is observed after a step is what the next one is taken on
        "observation": np.stack([steps[0].observation, *(one.observation for one in transitions)]),
        "action": np.stack([step.action for step in steps]),
        "reward": np.stack([one.reward for one in transitions]),
        "terminated": np.stack([one.terminated for one in transitions]),
        "truncated": np.stack([one.truncated for one in transitions]),
        "last": np.concatenate([one.last_observation for one in transitions]),
        "ended": [len(one.ended) for one in transitions],
        "masks": [step.action_mask for step in steps],
    }


def joined_steps(parts: Sequence[State]) -> list[Step]:
    """Returns the steps of all copies, in their order, from each process's message (`steps_message`)."""
    names = ("observation", "action", "reward", "terminated", "truncated")
    seen, actions, reward, terminated, truncated = (np.concatenate([p[name] for p in parts], axis=1) for name in names)
    last = [np.split(part["last"], np.cumsum(part["ended"])) for part in parts]
    found = []
    observation = seen[0]
    for t in range(len(actions)):
        following, ended = seen[t + 1], np.flatnonzero(terminated[t] | truncated[t])
        rows = np.concatenate([of_part[t] for of_part in last])
        transition = Transition(reward[t], terminated[t], truncated[t], ended, rows, following)
        masks = _joined_masks([(part["masks"][t], part["action"].shape[1]) for part in parts])
        found.append(Step(observation, actions[t], transition, masks))
        observation = following  # the very array, by which the memory knows that nothing lies between
    return found


def _joined_masks(parts: Sequence[tuple[Array | None, int]]) -> Array | None:
    """Returns `[B, A]` from the masks of each process and its number of copies; where one has none, all is legal."""
    actions = next((mask.shape[1] for mask, _ in parts if mask is not None), None)
    if actions is None:
        return None
    return np.concatenate([np.ones((count, actions), np.bool_) if mask is None else mask for mask, count in parts])


def _mean(values: Sequence[Tensor | float]) -> float:
    tensors = [value for value in values if isinstance(value, Tensor)]
    return float(torch.stack(tensors).mean()) if tensors else float(np.mean([float(value) for value in values]))


def _last_mask(task: Task, transition: Transition) -> Array | None:
    """Returns `[E, A]` what was legal in the last observations of ended copies; None where the world cannot say."""
    if task.world is None or not len(transition.ended):
        return None
    try:
        return task.world.legal_actions(task.world.states_of(transition.last_observation))
    except PartialObservationError:
        return None
