"""Custom agents as `Agent`s: whatever has an `act` method, one observation at a time or a batch."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.agents.batches import count_of, objects, rows_of
from inscape.agents.interface import Agent, can_remember
from inscape.errors import UsageError
from inscape.world_models.networks.types import Array

if TYPE_CHECKING:
    pass


class AdaptedAgent(Agent):
    """A user's object with an `act`, as an `Agent`; other attributes are delegated to it.

    `act` may leave out `action_mask`. A class with `batched = False` gets one observation (and one mask) at a time.
    """

    def __init__(self, wrapped: Any, name: str) -> None:
        self.wrapped, self.name = wrapped, name
        self._takes_mask = _takes(wrapped.act, "action_mask")
        self._batched = bool(getattr(wrapped, "batched", True))

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        if self._batched:
            actions: Any = self._call(observation, action_mask)
            return actions if isinstance(actions, (dict, tuple)) else np.asarray(actions)  # type: ignore[return-value]
        masks = [None] * count_of(observation) if action_mask is None else action_mask
        return _rows([self._call(rows_of(observation, row), mask) for row, mask in enumerate(masks)])

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
        return objects([self.wrapped.initial_memory() for _ in range(count)])

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
        return _rows([action for action, _ in answers]), objects([memory for _, memory in answers])

    def _answer(self, observation: Any, memory: Any, reward: Any, action_mask: Any) -> Any:
        given = {"reward": reward, "action_mask": action_mask}
        return self.wrapped.act_with_memory(observation, memory, **{extra: given[extra] for extra in self._extras})


def _rows(actions: list[Any]) -> Array:
    """Returns `[B, ...]` actions; of those that are no numbers, dictionaries for example, `[B]` objects."""
    if any(isinstance(action, (dict, tuple, str)) for action in actions):
        return objects(actions)
    return np.asarray(actions)


def _takes(method: Any, name: str) -> bool:
    parameters = inspect.signature(method).parameters
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


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
