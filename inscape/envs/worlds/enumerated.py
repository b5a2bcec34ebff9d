"""Worlds of plain functions over any states, enumerated when they are made: for small programs, not for speed."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.world import World
from inscape.errors import TooManyStatesError, UsageError

MOST_STATES = 100_000
OWN = ""
SUM_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Listing:
    """What `enumerated_world` found.

    Attributes:
        states: the S states, as given.
        actions: names.
        goals: names of the G purposes.
        next_state, probability: `[S, A, K]`.
        legal: `[S, A]` bool.
        initial: `[S]`.
        percept: `[S]` number of what is observed.
        mover: `[S]` who moves.
        reward: `[G, S, A, K]`, or `[G, S, A, K, 2]` of two players.
        over: `[G, S]` bool.
        gamma: discount.
        name: for messages.
    """

    states: tuple[Hashable, ...]
    actions: tuple[str, ...]
    goals: tuple[str, ...]
    next_state: np.ndarray
    probability: np.ndarray
    legal: np.ndarray
    initial: np.ndarray
    percept: np.ndarray
    mover: np.ndarray
    reward: np.ndarray
    over: np.ndarray
    gamma: float
    name: str


class ListedState(NamedTuple):
    """The number of a state in `world.listed`."""

    number: int


class ListedParams(NamedTuple):
    """The tables of a `Listing`."""

    next_state: np.ndarray
    probability: np.ndarray
    legal: np.ndarray
    initial: np.ndarray
    percept: np.ndarray
    mover: np.ndarray
    reward: np.ndarray
    over: np.ndarray


class ListedPurpose(NamedTuple):
    """The number of a purpose."""

    goal: int = 0


class EnumeratedWorld(World):
    """A world made by `enumerated_world`, of one player.

    Args:
        listing: its states and tables.

    Attributes:
        listed: the states, as given, by number.
        number: the number of each state: what observers take.
    """

    State = ListedState
    Params = ListedParams
    Purpose = ListedPurpose
    state_words: tuple[str, ...] = ()

    @classmethod
    def sized(cls, listing: Listing | None = None, **others: Any) -> dict[str, Any]:
        if listing is None:
            return {}
        words = tuple(map(repr, listing.states))
        return {"actions": listing.actions, "gamma": listing.gamma, "title": listing.name, "state_words": words}

    def setup(self, listing: Listing | None = None) -> tuple[ListedParams, ListedPurpose]:
        if not isinstance(listing, Listing):
            raise UsageError(
                f"{type(self).__name__}({listing!r})", expected="enumerated_world(start, actions, step, …)"
            )
        self.listed = listing.states
        self.number = {state: number for number, state in enumerate(listing.states)}
        return ListedParams(*(getattr(listing, field) for field in ListedParams._fields)), ListedPurpose()

    def __repr__(self) -> str:
        return f"{self.name}, {len(self.listed)} states"

    @property
    def goals(self) -> dict[str, Any]:
        """The purposes, by name."""
        listing: Listing = self.settings["listing"]
        return {name: ListedPurpose(number) for number, name in enumerate(listing.goals) if name != OWN}

    @staticmethod
    def branches(params: ListedParams) -> int:
        return int(params.next_state.shape[2])

    @staticmethod
    def initial_branches(params: ListedParams) -> int:
        return int(params.initial.shape[0])

    @staticmethod
    def initial(params: ListedParams, branch: int) -> tuple[float, ListedState]:
        return params.initial[branch], ListedState(branch)

    @staticmethod
    def legal(params: ListedParams, state: ListedState, action: int) -> bool:
        return params.legal[state.number, action]  # type: ignore[no-any-return]

    @staticmethod
    def transition(params: ListedParams, state: ListedState, action: int, branch: int) -> tuple[float, ListedState]:
        following = ListedState(params.next_state[state.number, action, branch])
        return params.probability[state.number, action, branch], following

    @staticmethod
    def reward(
        params: ListedParams, purpose: ListedPurpose, state: ListedState, action: int, next_state: ListedState
    ) -> Any:
        for k in range(params.next_state.shape[2]):
            at = state.number, action, k
            if params.next_state[at] == next_state.number and params.probability[at] > 0.0:
                return params.reward[purpose.goal, state.number, action, k]
        return 0.0

    @staticmethod
    def terminal(params: ListedParams, purpose: ListedPurpose, state: ListedState) -> bool:
        return params.over[purpose.goal, state.number]  # type: ignore[no-any-return]

    @staticmethod
    def observation(params: ListedParams, state: ListedState) -> int:
        return params.percept[state.number]  # type: ignore[no-any-return]

    @staticmethod
    def observations(params: ListedParams) -> gym.Space[Any]:
        return gym.spaces.Discrete(int(params.percept.max()) + 1)

    @staticmethod
    def roots(params: ListedParams) -> Iterable[ListedState]:
        return [ListedState(number) for number in range(len(params.initial))]

    @classmethod
    def describe(cls, params: ListedParams, purpose: ListedPurpose, state: ListedState) -> str:
        return cls.state_words[state.number]


class EnumeratedGame(EnumeratedWorld):
    """A world made by `enumerated_world`, of two players in turn."""

    players = 2

    @staticmethod
    def mover(params: ListedParams, state: ListedState) -> int:
        return params.mover[state.number]  # type: ignore[no-any-return]

    @staticmethod
    def reward(
        params: ListedParams, purpose: ListedPurpose, state: ListedState, action: int, next_state: ListedState
    ) -> Any:
        for k in range(params.next_state.shape[2]):
            at = state.number, action, k
            if params.next_state[at] == next_state.number and params.probability[at] > 0.0:
                paid = params.reward[purpose.goal, state.number, action, k]
                return paid[0], paid[1]
        return 0.0, 0.0

    @staticmethod
    def observation(params: ListedParams, state: ListedState, player: int) -> int:  # type: ignore[override]
        return params.percept[state.number]  # type: ignore[no-any-return]


def enumerated_world(
    start: Any,
    actions: Sequence[str],
    step: Callable[[Any, str], Any],
    reward: Callable[[Any, str, Any], Any] | None = None,
    *,
    goals: Mapping[str, Callable[[Any, str, Any], Any]] | None = None,
    over: Callable[..., bool] | None = None,
    sees: Callable[[Any], Hashable] | None = None,
    mover: Callable[[Any], int] | None = None,
    gamma: float = 1.0,
    name: str = "the world",
    max_states: int = MOST_STATES,
) -> EnumeratedWorld:
    """Returns a world of plain functions, whose states may be anything hashable; all of them are found now.

        enumerated_world(0, ("left", "right"), lambda s, a: s + (1 if a == "right" else -1),
                         lambda s, a, t: float(t == 3), over=lambda s: abs(s) == 3)

    Observers and minds take states of it by number: `world.number[state]`, and `world.listed[number]` is the state.

    Args:
        start: a state; or a mapping from states to weights.
        actions: names.
        step: a function of a state and the name of an action: the next state, or a mapping from next states to weights;
            None where the action is not legal.
        reward: a function of a state, an action and the next state; of two players a pair.
        goals: more purposes by name, each with its own reward function. Without `reward` the first is the world's own.
        over: whether the task is over in a state; a function of the state, or of the state and the name of the goal.
        sees: what is observed in a state, a hashable value; None: the state.
        mover: who moves in a state, 0 or 1: then there are two players, in turn.
        gamma: discount.
        name: what the world is called, for messages.
        max_states: how many states there may be.

    Raises:
        UsageError: neither reward nor goals; weights that are no weights; no legal action where the task goes on.
        TooManyStatesError: there are more states than `max_states`.
    """
    names = tuple(actions)
    if not names or not all(isinstance(action, str) for action in names) or len(set(names)) < len(names):
        raise UsageError(f"actions = {actions!r}", expected="names, each of them once")
    purposes = ({OWN: reward} if reward is not None else {}) | dict(goals or {})
    if not purposes:
        raise UsageError(f"{name} without a reward", expected="reward=…, or goals={name: reward}")
    for goal, pays in purposes.items():
        if not callable(pays) or not isinstance(goal, str) or (goal == OWN and goals and OWN in goals):
            raise UsageError(
                f"the reward {pays!r} of the goal {goal!r}",
                expected="a name, and a function of state, action, next state",
            )
    if isinstance(gamma, bool) or not isinstance(gamma, (int, float, np.number)) or not 0 <= gamma <= 1:
        raise UsageError(f"gamma = {gamma!r}", expected="a number from 0 to 1")
    ended = _ended(over)
    begin = _weighed(start, f"the start of {name}")
    numbers: dict[Hashable, int] = {state: number for number, state in enumerate(begin)}
    rows: list[list[dict[int, float]]] = []
    listed = list(numbers)
    while len(rows) < len(listed):
        state = listed[len(rows)]
        row: list[dict[int, float]] = []
        rows.append(row)
        for action in names:
            found = None if all(ended(state, goal) for goal in purposes) else step(state, action)
            outcomes = {} if found is None else _weighed(found, f"the outcomes of {action!r} in {state!r}")
            for following in outcomes:
                if following not in numbers:
                    if len(listed) == max_states:
                        raise TooManyStatesError(
                            f"{name} has more than {max_states:,} states", expected="a smaller world"
                        )
                    numbers[following] = len(listed)
                    listed.append(following)
            row.append({numbers[following]: weight for following, weight in outcomes.items()})
    over_table = np.array([[ended(state, goal) for state in listed] for goal in purposes])
    stuck = [state for s, state in enumerate(listed) if not any(rows[s]) and not over_table[:, s].all()]
    if stuck:
        raise UsageError(
            f"nothing is legal in {stuck[0]!r} of {name}, which goes on", expected="a legal action, or over=… there"
        )
    size, count, players = len(listed), len(names), 1 if mover is None else 2
    width = max(1, *(len(numbered) for row in rows for numbered in row))
    next_state = np.repeat(np.arange(size), count * width).reshape(size, count, width)
    probability = np.zeros((size, count, width))
    rewards = np.zeros((len(purposes), size, count, width, players))
    for s, row in enumerate(rows):
        for a, numbered in enumerate(row):
            for k, (n, weight) in enumerate(numbered.items()):
                next_state[s, a, k], probability[s, a, k] = n, weight
                for g, pays in enumerate(purposes.values()):
                    rewards[g, s, a, k] = _paid(pays(listed[s], names[a], listed[n]), players, listed[s], names[a])
    legal = probability.sum(axis=2) > 0
    probability[~legal, 0] = 1.0  # it stays; nobody can do it
    legal[~legal.any(axis=1)] = True
    initial = np.zeros(size)
    initial[: len(begin)] = list(begin.values())
    looks: list[Hashable] = [state if sees is None else sees(state) for state in listed]
    for look in looks:
        _require_hashable(look, "what is seen")
    kinds = {look: number for number, look in enumerate(dict.fromkeys(looks))}
    moves = np.zeros(size, np.int64)
    for s, state in enumerate(listed if mover is not None else ()):
        who = 0 if mover is None or over_table[:, s].all() else mover(state)
        if who not in (0, 1):
            raise UsageError(f"the mover {who!r} in {state!r}", expected="0 or 1")
        moves[s] = who
    listing = Listing(
        tuple(listed), names, tuple(purposes), next_state, probability, legal, initial,
        np.array([kinds[look] for look in looks]), moves, rewards if players == 2 else rewards[..., 0],
        over_table, float(gamma), name,
    )  # fmt: skip
    return (EnumeratedWorld if players == 1 else EnumeratedGame)(listing=listing)


def _ended(over: Callable[..., bool] | None) -> Callable[[Any, str], bool]:
    if over is None:
        return lambda state, goal: False
    if len(inspect.signature(over).parameters) == 1:
        return lambda state, goal: bool(over(state))
    return lambda state, goal: bool(over(state, goal))


def _paid(given: Any, players: int, state: Any, action: str) -> Any:
    """Returns a reward, of two players a pair, or refuses what is none."""
    if players == 1 and isinstance(given, float) and math.isfinite(given):
        return given
    try:
        paid = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        paid = np.array(np.nan)
    if paid.shape != ((2,) if players == 2 else ()) or not np.isfinite(paid).all():
        raise UsageError(
            f"the reward {given!r} for {action!r} in {state!r}",
            expected="a pair of finite numbers, one for each player" if players == 2 else "a finite number",
        )
    return paid


def _require_hashable(value: Any, what: str) -> None:
    try:
        hash(value)
    except TypeError as error:
        raise UsageError(f"{what}: {value!r}", expected="something hashable, as a number, a text or a tuple") from error


def _weighed(given: Any, what: str) -> dict[Hashable, float]:
    """Returns probabilities of states: of one, or of a mapping from states to weights."""
    if not isinstance(given, Mapping):
        _require_hashable(given, what)
        return {given: 1.0}
    weights = {state: float(weight) for state, weight in given.items() if weight != 0}
    total = sum(weights.values())
    if not weights or min(weights.values()) < 0 or not np.isfinite(total):
        raise UsageError(f"{what}: {dict(given)!r}", expected="weights of states, at least 0 and not all 0")
    return {state: weight / total for state, weight in weights.items()}
