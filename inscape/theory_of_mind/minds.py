"""Minds: the hypotheses an observer holds about what makes an agent act as it does."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array, Controller
from inscape.theory_of_mind.parts.believing import Believes, Sees
from inscape.theory_of_mind.parts.choosing import Best, Chooses, Proportional, Softmax
from inscape.theory_of_mind.parts.others import Hierarchy, LevelK, Uniform
from inscape.theory_of_mind.parts.planning import Planning
from inscape.theory_of_mind.parts.wanting import ByValue
from inscape.theory_of_mind.planning_mind import PlanningMind

if TYPE_CHECKING:
    from inscape.envs.world import World

AXES = ("goal", "beta", "backup", "params")
"""The axes of `minds_grid`, slowest first."""


@runtime_checkable
class Mind(Protocol):
    """A hypothesis about an agent: a recipe for a controller. Any object with this method can be observed with.

    `PlanningMind` is the built-in one. Two optional attributes are read where there are any: `name` (str), what
    messages and legends call the mind; and `sees` (bool), True for a mind that knows the state even where the world
    hides it.
    Minds in one observer must be distinct: unequal, or, where they cannot be hashed, different objects.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Mind:
            raise TypeError("Mind is a protocol; the built-in mind is PlanningMind(goal, beta, backup, params=None)")
        return super().__new__(cls)

    def controller(self, world: World, player: int = 0) -> Controller:
        """Returns what the mind does in `world`, as `player` where there are several."""
        ...


def minds_grid(
    goals: Iterable[Any],
    betas: Iterable[float],
    backups: Iterable[str],
    params: Iterable[Any] = (None,),
    sees: bool = False,
) -> list[PlanningMind]:
    """Returns every combination as a list of `PlanningMind`s, the first axis varying slowest.

    A single goal, beta or backup may be given bare. `params` are beliefs about the dynamics (None: the true ones);
    `sees` holds for all of them.

    Raises:
        UsageError: an axis is empty, or an entry is not what `PlanningMind` takes.
    """
    axes = [_entries(axis) for axis in (goals, betas, backups, params)]
    for name, entries in zip(AXES, axes):
        if not entries:
            raise UsageError(f"the grid of minds has no {name}", expected=f"at least one {name}")
    return [
        PlanningMind(goal, beta, backup, believed, sees) for goal, beta, backup, believed in itertools.product(*axes)
    ]


class MindGrid(list[PlanningMind]):
    """Minds, with what is thought of them beforehand.

    Attributes:
        prior: `[G]` probabilities, the prior of an `Observer` that is given none; None: uniform. Asked for once minds
            have been added, taken out or put in another order, it raises UsageError.
    """

    def __init__(self, minds: Iterable[PlanningMind], prior: Array | None = None) -> None:
        super().__init__(minds)
        self._prior, self._weighed = prior, list(self)

    @property
    def prior(self) -> Array | None:
        if self._prior is not None and not (
            len(self) == len(self._weighed) and all(a is b for a, b in zip(self, self._weighed))
        ):
            raise UsageError(
                "the prior of a grid of minds that was changed since",
                expected="the minds as grid(…) returned them",
                hint="Observer(world, list(minds), prior=[…])",
            )
        return self._prior


def grid(
    *,
    wants: Iterable[Any],
    chooses: Iterable[Chooses],
    plans: Iterable[Planning],
    believes: Iterable[Believes | None] = (None,),
    can: Iterable[Any] = (None,),
    others: Iterable[Any] = (None,),
    prior: Callable[[PlanningMind], float] | ArrayLike | None = None,
) -> MindGrid:
    """Returns every combination of parts as minds, the first axis varying slowest.

        grid(wants=["north", "south"], chooses=[Softmax(1.0), Best()], plans=[Planning("hard")])

    Args:
        wants, chooses, plans, believes, can, others: the axes; a part by itself is an axis of one.
        prior: weights, in the order of the minds, or a function of a mind that gives its weight; they are divided by
            their sum. None: uniform.

    Raises:
        UsageError: an axis is empty; a part is not what it must be; weights are negative, not finite, all zero, or of
            another number.
    """
    given = {"wants": wants, "believes": believes, "plans": plans, "chooses": chooses, "can": can, "others": others}
    axes = {name: _parts(name, axis) for name, axis in given.items()}
    empty = next((name for name, entries in axes.items() if not entries), None)
    if empty is not None:
        raise UsageError(f"the grid of minds has no {empty}", expected=f"at least one entry in {empty}")
    minds = [PlanningMind(**dict(zip(axes, parts))) for parts in itertools.product(*axes.values())]
    return MindGrid(minds, None if prior is None else _weights(prior, minds))


def _parts(name: str, axis: Any) -> list[Any]:
    """Returns the entries of an axis; a list or a generator is several, a part (a name, a mask) one."""
    if name == "can" and (callable(axis) or isinstance(axis, np.ndarray)):
        return [axis]
    single = (
        isinstance(
            axis, (str, Softmax, Best, Proportional, Planning, ByValue, Sees, Uniform, LevelK, Hierarchy, Mapping)
        )
        or hasattr(axis, "_fields")
        or axis is None
    )
    return [axis] if single else list(axis)


def _weights(prior: Callable[[PlanningMind], float] | ArrayLike, minds: list[PlanningMind]) -> Array:
    weights = np.array([float(prior(mind)) for mind in minds]) if callable(prior) else np.asarray(prior, np.float64)
    if weights.shape != (len(minds),):
        raise UsageError(f"a prior of shape {weights.shape}", expected=f"one weight for each of the {len(minds)} minds")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum() > 0:
        raise UsageError(f"a prior with the weights {weights.tolist()}", expected="weights of at least 0, not all 0")
    return np.asarray(weights / weights.sum())


def name_of(mind: Mind) -> str:
    """Returns what messages and legends call a mind: its `name`, else its `repr`, else its class."""
    name = getattr(mind, "name", None)
    if isinstance(name, str):
        return name
    return type(mind).__name__ if type(mind).__repr__ is object.__repr__ else repr(mind)


def identity_of(mind: Mind) -> Any:
    """Returns a hashable value that is equal for equal minds: the mind itself, else (not hashable) its `id`."""
    try:
        hash(mind)
    except TypeError:  # it has a field without a hash, such as an array
        return ("not hashable", id(mind))
    return mind


def _entries(axis: Any) -> list[Any]:
    """A bare entry is a word, a number or a named tuple; anything else is a collection of entries."""
    if isinstance(axis, (str, int, float, np.number)) or hasattr(axis, "_fields") or axis is None:
        return [axis]
    return list(axis)
