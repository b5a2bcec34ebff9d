"""Stage 1: cloning a planner, or episodes handed in.

Minimises the cross-entropy −Σ_a π*(a|s) log π(a|s) over states the planner was seen in (Pomerleau 1988; the planner's
actions are labels also where exploration strayed). Where observations hide the state, the planner sees it nonetheless:
what is cloned is then the average of what it does at the states that look the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from inscape.agents.interface import Metrics
from inscape.agents.llm.demonstrations import Demonstrations, from_trajectories, planner_demonstrations
from inscape.agents.llm.policy import prompt_batches
from inscape.agents.llm.scoring import masked_log_softmax
from inscape.agents.llm.trainer import LanguageLearner
from inscape.world_models.networks.types import State

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task

REPORT_EVERY = 25
"""Gradient steps between two reports."""


class Cloning:
    """Imitates demonstrations for `clone_steps` gradient steps, before any environment step of training.

    Attributes:
        gradient_steps: taken so far.
    """

    def __init__(self, learner: LanguageLearner) -> None:
        self.learner = learner
        self.gradient_steps = 0
        self._given: Demonstrations | None = None

    def imitate(self, trajectories: Sequence[Trajectory]) -> None:
        """Sets the episodes to clone, instead of the planner's."""
        self._given = from_trajectories(trajectories, len(self.learner.actions), self.learner.first_action)

    def train(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Clones; yields every 25 gradient steps, with `steps` 0. Nothing to clone in an environment without a law."""
        learner, total = self.learner, self.learner.settings.clone_steps
        if self.gradient_steps >= total or learner.steps > 0:
            return
        shown = self._demonstrations(task)
        if shown is None:
            self.gradient_steps = total
            return
        prompts = learner.prompter.prompts(shown.observations)
        number = {text: row for row, text in enumerate(dict.fromkeys(prompts))}
        rows, distinct = np.array([number[text] for text in prompts]), list(number)
        targets, masks = learner.tensor(shown.targets.astype(np.float32)), learner.tensor(shown.action_masks)
        while self.gradient_steps < total:
            sums, count = np.zeros(2), 0
            for chosen, samples, local in prompt_batches(rows, learner.settings.prompts_per_batch, learner.rng):
                picked, place = learner.tensor(samples), learner.tensor(local)
                with learner.policy.own_threads():
                    scores, _ = learner.policy([distinct[row] for row in chosen], values=False)
                    log_probs = masked_log_softmax(scores[place], masks[picked])
                    losses = -(targets[picked] * log_probs.masked_fill(~masks[picked], 0.0)).sum(1)
                    learner.descend(losses.mean())
                likeliest = targets[picked] >= targets[picked].max(1, keepdim=True).values
                agreement = likeliest.gather(1, log_probs.argmax(1, keepdim=True))
                sums += losses.sum().item(), agreement.sum().item()
                count += len(samples)
                self.gradient_steps += 1
                if self._reports(total):
                    break  # a point where nothing is half done: the rest of the pass is drawn again
            if self._reports(total):
                yield {
                    "steps": 0.0,
                    "clone/steps": float(self.gradient_steps),
                    "clone/demonstrated_steps": float(len(shown)),
                    "clone/loss": float(sums[0] / count),
                    "clone/agreement": float(sums[1] / count),
                }

    def _reports(self, total: int) -> bool:
        return self.gradient_steps % REPORT_EVERY == 0 or self.gradient_steps >= total

    def _demonstrations(self, task: Task) -> Demonstrations | None:
        if self._given is not None:
            return self._given
        if task.world is None or task.world.players > 1:
            return None
        s = self.learner.settings
        # a separate generator: made again, the demonstrations are the same
        rng = np.random.default_rng([self.learner.seed, 3])
        return planner_demonstrations(task, s.clone_episodes, s.clone_beta, s.clone_simulations, rng)

    def state_dict(self) -> State:
        return {"cloned": self.gradient_steps}

    def load_state_dict(self, state: State) -> None:
        self.gradient_steps = int(state["cloned"])
