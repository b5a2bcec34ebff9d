"""Proximal policy optimisation on the environment's return.

Clipped surrogate (Schulman et al. 2017, arXiv:1707.06347, equation 7), generalised advantages, a value head at the
prompt's end, entropy, and if wanted a penalty on KL(π ‖ π₀), in the loss (Ziegler et al. 2019, arXiv:1909.08593,
section 2) or in the reward. An episode that is cut bootstraps from the value of the state it was cut in; one that
terminates does not.

In the reward, what is learned is the maximum of E[Σ γᵗ(r_t − τ·KL_t)], whose exact value is `soft_value_iteration`'s
with β = 1/τ and the reference as prior. In the loss alone, the penalty does not look ahead: where it settles, π ∝
π₀·exp(Q/τ) with Q of the plain return (if advantages are not normalised; else τ is in units of their deviation).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from inscape.agents.interface import Metrics
from inscape.agents.learning.normalization import standardised
from inscape.agents.llm.reinforcement.reference import Reference, reference_of, stored_reference
from inscape.agents.llm.reinforcement.rollouts import PromptBatch, Rollouts
from inscape.agents.llm.reinforcement.surrogate import Weights, improve
from inscape.agents.llm.reinforcement.tally import tally
from inscape.agents.llm.trainer import LanguageLearner
from inscape.world_models.networks.types import State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class PPO:
    """Improves the policy by its return, from where cloning left it."""

    def __init__(self, learner: LanguageLearner) -> None:
        self.learner = learner
        self._reference: Reference | None = None  # where the penalty asks for it
        self._resume: State | None = None  # the environments, as loaded
        self._live: Rollouts | None = None

    def train(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until `steps` environment steps in total have been taken; yields after every update."""
        learner, s = self.learner, self.learner.settings
        if learner.steps >= steps:
            return
        if learner.steps == 0:
            learner.restart_optimizer(s.step_size)
            self._reference = reference_of(learner)
        self._live = Rollouts(learner, task, self._reference)
        self._live.start(self._resume)
        self._resume = None
        try:
            while learner.steps < steps:
                length = min(s.num_steps, -(-(steps - learner.steps) // s.num_envs))
                batch = self._live.collect(length)
                left = 1.0 - learner.steps / steps if s.anneal == "linear" else 1.0
                learner.set_rate(s.step_size, learner.steps, steps)
                with learner.policy.own_threads():
                    losses = self._update(batch, s.entropy_weight * left)
                learner.steps += length * s.num_envs
                yield {"steps": float(learner.steps), **batch.metrics, **losses}
        finally:
            self._resume = self._live.state_dict()
            self._live.close()
            self._live = None

    def _update(self, batch: PromptBatch, entropy_coef: float) -> Metrics:
        """Improves the policy on one batch and returns the mean losses."""
        s = self.learner.settings
        advantages = standardised(batch.advantages) if s.normalize_advantages else batch.advantages
        scale = float(batch.advantages.std()) + 1e-8 if s.normalize_advantages and s.kl_in == "reward" else 1.0
        counted = tally(batch.rows, batch.masks, batch.actions, advantages, batch.scores, batch.returns)
        near = None
        if self._reference is not None and (s.kl_in == "loss" or s.kl_estimator == "exact"):
            near = self._reference.log_probs([batch.prompts[row] for row in counted.rows], counted.masks)
        weights = Weights(entropy_coef, s.kl_coef / scale, s.value_coef, s.kl_estimator)
        return {
            f"ppo/{name}": value for name, value in improve(self.learner, counted, batch.prompts, weights, near).items()
        }

    def state_dict(self) -> State:
        return {
            "reference": self._reference.state_dict() if self._reference is not None else None,
            "environments": self._live.state_dict() if self._live is not None else self._resume,
        }

    def load_state_dict(self, state: State) -> None:
        self._reference = stored_reference(self.learner, state["reference"])
        self._resume = state["environments"]
