"""The Agent interface: what every agent can do, what some can, and the check on what they hand back.

Only `act` is needed. Everything else is an ability that a reader asks for by name (`can_learn(agent)`, …), so an agent
without it simply lacks the method: nothing here raises `NotImplementedError` later on.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import gymnasium
import numpy as np
from numpy.typing import NDArray

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.registry import Task

Array = NDArray[Any]
Metrics = dict[str, float]
State = dict[str, Any]


class Agent(ABC):
    """Something that acts. Batches first: row `i` of the answer belongs to row `i` of the observations.

    A class of your own need not inherit from this: `as_agent` takes any object with an `act`. The abilities an agent
    may add, each found by `hasattr`:

    - `action_log_probs(observation, action_mask=None) -> [B, A]`: log-probabilities of the actions *as it acts*.
    - `learn(task, steps) -> Iterator[dict[str, float]]`: a generator that yields metrics (`"steps"` always) at points
      where `state_dict` is whole; it ends when `steps` environment steps in total have been taken.
    - `state_dict() -> dict`, `load_state_dict(state)`: nested dict of arrays and JSON values, all that resuming needs.
    - `plan_for(observation) -> Plan | None`: the search behind the last choice made at this observation.
    - `for_player(player) -> Agent`: with several players, who acts for that one, where it is not the agent itself.
    - `initial_memory(count) -> [count, ...]` and `act_with_memory(observation, memory, reward, action_mask=None) ->
      (actions, memory)`: an agent that remembers, see `RememberingAgent`. Its `act` answers as at the first step of
      an episode.

    An agent whose class says `learns_with_players = True` is given a task of several players whole; any other learns
    in it as one of them (`inscape.envs.players_env.one_player`).
    """

    name: str = "agent"

    @abstractmethod
    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns one action per observation.

        Args:
            observation: `[B, ...]`, one row per environment copy.
            action_mask: `[B, A]` bool, True where legal; None means that every action is.

        Returns:
            `[B]` int64 for `Discrete`, `[B, D]` int64 for `MultiDiscrete`, `[B, ...]` float for `Box` action spaces.
        """


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

    What it remembers is an array with a row per copy, kept by whoever asks: a row is `initial_memory`'s when an episode
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


def learning_task(agent: Agent, begun: Task | None, task: Task) -> Task:
    """Returns the task an agent learns in, for it to keep: `task`, or the equal one it has begun in or was made for.

    Its copies of the environment, and what it has gathered there, are of that task: `learn` cannot change over.

    Raises:
        UsageError: that one has another name, other settings or another time limit.
    """
    if begun is None or begun is task:
        return task
    if (begun.to_json(), begun.max_episode_steps) != (task.to_json(), task.max_episode_steps):
        raise UsageError(
            f"{agent.name} learns in {_described(begun)}, and is to go on in {_described(task)}",
            expected="the same task",
            hint="make a new agent for the other task",
        )
    return begun


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


class AdaptedAgent(Agent):
    """A user's object with an `act`, made to look like an `Agent`; its other abilities shine through.

    `act` may leave out `action_mask`. A class with `batched = False` gets one observation (and one mask) at a time.
    """

    def __init__(self, wrapped: Any, name: str) -> None:
        self.wrapped, self.name = wrapped, name
        self._takes_mask = _takes(wrapped.act, "action_mask")
        self._batched = bool(getattr(wrapped, "batched", True))

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        if self._batched:
            return np.asarray(self._call(observation, action_mask))
        masks = [None] * count_of(observation) if action_mask is None else action_mask
        return np.asarray([self._call(rows_of(observation, row), mask) for row, mask in enumerate(masks)])

    def _call(self, observation: Array, action_mask: Array | None) -> Any:
        if self._takes_mask:
            return self.wrapped.act(observation, action_mask=action_mask)
        return self.wrapped.act(observation)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "wrapped":
            raise AttributeError(name)
        return getattr(self.wrapped, name)


class AdaptedRememberingAgent(AdaptedAgent):
    """The same of an object that remembers.

    Its `act_with_memory` may leave out `reward` and `action_mask`. With `batched = False` its `initial_memory()` takes
    no count and returns one memory, any object, and `act_with_memory` returns (action, memory) of one copy.
    """

    def __init__(self, wrapped: Any, name: str) -> None:
        super().__init__(wrapped, name)
        self._extras = [extra for extra in ("reward", "action_mask") if _takes(wrapped.act_with_memory, extra)]

    def initial_memory(self, count: int) -> Array:
        if self._batched:
            return np.asarray(self.wrapped.initial_memory(count))
        return _objects([self.wrapped.initial_memory() for _ in range(count)])

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        if self._batched:
            answer: tuple[Array, Array] = self._answer(observation, memory, reward, action_mask)
            return answer
        masks = [None] * count_of(observation) if action_mask is None else action_mask
        seen = [rows_of(observation, row) for row in range(count_of(observation))]
        rows = zip(seen, memory, reward, masks, strict=True)
        answers = [self._answer(*row) for row in rows]
        return np.asarray([action for action, _ in answers]), _objects([memory for _, memory in answers])

    def _answer(self, observation: Any, memory: Any, reward: Any, action_mask: Any) -> Any:
        given = {"reward": reward, "action_mask": action_mask}
        return self.wrapped.act_with_memory(observation, memory, **{extra: given[extra] for extra in self._extras})


def _objects(values: list[Any]) -> Array:
    """Returns `[B]` with an object in each entry, also where these are arrays of one shape."""
    array = np.empty(len(values), object)
    for row, value in enumerate(values):
        array[row] = value
    return array


def _takes(method: Any, name: str) -> bool:
    parameters = inspect.signature(method).parameters
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def rows_of(observation: Any, at: Any) -> Any:
    """Returns some rows of a batch of observations: an array, or a dictionary of arrays where the space is a Dict."""
    if isinstance(observation, dict):
        return {key: rows_of(part, at) for key, part in observation.items()}
    return observation[at]


def stacked(rows: Sequence[Any]) -> Any:
    """Returns a batch of observations, copied from one or more."""
    if isinstance(rows[0], dict):
        return {key: stacked([row[key] for row in rows]) for key in rows[0]}
    return np.stack([np.asarray(row) for row in rows])


def count_of(observation: Any) -> int:
    """Returns how many observations a batch has."""
    return count_of(next(iter(observation.values()))) if isinstance(observation, dict) else len(observation)


def as_agent(obj: Any, name: str | None = None) -> Agent:
    """Returns `obj` as an `Agent`: itself if it is one, else adapted.

    Args:
        obj: an object with `act(observation[, action_mask])`, batched (`[B, ...] -> [B]`) unless it says
            `batched = False`.
        name: what to call it in messages and records; default: its `name`, else its class.

    Raises:
        UsageError: `obj` has no `act`, or `act` takes no observation.
    """
    if isinstance(obj, Agent):
        return obj
    name = name or str(getattr(obj, "name", type(obj).__name__))
    if isinstance(obj, type):
        raise UsageError(f"the class {obj.__name__} itself was given as an agent", expected="an instance of it")
    if not callable(getattr(obj, "act", None)):
        raise UsageError(
            f"{name} has no method act",
            expected="act(self, observation) -> actions, batches first",
            hint="see examples/my_agent.py",
        )
    try:
        inspect.signature(obj.act).bind(np.zeros(1))
    except TypeError as error:
        raise UsageError(
            f"{name}.act{inspect.signature(obj.act)} cannot be called with one observation batch ({error})",
            expected="act(self, observation) or act(self, observation, action_mask=None)",
        ) from error
    return AdaptedRememberingAgent(obj, name) if can_remember(obj) else AdaptedAgent(obj, name)


class AgentInCopies:
    """An agent acting in several copies, asked for some of them at a time; keeps for it what it remembers in each.

    What everybody uses who lets agents act: agents without memory are asked as ever.

        acting = AgentInCopies(agent, 8)
        actions = acting.act(observation[rows], None, rows)
        acting.earned(reward)
        acting.begin(np.flatnonzero(ended))

    Args:
        agent: as `as_agent` returned it.
        count: how many copies there are; an episode begins in each.

    Attributes:
        remembers: whether there is any need to call `begin` and `earned`.
    """

    def __init__(self, agent: Agent, count: int) -> None:
        self.agent = agent
        self.remembers = can_remember(agent)
        self._remembering = agent if can_remember(agent) else None
        if self._remembering is not None:
            self._memory = self._fresh(count).copy()
            self._reward = np.zeros(count)

    def begin(self, copies: Array) -> None:
        """An episode begins in these copies `[E]`: what was remembered there is forgotten."""
        if self._remembering is not None and len(copies):
            self._memory[copies] = self._fresh(len(copies))
            self._reward[copies] = 0.0

    def earned(self, reward: Array) -> None:
        """Adds `[count]` rewards, to be handed over when a copy is next asked for."""
        if self._remembering is not None:
            self._reward += reward

    def act(self, observation: Array, action_mask: Array | None, copies: Array) -> Array:
        """Returns the agent's actions `[B, ...]` for these copies, not checked yet.

        Args:
            observation: `[B, ...]`.
            action_mask: `[B, A]` bool or None.
            copies: `[B]` indices of the copies, each at most once.

        Raises:
            UsageError: what it returned is no pair, or its memory does not fit.
        """
        if self._remembering is None:
            return self.agent.act(observation, action_mask)
        answer = self._remembering.act_with_memory(
            observation, self._memory[copies], self._reward[copies], action_mask=action_mask
        )
        if not (isinstance(answer, tuple) and len(answer) == 2):
            raise UsageError(
                f"act_with_memory of {self.agent.name} returned {type(answer).__name__}",
                expected="a pair: actions, and what is remembered from now on",
            )
        actions, memory = answer[0], np.asarray(answer[1])
        known = self._memory
        if memory.shape != (len(copies), *known.shape[1:]) or not np.can_cast(memory.dtype, known.dtype, "same_kind"):
            raise UsageError(
                f"act_with_memory of {self.agent.name} returned memory of shape {memory.shape}, {memory.dtype}, for "
                f"{len(copies)} copies",
                expected=f"({len(copies)}, …) like initial_memory, whose rows are {known.shape[1:]}, {known.dtype}",
            )
        known[copies] = memory
        self._reward[copies] = 0.0
        return actions

    def _fresh(self, count: int) -> Array:
        assert self._remembering is not None
        memory = np.asarray(self._remembering.initial_memory(count))
        if memory.ndim < 1 or len(memory) != count:
            raise UsageError(
                f"initial_memory({count}) of {self.agent.name} returned an array of shape {memory.shape}",
                expected=f"a row for each of the {count} copies",
            )
        return memory


def check_actions(
    actions: Any,
    space: gymnasium.Space[Any],
    copies: Array,
    *,
    agent: str,
    step: int,
    action_mask: Array | None = None,
) -> Array:
    """Returns the actions as an array the environment takes, or says what is wrong with which one.

    Args:
        actions: what `act` returned for the copies acted for.
        space: the action space of one copy.
        copies: `[B]` indices of those copies, for messages.
        agent: name of the agent, for messages.
        step: environment step since the start of the rollout, for messages.
        action_mask: `[B, A]` bool, True where legal.

    Raises:
        UsageError: wrong shape, dtype, range, or an illegal action; it names agent, copy and step.
    """
    array, who = np.asarray(actions), f"agent {agent}"
    shape = (len(copies), *(space.shape or ()))
    if array.shape != shape:
        raise UsageError(
            f"{who} returned actions of shape {array.shape} for {len(copies)} copies at step {step}",
            expected=f"shape {shape}: act takes a batch of observations and returns one action for each",
            hint="return one action per row, or say `batched = False` in the class to be asked one copy at a time",
        )
    if isinstance(space, gymnasium.spaces.Box):
        return _check_continuous(array, space, copies, who, step)
    if array.dtype.kind not in "iu":
        raise UsageError(
            f"{who} returned actions of dtype {array.dtype} at step {step} (copy {copies[0]}: {array[0]!r})",
            expected=f"integers, for the action space {space}",
            hint="e.g. actions.astype(int)",
        )
    array = array.astype(np.int64, copy=False)
    low, high = _integer_range(space)
    wrong = ((array < low) | (array >= high)).reshape(len(copies), -1).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(
            f"{who} returned action {array[row]} for copy {copies[row]} at step {step}",
            expected=f"a value in {space}",
            hint=f"inscape check {agent} WORLD, and see what its `act` computes",
        )
    if action_mask is not None and isinstance(space, gymnasium.spaces.Discrete):
        illegal = ~action_mask[np.arange(len(copies)), array - int(space.start)]
        if illegal.any():
            row = int(np.argmax(illegal))
            legal = np.flatnonzero(action_mask[row]) + int(space.start)
            raise UsageError(
                f"{who} chose the illegal action {array[row]} for copy {copies[row]} at step {step}",
                expected=f"one of the legal actions {legal.tolist()}",
                hint="take `action_mask` in act and choose where it is True",
            )
    return array


def _integer_range(space: gymnasium.Space[Any]) -> tuple[Array, Array]:
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.asarray(space.start), np.asarray(space.start + space.n)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return space.start, space.start + space.nvec
    if isinstance(space, gymnasium.spaces.MultiBinary):
        return np.asarray(0), np.asarray(2)
    raise UsageError(f"the action space {space}", expected="Discrete, MultiDiscrete, MultiBinary or Box")


def _check_continuous(array: Array, space: gymnasium.spaces.Box, copies: Array, who: str, step: int) -> Array:
    if array.dtype.kind not in "fiu":
        raise UsageError(f"{who} returned actions of dtype {array.dtype} at step {step}", expected=f"{space.dtype}")
    array = array.astype(space.dtype, copy=False)
    # `not inside` rather than `outside`: a NaN is neither above nor below.
    inside = ((array >= space.low) & (array <= space.high)).reshape(len(copies), -1).all(axis=1)
    if not inside.all():
        row = int(np.argmin(inside))
        raise UsageError(
            f"{who} returned action {array[row]} for copy {copies[row]} at step {step}",
            expected=f"finite values between {space.low} and {space.high}",
        )
    return array
