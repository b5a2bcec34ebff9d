"""The agent that acts by active inference: on its belief, towards what it prefers and towards what tells it more.

Source: Friston et al. (2015), "Active inference and epistemic value", Cognitive Neuroscience 6(4).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from inscape.agents.planners.belief import BeliefAgent
from inscape.errors import UsageError
from inscape.world_models.networks.types import Array
from inscape.world_models.planning.beliefs.active_inference import ActiveInference, ActiveInferenceSettings, law_of

if TYPE_CHECKING:
    from inscape.envs.world import World


@dataclass(frozen=True)
class ActiveInferenceAgentSettings(ActiveInferenceSettings):
    """Settings of the agent."""

    choice: str = "likeliest"
    """What it does: the action likeliest to begin the policy (`likeliest`), or one drawn from the posterior over
    actions (`posterior`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.choice not in ("likeliest", "posterior"):
            raise UsageError(f"choice = {self.choice!r}", expected="'likeliest' or 'posterior'")


class ActiveInferenceAgent(BeliefAgent):
    """Believes exactly, and at every step judges all sequences of `depth` actions by their expected free energy.

    See `inscape.world_models.planning.beliefs.active_inference`; what it remembers is its belief and its last action.

    Args:
        task: a task whose world can be enumerated, of one player.
        seed: of its choices.
        settings: see `ActiveInferenceAgentSettings`.

    Raises:
        MissingLawError: the task has no law, or one that can only be sampled; or it has several players.
        UsageError: a setting is out of range.
    """

    name = "active-inference"
    settings: ActiveInferenceAgentSettings  # type: ignore[assignment]

    def _default(self) -> ActiveInferenceAgentSettings:  # type: ignore[override]
        return ActiveInferenceAgentSettings()

    def _discount(self, world: World) -> float:
        return self.settings.gamma

    def _plan(self) -> None:
        shared = {f.name: getattr(self.settings, f.name) for f in fields(ActiveInferenceSettings)}
        self.planner, self._law = ActiveInference(**shared), law_of(self.model)

    def belief_values(self, beliefs: Array) -> Array:
        """Returns `[B, A]` log-probabilities that each action begins the policy."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.planner.of_classes(self._law, beliefs).action_probs))

    def _log_probs(self, beliefs: Array, action_mask: Array | None) -> Array:
        if self.settings.choice == "likeliest":
            return super()._log_probs(beliefs, action_mask)
        scores = self.belief_values(self.problem.belief_of(beliefs))
        if action_mask is not None:
            scores = np.where(action_mask, scores, -np.inf)
            lost = np.isneginf(scores).all(axis=1, keepdims=True)
            scores = np.where(lost & action_mask, 0.0, scores)
        scores = scores - scores.max(axis=1, keepdims=True)
        return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))
