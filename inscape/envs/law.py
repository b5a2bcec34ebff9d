"""The law of a world, written once; everything else reads it.

A world is a class whose *law functions* are pure, scalar and compilable: they run as plain Python, compiled by Numba,
and compiled by numba-cuda from the same source. See `docs/architecture.md` for the table of readers and
`examples/elevator.py` for a world in forty lines.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, cast, overload

import gymnasium as gym
import numpy as np

from inscape.envs.batched import BatchedLaw
from inscape.envs.layout import Layout
from inscape.envs.scene import Scene
from inscape.envs.states import States as States  # a part of what a law is
from inscape.errors import UsageError, closest

if TYPE_CHECKING:
    from inscape.envs.cuda_env import CudaVectorEnv
    from inscape.envs.enumeration import Enumeration
    from inscape.envs.gym_env import LawEnv
    from inscape.envs.pettingzoo_env import LawAECEnv, LawParallelEnv
    from inscape.envs.random_play import RandomPlay
    from inscape.envs.vector_env import LawVectorEnv

BATCH = "inscape.envs.kernels.batch"
Autoreset = Literal["next-step", "same-step", "disabled"]


class NoParams(NamedTuple):
    """Parameters of a world that has none."""


class NoPurpose(NamedTuple):
    """Purpose of a world whose reward has no settings."""


class World(BatchedLaw):
    """A world: named-tuple types, a few constants, and the law functions. Subclass it; see the module's docstring.

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
    Scene`, what the one who acts sees of it (several players: `(…, state, player)`).

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
    lengths: ClassVar[Mapping[str, int]] = {}
    max_episode_steps: ClassVar[int | None] = None
    gamma: ClassVar[float] = 0.99
    continuous: ClassVar[bool] = False
    title: str = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.continuous = bool(cls.action_low)
        if "observation_space" in cls.__dict__:
            raise UsageError(
                f"{cls.__name__} defines observation_space, which is what readers ask of an instance",
                expected="a static method observations(params) -> gymnasium.Space",
            )

    def __new__(cls, **settings: Any) -> Self:
        sized = cls.sized(**settings)
        return cast(Self, object.__new__(_variant(cls, sized) if sized else cls))

    def __init__(self, **settings: Any) -> None:
        self._check_class()
        known = self.setting_parameters()
        for name in settings:
            if name not in known:
                raise UsageError(
                    f"{self.name} has no setting {name!r}",
                    expected=", ".join(known) or "no settings at all",
                    hint=closest(name, known),
                )
        self.settings: dict[str, Any] = {name: p.default for name, p in known.items()} | settings
        self.params, self.purpose = self.setup(**self.settings)
        self._shared: dict[str, Any] = {}  # what depends on the dynamics alone, shared by every purpose

    # ------------------------------------------------------------------------------------ what a subclass may define

    @classmethod
    def sized(cls, **settings: Any) -> dict[str, Any]:
        """Returns the class attributes that follow from the settings, such as
        `{"players": 5, "lengths": {"x": 5, "y": 5}}`: how long the fields annotated `tuple[float, ...]` are. The
        world made is then of a class of its own, compiled for these sizes.
        """
        return {}

    @staticmethod
    def terminal(params: Any, purpose: Any, state: Any) -> bool:
        """Returns whether the state ends the task (law function); by default the task never ends by itself."""
        return False

    def setup(self, **settings: Any) -> tuple[Any, Any]:
        """Returns `(params, purpose)` for the given settings; by default their fields, checked for type."""
        made = []
        for cls in (self.Params, self.Purpose):
            layout = Layout.of(cls, tables=True, owner=type(self).__name__, lengths=self.lengths)
            values = [_coerce(settings[f.name], f.kind, f.length, f"{self.name}.{f.name}") for f in layout.fields]
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
        """Returns the state in words, for a reader of text."""
        return ", ".join(f"{name} {value}" for name, value in state._asdict().items())

    @staticmethod
    def draw(params: Any, purpose: Any, state: Any) -> Scene:
        """Returns the state as a scene; by default a table of its fields."""
        from inscape.envs.rendering import default_scene

        return default_scene(state._asdict(), "")

    @staticmethod
    def place(params: Any, state: Any) -> tuple[float, float] | None:
        """Returns where the state is in its scene, for overlays; None when it is nowhere in particular."""
        return None

    # ------------------------------------------------------------------------------------ the class, inspected

    @classmethod
    def law_function(cls, name: str) -> Callable[..., Any] | None:
        """Returns a law function as written, or None if the world leaves it out."""
        member = inspect.getattr_static(cls, name, None)
        if isinstance(member, staticmethod):
            member = member.__func__
        elif isinstance(member, classmethod):  # a reader's helper of several worlds
            member = member.__get__(None, cls)
        return member if callable(member) and not isinstance(member, type) else None

    @classmethod
    @cache
    def layouts(cls) -> tuple[Layout, Layout, Layout]:
        """Returns the layouts of State, Params and Purpose."""
        owner = cls.__name__
        if not hasattr(cls, "State"):
            raise UsageError(f"world {owner} has no State", expected="State = a typing.NamedTuple class")
        return (
            Layout.of(cls.State, owner=owner, lengths=cls.lengths),
            Layout.of(cls.Params, tables=True, owner=owner, lengths=cls.lengths),
            Layout.of(cls.Purpose, tables=True, owner=owner, lengths=cls.lengths),
        )

    @classmethod
    def setting_parameters(cls) -> dict[str, inspect.Parameter]:
        """Returns the settings this world takes, by name, with default and annotation."""
        parameters = list(inspect.signature(cls.setup).parameters.values())[1:]
        named = {p.name: p for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD}
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
    @cache
    def is_wide(cls) -> bool:
        """Returns whether observations are written entry by entry (`observation_entry`), batch axis first in memory."""
        return cls.law_function("observation_entry") is not None

    @classmethod
    def observation_size(cls) -> int | None:
        """Returns how many numbers an observation has; None when it is a single number."""
        size: int | Literal["unknown"] | None = cls.__dict__.get("_observation_size", "unknown")
        if size == "unknown":
            raise UsageError(
                f"{cls.__name__} was compiled before an instance was made", hint=f"make one: {cls.__name__}()"
            )
        return size

    def _check_class(self) -> None:
        cls = type(self)
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
        for optional, taken in self._optional_arguments().items():
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
                raise UsageError(f"{name}: action_low has {len(cls.action_low)} entries, action_high differs")
        elif cls.fixed_actions() == ():
            raise UsageError(f"world {name} has no actions", expected='actions = ("left", "right"), their names')

    @classmethod
    def _optional_arguments(cls) -> dict[str, tuple[str, ...]]:
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

    # ------------------------------------------------------------------------------------ the instance

    @property
    def name(self) -> str:
        """What the world is called: its registered name, or its class's."""
        return self.title or type(self).__name__

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.settings.items())
        return f"{self.name}({shown})"

    def with_purpose(self, purpose: Any) -> World:
        """Returns a world with the same dynamics and another purpose (a value, or a name from `purposes`)."""
        if isinstance(purpose, str):
            named = self.goals
            if purpose not in named:
                raise UsageError(f"{self.name} has no purpose named {purpose!r}", hint=closest(purpose, named))
            purpose = named[purpose]
        other = object.__new__(type(self))
        other.settings, other.params, other.purpose = self.settings, self.params, purpose
        other.title = self.title
        other._shared = self._shared
        return other

    def with_params(self, params: Any) -> World:
        """Returns a world with other dynamics and the same purpose: a belief that may be false."""
        other = object.__new__(type(self))
        other.settings, other.params, other.purpose = self.settings, params, self.purpose
        other.title = self.title
        other._shared = {}
        return other

    @cached_property
    def action_names(self) -> tuple[str, ...]:
        """The names of the actions, `[A]`; empty for continuous actions."""
        fixed = self.fixed_actions()
        if fixed is None:
            fixed = tuple(inspect.getattr_static(type(self), "actions").__func__(self.params))
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
    def strength(self) -> Literal["enumerate", "sample"]:
        """What the transition law allows: enumerating its outcomes, or only sampling them."""
        return "sample" if self.noise else "enumerate"

    @cached_property
    def action_space(self) -> gym.Space[Any]:
        if self.continuous:
            return gym.spaces.Box(np.array(self.action_low, np.float32), np.array(self.action_high, np.float32))
        return gym.spaces.Discrete(self.num_actions)

    @cached_property
    def observation_space(self) -> gym.Space[Any]:
        """The observation space the world declares; by default an unbounded Box over the state's scalars."""
        return self._make_observation_space()

    def _make_observation_space(self) -> gym.Space[Any]:
        declared = self.law_function("observations")
        if declared is not None:
            space = _as_space(declared(self.params), self.name)
        elif self.law_function("observation") is not None or self.is_wide():
            raise UsageError(
                f"{self.name} defines observation but not observations",
                expected="a static method observations(params) -> gymnasium.Space",
            )
        else:
            size = sum(field.size for field in self.layouts()[0].fields)
            space = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        if self.is_wide():
            if not isinstance(space, gym.spaces.Box):
                raise UsageError(f"the observation space of {self.name} is {space}", expected="a Box")
        elif space.shape is None or len(space.shape) > 1:
            raise UsageError(
                f"the observation space of {self.name} is {space}",
                expected="Discrete, MultiDiscrete, or a Box of one axis",
                hint="write wide observations entry by entry: observation_entry(params, view, k)",
            )
        return space

    @cached_property
    def packed(self) -> tuple[Any, ...]:
        """The packed world `P` every kernel takes first: parameters, purpose, counts."""
        _, params, purpose = self.layouts()
        self._register_observation()
        made: list[Any] = []
        for layout, value in ((params, self.params), (purpose, self.purpose)):
            floats, ints = layout.pack([value])
            made += [floats[:, 0].copy(), ints[:, 0].copy()]
        made.append(np.array([0 if self.continuous else self.num_actions], np.int64))
        # one flat tuple: parallel kernels cannot pass nested ones
        made += [*params.tables(self.params), *purpose.tables(self.purpose)]
        return tuple(made)

    def _register_observation(self) -> None:
        """Notes on the class how many numbers an observation has: part of what is compiled."""
        shape = self.observation_space.shape
        size = None if not shape else int(np.prod(shape))
        known = type(self).__dict__.get("_observation_size", "unknown")
        if known != "unknown" and known != size:
            raise UsageError(
                f"{self.name} observes {size} numbers with these settings and {known} with earlier ones",
                hint="make the number of observed values a constant of the class",
            )
        type(self)._observation_size = size  # type: ignore[attr-defined]

    def kernel(
        self,
        template: str,
        compiled: bool = True,
        arithmetic: Literal["exact", "fast"] = "exact",
        constants: Mapping[str, int | float | str | bool] | None = None,
    ) -> ModuleType:
        """Returns a kernel template bound to this world's law; `compiled=False` runs the same source in Python.

        `constants` replaces the values of module constants of the template.
        """
        from inscape.envs import compile as compiler

        _ = self.packed
        return compiler.kernel(type(self), template, compiled, arithmetic, constants)

    def require_probabilities(self) -> None:
        """Checks that outcomes sum to one at the start, in plain Python: cheap, and done once for these dynamics.

        Raises:
            UsageError: they do not, naming state, action and sum. (`inscape check` looks at many states.)
        """
        if self.initial_noise or "probabilities" in self._shared:
            return
        self._shared["probabilities"] = True
        initial, transition, legal = (self.law_function(name) for name in ("initial", "transition", "legal"))
        assert initial is not None
        assert transition is not None
        starts = [initial(self.params, b) for b in range(self._count("initial_branches"))]
        _require_one(sum(p for p, _ in starts), f"the initial states of {self.name}", "initial")
        state = next(state for p, state in starts if p > 0)
        if self.noise or self.continuous or self.simultaneous:
            return
        for action, name in enumerate(self.action_names):
            if legal is None or legal(self.params, state, action):
                total = sum(transition(self.params, state, action, b)[0] for b in range(self._count("branches")))
                _require_one(total, f"the outcomes of {self.name} in {state} under action {name!r}", "transition")

    def _count(self, name: str) -> int:
        function = self.law_function(name)
        return int(getattr(type(self), name) if function is None else function(self.params))

    # ------------------------------------------------------------------------------------ the other readers

    def env(
        self, render_mode: str | None = None, max_episode_steps: int | Literal["default"] | None = "default"
    ) -> LawEnv:
        """Returns this world as a `gymnasium.Env` with its own time limit (None: without one)."""
        from inscape.envs.gym_env import LawEnv

        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        return LawEnv(self, render_mode=render_mode, max_episode_steps=limit)

    @overload
    def vector_env(
        self,
        num_envs: int,
        autoreset: Autoreset = "next-step",
        max_episode_steps: int | Literal["default"] | None = "default",
        *,
        device: Literal["cpu"] = "cpu",
        **options: Any,
    ) -> LawVectorEnv: ...

    @overload
    def vector_env(
        self,
        num_envs: int,
        autoreset: Autoreset = "next-step",
        max_episode_steps: int | Literal["default"] | None = "default",
        *,
        device: str,
        **options: Any,
    ) -> LawVectorEnv | CudaVectorEnv: ...

    def vector_env(
        self,
        num_envs: int,
        autoreset: Autoreset = "next-step",
        max_episode_steps: int | Literal["default"] | None = "default",
        *,
        device: str = "cpu",
        **options: Any,
    ) -> LawVectorEnv | CudaVectorEnv:
        """Returns `num_envs` copies as a `gymnasium.vector.VectorEnv`.

        `device`: `"cpu"`: NumPy arrays; `"cuda"`: torch tensors that stay on the card (`CudaVectorEnv`); `"auto"`:
        the card if there is one.
        """
        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        if device not in ("auto", "cpu") and not device.startswith("cuda"):
            raise UsageError(f"device {device!r}", expected="auto, cpu, cuda, or one card, cuda:1")
        if device == "auto":
            from inscape.envs.cuda_compile import has_card

            device = "cuda" if has_card() else "cpu"
        if device == "cpu":
            from inscape.envs.vector_env import LawVectorEnv

            return LawVectorEnv(self, num_envs, autoreset=autoreset, max_episode_steps=limit, **options)
        from inscape.envs.cuda_env import CudaVectorEnv

        return CudaVectorEnv(self, num_envs, autoreset=autoreset, max_episode_steps=limit, device=device, **options)

    def aec_env(
        self, render_mode: str | None = None, max_episode_steps: int | Literal["default"] | None = "default"
    ) -> LawAECEnv:
        """Returns this world as a PettingZoo AEC environment: players act one after another."""
        from inscape.envs.pettingzoo_env import LawAECEnv

        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        return LawAECEnv(self, render_mode=render_mode, max_episode_steps=limit)

    def parallel_env(
        self, render_mode: str | None = None, max_episode_steps: int | Literal["default"] | None = "default"
    ) -> LawParallelEnv:
        """Returns this world as a PettingZoo Parallel environment: all players act at once."""
        from inscape.envs.pettingzoo_env import LawParallelEnv

        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        return LawParallelEnv(self, render_mode=render_mode, max_episode_steps=limit)

    def random_play(
        self,
        num_envs: int,
        steps: int,
        seed: int = 0,
        max_episode_steps: int | Literal["default"] | None = "default",
        threads: int | None = None,
        arithmetic: Literal["exact", "fast"] = "exact",
    ) -> RandomPlay:
        """Plays `num_envs` copies for `steps` steps each, uniformly among the legal actions, in compiled code.

        What a random policy earns is the floor of every comparison; and this is how fast the law runs.
        """
        from inscape.envs.random_play import random_play

        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        return random_play(self, num_envs, steps, seed, limit, threads, arithmetic)

    def dynamics(self, max_states: int = 1_000_000) -> Enumeration:
        """Returns the enumerated dynamics (kept for the next call)."""
        from inscape.envs.enumeration import enumerate_dynamics

        if "dynamics" not in self._shared:
            self._shared["dynamics"] = enumerate_dynamics(self, max_states=max_states)
        kept: Enumeration = self._shared["dynamics"]
        return kept

    def describe_state(self, states: States, index: int = 0) -> str:
        """Returns state number `index` in words."""
        return type(self).describe(self.params, self.purpose, self.unpack(states, index))

    def describe_seen(self, observations: np.ndarray) -> list[str] | None:
        """Returns what is perceived, in words, for each of `[B, ...]` observations; None where the world has no
        `describe_observation`."""
        words = self.law_function("describe_observation")
        if words is None:
            return None
        rows = (np.asarray(row).tolist() for row in observations)
        return [words(self.params, self.purpose, tuple(row) if isinstance(row, list) else row) for row in rows]

    def scene(self, states: States, index: int = 0) -> Scene:
        """Returns state number `index` as a scene."""
        return type(self).draw(self.params, self.purpose, self.unpack(states, index))

    def place_of(self, states: States, index: int = 0) -> tuple[float, float] | None:
        """Returns where state number `index` is in its scene."""
        return type(self).place(self.params, self.unpack(states, index))


def _variant(cls: type[World], attributes: dict[str, Any]) -> type[World]:
    """Returns the subclass of `cls` with these attributes, always the same one for the same attributes."""
    variants = cls.__dict__.get("_variants")
    if variants is None:
        variants = cls._variants = {}  # type: ignore[attr-defined]
    key = repr(sorted(attributes.items()))
    if key not in variants:
        variants[key] = type(cls.__name__, (cls,), {"__module__": cls.__module__, "__doc__": cls.__doc__, **attributes})
    made: type[World] = variants[key]
    return made


def _require_one(total: float, what: str, function: str) -> None:
    if not abs(total - 1) < 1e-9:
        raise UsageError(
            f"{what} have probabilities summing to {total:.9g}",
            expected="1",
            hint=f"fix `{function}`, or the number of its branches; inscape check looks at many states",
        )


def _as_space(declared: Any, name: str) -> gym.Space[Any]:
    """Returns what `observations` declared as a space; an int is Discrete, a tuple of ints MultiDiscrete."""
    if isinstance(declared, gym.Space):
        return declared
    if isinstance(declared, (int, np.integer)):
        return gym.spaces.Discrete(int(declared))
    if isinstance(declared, (tuple, list)) and all(isinstance(n, (int, np.integer)) for n in declared):
        return gym.spaces.MultiDiscrete(np.array(declared, np.int64))
    raise UsageError(
        f"observations of {name} returned {declared!r}",
        expected="a gymnasium Space, a number of values (Discrete), or one number per entry (MultiDiscrete)",
    )


def _coerce(value: Any, kind: str, length: int | None, where: str) -> Any:
    """Returns `value` as the field's kind, refusing what would change it (2.5 as an int, "a" as a float)."""
    if kind == "table":
        return np.asarray(value)
    if length is not None:
        if not isinstance(value, Sequence) or len(value) != length:
            raise UsageError(f"{where} = {value!r}", expected=f"{length} values")
        return tuple(_coerce(item, kind, None, where) for item in value)
    convert: dict[str, Any] = {"float": float, "int": int, "bool": bool}
    wanted = {"float": "a finite number", "int": "an integer", "bool": "True or False"}[kind]
    number = isinstance(value, (int, float, np.integer, np.floating, np.bool_)) and value == value
    if not number or convert[kind](value) != value or (kind == "float" and not np.isfinite(value)):
        raise UsageError(f"{where} = {value!r}", expected=wanted)
    return convert[kind](value)
