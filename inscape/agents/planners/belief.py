"""Agents that hold a belief about what they do not see, and act on values of beliefs.

Sources: acting on a filtered belief: Kaelbling, Littman & Cassandra (1998), Artificial Intelligence 101, section 3;
point-based values with two bounds: Smith & Simmons (2005), UAI; QMDP: Littman, Cassandra & Kaelbling (1995), ICML.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inscape.agents.acting import sample_actions
from inscape.agents.interface import Agent
from inscape.agents.learning.settings_checks import require_counts, require_positive, require_shares
from inscape.agents.planners.value_iteration import known_law
from inscape.errors import MissingLawError, UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.envs.world import World


@dataclass(frozen=True)
class QMDPSettings:
    """Settings of the agent that plans as if it saw the state from the next step on."""

    gamma: float | None = None
    """Discount per step, below 1; None for the world's own (0.95 where that is 1)."""

    def __post_init__(self) -> None:
        if self.gamma is not None:
            require_shares(self, "gamma")


@dataclass(frozen=True)
class PBVISettings(QMDPSettings):
    """Settings of point-based value iteration."""

    tolerance: float = 1e-2
    """Gap between the bounds on the value of the start to reach, in units of reward."""
    max_trials: int = 300
    """Walks through belief space after which to stop, whatever the gap: the same seed gives the same agent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "tolerance")
        require_counts(self, "max_trials")


class BeliefAgent(Agent):
    """Filters exactly, and takes the best action at its belief. It plans when it is made.

    What it remembers is its belief after the last observation, and the action it took then.

    Args:
        task: a task whose world can be enumerated, of one player.
        seed: seed of its choices among equals.
        settings: see the settings of each.

    Raises:
        MissingLawError: the task has no law, or one that can only be sampled; or it has several players.
        UsageError: a setting is out of range.
    """

    def __init__(self, task: Task, seed: int = 0, settings: QMDPSettings | None = None) -> None:
        from inscape.world_models.belief.model import BeliefModel
        from inscape.world_models.planning.beliefs.problem import BeliefProblem

        self.settings = settings or self._default()
        world = known_law(task, self.name, "recurrent-ppo, which learns to remember")
        if world.players > 1:
            raise MissingLawError(
                f"{world.name} has {world.players} players, who each believe for themselves",
                expected="a world of one player",
            )
        self.model = BeliefModel.from_world(world)
        self.problem = BeliefProblem.of(self.model, self._discount(world))
        self._plan()
        self._rng = np.random.default_rng(seed)

    def _default(self) -> QMDPSettings:
        return QMDPSettings()

    def _discount(self, world: World) -> float:
        """Returns the discount to plan with."""
        gamma = self.settings.gamma
        if gamma is None:
            gamma = world.gamma if world.gamma < 1.0 else 0.95
        if not 0.0 <= gamma < 1.0:
            raise UsageError(f"gamma = {gamma} for {self.name}", expected="a discount from 0 to below 1")
        return gamma

    @abstractmethod
    def _plan(self) -> None:
        """Computes what `belief_values` reads, once."""

    @abstractmethod
    def belief_values(self, beliefs: Array) -> Array:
        """Returns `[B, A]` values of the actions at `[B, C]` beliefs over classes of states; −inf where not known."""

    # --------------------------------------------------------------------------------------------------- acting

    def initial_memory(self, count: int) -> Array:
        """Returns `[count, S + 1]`: the belief, and the last action; −1: the episode begins."""
        memory = np.zeros((count, self.model.tables.num_states + 1))
        memory[:, -1] = -1
        return memory

    def beliefs_after(self, observation: Array, memory: Array) -> Array:
        """Returns `[B, S]` beliefs with the observations taken in."""
        states = self.model.tables.num_states
        beliefs = np.zeros((len(memory), states))
        begins = memory[:, -1] < 0
        if begins.any():
            beliefs[begins] = self.model.init(observation[begins])
        if not begins.all():
            actions = memory[~begins, -1].astype(np.int64)
            beliefs[~begins] = self.model.update(memory[~begins, :states], actions, observation[~begins])
        return beliefs

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B]` actions as at the first step of an episode."""
        return self.act_with_memory(observation, self.initial_memory(len(observation)), np.zeros(0), action_mask)[0]

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        beliefs = self.beliefs_after(observation, memory)
        actions = sample_actions(self._log_probs(beliefs, action_mask), self._rng)
        return actions, np.concatenate([beliefs, actions[:, None]], axis=1)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities as at the first step of an episode: the best actions alike."""
        return self._log_probs(self.beliefs_after(observation, self.initial_memory(len(observation))), action_mask)

    def _log_probs(self, beliefs: Array, action_mask: Array | None) -> Array:
        from inscape.world_models.planning.dynamic_programming import ties

        seen = self.problem.belief_of(beliefs)
        legal = self.problem.allowed(seen)
        if action_mask is not None:
            legal = legal & action_mask
        values = np.where(legal, self.belief_values(seen), -np.inf)
        best = ties(values, 1e-9) & legal
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(best / best.sum(axis=1, keepdims=True)))

    def state_dict(self) -> State:
        """Returns the random state; what was planned is planned again."""
        return {"rng": rng_state(self._rng)}

    def load_state_dict(self, state: State) -> None:
        restore_rng(self._rng, state["rng"])


class QMDPAgent(BeliefAgent):
    """Takes the action that would be best if the state were seen from the next step on: it never looks for information.

    Source: Littman, Cassandra & Kaelbling (1995), ICML.
    """

    name = "qmdp"

    def _plan(self) -> None:
        from inscape.world_models.planning.beliefs.alpha_vectors import qmdp

        self.q_values = qmdp(self.problem)

    def belief_values(self, beliefs: Array) -> Array:
        return np.asarray(beliefs @ self.q_values)


class PBVIAgent(BeliefAgent):
    """Acts on point-based value iteration: at least as good as its lower bound, which is within the gap of the optimum.

    Source: Pineau, Gordon & Thrun (2003), IJCAI; Smith & Simmons (2005), UAI.
    """

    name = "pbvi"
    settings: PBVISettings

    def _default(self) -> QMDPSettings:
        return PBVISettings()

    def _plan(self) -> None:
        from inscape.world_models.planning.beliefs.point_based import point_based

        s = self.settings
        self.solution = point_based(self.model, self.problem.gamma, s.tolerance, np.inf, s.max_trials)

    def belief_values(self, beliefs: Array) -> Array:
        scores = beliefs @ self.solution.vectors.T
        values = np.full((len(beliefs), self.problem.num_actions), -np.inf)
        for a in range(self.problem.num_actions):
            mine = self.solution.actions == a
            if mine.any():
                values[:, a] = scores[:, mine].max(axis=1)
        # an action that no vector begins with is worth less than those that some do
        lost = np.isneginf(values)
        worst = np.where(lost, np.inf, values).min(axis=1, keepdims=True)
        return np.where(lost, np.where(np.isfinite(worst), worst, 0.0) - 1.0, values)
