"""The law over batches of packed states, with explicit randomness: what models, planners and observers call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from types import ModuleType
from typing import Any, Literal

import gymnasium as gym
import numpy as np

from inscape.envs.compile import choice
from inscape.envs.compile import cpu as compiler
from inscape.envs.compile.choice import BATCH
from inscape.envs.law import streams
from inscape.envs.law.law import Law
from inscape.envs.law.spaces import observation_space_of
from inscape.envs.law.states import States
from inscape.envs.law.validation import require_probabilities
from inscape.envs.rendering.fields import default_scene
from inscape.envs.rendering.scene import Scene
from inscape.errors import MissingLawError, UsageError


class BatchedLaw(Law):
    """A law over many states at once; every method is one call of a kernel.

    It runs compiled, or as plain Python where compiling would take longer: `envs.compile.choice` decides.
    `compiled=True` and `False` ask for one of the two, whose results are the same.
    """

    @cached_property
    def observation_space(self) -> gym.Space[Any]:
        """The observation space the world declares; by default an unbounded Box over the state's scalars."""
        return observation_space_of(self)

    @cached_property
    def packed(self) -> tuple[Any, ...]:
        """The packed world `P` every kernel takes first: parameters, purpose, counts."""
        _, params, purpose = self.layouts()
        made: list[Any] = []
        for layout, value in ((params, self.params), (purpose, self.purpose)):
            floats, ints = layout.pack([value])
            made += [floats[:, 0].copy(), ints[:, 0].copy()]
        made.append(np.array([0 if self.continuous else self.num_actions], np.int64))
        # one flat tuple: parallel kernels cannot pass nested ones
        made += [*params.tables(self.params), *purpose.tables(self.purpose)]
        return tuple(made)

    @cached_property
    def compiled_law(self) -> type[Law]:
        """The class that is compiled for this world: its own, for observations of the size that these have."""
        shape = self.observation_space.shape
        return type(self).for_observations_of(int(np.prod(shape)) if shape else None)

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
        return compiler.kernel(self.compiled_law, template, compiled, arithmetic, constants)

    def _call(self, name: str, units: int, compiled: bool | None, *arguments: Any) -> Any:
        """Calls a function of the batch template on this world and `arguments`: `units` calls of the law or so."""
        return choice.call(self, BATCH, name, units, self.packed, *arguments, compiled=compiled)

    def pack(self, states: Iterable[Any]) -> States:
        """Returns `[B]` named-tuple states, packed."""
        return States(*self.layouts()[0].pack(list(states)))

    def as_states(self, given: Any) -> States:
        """Returns packed states of what stands for some: packed ones, one `State` (or a dictionary of its fields), or a
        list of them.

        Raises:
            UsageError: it is none of these, or a state of another world.
        """
        if type(given) is States:
            return given
        if isinstance(given, Mapping) and set(given) == set(self.State._fields):  # type: ignore[attr-defined]
            given = self.State(**given)
        rows = [given] if hasattr(given, "_fields") else list(given) if isinstance(given, (list, tuple)) else None
        fields = self.State._fields  # type: ignore[attr-defined]
        if not rows or any(getattr(row, "_fields", None) != fields for row in rows):
            shown = f"{len(given)} of them" if rows == [] else repr(given)[:80]
            raise UsageError(
                f"states of type {type(given).__name__} for {self.name}: {shown}",
                expected=f"a {type(self).__name__}.State({', '.join(fields)}), a list of them, or packed States",
                hint="world.pack([state, …]), or model.init(observations)",
            )
        return self.pack(rows)

    def unpack(self, states: States, index: int = 0) -> Any:
        """Returns state number `index` as the world's State."""
        return self.layouts()[0].unpack(states.floats, states.ints, index)

    def empty_states(self, count: int) -> States:
        layout = self.layouts()[0]
        return States(np.zeros((layout.num_floats, count)), np.zeros((layout.num_ints, count), np.int64))

    def sample_initial(self, count: int, rng: np.random.Generator, *, compiled: bool | None = None) -> States:
        """Draws `count` initial states."""
        return self.initial_with_keys(streams.random_keys(rng, count), compiled=compiled)

    def initial_with_keys(self, keys: np.ndarray, *, compiled: bool | None = None) -> States:
        """Draws an initial state for each of the `[B]` int64 stream keys: row i depends on key i alone."""
        states = self.empty_states(len(keys))
        self._call("sample_initials", len(keys), compiled, keys, states.floats, states.ints)
        return states

    def step(
        self, states: States, actions: np.ndarray, rng: np.random.Generator, *, compiled: bool | None = None
    ) -> tuple[States, np.ndarray, np.ndarray]:
        """Draws successors: `(next_states, reward [B] or [B, M], terminated [B])`. Terminal states absorb, reward 0.

        Here and below, one `State` stands for a batch of one (`as_states`), and so does its action.
        """
        states = self.as_states(states)
        return self.step_with_keys(states, actions, streams.random_keys(rng, len(states)), compiled=compiled)

    def step_with_keys(
        self, states: States, actions: np.ndarray, keys: np.ndarray, *, compiled: bool | None = None
    ) -> tuple[States, np.ndarray, np.ndarray]:
        """As `step`, with the stream key of each row given: row i depends on row i's key alone."""
        states = self.as_states(states)
        actions = self._action_array(actions, len(states))
        following = self.empty_states(len(states))
        rewards, ended = self._reward_array(len(states)), np.zeros(len(states), np.bool_)
        self._call(
            "steps", len(states), compiled,
            states.floats, states.ints, actions, keys, following.floats, following.ints, rewards, ended,
        )  # fmt: skip
        return following, rewards.T, ended

    def outcomes(
        self, states: States, actions: np.ndarray, *, compiled: bool | None = None
    ) -> tuple[np.ndarray, States]:
        """Returns every branch: `probability [B, N]` and next states, column b·N + n. Branches may coincide.

        Raises:
            MissingLawError: the law can only be sampled.
        """
        states = self.as_states(states)
        self.require_enumerable("outcomes")
        actions = self._action_array(actions, len(states))
        width = self.count_outcomes(compiled=compiled)[0]
        following = self.empty_states(len(states) * width)
        probability = np.zeros((len(states), width))
        self._call(
            "outcomes", len(states) * width, compiled,
            states.floats, states.ints, actions, width, probability, following.floats, following.ints,
        )  # fmt: skip
        return probability, following

    def initial_outcomes(self, *, compiled: bool | None = None) -> tuple[np.ndarray, States]:
        """Returns every branch of the initial distribution: `probability [N]` and `[N]` states."""
        if self.initial_noise:
            raise MissingLawError(
                f"the initial states of {self.name} can only be sampled",
                expected="a world with `initial(params, branch)`",
                hint="sample_initial(count, rng)",
            )
        width = self.count_outcomes(compiled=compiled)[1]
        states, probability = self.empty_states(width), np.zeros(width)
        self._call("initial_outcomes", width, compiled, probability, states.floats, states.ints)
        return probability, states

    def count_outcomes(self, *, compiled: bool | None = None) -> tuple[int, int]:
        """Returns how many branches a transition has, and how many the initial distribution."""
        transition, initial, _ = self._call("counts", 1, compiled)
        return int(transition), int(initial)

    def require_probabilities(self) -> None:
        """Checks that outcomes sum to one at the start, in plain Python: cheap, and done once for these dynamics.

        Raises:
            UsageError: they do not, naming state, action and sum. (`inscape check` looks at many states.)
        """
        law = self.law_digest()
        if self._shared.get("probabilities") != law:
            require_probabilities(self)
            self._shared["probabilities"] = law

    def law_digest(self) -> str:
        """Returns a digest of the law as it is now: its functions, and everything they reach."""
        return compiler.fingerprint(self.compiled_law)

    def require_enumerable(self, reader: str) -> None:
        """Raises MissingLawError unless the transition law can be enumerated."""
        if self.noise:
            raise MissingLawError(
                f"{reader} needs the outcomes of {self.name} with their probabilities, and its law can only be sampled",
                expected="a world with `transition(params, state, action, branch)`",
                hint="search by sampling: inscape plan, or a learned model: --model tabular",
            )

    def reward_of(
        self,
        states: States,
        actions: np.ndarray,
        next_states: States,
        purpose: Any = None,
        *,
        compiled: bool | None = None,
    ) -> np.ndarray:
        """Returns `[B]` (or `[B, M]`) rewards, under `purpose` if one is given."""
        states, next_states = self.as_states(states), self.as_states(next_states)
        world = self if purpose is None else self.with_purpose(purpose)
        rewards = self._reward_array(len(states))
        world._call(
            "rewards_of", len(states), compiled,
            states.floats, states.ints, self._action_array(actions, len(states)),
            next_states.floats, next_states.ints, rewards,
        )  # fmt: skip
        return rewards.T

    def terminal_of(self, states: States, purpose: Any = None, *, compiled: bool | None = None) -> np.ndarray:
        """Returns `[B]` bool: is the state terminal, under `purpose` if one is given."""
        states = self.as_states(states)
        world = self if purpose is None else self.with_purpose(purpose)
        ended = np.zeros(len(states), np.bool_)
        world._call("terminals", len(states), compiled, states.floats, states.ints, ended)
        return ended

    def observe(self, states: States, player: int | None = None, *, compiled: bool | None = None) -> np.ndarray:
        """Returns what is observed, `[B, ...]`.

        Several players: by `player`; None stands for the one who acts, and where all act at once for all of them,
        `[B, M, ...]`.
        """
        states = self.as_states(states)
        if player is not None and not 0 <= player < self.players:
            raise UsageError(f"player {player} of {self.name}", expected=f"0 to {self.players - 1}")
        if player is None or self.players == 1:
            out = self.observation_array(len(states))
            self._call("observations", len(states), compiled, states.floats, states.ints, out)
        else:
            out = self.observation_array(len(states), of_one=True)
            self._call("observations_of", len(states), compiled, states.floats, states.ints, player, out)
        return self.batch_first(out)

    def legal_actions(self, states: States, *, compiled: bool | None = None) -> np.ndarray:
        """Returns `[B, A]` bool, True where the action is legal (`[B, M, A]` where all players act at once)."""
        states = self.as_states(states)
        mask = self.mask_array(len(states))
        if self.law_function("legal") is not None:
            self._call("legals", mask.size, compiled, states.floats, states.ints, mask)
        return mask

    def mover_of(self, states: States, *, compiled: bool | None = None) -> np.ndarray:
        """Returns `[B]` int64: the player who acts (0 for a single player)."""
        states = self.as_states(states)
        player = np.zeros(len(states), np.int64)
        if self.law_function("mover") is not None:
            self._call("movers", len(states), compiled, states.floats, states.ints, player)
        return player

    def random_actions(self, states: States, rng: np.random.Generator) -> np.ndarray:
        """Draws an action per state uniformly among the legal ones: `[B]`, all at once `[B, M]`, continuous `[B, D]`.

        Raises:
            UsageError: some state has no legal action.
        """
        states = self.as_states(states)
        if self.continuous:
            return rng.uniform(self.action_low, self.action_high, (len(states), len(self.action_low)))
        legal = self.legal_actions(states)
        if not legal.any(-1).all():
            copy = int(np.argmin(legal.any(-1).reshape(len(states), -1).all(1)))
            raise UsageError(f"{self.name} has no legal action at {self.unpack(states, copy)}")
        # the largest of independent uniform numbers is equally likely to be any of the legal ones
        chosen: np.ndarray = np.where(legal, rng.random(legal.shape), -1.0).argmax(-1)
        return chosen

    def observation_array(self, count: int, of_one: bool = False) -> np.ndarray:
        """Returns an empty array kernels write observations to: `[B]` or `[n, B]`, batch axis last; wide ones `[B, n]`.

        Where all players act at once there is an axis for them, `[M, B]`, `[n, M, B]`, `[B, M, n]`, unless the
        observations are `of_one` player. `batch_first` gives it the shape users see.
        """
        shape = self.observation_space.shape
        assert shape is not None
        players = (self.players,) if self.simultaneous and not of_one else ()
        dtype = self.observation_space.dtype
        if self.is_wide():
            return np.empty((count, *players, int(np.prod(shape))), dtype)
        return np.empty((*shape, *players, count), dtype)

    def batch_first(self, observations: np.ndarray) -> np.ndarray:
        """Returns observations as kernels wrote them in the shape users see, `[B, ...]` or `[B, M, ...]` (a view)."""
        if self.is_wide():
            shape = self.observation_space.shape
            assert shape is not None
            return observations.reshape(*observations.shape[:-1], *shape)
        return observations.T

    def mask_array(self, count: int) -> np.ndarray:
        """Returns `[B, A]` (all at once: `[B, M, A]`) bool, all True."""
        players = (self.players,) if self.simultaneous else ()
        return np.ones((count, *players, 1 if self.continuous else self.num_actions), np.bool_)

    def _reward_array(self, count: int) -> np.ndarray:
        return np.zeros(count if self.players == 1 else (self.players, count))

    def _action_array(self, actions: np.ndarray, count: int, clip: bool = False) -> np.ndarray:
        """Returns actions as the kernels take them: int64 `[B]`, or `[B, M]`, or float64 `[B, D]`.

        Args:
            actions: what was given.
            count: B.
            clip: bring continuous actions out of bounds to the nearest bound, as Gymnasium's own environments do, whose
                action spaces hold float32: a bound of 0.1 is 0.10000000149 there.

        Raises:
            UsageError: wrong shape or dtype, out of range, or not a number; the first offending row is named.
        """
        array = np.asarray(actions)
        if self.continuous:
            shape: tuple[int, ...] = (count, len(self.action_low))
        else:
            shape = (count, self.players) if self.simultaneous else (count,)
        if count == 1 and array.shape == shape[1:]:
            array = array[None]  # of one state
        if array.shape != shape:
            raise UsageError(f"actions of shape {array.shape} for {self.name}", expected=f"shape {shape}")
        if self.continuous:
            if array.dtype.kind not in "fiu":
                raise UsageError(f"actions of dtype {array.dtype} for {self.name}", expected="floating-point actions")
            if clip:
                array = np.clip(array.astype(np.float64), self.action_low, self.action_high)  # NaN stays
            bad = ~((array >= self.action_low) & (array <= self.action_high))
            if bad.any():
                row, dim = np.argwhere(bad)[0]
                raise UsageError(
                    f"copy {row}: action {array[row].tolist()} for {self.name}",
                    expected=f"entry {dim} within [{self.action_low[dim]}, {self.action_high[dim]}]",
                )
            return np.ascontiguousarray(array, np.float64)
        if array.dtype.kind not in "iu":
            raise UsageError(
                f"actions of dtype {array.dtype} for {self.name}",
                expected=f"integers from 0 to {self.num_actions - 1}: {', '.join(self.action_names[:12])}",
            )
        array = np.ascontiguousarray(array, np.int64)
        # one comparison finds both ends: a negative number is huge as an unsigned one
        bad = array.view(np.uint64) >= np.uint64(self.num_actions)
        if bad.any():
            row = int(np.argwhere(bad)[0][0])
            raise UsageError(
                f"copy {row}: action {array[row].tolist()} for {self.name}",
                expected=f"an integer from 0 to {self.num_actions - 1}: {', '.join(self.action_names[:12])}",
            )
        return array

    def require_states(self, states: States, what: str = "stored states") -> None:
        """Raises UsageError unless states from a file are of this world: kernels do not check the bounds of a table.

        Shapes and types are compared, and the law is asked, in plain Python, what is observed in each state, whether
        it is terminal, and what is legal; that fails for a state that points outside of a table of the world.
        """
        layout = self.layouts()[0]
        floats, ints = np.asarray(states.floats), np.asarray(states.ints)
        if (
            (floats.dtype, ints.dtype) != (np.dtype(np.float64), np.dtype(np.int64))
            or floats.shape != (layout.num_floats, *floats.shape[1:2])
            or ints.shape != (layout.num_ints, floats.shape[1])
        ):
            raise UsageError(
                f"{what} of {self.name}: arrays of shape {floats.shape} {floats.dtype} and {ints.shape} {ints.dtype}",
                expected=f"({layout.num_floats}, count) float64 and ({layout.num_ints}, count) int64",
            )
        found = States(floats, ints)
        wrong = ""
        with np.errstate(all="ignore"):
            try:
                observed = self.observe(found, compiled=False)
                self.terminal_of(found, compiled=False)
                self.legal_actions(found, compiled=False)
            except (LookupError, ValueError, TypeError, ArithmeticError) as error:
                wrong = f"{type(error).__name__}: {error}"
            else:
                space = self.observation_space
                low = getattr(space, "start", 0)
                size = getattr(space, "n", getattr(space, "nvec", None))
                if size is not None and ((observed < low) | (observed >= low + size)).any():
                    wrong = f"an observation outside of {space}"
        if wrong:
            raise UsageError(
                f"{what} are not states of {self.name}: {wrong}", expected="states that this world, as it is, can be in"
            )

    # ------------------------------------------------------------------------------------ one state, shown

    @staticmethod
    def draw(params: Any, purpose: Any, state: Any) -> Scene:
        """Returns the state as a scene; by default a table of its fields."""
        return default_scene(state._asdict(), "")

    def describe_state(self, states: States, index: int = 0) -> str:
        """Returns state number `index` in words."""
        return type(self).describe(self.params, self.purpose, self.unpack(self.as_states(states), index))

    def scene(self, states: States, index: int = 0) -> Scene:
        """Returns state number `index` as a scene."""
        return type(self).draw(self.params, self.purpose, self.unpack(self.as_states(states), index))

    def place_of(self, states: States, index: int = 0) -> tuple[float, float] | None:
        """Returns where state number `index` is in its scene."""
        return type(self).place(self.params, self.unpack(self.as_states(states), index))
