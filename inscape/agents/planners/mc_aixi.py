"""The agent that learns its world as a mixture over all context trees, and plans in the mixture: MC-AIXI.

Source: Veness, Ng, Hutter, Uther & Silver (2011), "A Monte-Carlo AIXI approximation", JAIR 40.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from inscape.agents.interface import Agent, Metrics
from inscape.agents.learning.settings_checks import require_counts, require_shares
from inscape.rng import restore_rng, rng_state
from inscape.world_models.context_tree.model import ContextTreeModel, ContextTreeSettings
from inscape.world_models.interface import fit_model
from inscape.world_models.networks.types import Array, State
from inscape.world_models.planning.tree_search.rho_uct import RhoUCT

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


@dataclass(frozen=True)
class MCAIXISettings:
    """Settings of MC-AIXI."""

    depth: int = 30
    """Bits of the history that a context tree looks back at most."""
    rewards: int = 8
    """How many different rewards can be told apart, a power of 2."""
    horizon: int = 5
    """Steps looked ahead."""
    num_simulations: int = 200
    """Simulations for each decision."""
    exploration: float = 0.7
    """C of the upper confidence bound, in units of the range of returns."""
    gamma: float = 1.0
    """Discount per step within the horizon."""
    epsilon: float = 1.0
    """Learning: probability of a random action at the first step …"""
    epsilon_decay: float = 0.999
    """… times this at each further step."""

    def __post_init__(self) -> None:
        ContextTreeSettings(self.depth, self.rewards)
        RhoUCT(self.num_simulations, self.horizon, self.exploration, self.gamma)
        require_counts(self, "horizon", "num_simulations")
        require_shares(self, "epsilon", "epsilon_decay")


class MCAIXI(Agent):
    """Remembers its recent history of actions, observations and rewards, as bits; learns after each episode.

    Args:
        task: a task with finite actions and observations of whole numbers.
        seed: of its searches and of the episodes it learns from.
        settings: see `MCAIXISettings`.

    Raises:
        UsageError: spaces it cannot take; a setting is out of range; in `learn`, too many different rewards.
    """

    name = "mc-aixi"

    def __init__(self, task: Task, seed: int = 0, settings: MCAIXISettings | None = None) -> None:
        self.settings = settings or MCAIXISettings()
        s = self.settings
        self.model = ContextTreeModel.for_task(task, ContextTreeSettings(s.depth, s.rewards, reward_context=True))
        self.planner = RhoUCT(s.num_simulations, s.horizon, s.exploration, s.gamma)
        self.steps = 0
        self._acting, self._gathering = (np.random.default_rng([seed, stream]) for stream in range(2))

    # ------------------------------------------------------------------------------------------------ acting

    def initial_memory(self, count: int) -> Array:
        """Returns `[count, depth + 1]`: the history in bits, and the last action; −1: the episode begins."""
        memory = np.zeros((count, self.settings.depth + 1), np.int64)
        memory[:, -1] = -1
        return memory

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B]` actions as at the first step of an episode."""
        return self.act_with_memory(observation, self.initial_memory(len(observation)), np.zeros(0), action_mask)[0]

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        return self._acted(observation, memory, reward, action_mask, 0.0, self._acting)

    def _acted(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None, epsilon: float,
        rng: np.random.Generator,
    ) -> tuple[Array, Array]:  # fmt: skip
        observation = np.asarray(observation)
        begins = memory[:, -1] < 0
        states = self.model.init(observation)
        if not begins.all():
            rows = np.flatnonzero(~begins)
            states[rows] = self.model.update(
                memory[rows, :-1].astype(np.uint8), memory[rows, -1], observation[rows], np.asarray(reward)[rows]
            )
        count = self.model.vocabulary.num_actions
        legal = np.ones((len(states), count), np.bool_) if action_mask is None else np.asarray(action_mask, np.bool_)
        actions = np.empty(len(states), np.int64)
        for row in range(len(states)):
            if epsilon > 0.0 and rng.random() < epsilon:
                actions[row] = rng.choice(np.flatnonzero(legal[row]))
            else:
                values = self.planner.plan(self.model, states[[row]], rng)[0].action_values
                actions[row] = np.where(legal[row], values, -np.inf).argmax()
        return actions, np.concatenate([states.astype(np.int64), actions[:, None]], axis=1)

    # ------------------------------------------------------------------------------------------------ learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Acts until at least `steps` steps in total, learning after each episode; then yields."""
        from inscape.agents.rollout import rollout

        while self.steps < steps:
            explorer = _Explorer(self, self._gathering)
            episode = rollout(explorer, task, 1, int(self._gathering.integers(2**31)))[0]
            report = fit_model(self.model, [episode])
            self.steps += len(episode)
            yield {
                "steps": float(self.steps), "episode_return": float(episode.total_reward),
                "episode_length": float(len(episode)), "prequential_bits_per_step": report.prequential_bits_per_step,
                **report.metrics,
            }  # fmt: skip

    def state_dict(self) -> State:
        return {
            "steps": self.steps, "acting": rng_state(self._acting), "gathering": rng_state(self._gathering),
            "model": self.model.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: State) -> None:
        self.steps = int(state["steps"])
        restore_rng(self._acting, state["acting"])
        restore_rng(self._gathering, state["gathering"])
        self.model.load_state_dict(state["model"])


class _Explorer(Agent):
    """MC-AIXI with random actions, fewer at each step."""

    name = "mc-aixi"

    def __init__(self, agent: MCAIXI, rng: np.random.Generator) -> None:
        self._agent, self._rng, self._steps = agent, rng, agent.steps

    def initial_memory(self, count: int) -> Array:
        return self._agent.initial_memory(count)

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return self.act_with_memory(observation, self.initial_memory(len(observation)), np.zeros(0), action_mask)[0]

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        s = self._agent.settings
        epsilon = s.epsilon * s.epsilon_decay**self._steps
        self._steps += 1
        return self._agent._acted(observation, memory, reward, action_mask, epsilon, self._rng)
