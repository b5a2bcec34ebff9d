"""Agents that plan sequences of actions at every decision: cem, icem, mppi and random-shooting.

They simulate in the world's own law (never in the environment's copy, nor with its random numbers). What they remember
is what the planner carries from one decision to the next, a row per copy, so that a plan goes on within an episode and
begins anew with the next one. A decision's randomness is a function of the seed, the observation and what is
remembered: the same in any batch.
"""

from __future__ import annotations

import dataclasses
import hashlib
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from gymnasium import spaces

from inscape.agents.interface import Agent
from inscape.agents.planners.value_iteration import ONE_OF_YOUR_OWN, known_law, unseen_state
from inscape.envs.tasks.shared_policy import PlayersTask
from inscape.errors import PartialObservationError, UsageError
from inscape.world_models.interface import as_numpy
from inscape.world_models.known import KnownModel
from inscape.world_models.networks.types import Array, State
from inscape.world_models.planning.control.cem import CEM
from inscape.world_models.planning.control.icem import ICEM
from inscape.world_models.planning.control.mppi import MPPI
from inscape.world_models.planning.control.random_shooting import RandomShooting, RandomShootingSettings
from inscape.world_models.planning.control.search import action_bounds, carried_size
from inscape.world_models.planning.control.settings import CEMSettings, ICEMSettings, MPPISettings, require_gamma
from inscape.world_models.planning.interface import Evaluate, Plan, Plans

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


@dataclass(frozen=True)
class CEMAgentSettings(CEMSettings):
    """Settings of the agent that plans by the cross-entropy method."""

    gamma: float | None = None
    """Discount per step; None for the world's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_gamma(self)


@dataclass(frozen=True)
class ICEMAgentSettings(ICEMSettings):
    """Settings of the agent that plans by the improved cross-entropy method."""

    gamma: float | None = None
    """Discount per step; None for the world's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_gamma(self)


@dataclass(frozen=True)
class MPPIAgentSettings(MPPISettings):
    """Settings of the agent that plans by path integrals."""

    gamma: float | None = None
    """Discount per step; None for the world's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_gamma(self)


@dataclass(frozen=True)
class RandomShootingAgentSettings(RandomShootingSettings):
    """Settings of the agent that takes the best of random sequences."""

    gamma: float | None = None
    """Discount per step; None for the world's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_gamma(self)


def _check_gamma(settings: Any) -> None:
    if settings.gamma is not None:
        require_gamma(settings)


class ShootingAgent(Agent):
    """Plans a sequence of actions at every decision, takes the first, and goes on from the rest.

    Args:
        task: what to act in; one player, actions `Discrete` or a bounded `Box`.
        seed: seed of the plans.
        settings: see the settings of each.
        model: a world model to plan in instead of the world's law (any `WorldModel` that takes an observation for the
            state).
        evaluate: values of the states at the horizon, say of a critic (`Planner.plan`).

    Raises:
        MissingLawError: the task has no law, and no model is given.
        UsageError: several players; actions of another kind, or unbounded; a setting is out of range; a model that
            filters.
    """

    planner_class: ClassVar[Any]

    def __init__(
        self, task: Task, seed: int = 0, settings: Any = None, model: Any = None, evaluate: Evaluate | None = None
    ) -> None:
        self.settings = self._default() if settings is None else settings
        if isinstance(task, PlayersTask) or task.players > 1:
            raise UsageError(
                f"{self.name} on {task.name}, which has several players",
                expected="a world of one player: a sequence of actions is the choice of one",
                hint="mcts, where players move in turn; " + ONE_OF_YOUR_OWN,
            )
        action_bounds(task.action_space, self.name)
        if getattr(model, "filters", False):
            raise UsageError(
                f"{self.name} with {type(model).__name__}, whose states hold more than the last observation tells",
                expected="a model that takes an observation for the state: each search begins at one",
                hint="its planner on states from model.init and model.update",
            )
        if model is None:
            model = KnownModel(known_law(task, self.name, "ppo, or sac for continuous actions"))
        given = dataclasses.asdict(self.settings)
        if given["gamma"] is None:
            given["gamma"] = task.world.gamma if task.world is not None else 0.99
        self.planner = self.planner_class(**given)
        self.model, self.seed, self.evaluate = model, seed, evaluate
        self.action_space = task.action_space
        self._carried = carried_size(model.action_space, self.planner)

    @abstractmethod
    def _default(self) -> Any:
        """Returns the settings that it has by default."""

    # --------------------------------------------------------------------------------------------------- acting

    def initial_memory(self, count: int) -> Array:
        """Returns `[count, K]`, NaN: nothing is planned yet."""
        return np.full((count, self._carried), np.nan)

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns actions as at the first step of an episode."""
        count = len(observation)
        return self.act_with_memory(observation, self.initial_memory(count), np.zeros(count), action_mask)[0]

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        """Returns actions, and what the plans leave for the next decision."""
        observation = np.asarray(observation)
        states = self._states(observation)
        going_on = np.ones(len(observation), np.bool_)
        if callable(getattr(self.model, "terminal_of", None)):
            going_on = ~np.asarray(as_numpy(self.model.terminal_of(states)), np.bool_)
        actions, following = self._anything(action_mask, len(observation)), np.full_like(memory, np.nan)
        rows = np.flatnonzero(going_on)
        if len(rows):
            plans = self._plans(states if going_on.all() else states[rows], observation[rows], memory[rows])
            actions[rows], following[rows] = plans.actions, plans.carried
            if action_mask is not None and plans.actions.ndim == 1:
                self._obey(actions, rows, plans, np.asarray(action_mask, np.bool_))
        return actions, following

    def plan_for(self, observation: Array) -> Plan | None:
        """Returns the plan at one observation as at the first step of an episode; None where the model ends there."""
        observation = np.asarray(observation)[None]
        states = self._states(observation)
        if callable(getattr(self.model, "terminal_of", None)) and as_numpy(self.model.terminal_of(states))[0]:
            return None
        return self._plans(states, observation, self.initial_memory(1))[0]

    def _states(self, observation: Array) -> Any:
        try:
            return self.model.init(observation)
        except PartialObservationError as error:
            if not isinstance(self.model, KnownModel):
                raise
            raise unseen_state(error, self.name, self.model.world) from error

    def _plans(self, states: Any, observation: Array, memory: Array) -> Plans:
        rows = zip(np.ascontiguousarray(observation), np.ascontiguousarray(memory))
        digests = [hashlib.blake2b(seen.tobytes() + kept.tobytes(), digest_size=8).digest() for seen, kept in rows]
        keys = np.array([int.from_bytes(digest, "little", signed=True) for digest in digests])
        previous = Plans(np.zeros(len(memory), np.int64), np.zeros(len(memory)), carried=memory)
        return self.planner.plan(self.model, states, keys ^ self.seed, self.evaluate, previous)  # type: ignore[no-any-return]

    def _anything(self, action_mask: Array | None, count: int) -> Array:
        """Returns an allowed action per row: where the model takes the state for an end, it does not matter which."""
        if isinstance(self.action_space, spaces.Box):
            middle = 0.5 * (self.action_space.low + self.action_space.high)
            return np.broadcast_to(middle, (count, len(middle))).astype(self.action_space.dtype)
        return np.zeros(count, np.int64) if action_mask is None else np.asarray(action_mask).argmax(axis=1)

    def _obey(self, actions: Array, rows: Array, plans: Plans, mask: Array) -> None:
        """Puts the best allowed action where the mask forbids the one that is planned."""
        for k, row in enumerate(rows):
            if not mask[row, actions[row]]:
                actions[row] = np.where(mask[row], np.maximum(plans.action_values[k], -1e300), -np.inf).argmax()

    def state_dict(self) -> State:
        """Returns the seed: plans are functions of it, and what is remembered is the caller's."""
        return {"seed": self.seed}

    def load_state_dict(self, state: State) -> None:
        self.seed = int(state["seed"])


class CEMAgent(ShootingAgent):
    """Plans by the cross-entropy method; see `CEM`."""

    name = "cem"
    planner_class = CEM

    def _default(self) -> CEMAgentSettings:
        return CEMAgentSettings()


class ICEMAgent(ShootingAgent):
    """Plans by the improved cross-entropy method; see `ICEM`."""

    name = "icem"
    planner_class = ICEM

    def _default(self) -> ICEMAgentSettings:
        return ICEMAgentSettings()


class MPPIAgent(ShootingAgent):
    """Plans by path integrals; see `MPPI`."""

    name = "mppi"
    planner_class = MPPI

    def _default(self) -> MPPIAgentSettings:
        return MPPIAgentSettings()


class RandomShootingAgent(ShootingAgent):
    """Takes the first action of the best of many random sequences; see `RandomShooting`."""

    name = "random-shooting"
    planner_class = RandomShooting

    def _default(self) -> RandomShootingAgentSettings:
        return RandomShootingAgentSettings()
