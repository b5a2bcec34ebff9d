"""`World`, the class users subclass: a law, and what each of its readers returns."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self, cast, overload

import numpy as np

from inscape import html
from inscape.envs.law.law import Cache, TablesInstead, variant_of
from inscape.envs.law.states import States
from inscape.envs.law.validation import require_well_formed
from inscape.envs.readers.batched import BatchedLaw
from inscape.errors import PartialObservationError, UnknownSettingError, UsageError, closest
from inscape.on_demand import without_cached_properties

if TYPE_CHECKING:
    from inscape.envs.readers.cuda_env import CudaVectorEnv
    from inscape.envs.readers.enumeration import Enumeration
    from inscape.envs.readers.gym_env import WorldEnv
    from inscape.envs.readers.pettingzoo_env import WorldAECEnv, WorldParallelEnv
    from inscape.envs.readers.random_play import RandomPlay
    from inscape.envs.readers.vector_env import WorldVectorEnv

Autoreset = Literal["next-step", "same-step", "disabled"]


class World(BatchedLaw):
    """A world: named-tuple types, a few constants, and the law functions; see `docs/architecture.md`.

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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "observation_space" in cls.__dict__:
            raise UsageError(
                f"{cls.__name__} defines observation_space, which is what readers ask of an instance",
                expected="a static method observations(params) -> gymnasium.Space",
            )

    def __new__(cls, **settings: Any) -> Self:
        sized = cls.sized(**settings)
        return object.__new__(variant_of(cls, sized, settings) if sized else cls)

    def __init__(self, **settings: Any) -> None:
        require_well_formed(type(self))
        known = self.setting_parameters()
        for name in settings:
            if name not in known:
                raise UnknownSettingError(
                    self.name,
                    name,
                    expected=", ".join(known) or "no settings at all",
                    hint=closest(name, known),
                )
        self.settings: dict[str, Any] = {name: p.default for name, p in known.items()} | settings
        self.params, self.purpose = self.setup(**self.settings)
        self._shared = Cache()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies what the world is made of; what was worked out from it is worked out again."""
        cls = type(self)
        return _without_state, vars(cls).get("_sized_from", (cls, None)), without_cached_properties(self)

    def env(
        self, render_mode: str | None = None, max_episode_steps: int | Literal["default"] | None = "default"
    ) -> WorldEnv:
        """Returns this world as a `gymnasium.Env` with its own time limit (None: without one)."""
        from inscape.envs.readers.gym_env import WorldEnv

        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        return WorldEnv(self, render_mode=render_mode, max_episode_steps=limit)

    @overload
    def vector_env(
        self,
        num_envs: int,
        autoreset: Autoreset = "next-step",
        max_episode_steps: int | Literal["default"] | None = "default",
        *,
        device: Literal["cpu"] = "cpu",
        **options: Any,
    ) -> WorldVectorEnv: ...

    @overload
    def vector_env(
        self,
        num_envs: int,
        autoreset: Autoreset = "next-step",
        max_episode_steps: int | Literal["default"] | None = "default",
        *,
        device: str,
        **options: Any,
    ) -> WorldVectorEnv | CudaVectorEnv: ...

    def vector_env(
        self,
        num_envs: int,
        autoreset: Autoreset = "next-step",
        max_episode_steps: int | Literal["default"] | None = "default",
        *,
        device: str = "cpu",
        **options: Any,
    ) -> WorldVectorEnv | CudaVectorEnv:
        """Returns `num_envs` copies as a `gymnasium.vector.VectorEnv`.

        `device`: `"cpu"`: NumPy arrays; `"cuda"`: torch tensors that stay on the GPU (`CudaVectorEnv`); `"auto"`:
        the GPU if there is one.
        """
        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        if device not in ("auto", "cpu") and not device.startswith("cuda"):
            raise UsageError(f"device {device!r}", expected="auto, cpu, cuda, or one GPU, cuda:1")
        if device == "auto":
            from inscape.envs.compile.cuda import has_card

            device = "cuda" if has_card() else "cpu"
        if device == "cpu":
            from inscape.envs.readers.vector_env import WorldVectorEnv

            return WorldVectorEnv(self, num_envs, autoreset=autoreset, max_episode_steps=limit, **options)
        from inscape.envs.readers.cuda_env import CudaVectorEnv

        return CudaVectorEnv(self, num_envs, autoreset=autoreset, max_episode_steps=limit, device=device, **options)

    def aec_env(
        self, render_mode: str | None = None, max_episode_steps: int | Literal["default"] | None = "default"
    ) -> WorldAECEnv:
        """Returns this world as a PettingZoo AEC environment: players act one after another."""
        from inscape.envs.readers.pettingzoo_env import WorldAECEnv

        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        return WorldAECEnv(self, render_mode=render_mode, max_episode_steps=limit)

    def parallel_env(
        self, render_mode: str | None = None, max_episode_steps: int | Literal["default"] | None = "default"
    ) -> WorldParallelEnv:
        """Returns this world as a PettingZoo Parallel environment: all players act at once."""
        from inscape.envs.readers.pettingzoo_env import WorldParallelEnv

        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        return WorldParallelEnv(self, render_mode=render_mode, max_episode_steps=limit)

    def _repr_html_(self) -> str:
        """Returns what a notebook shows: a picture of a start, settings, state, actions."""
        from inscape.envs.rendering.notebook import picture_of

        picture, failed = picture_of(self)
        fields = ", ".join(f"{name}: {_type_name(kind)}" for name, kind in self._state_fields())
        actions = ", ".join(self.action_names) if not self.continuous else f"{self.action_space}"
        rows: list[list[object]] = [["state", fields], ["actions", actions], ["observes", str(self.observation_space)]]
        if self.players > 1:
            rows.append(["players", ", ".join(self.agents)])
        rows += [[name, _shortened(value)] for name, value in self.settings.items()]
        return html.block(self.name, picture, html.table(("", ""), rows), note=failed)

    def _state_fields(self) -> list[tuple[str, Any]]:
        annotations = getattr(self.State, "__annotations__", {})
        return [(name, annotations.get(name, "")) for name in self.State._fields]  # type: ignore[attr-defined]

    def random_play(
        self,
        num_envs: int,
        steps: int,
        seed: int = 0,
        max_episode_steps: int | Literal["default"] | None = "default",
        threads: int | None = None,
        arithmetic: Literal["exact", "fast"] = "exact",
    ) -> RandomPlay:
        """Plays `num_envs` copies for `steps` steps each, uniformly among the legal actions (compiled, unless few).

        What a random policy earns is the floor of every comparison; and this is how fast the law runs.
        """
        from inscape.envs.readers.random_play import random_play

        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        return random_play(self, num_envs, steps, seed, limit, threads, arithmetic)

    def dynamics(self, max_states: int = 1_000_000) -> Enumeration:
        """Returns the enumerated dynamics (kept for the next call)."""
        if isinstance(self._shared, TablesInstead):
            return cast("Enumeration", self._shared.tables)
        from inscape.envs.readers.enumeration import enumerate_dynamics

        law = self.law_digest()
        known, kept = self._shared.get("dynamics", ("", None))
        if known != law:  # not enumerated yet, or the law was defined again
            kept = enumerate_dynamics(self, max_states=max_states)
            self._shared["dynamics"] = law, kept
        return cast("Enumeration", kept)

    def describe_seen(self, observations: np.ndarray) -> list[str] | None:
        """Returns what is perceived, as text, for each of `[B, ...]` observations; None where the world has no
        `describe_observation`."""
        words = self.law_function("describe_observation")
        if words is None:
            return None
        rows = (np.asarray(row).tolist() for row in observations)
        return [words(self.params, self.purpose, tuple(row) if isinstance(row, list) else row) for row in rows]

    def states_of(self, observations: np.ndarray) -> States:
        """Returns the states that `[B, ...]` observations, or one of them, determine.

        Raises:
            PartialObservationError: several states look the same, or no inverse is known.
        """
        observations = np.asarray(observations)
        if observations.ndim == len(self.observation_space.shape or ()):
            observations = observations[None]
        inverse = self.law_function("state_of")
        if inverse is not None:
            return self.pack([inverse(self.params, _plain(row)) for row in observations])
        if self.law_function("observation") is None and not self.is_wide():
            return self._states_of_fields(observations)
        lookup = self._observation_lookup
        found = []
        for row in observations:
            key = np.asarray(row, self.observation_space.dtype).tobytes()
            if key not in lookup:
                raise UsageError(f"observation {row!r} is not one {self.name} can give")
            found.append(lookup[key])
        return self.dynamics().states[np.array(found, np.int64)]

    def _states_of_fields(self, observations: np.ndarray) -> States:
        layout = self.layouts()[0]
        states = self.empty_states(len(observations))
        columns = observations.reshape(len(observations), -1)
        for column, (field, k) in enumerate((f, k) for f in layout.fields for k in range(f.size)):
            (states.floats if field.kind == "float" else states.ints)[field.row + k] = columns[:, column]
        return states

    @cached_property
    def _observation_lookup(self) -> dict[bytes, int]:
        if self.noise or self.initial_noise:
            raise PartialObservationError(
                f"the state of {self.name} is not determined by an observation",
                expected="a world with `state_of(params, observation)`",
            )
        lookup: dict[bytes, int] = {}
        seen = self.observe(self.dynamics().states)
        for index, row in enumerate(np.ascontiguousarray(seen)):
            if lookup.setdefault(row.tobytes(), index) != index:
                raise PartialObservationError(
                    f"several states of {self.name} give the observation {_plain(row)}",
                    expected="a world whose observation determines its state",
                    hint="plan on a belief, or use an agent that learns from observations",
                )
        return lookup


def _without_state(cls: type[World], sized_by: dict[str, Any] | None) -> World:
    """Returns an instance of a class, or of its variant for these settings, to be given its state."""
    return object.__new__(cls) if sized_by is None else cls.__new__(cls, **sized_by)


def _type_name(kind: Any) -> str:
    kind = getattr(kind, "__forward_arg__", kind)  # what a named tuple makes of an annotation that is a string
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)


def _shortened(value: Any) -> str:
    shown = f"array {value.shape}" if isinstance(value, np.ndarray) else repr(value)
    return shown if len(shown) <= 120 else shown[:117] + "…"


def _plain(row: Any) -> Any:
    return row.item() if np.ndim(row) == 0 else tuple(np.asarray(row).tolist())
