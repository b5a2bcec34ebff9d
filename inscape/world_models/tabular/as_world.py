"""Tables as a law: lets every reader of worlds, the compiled search first, run on a `TabularModel`."""

from __future__ import annotations

# mypy: disable-error-code="no-any-return"
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from inscape.envs.world import World
from inscape.world_models.tabular.model import TabularModel


class TableState(NamedTuple):
    """A state number; `ended` when the task stopped on the way there."""

    number: int
    ended: bool


class TableParams(NamedTuple):
    """The tables of a `TabularModel`."""

    next_state: np.ndarray
    probability: np.ndarray
    reward: np.ndarray
    continuation: np.ndarray
    legal: np.ndarray
    initial: np.ndarray
    terminal: np.ndarray


class TableWorld(World):
    """A world read from tables. Ending is an outcome of its own: `ended` marks the successor of a task that stopped.

    Args:
        model: the tables; successors that occur twice in a row of K keep the mean of their rewards.
    """

    State = TableState
    Params = TableParams

    def setup(self, model: TabularModel | None = None) -> tuple[Any, Any]:
        assert model is not None
        tables = (model.next_state, model.probability, _merged_rewards(model), model.continuation)
        flags = model.legal, model.initial, model.terminal
        return TableParams(*tables, *flags), self.Purpose()

    @staticmethod
    def actions(params: TableParams) -> tuple[str, ...]:
        return tuple(str(a) for a in range(params.legal.shape[1]))

    @staticmethod
    def branches(params: TableParams) -> int:
        return 2 * params.next_state.shape[2]

    @staticmethod
    def initial_branches(params: TableParams) -> int:
        return params.initial.shape[0]

    @staticmethod
    def initial(params: TableParams, branch: int) -> tuple[float, TableState]:
        return params.initial[branch], TableState(branch, params.terminal[branch])

    @staticmethod
    def transition(params: TableParams, state: TableState, action: int, branch: int) -> tuple[float, TableState]:
        k, ended = branch >> 1, branch & 1 == 1
        goes_on = params.continuation[state.number, action, k]
        p = params.probability[state.number, action, k] * (1.0 - goes_on if ended else goes_on)
        return p, TableState(params.next_state[state.number, action, k], ended)

    @staticmethod
    def reward(params: TableParams, purpose: Any, state: TableState, action: int, next_state: TableState) -> float:
        for k in range(params.next_state.shape[2]):
            possible = params.probability[state.number, action, k] > 0.0
            if possible and params.next_state[state.number, action, k] == next_state.number:
                return params.reward[state.number, action, k]
        return 0.0

    @staticmethod
    def terminal(params: TableParams, purpose: Any, state: TableState) -> bool:
        return state.ended or params.terminal[state.number]

    @staticmethod
    def legal(params: TableParams, state: TableState, action: int) -> bool:
        return params.legal[state.number, action]


def _merged_rewards(model: TabularModel) -> np.ndarray:
    """Returns `[S, A, K]` rewards in which equal successors of a row share their expected reward."""
    ordered = np.sort(
        np.where(model.probability > 0, model.next_state, -1 - np.arange(model.next_state.shape[2])), axis=2
    )
    if not (np.diff(ordered, axis=2) == 0).any():
        return model.reward
    merged = model.reward.copy()
    for k in range(model.next_state.shape[2]):
        same = (model.next_state == model.next_state[:, :, k : k + 1]) * model.probability
        total = same.sum(axis=2)
        np.divide((same * model.reward).sum(axis=2), total, out=merged[:, :, k], where=total > 0)
    return merged


class HiddenTableParams(NamedTuple):
    """The tables of a `TabularModel`, and `[S]` the number of what is observed in each state."""

    next_state: np.ndarray
    probability: np.ndarray
    reward: np.ndarray
    continuation: np.ndarray
    legal: np.ndarray
    initial: np.ndarray
    terminal: np.ndarray
    percept: np.ndarray


class HiddenTableWorld(TableWorld):
    """A world read from tables whose state is not seen.

    Args:
        model: the tables.
        percepts: `[S]` the number of what is observed in each state.
    """

    Params = HiddenTableParams  # type: ignore[assignment]

    def setup(self, model: TabularModel | None = None, percepts: np.ndarray | None = None) -> tuple[Any, Any]:
        tables, purpose = TableWorld.setup(self, model)
        return HiddenTableParams(**tables._asdict(), percept=np.asarray(percepts, np.int64)), purpose

    @staticmethod
    def observation(params: HiddenTableParams, state: TableState) -> int:
        return params.percept[state.number]

    @staticmethod
    def observations(params: HiddenTableParams) -> int:
        return int(params.percept.max()) + 1


_hidden_worlds: WeakKeyDictionary[Any, HiddenTableWorld] = WeakKeyDictionary()


def hidden_world_of(model: Any) -> HiddenTableWorld:
    """Returns the tables of a `BeliefModel` as a law in which only what it observes is seen; the same one each time."""
    if model not in _hidden_worlds:
        _hidden_worlds[model] = HiddenTableWorld(model=model.tables, percepts=model.filter.percepts)
    return _hidden_worlds[model]


_worlds: WeakKeyDictionary[TabularModel, TableWorld] = WeakKeyDictionary()


def world_of(model: TabularModel) -> TableWorld:
    """Returns the tables as a law, for the compiled readers of worlds; the same one each time."""
    if model not in _worlds:
        _worlds[model] = TableWorld(model=model)
    return _worlds[model]
