"""What reads a law, called on a world: environments, random play, enumeration, words and scenes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast, overload

import numpy as np

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.cuda_env import CudaVectorEnv
    from inscape.envs.enumeration import Enumeration
    from inscape.envs.gym_env import LawEnv
    from inscape.envs.law import World
    from inscape.envs.pettingzoo_env import LawAECEnv, LawParallelEnv
    from inscape.envs.random_play import RandomPlay
    from inscape.envs.scene import Scene
    from inscape.envs.states import States
    from inscape.envs.vector_env import LawVectorEnv

Autoreset = Literal["next-step", "same-step", "disabled"]


class LawReaders:
    """What a `World` hands to each of its readers, which are imported when they are asked for."""

    if TYPE_CHECKING:  # what `World` has
        params: Any
        purpose: Any
        max_episode_steps: ClassVar[int | None]
        _shared: dict[str, Any]

        @classmethod
        def law_function(cls, name: str) -> Callable[..., Any] | None: ...
        @staticmethod
        def describe(params: Any, purpose: Any, state: Any) -> str: ...
        @staticmethod
        def draw(params: Any, purpose: Any, state: Any) -> Scene: ...
        @staticmethod
        def place(params: Any, state: Any) -> tuple[float, float] | None: ...
        def unpack(self, states: States, index: int = 0) -> Any: ...

    @property
    def _world(self) -> World:
        return cast("World", self)

    def env(
        self, render_mode: str | None = None, max_episode_steps: int | Literal["default"] | None = "default"
    ) -> LawEnv:
        """Returns this world as a `gymnasium.Env` with its own time limit (None: without one)."""
        from inscape.envs.gym_env import LawEnv

        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        return LawEnv(self._world, render_mode=render_mode, max_episode_steps=limit)

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

            return LawVectorEnv(self._world, num_envs, autoreset=autoreset, max_episode_steps=limit, **options)
        from inscape.envs.cuda_env import CudaVectorEnv

        return CudaVectorEnv(
            self._world, num_envs, autoreset=autoreset, max_episode_steps=limit, device=device, **options
        )

    def aec_env(
        self, render_mode: str | None = None, max_episode_steps: int | Literal["default"] | None = "default"
    ) -> LawAECEnv:
        """Returns this world as a PettingZoo AEC environment: players act one after another."""
        from inscape.envs.pettingzoo_env import LawAECEnv

        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        return LawAECEnv(self._world, render_mode=render_mode, max_episode_steps=limit)

    def parallel_env(
        self, render_mode: str | None = None, max_episode_steps: int | Literal["default"] | None = "default"
    ) -> LawParallelEnv:
        """Returns this world as a PettingZoo Parallel environment: all players act at once."""
        from inscape.envs.pettingzoo_env import LawParallelEnv

        limit = self.max_episode_steps if max_episode_steps == "default" else max_episode_steps
        return LawParallelEnv(self._world, render_mode=render_mode, max_episode_steps=limit)

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
        return random_play(self._world, num_envs, steps, seed, limit, threads, arithmetic)

    def dynamics(self, max_states: int = 1_000_000) -> Enumeration:
        """Returns the enumerated dynamics (kept for the next call)."""
        from inscape.envs.enumeration import enumerate_dynamics

        law = self._world.law_digest()
        known, kept = self._shared.get("dynamics", ("", None))
        if known != law:  # not enumerated yet, or the law was defined again
            kept = enumerate_dynamics(self._world, max_states=max_states)
            self._shared["dynamics"] = law, kept
        return cast("Enumeration", kept)

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
