"""The agent that learns an ensemble of probabilistic networks and plans in it by the cross-entropy method: PETS.

Source: Chua, Calandra, McAllister & Levine (2018), "Deep reinforcement learning in a handful of trials using
probabilistic dynamics models", NeurIPS, algorithm 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from inscape.agents.interface import Metrics, learning_task
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.learning.settings_checks import require_counts, require_shares
from inscape.agents.planners.control import CEMAgentSettings, ShootingAgent
from inscape.errors import UnknownSettingError, closest
from inscape.rng import restore_rng, rng_state
from inscape.world_models.learned.ensemble.model import EnsembleModel, Reward, Termination
from inscape.world_models.learned.ensemble.settings import EnsembleSettings
from inscape.world_models.networks.types import Array, State
from inscape.world_models.planning.control.cem import CEM

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

LEAST = 10
"""Steps between two fits where episodes end sooner."""


@dataclass(frozen=True)
class PETSSettings(CEMAgentSettings):
    """Settings of the agent that plans in an ensemble it learns."""

    particles: int = 3
    """Roll-outs per sequence, whose returns are averaged: as many as members meet all of them."""
    first_steps: int = 20
    """Environment steps with random actions, before the first fit."""
    refit_every: int = 50
    """Environment steps between two fits; an episode's end brings the next one forward."""
    refit_growth: float = 0.1
    """Or this share of the steps taken so far, if that is more: the time of a step does not grow with what is known."""
    model_settings: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Settings of the ensemble, by name and value."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "first_steps", "refit_every")
        require_shares(self, "refit_growth")
        ensemble_settings(self)


def ensemble_settings(settings: PETSSettings) -> EnsembleSettings:
    """Returns the settings of the ensemble: as many members as particles, where nothing else is said.

    Raises:
        UnknownSettingError: one that the ensemble does not have.
    """
    known = [one.name for one in dataclasses.fields(EnsembleSettings)]
    for name in settings.model_settings:
        if name not in known:
            raise UnknownSettingError(name, "ensemble", expected=", ".join(known), hint=closest(name, known))
    given: dict[str, Any] = {"members": settings.particles if settings.particles > 1 else 3, **settings.model_settings}
    return EnsembleSettings(**given)


class PETS(ShootingAgent):
    """Acts at random at first; then by plans in what it has learned, fitted anew after each episode or some steps.

    Args:
        task: what to act in; one player, actions `Discrete` or a bounded `Box`, observations that determine the state.
        seed: of the episodes, the fits and the plans.
        settings: see `PETSSettings`.
        reward, termination: the law's own, where they are known (`EnsembleModel`); None: learned.

    Attributes:
        model: the ensemble.
        steps: environment steps taken, all counted.

    Raises:
        UsageError: several players; spaces that the ensemble does not take; a setting out of range.
    """

    name = "pets"
    planner_class = CEM

    def __init__(
        self,
        task: Task,
        seed: int = 0,
        settings: PETSSettings | None = None,
        reward: Reward | None = None,
        termination: Termination | None = None,
    ) -> None:
        chosen = settings or PETSSettings()
        model = EnsembleModel.for_task(task, ensemble_settings(chosen), seed, reward, termination)
        names = [one.name for one in dataclasses.fields(CEMAgentSettings)]
        super().__init__(task, seed, CEMAgentSettings(**{name: getattr(chosen, name) for name in names}), model)
        self.settings: PETSSettings = chosen
        self.steps = 0
        self._rng = np.random.default_rng([seed, 3])
        self._fitted_at = 0
        self._task: Task | None = None
        self._copy: EnvRunner | None = None
        self._pending: State | None = None
        self._memory = self.initial_memory(1)

    def _default(self) -> CEMAgentSettings:
        return CEMAgentSettings()

    # --------------------------------------------------------------------------------------------------- acting

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        """Returns actions, and what the plans leave for the next decision; before anything is learned, random ones."""
        if not self.model.fits:
            return self._random(len(observation), action_mask), memory
        return super().act_with_memory(observation, memory, reward, action_mask)

    def _random(self, count: int, action_mask: Array | None) -> Array:
        space: Any = self.action_space
        if isinstance(space, spaces.Box):
            return self._rng.uniform(space.low, space.high, (count, *space.shape)).astype(space.dtype)
        weights = np.ones((count, space.n)) if action_mask is None else np.asarray(action_mask, np.float64)
        return np.asarray((weights * self._rng.random(weights.shape)).argmax(axis=1))

    # ------------------------------------------------------------------------------------------------- learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Acts until `steps` environment steps in total; yields after each fit.

        Resuming is exact in worlds with a law; in other environments a resumed run begins a new episode.

        Raises:
            UsageError: it has learned in another task; an observation or a reward is not finite.
        """
        self._task = learning_task(self, self._task, task)
        if self._copy is None:
            self._copy = EnvRunner(task, 1, self.seed, steps=self.steps, state=self._pending)
            if self._pending is None or self._pending["env"] is None:
                self._memory = self.initial_memory(1)
            self._pending = None
        while self.steps < steps:
            ended = self._step(self._copy)
            if self._due(ended) or self.steps == steps:
                report = self.model.refit()
                self._fitted_at = self.steps
                yield {
                    "steps": float(self.steps), **self._copy.episodes(),
                    **({} if np.isnan(report.held_out_bits_per_step) else
                       {"held_out_bits_per_step": report.held_out_bits_per_step}),
                    **report.metrics,
                }  # fmt: skip

    def _due(self, ended: bool) -> bool:
        s, since = self.settings, self.steps - self._fitted_at
        if self.steps < s.first_steps:
            return False
        share = s.refit_growth * self.steps
        return (
            self.steps == s.first_steps or since >= max(s.refit_every, share) or (ended and since >= max(LEAST, share))
        )

    def _step(self, copy: EnvRunner) -> bool:
        """Takes a step, remembers it, and returns whether the episode ended."""
        before, mask = np.array(copy.observation), copy.action_mask
        if self.steps < self.settings.first_steps or not self.model.fits:
            actions = self._random(1, mask)
        else:
            actions, self._memory = self.act_with_memory(before, self._memory, np.zeros(1), mask)
        transition = copy.step(actions)
        ended = len(transition.ended) > 0
        after = transition.last_observation if ended else transition.next_observation
        fields = self.model.fields
        self.model.memory.append(
            fields.flat(before), fields.actions(actions), fields.flat(after), transition.reward, transition.terminated
        )
        self.steps += 1
        if ended:
            self._memory = self.initial_memory(1)
        return ended

    # --------------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> State:
        return {
            "seed": self.seed, "steps": self.steps, "fitted_at": self._fitted_at, "rng": rng_state(self._rng),
            "memory": self._memory.copy(), "model": self.model.state_dict(),
            "copies": self._pending if self._copy is None else self._copy.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        super().load_state_dict(state)
        self.steps, self._fitted_at = int(state["steps"]), int(state["fitted_at"])
        restore_rng(self._rng, state["rng"])
        self._memory = np.array(state["memory"], np.float64)
        self.model.load_state_dict(state["model"])
        self._task, self._copy, self._pending = None, None, state["copies"]
