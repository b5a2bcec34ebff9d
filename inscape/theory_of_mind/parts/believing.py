"""What a mind believes: it sees the state, is mistaken about the dynamics, or filters what it sees."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.belief_points import check_resolution
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.learned import tables_of
from inscape.theory_of_mind.parts.wanting import ByValue

if TYPE_CHECKING:
    from inscape.envs.world import World

SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Sees:
    """The mind knows the whole state, even where the world hides it."""

    def __str__(self) -> str:
        return "seeing the state"


@dataclass(frozen=True, eq=False)
class Params(ByValue):
    """A fixed belief about the dynamics, true or false; the state is what is seen (`sees`: the whole of it)."""

    params: Any
    """The dynamics the mind believes in, a `Params` of the world."""
    sees: bool = False
    """The mind knows the whole state even where the world hides it."""

    def __post_init__(self) -> None:
        if not isinstance(self.sees, bool):
            raise UsageError(f"sees is {self.sees!r}", expected="True or False")

    def __str__(self) -> str:
        return f"believing {self.params}" + (", seeing the state" if self.sees else "")


@dataclass(frozen=True, eq=False)
class Learned(ByValue):
    """Believing in dynamics that were learned: P(s' | s, a) of a model, what is wanted as the world defines it.

    What the model is when this is made counts: what it learns later does not.
    """

    model: Any
    """A `LearnedTabularModel`, or another model `learned_dynamics` takes."""
    sees: bool = False
    """The mind knows the whole state even where the world hides it."""

    def __post_init__(self) -> None:
        if not isinstance(self.sees, bool):
            raise UsageError(f"sees is {self.sees!r}", expected="True or False")
        object.__setattr__(self, "model", tables_of(self.model))

    @property
    def params(self) -> Learned:
        """Itself: what stands for parameters of the world."""
        return self

    def __str__(self) -> str:
        size = f" of {len(self.model)} states" if hasattr(self.model, "__len__") else ""
        return f"believing a learned model{size}" + (", seeing the state" if self.sees else "")


@dataclass(frozen=True, eq=False)
class Filtering(ByValue):
    """The mind does not see the state: it updates a belief by what it does and sees, and plans in beliefs.

    Its memory is a belief, one of those it can come to have. Where what it sees is impossible by what it believes, it
    is ruled out by an observer. One who goes on where its own episode was over takes all ends that look like that one
    to be alike, and believes what follows from there.

    Source: Baker, Jara-Ettinger, Saxe & Tenenbaum (2017), "Rational quantitative attribution of beliefs, desires and
        percepts in human mentalizing", Nature Human Behaviour 1, Eqs. 2–4.
    """

    prior: Any = None
    """What it believes before it has seen anything: `[S]` probabilities of the states of `world.dynamics()`, a mapping
    from `State`s or their numbers to weights, or a function of a `State` that gives its weight; None: as the world
    begins."""
    params: Any = None
    """The dynamics it believes in, a `Params` of the world; None: the true ones."""
    max_points: int = 10_000
    """Most beliefs it may come to have; where there are more, it is refused."""
    resolution: float = 1e-9
    """Beliefs closer than this, in every probability, are one."""

    def __post_init__(self) -> None:
        prior = self.prior
        if prior is not None and not callable(prior) and not isinstance(prior, Mapping):
            try:
                prior = np.array(prior, np.float64)  # a copy: what was given stays as writeable as it was
            except (TypeError, ValueError) as error:
                raise UsageError(f"prior = {prior!r}", expected="[S] probabilities, a mapping or a function") from error
            prior.flags.writeable = False
            object.__setattr__(self, "prior", prior)
        if isinstance(prior, Mapping):
            object.__setattr__(self, "prior", tuple(prior.items()))
        points = self.max_points
        if isinstance(points, bool) or not isinstance(points, (int, np.integer)) or points < 1:
            raise UsageError(f"max_points is {points!r}", expected="a number of beliefs, 1 or more")
        check_resolution(self.resolution)

    def __str__(self) -> str:
        prior = self.prior
        text = "" if prior is None else getattr(prior, "__name__", "") if callable(prior) else _short(prior)
        believed = "" if self.params is None else f", believing {self.params}"
        return "filtering" + (f" from {text}" if text else "") + believed

    def weights(self, world: World) -> Array:
        """Returns `[S]` the prior over the states of `world.dynamics()`.

        Raises:
            UsageError: another shape, negative or not finite; no state has weight; `[S]` that does not sum to one; a
                mapping from what is no state.
        """
        dynamics = world.dynamics()
        size = len(dynamics)
        if self.prior is None:
            return np.asarray(dynamics.initial, np.float64)
        if callable(self.prior):
            weigh: Callable[[Any], Any] = self.prior
            found = np.array([float(weigh(world.unpack(dynamics.states, s))) for s in range(size)])
        elif isinstance(self.prior, tuple):
            found = np.zeros(size)
            for state, weight in self.prior:
                number = isinstance(state, (int, np.integer)) and not isinstance(state, bool)
                if number and not 0 <= state < size:
                    raise UsageError(f"a prior belief in state {state}", expected=f"a number from 0 to {size - 1}")
                found[int(state) if number else int(dynamics.index_of(world.as_states(state))[0])] += float(weight)
        else:
            found = np.asarray(self.prior)
            if found.shape != (size,):
                raise UsageError(
                    f"a prior belief of shape {found.shape} in {world.name}",
                    expected=f"[S] = [{size}], one probability for each state of world.dynamics()",
                    hint="a function of the state: Filtering(lambda state: …)",
                )
            if abs(found.sum() - 1) > SUM_TOLERANCE and np.isfinite(found).all() and (found >= 0).all():
                raise UsageError(f"a prior belief that sums to {found.sum():.12g}", expected="1")
        if not np.isfinite(found).all() or (found < 0).any():
            s = int(np.argmax(~np.isfinite(found) | (found < 0)))
            raise UsageError(
                f"a prior belief of {found[s]} in {world.unpack(dynamics.states, s)}", expected="a weight, 0 or more"
            )
        if not found.sum() > 0:
            raise UsageError(f"a prior belief in which no state of {world.name} is possible", expected="some weight")
        return np.asarray(found / found.sum())


def _short(prior: Any) -> str:
    if isinstance(prior, np.ndarray):
        held = np.flatnonzero(prior)
        return f"{len(held)} of {len(prior)} states" if len(held) > 3 else _short([(s, prior[s]) for s in held])
    return "{" + ", ".join(f"{state}: {float(weight):g}" for state, weight in prior) + "}"


Believes = Sees | Params | Learned | Filtering


def check_believes(given: object) -> Believes | None:
    """Returns what a mind believes, or refuses what is no such part."""
    if given is None or isinstance(given, (Sees, Params, Learned, Filtering)):
        return given
    raise UsageError(
        f"believes = {given!r}",
        expected="None (what is seen is the state), Sees(), Params(…), Learned(model) or Filtering(prior)",
    )
