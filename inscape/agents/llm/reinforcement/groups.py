"""Learning from return without a value head: GRPO, RLOO, REINFORCE, and GiGPO's comparison of steps from one state.

Each update plays `num_envs` whole episodes, `group_size` of them from the same state, compares each with its group
(`advantages`), and improves the policy by the clipped surrogate that PPO has. What an episode that a time limit cut
would still have earned counts for nothing: set the limit far enough.

Sources: `advantages`; for `gigpo` Feng et al. (2025), Group-in-Group Policy Optimization, arXiv:2505.10978, equations
3 to 9 (steps are compared by their discounted return from there on).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inscape.agents.interface import Metrics
from inscape.agents.llm.reinforcement.advantages import group_advantages, returns_to_go
from inscape.agents.llm.reinforcement.episodes import Episodes, GroupPlay
from inscape.agents.llm.reinforcement.reference import Reference, reference_of, stored_reference
from inscape.agents.llm.reinforcement.surrogate import Weights, improve
from inscape.agents.llm.reinforcement.tally import tally
from inscape.agents.llm.trainer import LanguageLearner
from inscape.world_models.networks.types import State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class GroupPolicyGradient:
    """Improves the policy by comparing whole episodes, from where cloning left it."""

    def __init__(self, learner: LanguageLearner) -> None:
        self.learner = learner
        self.rounds = 0
        self._reference: Reference | None = None

    def train(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until at least `steps` environment steps in total have been taken; yields after every update."""
        learner, s = self.learner, self.learner.settings
        if learner.steps >= steps:
            return
        if learner.steps == 0:
            learner.restart_optimizer(s.step_size)
            self._reference = reference_of(learner)
        gamma = s.gamma if s.gamma is not None else 0.99 if task.world is None else task.world.gamma
        play = GroupPlay(learner, task, self._reference)
        try:
            while learner.steps < steps:
                episodes = play.collect(self.rounds)
                left = 1.0 - learner.steps / steps if s.anneal == "linear" else 1.0
                learner.set_rate(s.step_size, learner.steps, steps)
                with learner.policy.own_threads():
                    metrics = self._update(episodes, play.groups, gamma, s.entropy_weight * left)
                learner.steps += int(episodes.lengths.sum())
                self.rounds += 1
                yield {"steps": float(learner.steps), **metrics}
        finally:
            play.close()

    def _update(self, episodes: Episodes, groups: NDArray[np.int64], gamma: float, entropy_coef: float) -> Metrics:
        """Improves the policy on one round of episodes and returns the mean losses."""
        s = self.learner.settings
        advantages, metrics = self._advantages(episodes, groups, gamma)
        counted = tally(episodes.rows, episodes.masks, episodes.actions, advantages, episodes.scores)
        near = None
        if self._reference is not None and (s.kl_in == "loss" or s.kl_estimator == "exact"):
            near = self._reference.log_probs([episodes.prompts[row] for row in counted.rows], counted.masks)
        weights = Weights(entropy_coef, s.kl_coef, 0.0, s.kl_estimator)
        losses = improve(self.learner, counted, episodes.prompts, weights, near)
        return metrics | {f"{s.algorithm}/{name}": value for name, value in losses.items() if name != "value_loss"}

    def _advantages(
        self, episodes: Episodes, groups: NDArray[np.int64], gamma: float
    ) -> tuple[NDArray[np.float64], Metrics]:
        """Returns `[N]` advantages, and what is to be said of the episodes."""
        s, time, copy = self.learner.settings, episodes.time, episodes.copy
        ahead = returns_to_go(episodes.rewards - episodes.charged, episodes.lengths, gamma)
        kind = "grpo" if s.algorithm == "gigpo" else s.algorithm
        assert kind != "ppo" and kind != "em" and kind != "auto"
        if s.credit == "return":
            advantages = group_advantages(ahead[0], groups, kind, s.group_scale)[copy]
        else:  # those of the group that are still under way at that step
            at_once = time * (groups[-1] + 1) + (groups[copy] if kind != "reinforce" else 0)
            advantages = group_advantages(
                ahead[time, copy], at_once, "grpo" if kind == "reinforce" else kind, s.group_scale
            )
        if s.algorithm == "gigpo":
            same = episodes.anchors * (groups[-1] + 1) + groups[copy]
            advantages = advantages + s.anchor_weight * group_advantages(ahead[time, copy], same, "grpo", s.group_scale)
        totals = episodes.rewards.sum(0)
        first = totals[groups * s.group_size]
        alike = np.bincount(groups, np.abs(totals - first)) == 0
        return advantages, {
            "episodes": float(len(totals)),
            "train/return_mean": float(totals.mean()),
            f"{s.algorithm}/return_deviation": float(totals.std()),
            f"{s.algorithm}/groups_alike": float(alike.mean()),
            f"{s.algorithm}/truncated": float(episodes.truncated.mean()),
        }

    def state_dict(self) -> State:
        return {
            "group_rounds": self.rounds,
            "group_reference": self._reference.state_dict() if self._reference is not None else None,
        }

    def load_state_dict(self, state: State) -> None:
        self.rounds = int(state.get("group_rounds", 0))
        self._reference = stored_reference(self.learner, state.get("group_reference"))
