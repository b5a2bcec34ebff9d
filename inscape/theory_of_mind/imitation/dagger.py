"""DAgger: the learner acts, the expert says what it would have done there, and all of it so far is imitated.

Source: Ross, Gordon & Bagnell (2011), "A reduction of imitation learning and structured prediction to no-regret online
learning", AISTATS, algorithm 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.adapters import as_agent, for_task
from inscape.agents.interface import Agent, Metrics, can_remember, can_resume, learning_task
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.learning.rounds import say_rounds
from inscape.agents.vector_actor import check_actions
from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError
from inscape.theory_of_mind.imitation.cloning import Clone
from inscape.theory_of_mind.imitation.demonstrations import (
    Demonstrations,
    named_expert,
    network_actions,
    probabilities_of,
)
from inscape.theory_of_mind.imitation.settings import DAggerSettings
from inscape.world_models.networks.tensors import learning_threads
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class DAgger(Clone):
    """Imitates an expert where the learner itself gets to, so that errors do not compound.

    `steps` are environment steps, those of the first round, which the expert plays, included. The expert must be there
    to be asked: recorded episodes (`demonstrate`, `data`) are learned from beside what it says, and do not replace it.

    Args:
        task, seed, device, expert, data: as in `Clone`.
        settings: see `DAggerSettings`.

    Raises:
        UsageError: as `Clone`; when it learns, an expert that remembers: what it remembers follows from its own
            actions, and here the learner acts.
    """

    name = "dagger"
    settings: DAggerSettings

    def __init__(
        self,
        task: Task,
        seed: int = 0,
        device: str = "cpu",
        settings: DAggerSettings | None = None,
        expert: Any = None,
        data: Sequence[Trajectory] | None = None,
    ) -> None:
        super().__init__(task, seed, device, settings, expert, data)
        self._rng = np.random.default_rng(seed)
        self._asked: Agent | None = None
        self._copies: EnvRunner | None = None
        self._pending: State | None = None  # expert and environment of a loaded state, until `learn` has a task

    def _default_settings(self) -> DAggerSettings:
        return DAggerSettings()

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps in total (whole rounds of num_envs · num_steps); yields each.

        Metrics, beside the clone's: `new_loss` and `new_accuracy` (or `new_error`), of what the expert said in this
        round, before it was learned from: the loss under the states that the learner itself comes to.

        Raises:
            UsageError: nobody to ask; as `Clone.learn`.
        """
        s = self.settings
        self._begin(task)
        self._task = learning_task(self, self._task, task)
        size = s.num_envs * s.num_steps
        say_rounds(self.name, self.steps, steps, size, "--num-envs, --num-steps")
        while self.steps < steps:
            new, episodes = self._collected(task, self.steps // size)
            if self.demonstrations is None:
                self._take(new)
            else:
                self.demonstrations = self.demonstrations.joined(new)
                self.network.encoder.update(new.observations)
            everything = self.demonstrations
            assert everything is not None
            rate = s.learning_rate * (1 - self.steps / steps if s.anneal == "linear" else 1.0)
            with learning_threads(s.threads):
                fresh = {f"new_{name}": value for name, value in self.measured(new).items()}
                for _ in range(s.gradient_steps):
                    self._gradient_step(everything, rate)
                found = self.measured(everything)
            self.steps += size
            yield {"steps": float(self.steps), **episodes, **found, **fresh, "demonstrations": float(len(everything))}

    def _begin(self, task: Task) -> None:
        if self._copies is not None:
            return
        s, pending = self.settings, self._pending
        if s.data and not s.expert and self.expert is None:
            raise UsageError(
                f"dagger from {s.data}",
                expected="an expert that can be asked",
                hint="--expert, or clone for recorded data",
            )
        expert = named_expert(s, task, self.seed) if self.expert is None else for_task(as_agent(self.expert), task)
        if can_remember(expert):
            raise UsageError(
                f"dagger with the expert {expert.name}, which remembers", hint="clone",
                expected="an expert whose actions depend on what is observed now: here the learner acts",
            )  # fmt: skip
        if pending is not None and pending["expert"] is not None and can_resume(expert):
            expert.load_state_dict(pending["expert"])
        self._asked = expert
        copies = None if pending is None else pending["copies"]
        self._copies = EnvRunner(task, s.num_envs, self.seed, steps=self.steps // s.num_envs, state=copies)
        self._pending = None

    def _collected(self, task: Task, number: int) -> tuple[Demonstrations, Metrics]:
        """Acts for a round; returns what the expert says about every state on the way, and how the episodes went."""
        s, copies, expert = self.settings, self._copies, self._asked
        assert copies is not None and expert is not None
        share = s.expert_share**number if number else 1.0
        probabilities = s.labels == "probabilities"
        packing = self.network.encoder.packing
        seen: list[Array] = []
        said: list[Array] = []
        masks: list[Array | None] = []
        targets: list[Array] = []
        ended: list[Array] = []
        everywhere = np.arange(s.num_envs)
        for _ in range(s.num_steps):
            observation, mask = copies.observation, copies.action_mask
            answer = check_actions(
                expert.act(observation, mask), task.action_space, everywhere,
                agent=expert.name, step=copies.steps, action_mask=mask,
            )  # fmt: skip
            if probabilities:
                targets.append(probabilities_of(expert, observation, mask))
            own = self.policy.act(observation, mask, False)
            follows = self._rng.random(s.num_envs) < share
            chosen = np.where(follows.reshape(-1, *[1] * (answer.ndim - 1)), answer, own)
            seen.append(np.array(observation if packing is None else packing(observation)))
            masks.append(None if mask is None else mask.copy())
            said.append(network_actions(answer, task.action_space))
            transition = copies.step(chosen.astype(answer.dtype, copy=False))
            ended.append(np.array(transition.terminated))
        known = next((mask for mask in masks if mask is not None), None)
        legal = None
        if known is not None:
            legal = np.concatenate([np.ones_like(known) if mask is None else mask for mask in masks])
        new = Demonstrations(
            np.concatenate(seen), np.concatenate(said), legal, np.concatenate(targets) if targets else None,
            None, np.concatenate(ended), np.tile(everywhere, s.num_steps),
        )  # fmt: skip
        return new, copies.episodes()

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        from inscape.rng import rng_state

        outside: State | None = self._pending
        if self._copies is not None:
            asked = self._asked
            outside = {
                "copies": self._copies.state_dict(), "expert": asked.state_dict() if can_resume(asked) else None,
            }  # fmt: skip
        return {**super().state_dict(), "rng": rng_state(self._rng), "outside": outside}

    def load_state_dict(self, state: State) -> None:
        from inscape.rng import restore_rng

        super().load_state_dict(state)
        restore_rng(self._rng, state["rng"])
        self._copies, self._asked, self._pending = None, None, state["outside"]
