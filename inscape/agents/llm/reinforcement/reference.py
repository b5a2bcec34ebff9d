"""The policy that a penalty on KL(π ‖ π₀) keeps the language model near, and the estimators of that divergence."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inscape.agents.llm.policy import LanguagePolicy, Scorebook
from inscape.agents.llm.scoring import log_softmax
from inscape.agents.llm.settings import KLEstimator
from inscape.agents.llm.text import MEMORY
from inscape.agents.llm.trainer import LanguageLearner
from inscape.world_models.networks.types import State


class Reference:
    """π₀: the policy as it was when reinforcement began, or exactly uniform over the legal actions.

    Args:
        policy: what to keep a frozen copy of; None for the uniform policy.
        batch: prompts per forward pass.
    """

    def __init__(self, policy: LanguagePolicy | None, batch: int) -> None:
        self._policy = None if policy is None else copy.deepcopy(policy).requires_grad_(False)
        self._book = None if self._policy is None else Scorebook(self._policy, batch, values=False)

    def log_probs(self, prompts: Sequence[str], masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Returns `[D, A]` float64 log π₀(a|s), −inf where illegal.

        Args:
            prompts: D prompts.
            masks: `[D, A]` bool, True where legal.
        """
        if self._book is None:
            return log_softmax(np.zeros(masks.shape), masks)
        if len(self._book.prompts) > MEMORY:
            self._book.clear()
        rows = self._book.rows(prompts)
        return log_softmax(self._book.scores[rows], masks)

    def state_dict(self) -> State:
        """Returns the frozen weights, None where the reference is uniform."""
        return {"weights": None if self._policy is None else self._policy.weights()}

    def load_state_dict(self, state: State) -> None:
        """Takes up the weights of `state_dict()`."""
        if self._policy is not None and self._book is not None:
            self._policy.load_weights(state["weights"])
            self._book.clear()


def reference_of(learner: LanguageLearner) -> Reference | None:
    """Returns the policy that a learner's KL penalty is about, as its settings name it; None without a penalty."""
    s = learner.settings
    if s.kl_coef == 0:
        return None
    return Reference(learner.policy if s.kl_reference == "start" else None, s.prompts_per_batch)


def stored_reference(learner: LanguageLearner, state: State | None) -> Reference | None:
    """Returns the reference of a stored training; None where it had none."""
    if state is None:
        return None
    made = Reference(None if state["weights"] is None else learner.policy, learner.settings.prompts_per_batch)
    made.load_state_dict(state)
    return made


def exact_kl(log_probs: NDArray[Any], reference: NDArray[Any]) -> NDArray[np.float64]:
    """Returns `[...]` KL(π ‖ π₀) = Σ_a π(a)·(log π(a) − log π₀(a)) in nats, of `[..., A]` log-probabilities."""
    legal = np.isfinite(log_probs)
    gap = np.where(legal, log_probs, 0.0) - np.where(legal, reference, 0.0)
    return np.asarray((np.exp(log_probs) * gap).sum(-1))


def estimates(log_ratio: Tensor, estimator: KLEstimator) -> Tensor:
    """Returns a sample's estimate of KL(π ‖ π₀), elementwise, of log π(a) − log π₀(a) at actions drawn from π.

    `k1` is the log ratio, `k2` half its square, `k3` = π₀/π − 1 − log(π₀/π): k1 and k3 have the divergence as their
    mean, k3 with less variance and never below 0. As a *loss* their gradients differ: that of k2 is, at π itself, the
    divergence's; that of k3 the gradient of KL(π₀ ‖ π); that of k1 has mean 0.

    Source: Schulman (2020), "Approximating KL divergence"; for the gradients Tang and Munos (2025), arXiv:2506.09477.
    """
    if estimator == "k1":
        return log_ratio
    if estimator == "k2":
        return log_ratio.square() / 2
    return (-log_ratio).exp() - 1 + log_ratio
