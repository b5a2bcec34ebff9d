"""What a mind wants: a goal, goals in turn, goals it switches between, to know more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.parts.numbers import finite_number, probability
from inscape.world_models.tabular.model import TabularModel

if TYPE_CHECKING:
    from inscape.envs.world import World


def fingerprint(value: Any) -> Any:
    """Returns a hashable stand-in for a purpose or for parameters, which may hold arrays: equal iff they are."""
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, tuple):
        # the type's name distinguishes Reach(1) from Avoid(1), which compare equal as tuples
        return (type(value).__qualname__, *(fingerprint(entry) for entry in value))
    return value


@dataclass(frozen=True, eq=False)
class ByValue:
    """Equal where all fields are, tables in them compared by value."""

    @property
    def key(self) -> tuple[Any, ...]:
        """A hashable value that distinguishes them: what equality and hashing use."""
        return (type(self).__name__, *(fingerprint(getattr(self, name)) for name in self.__dataclass_fields__))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByValue) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, eq=False)
class InTurn(ByValue):
    """First the first goal, then the second, and so on: the mind plans the whole way, and remembers how far it is.

    A goal that is reached where the next one is reached too counts for both. Where an episode ends under every goal
    still to come (a pit), it ends.
    """

    goals: tuple[Any, ...]
    """Two or more names of purposes, or `Purpose`s."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "goals", _goals(self, self.goals))

    def __str__(self) -> str:
        return " then ".join(map(str, self.goals))


@dataclass(frozen=True, eq=False)
class Switching(ByValue):
    """One goal at a time; after every step, with probability `rate`, another one, each of the others alike.

    The mind does not foresee that it will switch: it plans for the goal of now.

    Source: model M2 of Baker, Saxe & Tenenbaum (2009), Cognition 113(3), section 2.3.
    """

    goals: tuple[Any, ...]
    """Two or more names of purposes, or `Purpose`s."""
    rate: float
    """Probability of another goal after a step."""
    start: tuple[float, ...] | None = None
    """Probabilities of the first goal; None: each alike."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "goals", _goals(self, self.goals))
        object.__setattr__(self, "rate", probability("rate", self.rate))
        if self.start is not None:
            start = np.asarray(self.start, np.float64)
            if start.shape != (len(self.goals),) or not (start >= 0).all() or abs(start.sum() - 1) > 1e-9:
                raise UsageError(f"start = {self.start!r}", expected=f"a distribution over the {len(self.goals)} goals")
            object.__setattr__(self, "start", tuple(float(p) for p in start))

    def __str__(self) -> str:
        return f"{' or '.join(map(str, self.goals))}, switching {self.rate:g}"


@dataclass(frozen=True, eq=False)
class Curious(ByValue):
    """`weight` for every bit that an action is expected to tell about the state, and a goal beside it, if any.

    Only a mind that filters what it sees (`Filtering`) can be uncertain.

    Source: expected information gain: Lindley (1956), Annals of Mathematical Statistics 27(4).
    """

    weight: float
    """Reward per bit."""
    goal: Any = None
    """The name of a purpose, or a `Purpose`; None: nothing but to know (episodes end as under the world's own)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", finite_number("weight", self.weight, "in reward per bit"))

    def __str__(self) -> str:
        return f"{'nothing else' if self.goal is None else self.goal}, curious {self.weight:g}"


@dataclass(frozen=True, eq=False)
class Caring(ByValue):
    """A goal, and what others get: R_i + Σ_j weight_j·R_j − guilt·max(R_i − R_j, 0) − envy·max(R_j − R_i, 0).

    Guilt and envy are averaged over the others. All holds for the rewards of a step.

    Source: weights: Jern & Kemp (2014), Cognition 133; guilt and envy: Fehr & Schmidt (1999), Quarterly Journal of
        Economics 114(3), Eq. 1.
    """

    goal: Any
    """The name of a purpose, or a `Purpose`."""
    weights: tuple[tuple[int, float], ...] = ()
    """How much a reward of each other player counts, by its number (negative: spite); a mapping is taken, too."""
    guilt: float = 0.0
    """Cost of getting more than another, per unit of reward."""
    envy: float = 0.0
    """Cost of getting less than another, per unit of reward."""

    def __post_init__(self) -> None:
        weights = self.weights
        pairs = tuple(weights.items()) if isinstance(weights, Mapping) else tuple(weights)
        try:
            pairs = tuple((int(player), float(weight)) for player, weight in pairs)
        except (TypeError, ValueError) as error:
            raise UsageError(f"weights = {weights!r}", expected="{player: weight}") from error
        if not np.isfinite([weight for _, weight in pairs]).all():
            raise UsageError(f"weights = {weights!r}", expected="finite numbers")
        object.__setattr__(self, "weights", pairs)
        for name in ("guilt", "envy"):
            object.__setattr__(self, name, finite_number(name, getattr(self, name)))

    def utility(self, rewards: Array, player: int) -> Array:
        """Returns `[...]` what rewards `[..., M]` are worth to a player.

        Raises:
            UsageError: a weight is of the player itself, or of none.
        """
        others = [m for m in range(rewards.shape[-1]) if m != player]
        wrong = [m for m, _ in self.weights if m not in others]
        if wrong:
            raise UsageError(f"player {player} cares for player {wrong[0]}", expected=f"one of {others}")
        own = rewards[..., player]
        worth = own + sum(weight * rewards[..., m] for m, weight in self.weights)
        for m in others:
            more = own - rewards[..., m]
            worth = worth - (self.guilt * np.maximum(more, 0) + self.envy * np.maximum(-more, 0)) / len(others)
        return np.asarray(worth)

    def __str__(self) -> str:
        parts = [f"player {m}×{weight:g}" for m, weight in self.weights]
        parts += [f"{name} {getattr(self, name):g}" for name in ("guilt", "envy") if getattr(self, name)]
        return f"{self.goal}, caring for {', '.join(parts) or 'nobody'}"


def _goals(part: Any, given: Any) -> tuple[Any, ...]:
    name = type(part).__name__
    if isinstance(given, str) or hasattr(given, "_fields") or not hasattr(given, "__iter__"):
        raise UsageError(f"{name}({given!r})", expected="two or more goals", hint=f"{name}(('north', 'south'), …)")
    goals = tuple(given)
    if len(goals) < 2:
        raise UsageError(
            f"{name} with {len(goals)} goals", expected="two or more", hint="a goal by itself: wants='north'"
        )
    return goals


def goals_of(wants: Any) -> tuple[Any, ...]:
    """Returns the goals of what a mind wants, one or more."""
    if isinstance(wants, (InTurn, Switching)):
        return wants.goals
    return (wants.goal,) if isinstance(wants, (Curious, Caring)) else (wants,)


def purpose_of(world: World, goal: Any, who: str) -> Any:
    """Returns a goal if it is one of `world`: a name means what it means in the dynamics the mind believes in.

    None, of a mind that is only curious, is the world's own purpose.

    Raises:
        UsageError: it is neither a name nor a purpose of the world.
    """
    if goal is None:
        return world.purpose
    if not isinstance(goal, (str, world.Purpose)):
        named = ", ".join(world.goals) or "none is named"
        raise UsageError(
            f"goal {goal!r} of a mind in {world.name}",
            expected=f"the name of a purpose ({named}) or a {world.Purpose.__name__}",
        )
    return goal


def next_goal(over: Array, goal: int, states: Array) -> Array:
    """Returns which goal is pursued on arrival in `states`, having pursued `goal`: the first not yet reached, or W.

    Args:
        over: `[W, S]` bool, True where the episode is over under a goal.
        goal: number of the goal.
        states: numbers, of any shape.
    """
    found = np.full(np.shape(states), goal)
    for g in range(goal, len(over)):
        found = np.where((found == g) & over[g][states], g + 1, found)
    return found


def chained(models: list[TabularModel]) -> TabularModel:
    """Returns one model of pursuing goals in turn: state g·S + s is s, on the way to goal g.

    Args:
        models: the tables of every goal, over the same S states.
    """
    first, size, count = models[0], models[0].num_states, len(models)
    over = np.array([model.terminal for model in models])
    next_state, continuation = [], []
    for g, model in enumerate(models):
        following = next_goal(over, g, model.next_state)
        goes_on = over[g][model.next_state] & (following < count) & ~over[g][:, None, None]
        next_state.append(np.where(goes_on, following, g) * size + model.next_state)
        continuation.append(np.where(goes_on, 1.0, model.continuation))

    def stacked(name: str) -> Array:
        return np.concatenate([getattr(model, name) for model in models])

    return replace(
        first,
        next_state=np.concatenate(next_state).astype(first.next_state.dtype),
        continuation=np.concatenate(continuation),
        probability=stacked("probability"),
        reward=stacked("reward"),
        legal=stacked("legal"),
        terminal=stacked("terminal"),
        initial=np.concatenate([first.initial, np.zeros((count - 1) * size)]),
        observations=None,
        state_names=None,
    )
