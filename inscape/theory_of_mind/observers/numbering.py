"""States and actions as users give them, as numbers in the enumerated dynamics of a world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from inscape.envs.law.states import States
from inscape.errors import UsageError, closest
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.observers.interface import ImpossibleEvidenceError

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.world import World


def episodes_of(given: Any) -> Sequence[Trajectory]:
    """Returns trajectories as a sequence; one by itself is a sequence of one.

    Raises:
        UsageError: there are none to go through.
    """
    if hasattr(given, "actions"):
        return (given,)
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        raise UsageError(f"trajectories = {given!r}", expected="a trajectory, or a sequence of them")
    found = tuple(given)
    odd = next((each for each in found if not hasattr(each, "actions")), None)
    if odd is not None:
        raise UsageError(f"{odd!r} among the trajectories", expected="what rollout(agent, world, episodes) returns")
    return found


class NumberedTrajectory(NamedTuple):
    """A trajectory as an observer reads it.

    Attributes:
        states: `[T + 1]` numbers in `world.dynamics().states`.
        actions: `[T]` action numbers.
    """

    states: Array
    actions: Array


class Ended(NumberedTrajectory):
    """A trajectory that ended in its last state: it was not cut off there."""


class Numbering:
    """Numbers of the states and actions of a world.

    A state may be given as its number in `world.dynamics().states`, as packed `States`, or as the world's `State`; an
    action as its number or its name.

    Args:
        world: one that can be enumerated.

    Every method raises UsageError for what is no state or action of the world, and ImpossibleEvidenceError for a state
    that cannot be reached in it.
    """

    def __init__(self, world: World) -> None:
        self.world, self.dynamics = world, world.dynamics()

    def state_numbers(self, states: Any, first_step: int) -> Array:
        """Returns `[B]` state numbers of whatever names states."""
        if isinstance(states, States):
            return self._numbers_of_packed(states, first_step)
        if isinstance(states, tuple):
            return self._numbers_of_packed(self._packed(states), first_step)
        numbers = np.atleast_1d(np.asarray(states))
        if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
            raise UsageError(
                f"state {states!r}",
                expected=f"a state number, packed States, or a {self.world.State.__name__} of {self.world.name}",
            )
        outside = (numbers < 0) | (numbers >= len(self.dynamics))
        if outside.any():
            raise UsageError(
                f"state number {numbers[np.argmax(outside)]}",
                expected=f"0 to {len(self.dynamics) - 1}, as numbered in world.dynamics().states",
            )
        return numbers.astype(np.int64)

    def action_numbers(self, actions: Any) -> Array:
        """Returns `[B]` action numbers of numbers or names."""
        names = self.world.action_names
        array = np.atleast_1d(np.asarray(actions))
        if array.dtype.kind == "U":
            unknown = [name for name in array.tolist() if name not in names]
            if unknown:
                raise UsageError(f"action {unknown[0]!r}", expected=", ".join(names), hint=closest(unknown[0], names))
            return np.array([names.index(name) for name in array.tolist()], np.int64)
        if not len(array) and array.ndim == 1:
            return np.zeros(0, np.int64)
        wrong = array.dtype.kind not in "iu" or array.ndim != 1
        if wrong or ((array < 0) | (array >= len(names))).any():
            raise UsageError(
                f"action {actions!r} (dtype {array.dtype})",
                expected=f"an integer from 0 to {len(names) - 1}, or one of {', '.join(names[:12])}",
            )
        return array.astype(np.int64)

    def one_state(self, state: Any, first_step: int) -> int:
        """Returns the number of one state; `first_step` is named where it cannot be reached."""
        numbers = self.state_numbers(state, first_step)
        if len(numbers) != 1:
            raise UsageError(f"{len(numbers)} states with 1 actions", expected="one action per state")
        return int(numbers[0])

    def one_action(self, action: Any) -> int:
        """Returns the number of one action."""
        numbers = self.action_numbers(action)
        if len(numbers) != 1:
            raise UsageError(f"1 states with {len(numbers)} actions", expected="one action per state")
        return int(numbers[0])

    def unpacked(self, number: int) -> Any:
        """Returns a state by its number, as the world's `State`."""
        return self.world.unpack(self.dynamics.states, number)

    def described(self, number: int) -> str:
        """Returns a state in words, for messages."""
        text = self.world.describe_state(self.dynamics.states, number)
        return f"state {number}, {self.unpacked(number)} ({text}),"

    def _packed(self, state: tuple[Any, ...]) -> States:
        fields = self.world.layouts()[0].fields
        if len(state) != len(fields):
            raise UsageError(
                f"state {state!r} has {len(state)} fields",
                expected=f"a {self.world.State.__name__}: {', '.join(field.name for field in fields)}",
                hint="world.number[state] of a world of functions" if hasattr(self.world, "listed") else "",
            )
        for value, field in zip(state, fields):
            if field.kind == "int" and isinstance(value, float) and not value.is_integer():
                raise UsageError(f"state {state!r}", expected=f"a whole number as its {field.name}")
        packed = self.world.pack([state])
        return States(packed.floats + 0.0, packed.ints)  # −0.0 and 0.0 are one state

    def _numbers_of_packed(self, states: States, first_step: int) -> Array:
        expected = self.dynamics.states
        if (len(states.floats), len(states.ints)) != (len(expected.floats), len(expected.ints)):
            raise UsageError(
                f"packed states of {len(states.floats)} floats and {len(states.ints)} ints",
                expected=f"states of {self.world.name}: {len(expected.floats)} floats and {len(expected.ints)} ints",
                hint="is the trajectory from another world?",
            )
        try:
            return np.asarray(self.dynamics.index_of(states))
        except UsageError as error:
            known = set(expected.keys())
            t = next(t for t, key in enumerate(states.keys()) if key not in known)
            raise ImpossibleEvidenceError(
                f"step {first_step + t}: the agent is in {self.world.unpack(states, t)}, which cannot be reached in "
                f"{self.world!r}",
                expected=f"one of its {len(expected)} states",
                hint="observe in the world the trajectory was made in, with the same settings",
            ) from error


def is_one(states: Any) -> bool:
    """Returns whether one state is given, rather than a batch."""
    return isinstance(states, tuple) or (not isinstance(states, States) and np.ndim(states) == 0)
