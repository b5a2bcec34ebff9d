"""The agent that searches from its belief: POMCP.

Source: Silver & Veness (2010), "Monte-Carlo planning in large POMDPs", NIPS.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from inscape.agents.interface import Agent
from inscape.agents.learning.settings_checks import require_counts, require_shares
from inscape.agents.planners.value_iteration import known_law
from inscape.errors import MissingLawError, TooManyStatesError, UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.networks.types import Array, State
from inscape.world_models.planning.beliefs.pomcp import MOST_STATES, POMCP, POMCPSettings

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World
    from inscape.world_models.belief.model import BeliefModel
    from inscape.world_models.belief.particles import ParticleModel
    from inscape.world_models.planning.interface import Plan


@dataclass(frozen=True)
class POMCPAgentSettings(POMCPSettings):
    """Settings of the agent."""

    gamma: float | None = None
    """Discount per step; None for the world's own (0.95 where that is 1)."""
    belief: Literal["auto", "exact", "particles"] = "auto"
    """How it believes: exactly (the world must be enumerable), in particles, or exactly up to 50,000 states."""
    num_particles: int = 1000
    """Particles of a belief."""
    cache: int = 4096
    """Searches that are kept, by belief."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_counts(self, "num_particles", "cache")
        if self.gamma is not None:
            require_shares(self, "gamma")
        if self.belief not in ("auto", "exact", "particles"):
            raise UsageError(f"belief = {self.belief!r}", expected="'auto', 'exact' or 'particles'")


class _Remembered(NamedTuple):
    """A belief (a batch of one, of the model's kind) after the last observation, and the action taken then."""

    belief: Any
    action: int


class POMCPAgent(Agent):
    """Believes, exactly or in particles, and searches from its belief at every decision.

    A search's randomness is a function of the seed and of the belief: the same evidence leads to the same action.

    Args:
        task: a task with a law, of one player and finitely many actions.
        seed: of its searches and particles.
        settings: see `POMCPAgentSettings`.

    Raises:
        MissingLawError: the task has no law; it has several players; exact beliefs over a law that can only be sampled.
        UsageError: a setting is out of range; actions are continuous.
    """

    name = "pomcp"

    def __init__(self, task: Task, seed: int = 0, settings: POMCPAgentSettings | None = None) -> None:
        self.settings = settings or POMCPAgentSettings()
        world = known_law(task, self.name, "recurrent-ppo, which learns to remember")
        if world.players > 1:
            raise MissingLawError(
                f"{world.name} has {world.players} players, who each believe for themselves",
                expected="a world of one player",
            )
        gamma = self.settings.gamma
        if gamma is None:
            gamma = world.gamma if world.gamma < 1.0 else 0.95
        shared = {f.name: getattr(self.settings, f.name) for f in fields(POMCPSettings)}
        self.planner = POMCP(gamma=gamma, num_particles=self.settings.num_particles, **shared)
        self.model = _model(world, self.settings, seed)
        self.seed, self._actions = seed, world.num_actions
        self._rng = np.random.default_rng(seed)
        self._plans: OrderedDict[bytes, Plan] = OrderedDict()

    def initial_memory(self, count: int) -> Array:
        """Returns `[count]` objects: the belief and the last action; None: the episode begins."""
        return np.full(count, None, object)

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B]` actions as at the first step of an episode."""
        return self.act_with_memory(observation, self.initial_memory(len(observation)), np.zeros(0), action_mask)[0]

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        observation = np.asarray(observation)
        actions, remembered = np.empty(len(observation), np.int64), self.initial_memory(len(observation))
        for row in range(len(observation)):
            belief = self._belief(observation[[row]], memory[row])
            mask = np.ones(self._actions, np.bool_) if action_mask is None else np.asarray(action_mask[row])
            actions[row] = self._choice(self._plan(belief), mask)
            remembered[row] = _Remembered(belief, int(actions[row]))
        return actions, remembered

    def plan_for(self, observation: Array) -> Plan:
        """Returns the search behind the choice at the first observation of an episode."""
        return self._plan(self._belief(np.asarray(observation)[None], None))

    def state_dict(self) -> State:
        """Returns the random state; searches are functions of seed and belief."""
        return {"rng": rng_state(self._rng)}

    def load_state_dict(self, state: State) -> None:
        restore_rng(self._rng, state["rng"])

    # --------------------------------------------------------------------------------------------------- within

    def _belief(self, observation: Array, remembered: _Remembered | None) -> Any:
        if remembered is None:
            return self.model.init(observation)
        return self.model.update(remembered.belief, np.array([remembered.action]), observation)

    def _plan(self, belief: Any) -> Plan:
        key = self._key(belief)
        plan = self._plans.get(key)
        if plan is None:
            digest = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
            plan = self.planner.plan(self.model, belief, np.random.default_rng([self.seed, digest]))[0]
            self._plans[key] = plan
            if len(self._plans) > self.settings.cache:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(key)
        return plan

    def _key(self, belief: Any) -> bytes:
        from inscape.world_models.belief.particles import ParticleBeliefs

        if not isinstance(belief, ParticleBeliefs):
            return bytes((np.round(belief[0], 12) + 0.0).tobytes())
        states = belief.rows[0].states
        return states.floats.tobytes() + states.ints.tobytes()

    def _choice(self, plan: Plan, mask: Array) -> int:
        if mask[plan.action]:
            return int(plan.action)
        tried = mask & (plan.visit_counts > 0)
        if tried.any():
            return int(np.where(tried, plan.action_values, -np.inf).argmax())
        return int(self._rng.choice(np.flatnonzero(mask)))


def _model(world: World, settings: POMCPAgentSettings, seed: int) -> BeliefModel | ParticleModel:
    """Returns beliefs over the world's states."""
    from inscape.world_models.belief.model import BeliefModel
    from inscape.world_models.belief.particles import ParticleModel

    if settings.belief == "exact":
        return BeliefModel.from_world(world)
    if settings.belief == "auto" and world.is_enumerable and settings.rollout != "uniform":
        try:
            world.dynamics(max_states=MOST_STATES)
            return BeliefModel.from_world(world)
        except (TooManyStatesError, MissingLawError):  # too many, or its initial states can only be sampled
            pass
    return ParticleModel(world, settings.num_particles, seed)
