"""Custom agents as `Agent`s: what has an `act` or a `predict`, and functions; one observation at a time or a batch."""

from __future__ import annotations

import inspect
from functools import partial
from types import BuiltinFunctionType, BuiltinMethodType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from inscape.agents.batches import alike, count_of, is_array_space, objects, rows_of
from inscape.agents.interface import Agent, can_remember
from inscape.errors import UsageError
from inscape.world_models.interface import as_numpy
from inscape.world_models.networks.types import Array

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType, BuiltinMethodType, partial)
"""What is taken for a function from an observation to an action."""


class AdaptedAgent(Agent):
    """A user's object with an `act`, as an `Agent`; other attributes are delegated to it.

    `act` may leave out `action_mask`. A class with `batched = False` gets one observation (and one mask) at a time, one
    with `batched = True` a batch. Without either the first call decides: a batch is tried, and then, where that raises
    or gives no action for each observation, one observation (a function: the other way round).
    """

    def __init__(self, wrapped: Any, name: str) -> None:
        self.wrapped, self.name = wrapped, name
        self._takes_mask = _takes(self._chooses, "action_mask")
        self._batched: bool | None = getattr(wrapped, "batched", None)
        self._acts_in: gymnasium.Space[Any] | None = None

    @property
    def _chooses(self) -> Any:
        """The function of an observation that chooses."""
        return self.wrapped.act

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        if self._batched is None:
            return self._first_act(observation, action_mask)
        return (self._act_on_batch if self._batched else self._act_one_by_one)(observation, action_mask)

    def _act_on_batch(self, observation: Array, action_mask: Array | None) -> Array:
        actions: Any = self._call(observation, action_mask)
        return actions if isinstance(actions, (dict, tuple)) else _numbers(actions)  # type: ignore[return-value]

    def _act_one_by_one(self, observation: Array, action_mask: Array | None) -> Array:
        masks = [None] * count_of(observation) if action_mask is None else action_mask
        return _rows([self._call(rows_of(observation, row), mask) for row, mask in enumerate(masks)])

    def _first_act(self, observation: Array, action_mask: Array | None) -> Array:
        """Acts, and finds out whether a batch is taken or one observation; raises what the first way tried raised."""
        ways = [(True, self._act_on_batch), (False, self._act_one_by_one)]
        if isinstance(self.wrapped, FUNCTIONS):
            ways.reverse()
        first: tuple[Exception | None, Any] | None = None
        for batched, way in ways:
            try:
                actions, raised = way(observation, action_mask), None
            except Exception as error:  # whatever it raises at what it is not made for
                actions, raised = None, error
            if raised is None and self._fits(actions, count_of(observation)):
                self._batched = batched
                return actions  # type: ignore[return-value]
            first = first or (raised, actions)
        assert first is not None
        if first[0] is not None:
            raise first[0]
        return first[1]  # type: ignore[no-any-return]  # whoever asked says what is wrong with it

    def _fits(self, actions: Any, count: int) -> bool:
        """Returns whether there is an action for each of `count` observations, as far as shapes show."""
        if self._acts_in is not None and is_array_space(self._acts_in):
            return bool(np.shape(actions) == (count, *(self._acts_in.shape or ())))
        if isinstance(actions, (dict, tuple)):
            return count_of(actions) == count
        return np.ndim(actions) >= 1 and len(actions) == count

    def _call(self, observation: Array, action_mask: Array | None) -> Any:
        if self._takes_mask:
            return self._chooses(observation, action_mask=action_mask)
        return self._chooses(observation)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "wrapped":
            raise AttributeError(name)
        return getattr(self.wrapped, name)


class FunctionAgent(AdaptedAgent):
    """A function from an observation to an action; from a batch of observations to as many actions, too."""

    @property
    def _chooses(self) -> Any:
        return self.wrapped


class PredictingAgent(AdaptedAgent):
    """An object with `predict(observation) -> actions`, alone or in a tuple with what is remembered.

    So have the models and policies of Stable-Baselines3, which act deterministically here, as in its `evaluate_policy`,
    and see observations as their `VecNormalize` has them; and the algorithms of d3rlpy.
    """

    def __init__(self, wrapped: Any, name: str) -> None:
        super().__init__(wrapped, name)
        self._masked = _takes(wrapped.predict, "action_masks")
        self._named = {"deterministic": True} if _takes(wrapped.predict, "deterministic") else {}
        normalizing = getattr(wrapped, "get_vec_normalize_env", None)
        self._normalize = normalizing() if callable(normalizing) else None
        self._batched = True

    @property
    def _chooses(self) -> Any:
        return self.wrapped.predict

    def _call(self, observation: Array, action_mask: Array | None) -> Any:
        answer = self._predicted(observation, action_mask)
        return answer[0] if isinstance(answer, tuple) else answer

    def _predicted(self, observation: Array, action_mask: Array | None, **remembered: Any) -> Any:
        if self._normalize is not None:
            observation = self._normalize.normalize_obs(observation)
        masks = {"action_masks": action_mask} if self._masked and action_mask is not None else {}
        return self._chooses(observation, **self._named, **masks, **remembered)

    def __getattr__(self, name: str) -> Any:
        if name in _LEARNING:  # in an environment and in a way of its own
            raise AttributeError(name)
        return super().__getattr__(name)


class RecurrentPredictingAgent(PredictingAgent):
    """A model of sb3-contrib whose LSTM's hidden and cell state are what it remembers in each copy."""

    def initial_memory(self, count: int) -> Array:
        """Returns `[B, 2, layers, units]` float32 zeros."""
        policy = getattr(self.wrapped, "policy", self.wrapped)
        layers, _, units = policy.lstm_hidden_state_shape
        return np.zeros((count, 2, layers, units), np.float32)

    def act_with_memory(
        self, observation: Array, memory: Array, reward: Array, action_mask: Array | None = None
    ) -> tuple[Array, Array]:
        starts = np.zeros(count_of(observation), np.bool_)
        state = tuple(memory.transpose(1, 2, 0, 3))
        actions, state = self._predicted(observation, action_mask, state=state, episode_start=starts)
        return np.asarray(actions), np.stack(state).transpose(2, 0, 1, 3)


_LEARNING = ("learn", "state_dict", "load_state_dict")


class AdaptedRememberingAgent(AdaptedAgent):
    """The same of an object that remembers.

    Its `act_with_memory` may leave out `reward` and `action_mask`. With `batched = False` its `initial_memory()` takes
    no count and returns one memory, any object, and `act_with_memory` returns (action, memory) of one copy.
    """

    def __init__(self, wrapped: Any, name: str) -> None:
        super().__init__(wrapped, name)
        self._batched = bool(getattr(wrapped, "batched", True))
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
    return _numbers([as_numpy(action) for action in actions])


def _numbers(actions: Any) -> Array:
    """Returns actions as an array: tensors without their gradient, choices between two (bool) as 0 and 1."""
    array = as_numpy(actions)
    return array.astype(np.int64) if array.dtype == np.bool_ else array


def _takes(method: Any, name: str) -> bool:
    try:
        parameters = inspect.signature(method).parameters
    except (ValueError, TypeError):  # of functions written in C nothing is known
        return False
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def as_agent(obj: Any, name: str | None = None) -> Agent:
    """Returns `obj` as an `Agent`: itself if it is one, else adapted.

    Args:
        obj: an object with `act(observation[, action_mask])`, batched (`[B, ...] -> [B]`) or not (see `AdaptedAgent`);
            one with `predict(observation)`, such as a model of Stable-Baselines3; or a function of an observation.
        name: what to call it in messages and records; default: its `name`, else its class.

    Raises:
        UsageError: `obj` is none of these, or its `act` takes no observation.
    """
    if isinstance(obj, Agent):
        return obj
    own = getattr(obj, "name", None)
    name = name or (own if isinstance(own, str) else type(obj).__name__)
    if isinstance(obj, type):
        raise UsageError(f"the class {obj.__name__} itself was given as an agent", expected="an instance of it")
    if isinstance(obj, FUNCTIONS):
        name = str(getattr(getattr(obj, "func", obj), "__name__", name)).strip("<>")
        _require_one_argument(obj, name)
        return FunctionAgent(obj, name)
    if not callable(getattr(obj, "act", None)):
        if callable(getattr(obj, "predict", None)):
            policy = getattr(obj, "policy", obj)
            recurrent = hasattr(policy, "lstm_hidden_state_shape")
            return (RecurrentPredictingAgent if recurrent else PredictingAgent)(obj, name)
        raise UsageError(
            f"{name} has no method act",
            expected="act(self, observation) -> actions, batches first; or a function of an observation",
            hint=_own_way(obj) or "see examples/my_agent.py",
        )
    _require_one_argument(obj.act, f"{name}.act")
    return AdaptedRememberingAgent(obj, name) if can_remember(obj) else AdaptedAgent(obj, name)


def for_task(agent: Agent, task: Task) -> Agent:
    """Returns the agent, which now knows what observations and actions it is asked about: those of a task.

    Raises:
        UsageError: it was made for observations of another kind or shape.
    """
    observes = getattr(agent.wrapped, "observation_space", None) if isinstance(agent, AdaptedAgent) else agent._observes
    seen = task.observation_space
    if isinstance(observes, gymnasium.Space) and not (alike(observes, seen) or _transposes(agent, observes, seen)):
        raise UsageError(
            f"{agent.name}, made for observations {observes}, in {task.name}, whose observations are "
            f"{task.observation_space}",
            expected="a world with the same spaces",
            hint="a new agent: make_agent(name, world)",
        )
    if agent._observes is None or isinstance(agent, AdaptedAgent):
        agent._observes = task.observation_space
    if isinstance(agent, AdaptedAgent):
        agent._acts_in = task.action_space
    return agent


def _transposes(agent: Agent, own: gymnasium.Space[Any], seen: gymnasium.Space[Any]) -> bool:
    """Returns whether a model of Stable-Baselines3 was trained on the pictures of a task with their channels first, as
    it wraps environments by itself; its `predict` takes them as the environment gives them."""
    boxes = isinstance(own, gymnasium.spaces.Box) and isinstance(seen, gymnasium.spaces.Box)
    if not boxes or not isinstance(agent, PredictingAgent) or own.dtype != seen.dtype or len(seen.shape or ()) != 3:
        return False
    return own.dtype == np.uint8 and own.shape == (seen.shape[2], *seen.shape[:2])  # type: ignore[index]


def _require_one_argument(function: Any, name: str) -> None:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return
    try:
        signature.bind(np.zeros(1), **({"action_mask": None} if "action_mask" in signature.parameters else {}))
    except TypeError as error:
        raise UsageError(
            f"{name}{signature} cannot be called with one observation batch ({error})",
            expected="act(self, observation) or act(self, observation, action_mask=None)",
        ) from error


_OTHERS = ("get_action", "select_action", "choose_action", "compute_single_action", "sample_action", "forward")
"""How agents of other libraries and tutorials call what is `act` here."""


def _own_way(obj: Any) -> str:
    """Returns how an object that acts under another name can be given; "" where no such name is found."""
    method = next((name for name in _OTHERS if callable(getattr(obj, name, None))), None)
    if method is None:
        return ""
    if method == "forward":
        return "a function that makes an action of its outputs: lambda obs: net(torch.as_tensor(obs)).argmax(-1)"
    return f"a function of an observation: lambda obs: agent.{method}(obs)"
