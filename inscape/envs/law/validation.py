"""What a class must be to be a law, checked when a world is made: cheap checks; `inscape check` makes the others."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.law.law import Law


def require_well_formed(cls: type[Law]) -> None:
    """Checks that a class is a law as it stands: its types, its law functions and what they take, its players.

    Raises:
        UsageError: it is not well formed; names what is missing or wrong.
    """
    cls.layouts()
    name = cls.__name__
    for required, arguments in (
        ("initial", ("params", "branch or noise")),
        ("transition", ("params", "state", "action", "branch or noise")),
        ("reward", ("params", "purpose", "state", "action", "next_state")),
        ("terminal", ("params", "purpose", "state")),
    ):
        function = cls.law_function(required)
        if function is None:
            raise UsageError(
                f"world {name} has no law function {required!r}",
                expected=f"a static method {required}({', '.join(arguments)})",
                hint="see examples/elevator.py",
            )
        count = len(inspect.signature(getattr(function, "py_func", function)).parameters)
        if count != len(arguments):
            raise UsageError(
                f"{name}.{required} takes {count} arguments",
                expected=f"{len(arguments)}: {', '.join(arguments)}",
                hint="law functions are static methods: write @staticmethod above them",
            )
    for optional, taken in _optional_arguments(cls).items():
        function = cls.law_function(optional)
        if function is None:
            continue
        count = len(inspect.signature(getattr(function, "py_func", function)).parameters)
        if count != len(taken):
            raise UsageError(
                f"{name}.{optional} takes {count} arguments",
                expected=f"{len(taken)}: {', '.join(taken)}",
                hint="what a law function takes depends on `players` and `simultaneous`: see docs/architecture.md",
            )
    if cls.players < 1 or (cls.simultaneous and cls.players < 2):
        raise UsageError(f"{name} has players = {cls.players}", expected="1, or more where `simultaneous` is True")
    if cls.player_names and len(cls.player_names) != cls.players:
        raise UsageError(f"{name} has {cls.players} players and {len(cls.player_names)} player_names")
    if cls.continuous:
        if cls.players > 1:
            raise UsageError(
                f"{name} has continuous actions and {cls.players} players", expected="a finite set of actions"
            )
        if len(cls.action_low) != len(cls.action_high):
            raise UsageError(
                f"{name}: action_low has {len(cls.action_low)} entries, action_high {len(cls.action_high)}",
                expected="one of each for every component of an action",
            )
        if not all(low < high for low, high in zip(cls.action_low, cls.action_high)):
            raise UsageError(
                f"{name}: action_low = {cls.action_low}, action_high = {cls.action_high}",
                expected="numbers, each low below its high",
            )
        return
    given = inspect.getattr_static(cls, "actions", ())
    if isinstance(given, staticmethod) or callable(given):
        return
    if not isinstance(given, Iterable):
        raise UsageError(
            f"{name}.actions = {given!r}",
            expected='the names of the actions, ("left", "right")',
            hint="continuous ones: action_low = (-1.0,), action_high = (1.0,)",
        )
    if cls.fixed_actions() == ():
        raise UsageError(f"world {name} has no actions", expected='actions = ("left", "right"), their names')


def _optional_arguments(cls: type[Law]) -> dict[str, tuple[str, ...]]:
    """Returns what the optional law functions take in a world with these players."""
    one = ("params", "state")
    seen = (*one, "player") if cls.players > 1 else one
    return {
        "observation": seen,
        "observation_view": seen,
        "observation_entry": ("params", "view", "k"),
        "legal": (*one, "player", "action") if cls.simultaneous else (*one, "action"),
        "mover": one,
    }


def require_probabilities(world: Law) -> None:
    """Checks that outcomes sum to one at the start, in plain Python.

    Raises:
        UsageError: they do not, naming state, action and sum. (`inscape check` looks at many states.)
    """
    if world.initial_noise:
        return
    initial, transition, legal = (world.law_function(name) for name in ("initial", "transition", "legal"))
    assert initial is not None
    assert transition is not None
    starts = [initial(world.params, b) for b in range(_count(world, "initial_branches"))]
    _require_one(sum(p for p, _ in starts), f"the initial states of {world.name}", "initial")
    state = next(state for p, state in starts if p > 0)
    if world.noise or world.continuous or world.simultaneous:
        return
    for action, name in enumerate(world.action_names):
        if legal is None or legal(world.params, state, action):
            total = sum(transition(world.params, state, action, b)[0] for b in range(_count(world, "branches")))
            _require_one(total, f"the outcomes of {world.name} in {state} under action {name!r}", "transition")


def _count(world: Law, name: str) -> int:
    function = world.law_function(name)
    return int(getattr(type(world), name) if function is None else function(world.params))


def _require_one(total: float, what: str, function: str) -> None:
    if not abs(total - 1) < 1e-9:
        raise UsageError(
            f"{what} have probabilities summing to {total:.9g}",
            expected="1",
            hint=f"fix `{function}`, or the number of its branches; inscape check looks at many states",
        )
