"""What a law declares, and its class inspected: no compiler, no reader.

A world is a class whose *law functions* are pure, scalar and compilable: they run as plain Python, compiled by Numba,
and compiled by numba-cuda from the same source. See `docs/architecture.md` for the table of readers and
`examples/elevator.py` for a world in forty lines.
"""

from __future__ import annotations

import copyreg
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypeVar

import gymnasium as gym
import numpy as np

from inscape.envs.law.digest import ABSENT, Reached, static_attribute
from inscape.envs.law.layout import Layout, coerced
from inscape.envs.law.states import States as States  # a part of what a law is
from inscape.errors import UsageError, closest
from inscape.on_demand import without_cached_properties

LawClass = TypeVar("LawClass", bound="Law")


class Cache(dict[Any, Any]):
    """What was worked out and can be again: copies and pickles of its owner begin with an empty one."""

    def __reduce__(self) -> tuple[type[Cache], tuple[()]]:
        return Cache, ()


class TablesInstead(Cache):
    """The cache of a world whose tables are given, as those of a learned model are, and not enumerated from its law.

    Copies and pickles keep the tables.
    """

    def __init__(self, tables: Any) -> None:
        super().__init__()
        self.tables = tables

    def __reduce__(self) -> Any:
        return TablesInstead, (self.tables,)


class NoParams(NamedTuple):
    """Parameters of a world that has none."""


class NoPurpose(NamedTuple):
    """Purpose of a world whose reward has no settings."""


class Law:
    """What a world declares: named-tuple types, a few constants, and the law functions. Users subclass `World`.

    Law functions (static methods):
        `initial(params, branch) -> (probability, State)`, or `initial(params, noise) -> State`
        `transition(params, state, action, branch) -> (probability, State)`, or `(…, noise) -> State`
        `reward(params, purpose, state, action, next_state) -> float` (several players: a tuple)
        optional: `terminal(params, purpose, state) -> bool` (default: never),
        `observation(params, state)`, `legal(params, state, action)`; several players: `observation(params, state,
        player)`, `mover(params, state)` in turn, `legal(params, state, player, action)` all at once; wide
        observations: `observation_entry(params, view, k)` with `observation_view(params, state)`

    Readers' helpers (static methods, ordinary Python), besides those below: `describe_observation(params, purpose,
    observation) -> str`, where what is perceived is not the whole state, and `draw_view(params, purpose, state) ->
    Scene`, what the acting player sees of it (several players: `(…, state, player)`).

    Args:
        settings: what `setup` takes; by default the fields of `Params` and `Purpose`.
    """

    State: ClassVar[type]
    Params: ClassVar[type] = NoParams
    Purpose: ClassVar[type] = NoPurpose
    actions: ClassVar[Any] = ()
    action_low: ClassVar[tuple[float, ...]] = ()
    action_high: ClassVar[tuple[float, ...]] = ()
    branches: ClassVar[Any] = 1
    max_branches: ClassVar[int | None] = None
    initial_branches: ClassVar[Any] = 1
    noise: ClassVar[int] = 0
    initial_noise: ClassVar[int] = 0
    players: ClassVar[int] = 1
    simultaneous: ClassVar[bool] = False
    player_names: ClassVar[tuple[str, ...]] = ()
    zero_sum: ClassVar[bool] = False
    lengths: ClassVar[Mapping[str, int]] = {}
    gamma: ClassVar[float] = 0.99
    continuous: ClassVar[bool] = False
    title: str = ""
    max_episode_steps: int | None = None  # of the class, or as it is registered
    settings: dict[str, Any]
    params: Any
    purpose: Any
    _shared: Cache  # what depends on the dynamics alone, shared by every purpose
    _variants: ClassVar[Cache]  # subclasses of this class by what they change, see `variant_of`

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for end in ("action_low", "action_high"):
            given: Any = vars(cls).get(end, ())
            if not isinstance(given, tuple):  # one number, a list, an array
                setattr(cls, end, _as_bounds(cls.__name__, end, given))
        cls.continuous = bool(cls.action_low)
        cls._variants = Cache()

    # ------------------------------------------------------------------------------------ what a subclass may define

    @classmethod
    def sized(cls, *args: Any, **settings: Any) -> dict[str, Any]:
        """Returns the class attributes that follow from the settings, such as
        `{"players": 5, "lengths": {"x": 5, "y": 5}}`: how long the fields annotated `tuple[float, ...]` are. The
        world made is then of a class of its own, compiled for these sizes.
        """
        return {}

    @staticmethod
    def terminal(params: Any, purpose: Any, state: Any) -> bool:
        """Returns whether the state ends the task (law function); by default the task never ends by itself."""
        return False

    def return_bounds(self) -> tuple[float, float] | None:
        """Returns the least and the most that any player can still earn in all from any state (undiscounted, 0 being
        among what is possible), or None: not known. A search that knows them can stop where a win is certain."""
        return None

    # *args and **settings: the one signature that a type checker lets subclasses replace by any other
    def setup(self, *args: Any, **settings: Any) -> tuple[Any, Any]:
        """Returns `(params, purpose)` for the given settings; by default their fields, checked for type."""
        made = []
        for cls in (self.Params, self.Purpose):
            layout = Layout.of(cls, tables=True, owner=type(self).__name__, lengths=self.lengths)
            values = [coerced(settings[f.name], f.kind, f.length, f"{self.name}.{f.name}") for f in layout.fields]
            made.append(cls(*values))
        return made[0], made[1]

    @staticmethod
    def roots(params: Any) -> Iterable[Any]:
        """Returns states from which enumeration starts, in order, before the initial ones."""
        return ()

    @staticmethod
    def purposes(params: Any, purpose: Any) -> dict[str, Any]:
        """Returns named purposes over the same dynamics, for an observer to consider.

        `purpose` is the world's own: what they leave open (step costs, say) they take from it.
        """
        return {}

    @staticmethod
    def describe(params: Any, purpose: Any, state: Any) -> str:
        """Returns the state as text."""
        return ", ".join(f"{name} {value}" for name, value in state._asdict().items())

    @staticmethod
    def place(params: Any, state: Any) -> tuple[float, float] | None:
        """Returns where the state is in its scene, for overlays; None when it is nowhere in particular."""
        return None

    def default_gamma(self, horizon: int | None = None) -> float:
        """Returns the discount that planners take where none is given.

        The one that the world's class or its file states; where nothing is stated 0.99, with a horizon 1.
        """
        stated = "gamma" in vars(self) or next(each for each in type(self).__mro__ if "gamma" in vars(each)) is not Law
        return self.gamma if stated or horizon is None else 1.0

    # ------------------------------------------------------------------------------------ the class, inspected

    @classmethod
    def law_function(cls, name: str) -> Callable[..., Any] | None:
        """Returns a law function as written, or None if the world leaves it out."""
        member = static_attribute(cls, name)
        if isinstance(member, staticmethod):
            member = member.__func__
        elif isinstance(member, classmethod):  # a reader's helper of several worlds
            member = member.__get__(None, cls)
        return member if member is not ABSENT and callable(member) and not isinstance(member, type) else None

    @classmethod
    def layouts(cls) -> tuple[Layout, Layout, Layout]:
        """Returns the layouts of State, Params and Purpose."""
        if not hasattr(cls, "State"):
            raise UsageError(f"world {cls.__name__} has no State", expected="State = a typing.NamedTuple class")
        return _layouts(cls.State, cls.Params, cls.Purpose, cls.__name__, tuple(cls.lengths.items()))

    @classmethod
    def setting_parameters(cls) -> dict[str, inspect.Parameter]:
        """Returns the settings this world takes, by name, with default and annotation."""
        parameters = list(inspect.signature(cls.setup).parameters.values())[1:]
        variadic = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
        named = {p.name: p for p in parameters if p.kind not in variadic}
        if named or not parameters:
            return named
        found = {}
        for layout in cls.layouts()[1:]:
            defaults = layout.cls._field_defaults  # type: ignore[attr-defined]
            for field in layout.fields:
                if field.name not in defaults:
                    raise UsageError(
                        f"{cls.__name__}.{layout.cls.__name__}.{field.name} has no default",
                        expected="a default for every field, or a `setup` method that makes params and purpose",
                    )
                types: dict[str, Any] = {"float": float, "int": int, "bool": bool}
                found[field.name] = inspect.Parameter(
                    field.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=defaults[field.name],
                    annotation=types.get(field.kind, np.ndarray) if field.length is None else tuple,
                )
        return found

    @classmethod
    def fixed_actions(cls) -> tuple[str, ...] | None:
        """Returns the action names when they are a constant of the class, None when they depend on the params."""
        member = inspect.getattr_static(cls, "actions", ())
        return None if isinstance(member, staticmethod) or callable(member) else tuple(member)

    @classmethod
    def is_wide(cls) -> bool:
        """Returns whether observations are written entry by entry (`observation_entry`), batch axis first in memory."""
        return callable(getattr(cls, "observation_entry", None))  # the quick way: asked at every reset

    @classmethod
    def for_observations_of(cls, size: int | None) -> type[Self]:
        """Returns the class that is compiled for instances whose observations have `size` numbers (None: one number).

        Kernels are written for this size, and what a world observes may follow from its parameters: instances of one
        class that observe differently have kernels of their own.
        """
        return variant_of(cls, {"_observation_size": size})

    @classmethod
    def observation_size(cls) -> int | None:
        """Returns how many numbers an observation has; None when it is a single number.

        Raises:
            UsageError: it is not a class to compile: `for_observations_of` makes one of it.
        """
        size: int | Literal["unknown"] | None = cls.__dict__.get("_observation_size", "unknown")
        if size == "unknown":
            raise UsageError(
                f"how many numbers {cls.__name__} observes is a matter of its instances",
                expected="the class to compile, of an instance",
                hint=f"{cls.__name__}().compiled_law",
            )
        return size

    # ------------------------------------------------------------------------------------ the instance

    @property
    def name(self) -> str:
        """What the world is called: its registered name, or its class's."""
        return self.title or type(self).__name__

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.settings.items())
        return f"{self.name}({shown})"

    def with_purpose(self, purpose: Any) -> Self:
        """Returns a world with the same dynamics and another purpose (a value, or a name from `purposes`)."""
        if isinstance(purpose, str):
            named = self.goals
            if purpose not in named:
                raise UsageError(f"{self.name} has no purpose named {purpose!r}", hint=closest(purpose, named))
            purpose = named[purpose]
        return self._with(purpose=purpose)

    def with_params(self, params: Any) -> Self:
        """Returns a world with other dynamics and the same purpose: a belief that may be false."""
        return self._with(params=params, _shared=Cache())

    def _with(self, **changed: Any) -> Self:
        other = object.__new__(type(self))
        vars(other).update(without_cached_properties(self) | changed)
        return other

    @cached_property
    def action_names(self) -> tuple[str, ...]:
        """The names of the actions, `[A]`; empty for continuous actions."""
        fixed = self.fixed_actions()
        if fixed is None:
            written = self.law_function("actions")
            assert written is not None
            fixed = tuple(written(self.params))
        return fixed

    @cached_property
    def agents(self) -> tuple[str, ...]:
        """The players' names, in the order rewards and joint actions have."""
        return self.player_names or tuple(f"player_{k}" for k in range(self.players))

    @property
    def num_choices(self) -> int:
        """Number of actions, or of joint actions where all players act at once (the last player's varies fastest)."""
        return int(self.num_actions**self.players) if self.simultaneous else self.num_actions

    def choice_name(self, index: int) -> str:
        """Returns the name of action (or joint action) number `index`."""
        if not self.simultaneous:
            return str(self.action_names[index])
        return " + ".join(self.action_names[a] for a in self.joint_actions([index])[0])

    def joint_actions(self, indices: Any) -> np.ndarray:
        """Returns joint actions by number: `[B]` → `[B, M]`."""
        return np.stack(np.unravel_index(np.asarray(indices), (self.num_actions,) * self.players), axis=-1)

    @property
    def num_actions(self) -> int:
        """Number of actions (of each player).

        Raises:
            UsageError: the actions are continuous.
        """
        if self.continuous:
            raise UsageError(f"{self.name} has continuous actions", expected="a world with a finite action set")
        return len(self.action_names)

    @property
    def goals(self) -> dict[str, Any]:
        """The named purposes of this world over these dynamics."""
        return type(self).purposes(self.params, self.purpose)

    @property
    def is_enumerable(self) -> bool:
        """Whether the outcomes of a transition can be enumerated, rather than only sampled."""
        return not self.noise

    @cached_property
    def action_space(self) -> gym.Space[Any]:
        if self.continuous:
            return gym.spaces.Box(np.array(self.action_low, np.float32), np.array(self.action_high, np.float32))
        return gym.spaces.Discrete(self.num_actions)


@lru_cache(maxsize=1024)
def _layouts(
    state: type, params: type, purpose: type, owner: str, lengths: tuple[tuple[str, int], ...]
) -> tuple[Layout, Layout, Layout]:
    sizes = dict(lengths)
    return (
        Layout.of(state, owner=owner, lengths=sizes),
        Layout.of(params, tables=True, owner=owner, lengths=sizes),
        Layout.of(purpose, tables=True, owner=owner, lengths=sizes),
    )


def variant_of(
    cls: type[LawClass], attributes: dict[str, Any], sized_by: dict[str, Any] | None = None
) -> type[LawClass]:
    """Returns the subclass of `cls` with these attributes, always the same one for the same attributes.

    `sized_by`: the settings that they follow from, by which another process makes the same class.
    """
    variants = cls.__dict__["_variants"]
    key = Reached([dict(sorted(attributes.items()))]).digest
    if key not in variants:
        origin = {"__module__": cls.__module__, "__doc__": cls.__doc__, "_sized_from": (cls, sized_by)}
        made_class = variants[key] = type(cls.__name__, (cls,), {**origin, **attributes})
        if cls in copyreg.dispatch_table:  # pickled in a way of its own, see `inscape.envs.loading`
            copyreg.pickle(made_class, copyreg.dispatch_table[cls])
    made: type[LawClass] = variants[key]
    return made


def _as_bounds(world: str, name: str, given: Any) -> tuple[float, ...]:
    """Returns `action_low` or `action_high` as a tuple; one number, a list or an array are taken.

    Raises:
        UsageError: they are no numbers.
    """
    entries = given if hasattr(given, "__iter__") and not isinstance(given, str) else (given,)
    try:
        return tuple(float(entry) for entry in entries)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{world}: {name} = {given!r}", expected="numbers, one for each component") from error
