"""The agent that acts, an episode at a time, on a law drawn from what it believes of the world's law.

Sources: Strens (2000), "A Bayesian framework for reinforcement learning", ICML; posterior sampling for reinforcement
learning and its regret: Osband, Russo & Van Roy (2013), "(More) efficient reinforcement learning via posterior
sampling", NeurIPS, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inscape.agents.acting import sample_actions
from inscape.agents.interface import Agent, Metrics
from inscape.agents.learning.settings_checks import require_counts, require_positive, require_shares
from inscape.agents.models.acting import TableActor
from inscape.rng import restore_rng, rng_state
from inscape.world_models.networks.types import Array, State
from inscape.world_models.tabular.counts import LearnedTabularModel, TabularModelSettings

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


@dataclass(frozen=True)
class PSRLSettings:
    """Settings of posterior sampling."""

    gamma: float | None = None
    """Discount per step; None for the world's own, at most 0.99."""
    concentration: float = 1.0
    """Prior mass of the Dirichlet over successors of each state and action."""
    episodes_per_draw: int = 1
    """Episodes that are acted on one draw."""

    def __post_init__(self) -> None:
        require_positive(self, "concentration")
        require_counts(self, "episodes_per_draw")
        if self.gamma is not None:
            require_shares(self, "gamma")


class PSRL(Agent):
    """Learns a table by counting; explores by acting on draws from its posterior; otherwise acts on the mean.

    An action never tried in a state is taken to lead to the best place there is: the prior over rewards is wide.

    Args:
        task: a task with finite actions, whose observations repeat.
        seed: of the draws, the episodes and the choices among equals.
        settings: see `PSRLSettings`.

    Raises:
        UsageError: the actions are not Discrete, counted from 0; a setting is out of range.
    """

    name = "psrl"

    def __init__(self, task: Task, seed: int = 0, settings: PSRLSettings | None = None) -> None:
        self.settings = settings or PSRLSettings()
        s = self.settings
        gamma = s.gamma if s.gamma is not None else (task.world.gamma if task.world is not None else 0.99)
        # below 1: the place where what was never tried is taken to lead pays for ever
        self.gamma = min(gamma, 0.99) if s.gamma is None else gamma
        self.model = LearnedTabularModel.for_task(
            task, TabularModelSettings(unknown="optimistic", known_after=1, concentration=s.concentration)
        )
        self.steps = 0
        self._acting, self._drawing = (np.random.default_rng([seed, stream]) for stream in range(2))
        self._policy: TableActor | None = None

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return sample_actions(self.action_log_probs(observation, action_mask), self._acting)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities: the best actions of the posterior mean alike."""
        if self._policy is None:
            self._policy = TableActor(self.model.tabular(), self.gamma, self._acting, self.name)
        return self._policy.action_log_probs(observation, action_mask)

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Acts on draws until at least `steps` environment steps in total; yields after each draw's episodes."""
        from inscape.agents.rollout import rollout

        while self.steps < steps:
            explorer = TableActor(self.model.sample_model(self._drawing), self.gamma, self._drawing, self.name)
            seed = int(self._drawing.integers(2**31))
            episodes = rollout(explorer, task, self.settings.episodes_per_draw, seed)
            report = self.model.fit(episodes)
            self._policy = None
            self.steps += report.transitions
            yield {
                "steps": float(self.steps),
                "episode_return": float(np.mean([episode.total_reward for episode in episodes])),
                "episode_length": float(np.mean([len(episode) for episode in episodes])),
                **report.metrics,
                "prequential_bits_per_step": report.prequential_bits_per_step,
            }

    def state_dict(self) -> State:
        return {
            "steps": self.steps, "acting": rng_state(self._acting), "drawing": rng_state(self._drawing),
            "model": self.model.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        self.steps = int(state["steps"])
        restore_rng(self._acting, state["acting"])
        restore_rng(self._drawing, state["drawing"])
        self.model.load_state_dict(state["model"])
        self._policy = None
