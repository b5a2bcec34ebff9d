"""How action values or log-probabilities become actions; shared by the agents that have one or the other."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from inscape.agents.interface import Agent
from inscape.rng import drawn_indices
from inscape.world_models.networks.types import Array


def greedy_log_probs(scores: Array, action_mask: Array | None = None) -> Array:
    """Returns `[B, A]` log-probabilities of taking the best legal action: 0 there, −inf elsewhere.

    Ties go to the first action, so that acting greedily needs no randomness.

    Args:
        scores: `[B, A]` action values, logits or visit counts.
        action_mask: `[B, A]` bool, True where legal.
    """
    scores = scores if action_mask is None else np.where(action_mask, scores, -np.inf)
    log_probs = np.full(scores.shape, -np.inf)
    log_probs[np.arange(len(scores)), np.argmax(scores, axis=1)] = 0.0
    return log_probs


class Policy(Protocol):
    """What a `PolicyAgent` acts by."""

    def act(self, observation: Array, action_mask: Array | None, greedy: bool) -> Array: ...
    def log_probs(self, observation: Array, action_mask: Array | None) -> Array: ...
    def values(self, observation: Array) -> Array: ...


class PolicyAgent(Agent):
    """An agent with a policy π(a|s) that it draws from, or whose most probable action it takes.

    Attributes:
        settings: whose `greedy` says which.
        policy: what acts.
    """

    settings: Any
    policy: Policy

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return self.policy.act(observation, action_mask, self.settings.greedy)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities as it acts: the policy's, or 0 and −inf when the settings say `greedy`.

        Raises:
            UsageError: the actions are not `Discrete`.
        """
        log_probs = self.policy_log_probs(observation, action_mask)
        return greedy_log_probs(log_probs) if self.settings.greedy else log_probs

    def policy_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log π(a|s), whether or not it acts greedily.

        Raises:
            UsageError: the actions are not `Discrete`.
        """
        return self.policy.log_probs(observation, action_mask)

    def state_values(self, observation: Array) -> Array:
        """Returns `[B]` V(s), its estimate of the discounted return."""
        return self.policy.values(observation)


def choice_log_probs(scores: Array, beta: float | None, action_mask: Array | None = None) -> Array:
    """Returns `[B, A]` log-probabilities by the choice rule with rationality `beta`; None means greedily."""
    if beta is None:
        return greedy_log_probs(scores, action_mask)
    from inscape.world_models.planning.choice import boltzmann_log_probs

    return np.asarray(boltzmann_log_probs(scores, beta, action_mask))


def sample_actions(log_probs: Array, rng: np.random.Generator) -> Array:
    """Returns `[B]` int64 action indices drawn from `[B, A]` log-probabilities."""
    return drawn_indices(np.exp(log_probs), rng.random(len(log_probs)))
