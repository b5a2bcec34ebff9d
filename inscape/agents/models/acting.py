"""Acting on a world model: on the exact solution of a table, or by a search at every decision."""

from __future__ import annotations

import hashlib
import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium import spaces

from inscape.agents.acting import sample_actions
from inscape.agents.interface import Agent
from inscape.agents.random_agent import RandomAgent
from inscape.world_models.interface import as_numpy, joined_states
from inscape.world_models.networks.types import Array
from inscape.world_models.planning.control.search import carried_size
from inscape.world_models.planning.dynamic_programming import ties, value_iteration
from inscape.world_models.planning.interface import Plan, Plans

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task
    from inscape.world_models.tabular.model import TabularModel

TIES = 1e-9


class TableActor(Agent):
    """Acts on the exact solution of a table, the best actions alike.

    Args:
        table: a model that takes an observation for the state.
        gamma: discount per step.
        rng: of the choices among equals.
        name: what it is called.
    """

    def __init__(self, table: TabularModel, gamma: float, rng: np.random.Generator, name: str) -> None:
        self.name = name
        self._table, self._rng = table, rng
        self._values = value_iteration(table, gamma, 1e-6).q_values

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities: the best legal actions alike."""
        values = self._values[self._table.init(observation)]
        legal = np.ones(values.shape, np.bool_) if action_mask is None else np.asarray(action_mask, np.bool_)
        values = np.where(legal & np.isfinite(values), values, -np.finfo(np.float64).max)
        best = ties(values, TIES) & legal
        best = np.where(best.any(axis=1, keepdims=True), best, legal)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(best / best.sum(axis=1, keepdims=True)))

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return sample_actions(self.action_log_probs(observation, action_mask), self._rng)


class _Remembered(NamedTuple):
    """What is kept of a copy between two decisions: the model's state, the action taken in it, what the plan left."""

    state: Any
    action: Any
    carried: Array


class SearchingActor(Agent):
    """Plans in a model at every decision, from the state that what was seen and done has led to.

    A search's randomness is a function of the seed and of what is seen and remembered.

    Args:
        model: any `WorldModel` of one player.
        planner: any `Planner`.
        task: what is acted in.
        seed: of the searches.
        name: what it is called.
    """

    def __init__(self, model: Any, planner: Any, task: Task, seed: int, name: str) -> None:
        self.name = name
        self.model, self.planner, self.seed = model, planner, seed
        self._space: Any = task.action_space
        self._filters = bool(getattr(model, "filters", False))
        self._carries = "previous" in inspect.signature(planner.plan).parameters
        self._width = carried_size(model.action_space, planner) if self._carries else 0

    @property
    def remembers(self) -> bool:
        """Whether its actions depend on more than the present observation."""
        return self._filters or self._carries

    def initial_memory(self, count: int) -> Array:
        """Returns `[count]` objects; None: the episode begins."""
        return np.full(count, None, object)

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns actions as at the first step of an episode."""
        count = len(observation)
        return self.act_with_memory(observation, self.initial_memory(count), np.zeros(count), action_mask)[0]

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        """Returns actions, and the states they were planned in."""
        observation = np.asarray(observation)
        count, mask = len(observation), None if action_mask is None else np.asarray(action_mask, np.bool_)
        carried = np.full((count, self._width), np.nan)
        for row, kept in enumerate(memory):
            if kept is not None and self._width:
                carried[row] = kept.carried
        actions, remembered = self._anything(mask, count), self.initial_memory(count)
        for rows, states in self._states(observation, memory, np.asarray(reward)):
            going = np.flatnonzero(self._going_on(states))
            some = rows[going]
            if len(going):
                plans = self._plans(
                    states if len(going) == len(rows) else states[going], observation[some], carried[some]
                )
                actions[some] = plans.actions
                if self._width:
                    carried[some] = plans.carried
                if mask is not None and plans.actions.ndim == 1:
                    _obey(actions, some, plans, mask)
            for number, row in enumerate(rows):
                state = states[number : number + 1] if self._filters else None
                remembered[row] = _Remembered(state, actions[row].copy(), carried[row])
        return actions, remembered

    def plan_for(self, observation: Array) -> Plan | None:
        """Returns the plan at one observation as at the first step of an episode; None where the model ends there."""
        observation = np.asarray(observation)[None]
        states = self.model.init(observation)
        if not self._going_on(states)[0]:
            return None
        return self._plans(states, observation, np.full((1, self._width), np.nan))[0]

    # ------------------------------------------------------------------------------------------------------- within

    def _states(self, observation: Array, memory: Array, reward: Array) -> list[tuple[Array, Any]]:
        """Returns rows and their model states, in as few batches as the states can be joined to."""
        everything = np.arange(len(observation))
        if not self._filters:
            return [(everything, self.model.init(observation))]
        begins = np.array([kept is None for kept in memory], np.bool_)
        found: list[tuple[Array, Any]] = []
        if begins.any():
            found.append((everything[begins], self.model.init(observation[begins])))
        rest = everything[~begins]
        if len(rest) == 0:
            return found
        before = joined_states([memory[row].state for row in rest])
        batches = (
            [(rest, before)] if before is not None else [(rest[[k]], memory[row].state) for k, row in enumerate(rest)]
        )
        rewarded = "rewards" in inspect.signature(self.model.update).parameters
        for rows, states in batches:
            taken = np.stack([memory[row].action for row in rows])
            more = (reward[rows],) if rewarded else ()
            found.append((rows, self.model.update(states, taken, observation[rows], *more)))
        return found

    def _going_on(self, states: Any) -> Array:
        terminal = getattr(self.model, "terminal_of", None)
        if not callable(terminal):
            return np.ones(len(states), np.bool_)
        return np.asarray(~np.asarray(as_numpy(terminal(states)), np.bool_))

    def _plans(self, states: Any, observation: Array, carried: Array) -> Plans:
        """Returns a plan for each row; its random numbers depend on the row alone."""
        rows = zip(np.ascontiguousarray(observation), np.ascontiguousarray(carried))
        digests = [hashlib.blake2b(seen.tobytes() + left.tobytes(), digest_size=8).digest() for seen, left in rows]
        if self._carries:
            keys = np.array([int.from_bytes(digest, "little", signed=True) for digest in digests])
            previous = Plans(np.zeros(len(keys), np.int64), np.zeros(len(keys)), carried=carried)
            return self.planner.plan(self.model, states, keys ^ self.seed, None, previous)  # type: ignore[no-any-return]
        plans = []
        for row, digest in enumerate(digests):
            rng = np.random.default_rng([self.seed, int.from_bytes(digest, "little")])
            plans.append(self.planner.plan(self.model, states[row : row + 1], rng)[0])
        return Plans.of(plans)

    def _anything(self, mask: Array | None, count: int) -> Array:
        """Returns an allowed action per row: where the model takes the state for an end, it does not matter which."""
        if isinstance(self._space, spaces.Box):
            low, high = (np.clip(bound, -1e6, 1e6) for bound in (self._space.low, self._space.high))
            return np.broadcast_to(0.5 * (low + high), (count, *low.shape)).astype(self._space.dtype)
        return np.zeros(count, np.int64) if mask is None else np.asarray(mask.argmax(axis=1))


def _obey(actions: Array, rows: Array, plans: Plans, mask: Array) -> None:
    """Puts the best allowed action where the mask forbids the one that is planned."""
    for number, row in enumerate(rows):
        if not mask[row, actions[row]]:
            values = np.nan_to_num(plans.action_values[number], nan=-1e300, neginf=-1e300)
            values = values if len(values) else np.zeros(mask.shape[1])
            actions[row] = np.where(mask[row], values, -np.inf).argmax()


class NoisyActor(Agent):
    """Another agent, with random actions at a rate.

    Args:
        agent: whose actions are taken otherwise.
        epsilon: probability of a random action.
        task: what is acted in.
        seed: of when, and of which.
    """

    def __init__(self, agent: Any, epsilon: float, task: Task, seed: int) -> None:
        self.name = agent.name
        self._agent, self._epsilon = agent, epsilon
        self._random = RandomAgent(task, seed)
        self._rng = np.random.default_rng([seed, 1])
        if getattr(agent, "remembers", False):
            self.initial_memory = agent.initial_memory
            self.act_with_memory = self._with_memory

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return self._mixed(self._agent.act(observation, action_mask), observation, action_mask)

    def _with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        actions, remembered = self._agent.act_with_memory(observation, memory, reward, action_mask)
        actions = self._mixed(actions, observation, action_mask)
        for row, kept in enumerate(remembered):
            remembered[row] = kept._replace(action=actions[row].copy())
        return actions, remembered

    def _mixed(self, actions: Array, observation: Array, action_mask: Array | None) -> Array:
        noisy = self._rng.random(len(actions)) < self._epsilon
        others = self._random.act(observation, action_mask)
        return np.where(noisy.reshape(-1, *[1] * (actions.ndim - 1)), others, actions).astype(actions.dtype)
