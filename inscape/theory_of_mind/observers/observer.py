"""The observer users make: exact, of the whole state or of what is seen of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from inscape.theory_of_mind.learned import learned_dynamics
from inscape.theory_of_mind.minds import Mind
from inscape.theory_of_mind.observers.endings import Ends
from inscape.theory_of_mind.observers.exact import ExactObserver
from inscape.theory_of_mind.observers.partial import PartialObserver

if TYPE_CHECKING:
    from inscape.envs.world import World


class Observer(ExactObserver):
    """Exact posterior over a finite set of minds: an `ExactObserver`, or with `sees` a `PartialObserver`.

    Args:
        world, minds, prior, gamma, player: as in `ExactObserver`.
        sees: what is seen of a `State` by the one who observes: a function that returns a hashable value; None: all.
            With it, states that look alike are summed over, and `update` takes what was seen.
        dynamics: a learned model whose P(s' | s, a) stands in place of the world's law, for the observer as for its
            minds (see `learned_dynamics`); None: the law. A single mind plans in a model by `believes=Learned(model)`.
        ends: when the episodes of a mind end, as evidence (see `Ends`); None: ends say nothing of minds.

    Raises:
        UsageError, MissingLawError: as `ExactObserver`.
    """

    def __new__(
        cls,
        world: World,
        minds: Sequence[Mind] = (),
        prior: ArrayLike | None = None,
        gamma: float | None = None,
        player: int | None = None,
        sees: Callable[[Any], Any] | None = None,
        *,
        dynamics: Any = None,
        ends: Ends | bool | None = None,
    ) -> Any:
        """Returns the observer."""
        if sees is not None:
            return PartialObserver(_with_dynamics(world, dynamics), minds, prior, gamma, player, sees, ends)
        return super().__new__(cls)

    def __init__(
        self,
        world: World,
        minds: Sequence[Mind],
        prior: ArrayLike | None = None,
        gamma: float | None = None,
        player: int | None = None,
        sees: Callable[[Any], Any] | None = None,
        *,
        dynamics: Any = None,
        ends: Ends | bool | None = None,
    ) -> None:
        super().__init__(_with_dynamics(world, dynamics), minds, prior, gamma, player, ends)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickles without arguments of the constructor: what it has is stored."""
        return _empty, (), self.__dict__


def _with_dynamics(world: World, model: Any) -> World:
    return world if model is None else learned_dynamics(world, model)


def _empty() -> Observer:
    made: Observer = object.__new__(Observer)
    return made
