"""The Agent interface: what every agent can do, what some can, and the check on what they hand back.

Only `act` is needed. Everything else is an ability that a reader asks for by name (`can_learn(agent)`, …), so an agent
without it simply lacks the method: nothing here raises `NotImplementedError` later on.
"""

from __future__ import annotations

import copyreg
import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeGuard

import gymnasium
import numpy as np
from numpy.typing import NDArray

from inscape.agents.batches import batch_of, is_one, rows_of
from inscape.envs.tasks.resolve import as_task
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError

Array = NDArray[Any]
Metrics = dict[str, float]
State = dict[str, Any]


class Agent(ABC):
    """Something that acts. Batches first: row `i` of the answer belongs to row `i` of the observations.

    A custom class need not inherit from this: `as_agent` takes any object with an `act`. The abilities an agent
    may add, each found by `hasattr`:

    - `action_log_probs(observation, action_mask=None) -> [B, A]`: log-probabilities of the actions *as it acts*.
    - `learn(task, steps) -> Iterator[dict[str, float]]`: a generator that yields metrics (`"steps"` always) at points
      where `state_dict` is whole; it ends when `steps` environment steps in total have been taken.
    - `state_dict() -> dict`, `load_state_dict(state)`: nested dict of arrays and JSON values, all that resuming needs.
    - `plan_for(observation) -> Plan | None`: the search behind the last choice made at this observation.
    - `for_player(player) -> Agent`: with several players, the agent of that one, where it is not this agent itself.
    - `initial_memory(count) -> [count, ...]` and `act_with_memory(observation, memory, reward, action_mask=None) ->
      (actions, memory)`: an agent that remembers, see `RememberingAgent`. Its `act` answers as at the first step of
      an episode.

    An agent whose class says `learns_with_players = True` is given a task of several players whole; any other learns
    in it as one of them (`inscape.envs.tasks.shared_policy.one_player`).
    """

    name: str = "agent"
    _made_with: tuple[tuple[Any, ...], dict[str, Any]]  # the constructor's arguments
    _observes: gymnasium.Space[Any] | None = None  # the space of one observation, where it is known

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        agent = super().__new__(cls)
        agent._made_with = args, kwargs
        for given in (*args, *kwargs.values()):  # the task it is made for
            if isinstance(space := getattr(given, "observation_space", None), gymnasium.Space):
                agent._observes = space
                break
        return agent

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Lets the methods of every agent that take a batch of observations take one observation too."""
        super().__init_subclass__(**kwargs)
        if isinstance(made := cls.__dict__.get("__init__"), FunctionType):
            setattr(cls, "__init__", _made_for_a_task(made))  # noqa: B010  a type checker refuses the assignment
        for name in _OF_OBSERVATIONS:
            if isinstance(method := cls.__dict__.get(name), FunctionType):
                setattr(cls, name, _one_or_many(method))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies. An agent whose state can be stored is made again and given it: compiled code, and arrays
        that are views of others, are not copied. Any other is copied attribute by attribute."""
        made_with, name = self._made_with, self.name
        if can_resume(self) and type(self).__getstate__ is object.__getstate__:
            return _made_again, (type(self), *made_with, name, self.state_dict())
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]

    @abstractmethod
    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns one action per observation.

        Args:
            observation: `[B, ...]`, one row per environment copy. One observation without the batch axis is taken as
                one where the agent knows its space (it was made for a task), and its action returned without the axis.
            action_mask: `[B, A]` bool, True where legal; None means that every action is. `[A]` for one observation.

        Returns:
            `[B]` int64 for `Discrete`, `[B, D]` int64 for `MultiDiscrete`, `[B, ...]` float for `Box` action spaces.
        """


_OF_OBSERVATIONS = ("act", "action_log_probs", "policy_log_probs", "action_values", "state_values")
"""Methods whose first argument is a batch of observations, and that return a row for each."""


def _made_for_a_task(init: FunctionType) -> Any:
    """Returns a constructor whose first argument, if it is `task`, may be whatever stands for one (`as_task`)."""
    names = list(inspect.signature(init).parameters)
    if names[1:2] != ["task"]:
        return init

    @functools.wraps(init)
    def made(self: Agent, *args: Any, **named: Any) -> None:
        given = args[0] if args else named.get("task")
        like_one = all(hasattr(given, name) for name in ("world", "observation_space")) and not hasattr(given, "reset")
        if given is not None and not isinstance(given, Task) and not like_one:
            task = as_task(given)
            args, named = (task, *args[1:]) if args else args, named if args else {**named, "task": task}
            self._made_with, self._observes = (args, named), task.observation_space
        init(self, *args, **named)

    return made


def _one_or_many(method: FunctionType) -> Any:
    """Returns a method of batches that takes one observation too; what else it is given then is of one too."""

    @functools.wraps(method)
    def of_one_or_many(self: Agent, observation: Any, *args: Any, **named: Any) -> Any:
        if self._observes is None or not is_one(observation, self._observes):
            return method(self, observation, *args, **named)
        rows = method(
            self,
            batch_of(self._observes, [observation]),
            *(None if value is None else np.asarray(value)[None] for value in args),
            **{name: None if value is None else np.asarray(value)[None] for name, value in named.items()},
        )
        return rows_of(rows, 0)

    return of_one_or_many


class AnyAgent(Agent):
    """What `make_agent` returns, for type checkers: an agent, and whatever abilities its class has beyond `act`.

    Which it has is known when it is made, and not when types are checked: `can_learn`, `can_score`, … ask.
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class Learner(AnyAgent):
    """What a built-in agent that learns has, for type checkers: `LearningAgent` and `ResumableAgent` at once.

    `make_agent` returns one for the name of a built-in learner; of another agent, ask `can_learn`.
    """

    @abstractmethod
    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until `steps` environment steps were taken in all, yielding metrics with `"steps"` on the way."""

    @abstractmethod
    def state_dict(self) -> State:
        """Returns everything the agent's future depends on."""

    @abstractmethod
    def load_state_dict(self, state: State) -> None:
        """Goes on from `state_dict()`."""


def _made_again(
    cls: type[Any], arguments: tuple[Any, ...], named: dict[str, Any], name: str, state: State
) -> ResumableAgent:
    agent: ResumableAgent = cls(*arguments, **named)
    agent.load_state_dict(state)
    agent.name = name
    return agent


class LearningAgent(Protocol):
    """An agent that learns from acting in a task."""

    name: str

    def act(self, observation: Array, action_mask: Array | None = None) -> Array: ...
    def learn(self, task: Task, steps: int) -> Iterator[Metrics]: ...


class ScoringAgent(Protocol):
    """An agent that can say with which probability it takes each action."""

    name: str

    def act(self, observation: Array, action_mask: Array | None = None) -> Array: ...
    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array: ...


class RememberingAgent(Protocol):
    """An agent whose actions depend on more than the present observation.

    What it remembers is an array with a row per copy, kept by the caller: a row is `initial_memory`'s when an episode
    begins there, and afterwards what the last answer for that copy returned. So the agent holds nothing between calls,
    may be asked for any copies in any order, and nothing passes from one episode to the next.
    """

    name: str

    def act(self, observation: Array, action_mask: Array | None = None) -> Array: ...

    def initial_memory(self, count: int) -> Array:
        """Returns `[count, ...]`, what is remembered where an episode begins; any dtype, `object` included."""
        ...

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        """Returns the actions, as `act` does, and what is remembered from now on.

        Args:
            observation: `[B, ...]`.
            memory: `[B, ...]`, not to be changed in place.
            reward: `[B]` float64, earned since this copy was last asked for; 0 at the first step of an episode.
            action_mask: `[B, A]` bool, True where legal; None means that every action is.

        Returns:
            Actions, and memory of the shape and kind of number of `initial_memory`.
        """
        ...


class ResumableAgent(Protocol):
    """An agent whose whole state can be stored and restored."""

    name: str

    def act(self, observation: Array, action_mask: Array | None = None) -> Array: ...
    def state_dict(self) -> State: ...
    def load_state_dict(self, state: State) -> None: ...


def learning_task(agent: Agent, before: Task | None, task: Task) -> Task:
    """Returns the task an agent learns in, for it to keep: `task`, or the equal one it has learned in or was made for.

    Its copies of the environment, and what it has gathered there, are of that task: `learn` cannot change over.

    Raises:
        UsageError: the task has several players, and the agent knows one; or the earlier one
            has another name, other settings or another time limit.
    """
    if task.players > 1 and not getattr(agent, "learns_with_players", False):
        raise UsageError(
            f"{agent.name} learns as one player, and {task.name} has {task.players}",
            expected="one player's part",
            hint="one_player(task) of inscape.envs.tasks.shared_policy where all act at once; independent:ppo, "
            "self-play for games; inscape.experiments.train sees to it",
        )
    if before is None or before is task:
        return task
    if (before.to_json(), before.max_episode_steps) != (task.to_json(), task.max_episode_steps):
        raise UsageError(
            f"{agent.name} learns in {_described(before)}, and is to continue in {_described(task)}",
            expected="the same task",
            hint="make a new agent for the other task",
        )
    return before


def _described(task: Task) -> str:
    limit = "no time limit" if task.max_episode_steps is None else f"at most {task.max_episode_steps} steps"
    return ", ".join([task.name, *(f"{name} = {value}" for name, value in task.settings.items()), limit])


def can_learn(agent: object) -> TypeGuard[LearningAgent]:
    """Returns whether the agent has `learn`."""
    return callable(getattr(agent, "learn", None))


def can_score(agent: object) -> TypeGuard[ScoringAgent]:
    """Returns whether the agent has `action_log_probs`."""
    return callable(getattr(agent, "action_log_probs", None))


def can_remember(agent: object) -> TypeGuard[RememberingAgent]:
    """Returns whether the agent has `initial_memory` and `act_with_memory`."""
    return all(callable(getattr(agent, method, None)) for method in ("initial_memory", "act_with_memory"))


def can_resume(agent: object) -> TypeGuard[ResumableAgent]:
    """Returns whether the agent has `state_dict` and `load_state_dict`."""
    return all(callable(getattr(agent, method, None)) for method in ("state_dict", "load_state_dict"))
