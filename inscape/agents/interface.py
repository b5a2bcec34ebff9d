"""The Agent interface: what every agent can do, what some can, and the check on what they hand back.

Only `act` is needed. Everything else is an ability that a reader asks for by name (`can_learn(agent)`, …), so an agent
without it simply lacks the method: nothing here raises `NotImplementedError` later on.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
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


class ResumableAgent(Protocol):
    """An agent whose whole state can be stored and restored."""

    name: str

    def act(self, observation: Array, action_mask: Array | None = None) -> Array: ...
    def state_dict(self) -> State: ...
    def load_state_dict(self, state: State) -> None: ...


def can_learn(agent: object) -> TypeGuard[LearningAgent]:
    """Returns whether the agent has `learn`."""
    return callable(getattr(agent, "learn", None))


def can_score(agent: object) -> TypeGuard[ScoringAgent]:
    """Returns whether the agent has `action_log_probs`."""
    return callable(getattr(agent, "action_log_probs", None))


def can_resume(agent: object) -> TypeGuard[ResumableAgent]:
    """Returns whether the agent has `state_dict` and `load_state_dict`."""
    return all(callable(getattr(agent, method, None)) for method in ("state_dict", "load_state_dict"))


class AdaptedAgent(Agent):
    """A user's object with an `act`, made to look like an `Agent`; its other abilities shine through.

    `act` may leave out `action_mask`. A class with `batched = False` gets one observation (and one mask) at a time.
    """

    def __init__(self, wrapped: Any, name: str) -> None:
        self.wrapped, self.name = wrapped, name
        self._takes_mask = _takes_mask(wrapped.act)
        self._batched = bool(getattr(wrapped, "batched", True))

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        if self._batched:
            return np.asarray(self._call(observation, action_mask))
        masks = [None] * len(observation) if action_mask is None else action_mask
        return np.asarray([self._call(row, mask) for row, mask in zip(observation, masks, strict=True)])

    def _call(self, observation: Array, action_mask: Array | None) -> Any:
        if self._takes_mask:
            return self.wrapped.act(observation, action_mask=action_mask)
        return self.wrapped.act(observation)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "wrapped":
            raise AttributeError(name)
        return getattr(self.wrapped, name)


def _takes_mask(act: Any) -> bool:
    parameters = inspect.signature(act).parameters
    return "action_mask" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


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
    return AdaptedAgent(obj, name)


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
