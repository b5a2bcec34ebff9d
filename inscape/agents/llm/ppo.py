"""Stage 2: proximal policy optimisation on the environment's return.

Clipped surrogate (Schulman et al. 2017, arXiv:1707.06347, equation 7), generalised advantages, a value head at the
prompt's end, entropy, and if wanted a penalty on KL(π ‖ cloned policy) (Ziegler et al. 2019, arXiv:1909.08593, section
2, here exact over the actions). An episode that is cut bootstraps from the value of the state it was cut in; one that
terminates does not.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from inscape.agents.interface import Metrics
from inscape.agents.learning.normalization import standardised
from inscape.agents.llm.policy import LanguagePolicy, Scorebook, prompt_batches
from inscape.agents.llm.rollouts import PromptBatch, Rollouts
from inscape.agents.llm.scoring import log_softmax, masked_log_softmax
from inscape.agents.llm.trainer import LanguageLearner
from inscape.world_models.networks.types import State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


class PPO:
    """Improves the policy by its return, from where cloning left it."""

    def __init__(self, learner: LanguageLearner) -> None:
        self.learner = learner
        self._reference: LanguagePolicy | None = None  # the cloned policy, where the penalty asks for it
        self._resume: State | None = None  # the environments, as loaded
        self._live: Rollouts | None = None

    def train(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until `steps` environment steps in total have been taken; yields after every update."""
        learner, s = self.learner, self.learner.settings
        if learner.steps >= steps:
            return
        if learner.steps == 0:
            learner.restart_optimizer(s.learning_rate)
            if s.kl_coef > 0:
                self._reference = copy.deepcopy(learner.policy).requires_grad_(False)
        self._live = Rollouts(learner, task)
        self._live.start(self._resume)
        self._resume = None
        try:
            while learner.steps < steps:
                length = min(s.num_steps, -(-(steps - learner.steps) // s.num_envs))
                batch = self._live.collect(length)
                left = 1.0 - learner.steps / steps if s.anneal == "linear" else 1.0
                learner.optimizer.param_groups[0]["lr"] = s.learning_rate * left
                with learner.policy.own_threads():
                    losses = self._update(batch, s.entropy_coef * left)
                learner.steps += length * s.num_envs
                yield {"steps": float(learner.steps), **batch.metrics, **losses}
        finally:
            self._resume = self._live.state_dict()
            self._live.close()
            self._live = None

    def _update(self, batch: PromptBatch, entropy_coef: float) -> Metrics:
        """Improves the policy on one batch and returns the mean losses."""
        learner, s = self.learner, self.learner.settings
        to = learner.tensor
        actions, masks = to(batch.actions), to(batch.masks)
        old, returns = to(batch.log_probs), to(batch.returns)
        advantages = to(standardised(batch.advantages))
        reference = self._reference_log_probs(batch)
        sums, count = np.zeros(6), 0
        for _ in range(s.epochs):
            batches = -(-len(np.unique(batch.rows)) // s.prompts_per_batch)
            for chosen, samples, local in prompt_batches(batch.rows, s.prompts_per_batch, learner.rng):
                scores, values = learner.policy([batch.prompts[row] for row in chosen])
                picked, place = to(samples), to(local)
                log_probs = masked_log_softmax(scores[place], masks[picked])
                finite = log_probs.masked_fill(~masks[picked], 0.0)
                taken = log_probs.gather(1, actions[picked][:, None])[:, 0]
                ratio, advantage = (taken - old[picked]).exp(), advantages[picked]
                surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - s.clip, 1 + s.clip) * advantage)
                policy_loss = -surrogate.mean()
                value_loss = (values[place] - returns[picked]).square().mean()
                probabilities = log_probs.exp()
                entropy = -(probabilities * finite).sum(1).mean()
                loss = policy_loss + s.value_coef * value_loss - entropy_coef * entropy
                drift = loss.new_zeros(())
                if reference is not None:
                    drift = (probabilities * (finite - reference[picked])).sum(1).mean()
                    loss = loss + s.kl_coef * drift
                # every sample weighs the same, in whichever batch its prompt came
                learner.descend(loss * (len(samples) * batches / len(batch.rows)))
                with torch.no_grad():
                    old_kl = (old[picked] - taken).mean()
                    clipped = ((ratio - 1).abs() > s.clip).float().mean()
                sums += [x.item() for x in (policy_loss, value_loss, entropy, old_kl, clipped, drift)]
                count += 1
        names = ("policy_loss", "value_loss", "entropy", "approximate_kl", "clipped", "kl_to_cloned")
        return {f"ppo/{name}": float(mean) for name, mean in zip(names, sums / count, strict=True)}

    def _reference_log_probs(self, batch: PromptBatch) -> Tensor | None:
        """Returns `[N, A]` log-probabilities of the cloned policy, 0 where illegal; None when there is no penalty."""
        if self._reference is None:
            return None
        book = Scorebook(self._reference, self.learner.settings.prompts_per_batch, values=False)
        rows = book.rows(batch.prompts)
        log_probs = log_softmax(book.scores[rows][batch.rows], batch.masks)
        finite = np.where(batch.masks, log_probs, 0.0).astype(np.float32)
        return self.learner.tensor(finite)

    def state_dict(self) -> State:
        return {
            "reference": self._reference.weights() if self._reference is not None else None,
            "environments": self._live.state_dict() if self._live is not None else self._resume,
        }

    def load_state_dict(self, state: State) -> None:
        self._reference = None
        if state["reference"] is not None:
            self._reference = copy.deepcopy(self.learner.policy).requires_grad_(False)
            self._reference.load_weights(state["reference"])
        self._resume = state["environments"]
