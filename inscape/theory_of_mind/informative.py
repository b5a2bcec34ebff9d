"""Choosing what to look at: the question, or the place to watch, from which most is to be learned about a mind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError, whole_number
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.observers.exact import ExactObserver
from inscape.theory_of_mind.observers.partial import PartialObserver

if TYPE_CHECKING:
    from inscape.theory_of_mind.observers.interface import ObserverProtocol

MOST_PATHS = 200_000
"""Courses of events that are enumerated for one `Watch`."""


@dataclass(frozen=True)
class Watch:
    """Watching what is done from a state on, for several steps, and where it leads.

    Raises:
        UsageError: steps below 1.
    """

    state: Any
    """Where the agent is put, or found: as `Observer.update` takes it."""
    steps: int = 1
    """Actions seen; 2 or more with exact observers of the whole state alone. Watching stops where the episode ends."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", whole_number("steps =", self.steps, 1))


@dataclass(frozen=True)
class Informative:
    """What there is to be learned from each option.

    Attributes:
        bits: expected information of each option, in bits, in the order given.
        worth: the same less the cost of each.
        entropy: bits of uncertainty there are now: no option can be worth more.
    """

    bits: Mapping[Any, float]
    worth: Mapping[Any, float]
    entropy: float

    @property
    def best(self) -> Any:
        """The option that is worth most; of several, the first."""
        return max(self.worth, key=lambda option: self.worth[option])


def most_informative(
    observer: ObserverProtocol,
    options: Mapping[Any, Any] | Sequence[Any],
    about: str | Callable[[Mind], Any] | None = None,
    costs: Mapping[Any, float] | None = None,
) -> Informative:
    """Returns the expected information about the mind from each option: exactly, I(mind; answer | what was observed).

        most_informative(observer, {"at the fork": fork, "by the door": door}).best         where to watch
        most_informative(observer, {"tea?": lambda mind: [0.9, 0.1] if mind.goal == "tea" else [0.2, 0.8]})

    I = Σ P(m, o) log₂ P(m, o)/(P(m) P(o)): the mean over answers o of how far the posterior moves, as relative entropy.
    The observer stays as it is.

    Args:
        observer: any observer; options that are states ask it what each mind does there.
        options: by name, or a list (an option that can be hashed is its own name, another one its number). Each is a
            state, in which the next action would be seen; a `Watch`; or a question: `[G, N]` probabilities of N answers
            under each of `observer.minds`, or a function of a mind that returns `[N]`.
        about: a feature of minds (see `Observer.marginal`), where only that is of interest; None: which mind it is.
        costs: of options, in bits; one that is not named costs nothing.

    Raises:
        UsageError: no options; answers that are no distributions; a state the observer does not know; more than
            `MOST_PATHS` courses of events.

    Source: Lindley (1956), "On a measure of the information provided by an experiment", Annals of Mathematical
        Statistics 27(4), Eq. 8.
    """
    named = _named(options)
    prior = np.asarray(observer.posterior(), np.float64)
    groups = _groups(observer, about)
    share = groups @ prior
    bits = {name: _information(groups, prior, _answers(observer, option, name)) for name, option in named.items()}
    unknown = [name for name in costs or {} if name not in named]
    if unknown:
        raise UsageError(f"a cost of {unknown[0]!r}", expected=f"one of {', '.join(map(str, named))}")
    worth = {name: gained - float((costs or {}).get(name, 0.0)) for name, gained in bits.items()}
    held = share[share > 0]
    return Informative(bits, worth, float(-(held * np.log2(held)).sum()) + 0.0)


def _named(options: Any) -> dict[Any, Any]:
    if isinstance(options, Mapping):
        named = dict(options)
    else:
        named = {}
        for number, option in enumerate(options):
            try:
                name = option if hash(option) is not None and not callable(option) else number
            except TypeError:  # an array: it has no hash
                name = number
            named[name] = option
    if not named:
        raise UsageError("no options", expected="at least one state, Watch or question")
    return named


def _groups(observer: ObserverProtocol, about: str | Callable[[Mind], Any] | None) -> Array:
    """Returns `[K, G]`, 1 where a mind has value k of the feature."""
    count = len(observer.minds)
    if about is None:
        return np.eye(count)
    by_value: Any = observer.marginal
    return np.stack([np.asarray(column, np.float64) for column in by_value(about, np.eye(count)).values()])


def _information(groups: Array, prior: Array, answers: Array) -> float:
    joint = groups @ (prior[:, None] * answers)  # [K, N]
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    held = joint > 0
    return max(0.0, float((joint[held] * np.log2(joint[held] / independent[held])).sum()))


def _answers(observer: Any, option: Any, name: Any) -> Array:
    """Returns `[G, N]` P(answer | mind)."""
    if isinstance(option, Watch):
        if option.steps > 1:
            return _paths(observer, option)
        option = option.state
    if callable(option):
        rows = [np.asarray(option(mind), np.float64) for mind in observer.minds]
        if any(row.ndim != 1 or row.shape != rows[0].shape for row in rows):
            raise UsageError(
                f"answers to {name!r} of shapes {sorted({row.shape for row in rows})}",
                expected="[N] probabilities, the same N for every mind",
            )
        return _checked(np.array(rows), observer, name)
    if isinstance(option, list) or np.ndim(option) == 2:
        return _checked(np.asarray(option, np.float64), observer, name)
    by_mind = getattr(observer, "action_log_probs_by_mind", None)
    if by_mind is None:
        raise UsageError(
            f"{type(observer).__name__} does not say what each of its minds does in a state",
            expected="a question: a function of a mind that returns probabilities of answers",
        )
    return np.asarray(np.exp(by_mind(option)))


def _checked(table: Array, observer: Any, name: Any) -> Array:
    if table.ndim != 2 or len(table) != len(observer.minds):
        raise UsageError(
            f"answers to {name!r} of shape {table.shape}", expected=f"[{len(observer.minds)}, N], a row for each mind"
        )
    wrong = ~((table >= 0).all(axis=1) & (np.abs(table.sum(axis=1) - 1) <= 1e-6))
    if wrong.any():
        g = int(np.argmax(wrong))
        raise UsageError(
            f"answers to {name!r} of the mind ({name_of(observer.minds[g])}): {table[g].tolist()}",
            expected="probabilities that sum to 1",
        )
    return table


def _paths(observer: Any, watch: Watch) -> Array:
    """Returns `[G, N]` P(course of events | mind), N courses of `watch.steps` actions and where they lead."""
    if not isinstance(observer, ExactObserver) or isinstance(observer, PartialObserver):
        raise UsageError(
            f"watching {watch.steps} steps with a {type(observer).__name__}",
            expected="an exact observer of the whole state",
            hint="Watch(state): one step",
        )
    columns: list[Array] = []
    policies, dynamics = observer.policies, observer.dynamics

    def follow(rows: Array, state: int, left: int) -> Iterator[Array]:
        if not left or observer._over[state]:
            yield np.exp(policies.by_mind(rows))
            return
        for action in np.flatnonzero(dynamics.legal[state]):
            taken = rows + policies.log_probs[:, state, action]
            for outcome in np.flatnonzero(dynamics.probability[state, action] > 0):
                arrived = policies.remember(taken, state, int(action), int(outcome))
                arrived = arrived + np.log(dynamics.probability[state, action, outcome])
                yield from follow(arrived, int(dynamics.next_state[state, action, outcome]), left - 1)

    number = observer._numbering.one_state(watch.state, observer.steps)
    for column in follow(observer._memory_shares(number), number, watch.steps):
        columns.append(column)
        if len(columns) > MOST_PATHS:
            raise UsageError(
                f"more than {MOST_PATHS:,} courses of events in {watch.steps} steps", expected="fewer steps"
            )
    return np.stack(columns, axis=1)
