"""Copies of a curriculum's worlds: each in a setting of its own, stepped together where they share one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from inscape.envs.law.states import States
from inscape.envs.law.streams import stream_key, stream_keys, uniforms, words
from inscape.errors import UsageError
from inscape.rng import drawn_indices

if TYPE_CHECKING:
    from inscape.envs.tasks.curriculum.cells import Cell
    from inscape.envs.tasks.curriculum.teacher import Lessons
    from inscape.envs.world import World

Array = np.ndarray


class Tasks(Protocol):
    """What copies ask of the task that they are copies of: a `CurriculumTask`."""

    @property
    def lessons(self) -> Lessons: ...
    @property
    def cells(self) -> tuple[Cell, ...]: ...
    @property
    def observation_space(self) -> gym.Space[Any]: ...
    @property
    def action_space(self) -> gym.Space[Any]: ...
    @property
    def worlds(self) -> list[World]: ...
    def world_in(self, number: int, settings: Mapping[str, Any]) -> World: ...
    def limit_of(self, world: World) -> int | None: ...


class Copies:
    """B copies, each in an episode of some task of a curriculum.

    Copy i has the random stream (seed, i), its n-th episode a stream that follows from it. Which task an episode is in
    depends on the returns of all copies before it.

    Args:
        task: the curriculum and its world.
        count: B.

    Attributes:
        tasks: `[B]` number of the task that each copy is in.
        settings: of each copy.
        elapsed: `[B]` steps of the episode under way.
    """

    def __init__(self, task: Tasks, count: int) -> None:
        self.task, self.count = task, count
        self.tasks, self.elapsed = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.settings: list[dict[str, Any]] = [{} for _ in range(count)]
        self._keys, self._episodes = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._key = np.zeros(count, np.int64)  # of the episode under way
        self._returns = np.zeros(count)
        self._floats, self._ints = np.zeros((0, count)), np.zeros((0, count), np.int64)
        self._worlds: list[World] = [task.worlds[0]] * count
        self._groups: list[tuple[World, Array]] = []
        self.keyed = False

    def reseed(self, seed: int | Sequence[int | None] | None, first: int = 0) -> None:
        """Gives the copies the streams (seed, first), (seed, first + 1), …, or of a list (seed[i], 0); None leaves
        those there are.

        Raises:
            UsageError: the number of seeds is not that of copies.
        """
        if isinstance(seed, Sequence | np.ndarray):
            if len(seed) != self.count:
                raise UsageError(f"{len(seed)} seeds for {self.count} copies", expected="one seed per copy")
            if not self.keyed:
                self.reseed(None)
            for copy, own in enumerate(seed):
                if own is not None:
                    self._keys[copy], self._episodes[copy] = stream_key(int(own)), 0
            return
        if seed is None and self.keyed:
            return
        drawn = int(np.random.default_rng().integers(2**63)) if seed is None else int(seed)
        self._keys[:], self._episodes[:] = stream_keys(drawn, first + self.count)[first:], 0
        self.keyed = True

    def begin(self, which: Array) -> None:
        """Begins an episode in each of the copies `which`, in tasks that the teacher draws."""
        if not len(which):
            return
        self._key[which] = words(self._keys[which], self._episodes[which]).view(np.int64)
        self._episodes[which] += 1
        self._returns[which], self.elapsed[which] = 0.0, 0
        weights = np.tile(self.task.lessons.probabilities(), (len(which), 1))
        self.tasks[which] = drawn_indices(weights, self._numbers(which, 0))
        names = len(self.task.cells[0].parts)
        drawn = np.array([self._numbers(which, 1 + k) for k in range(names)])
        for k, copy in enumerate(which.tolist()):
            number = int(self.tasks[copy])
            self.settings[copy] = self.task.cells[number].settings(drawn[:, k].tolist())
            self._worlds[copy] = self.task.world_in(number, self.settings[copy])
        self._regroup()
        for world, own in self._groups:
            new = own[np.isin(own, which)]
            if len(new):
                self._write(
                    new, world.initial_with_keys(words(self._key[new], np.full(len(new), 1 + names)).view(np.int64))
                )

    def advance(self, actions: Any) -> tuple[Array, Array, Array, Array]:
        """Takes one step in every copy; notes the returns of episodes that ended.

        Returns:
            observations `[B, ...]` before any reset, rewards `[B]`, terminated and truncated `[B]`.

        Raises:
            UsageError: an action is out of range, or illegal.
        """
        actions = np.asarray(actions)
        if actions.shape[:1] != (self.count,):
            raise UsageError(f"actions of shape {actions.shape}", expected=f"{self.count} of them, one for each copy")
        rewards, terminated = np.zeros(self.count), np.zeros(self.count, np.bool_)
        truncated = np.zeros(self.count, np.bool_)
        self.elapsed += 1
        counters = len(self.task.cells[0].parts) + 1 + self.elapsed
        keys = words(self._key, counters).view(np.int64)
        for world, own in self._groups:
            states = self._read(world, own)
            _require_legal(world, states, actions[own], own)
            following, rewards[own], terminated[own] = world.step_with_keys(states, actions[own], keys[own])
            self._write(own, following)
            limit = self.task.limit_of(world)
            truncated[own] = limit is not None and self.elapsed[own] >= limit
        self._returns += rewards
        for copy in np.flatnonzero(terminated | truncated).tolist():
            self.task.lessons.note(int(self.tasks[copy]), float(self._returns[copy]))
        return self.observe(), rewards, terminated, truncated

    def observe(self) -> Array:
        """Returns what is observed, `[B, ...]`."""
        space = self.task.observation_space
        seen = np.zeros((self.count, *(space.shape or ())), space.dtype)
        for world, own in self._groups:
            seen[own] = world.observe(self._read(world, own))
        return seen

    def masks(self) -> Array | None:
        """Returns `[B, A]` bool, True where the action is legal; None where every one is."""
        if self.task.worlds[0].law_function("legal") is None:
            return None
        masks = np.zeros((self.count, self.task.worlds[0].num_actions), np.bool_)
        for world, own in self._groups:
            masks[own] = world.legal_actions(self._read(world, own))
        return masks

    def _numbers(self, which: Array, counter: int) -> Array:
        return uniforms(self._key[which], np.full(len(which), counter, np.int64))

    def _regroup(self) -> None:
        by_world: dict[int, tuple[World, list[int]]] = {}
        for copy, world in enumerate(self._worlds):
            by_world.setdefault(id(world), (world, []))[1].append(copy)
        self._groups = [(world, np.array(own)) for world, own in by_world.values()]

    def _read(self, world: World, own: Array) -> States:
        layout = world.layouts()[0]
        return States(self._floats[: layout.num_floats, own], self._ints[: layout.num_ints, own])

    def _write(self, own: Array, states: States) -> None:
        for name, rows in (("_floats", states.floats), ("_ints", states.ints)):
            kept = getattr(self, name)
            if len(rows) > len(kept):  # settings may decide how many numbers a state has
                kept = np.concatenate([kept, np.zeros((len(rows) - len(kept), self.count), kept.dtype)])
                setattr(self, name, kept)
            kept[: len(rows), own] = rows

    # ------------------------------------------------------------------------------------------- saving

    def state_dict(self) -> dict[str, Any]:
        """Returns everything the copies' future depends on, but the actions; the teacher's returns among it."""
        return {
            "states": {"floats": self._floats.copy(), "ints": self._ints.copy()},
            "tasks": self.tasks.copy(), "settings": [dict(own) for own in self.settings],
            "elapsed": self.elapsed.copy(), "returns": self._returns.copy(), "keyed": self.keyed,
            "keys": np.stack([self._keys, self._episodes, self._key]),
            "lessons": self.task.lessons.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state_dict()`.

        Raises:
            UsageError: it is of another number of copies, or of another curriculum.
        """
        tasks, keys = np.asarray(state["tasks"]), np.asarray(state["keys"])
        elapsed, returns = np.asarray(state["elapsed"]), np.asarray(state["returns"], np.float64)
        shape, number = (self.count,), len(self.task.cells)
        whole = all(one.shape == shape for one in (tasks, elapsed, returns)) and keys.shape == (3, self.count)
        kinds = all(one.dtype == np.int64 for one in (tasks, elapsed, keys))
        if not whole or not kinds or len(state["settings"]) != self.count or not np.isfinite(returns).all():
            raise UsageError(f"stored copies of shape {tasks.shape}", expected=f"{self.count}, of this curriculum")
        if (tasks < 0).any() or (tasks >= number).any() or (elapsed < 0).any() or (keys[1] < 0).any():
            raise UsageError("stored copies in tasks that there are not", expected=f"tasks 0 to {number - 1}")
        for task, settings in zip(tasks.tolist(), state["settings"], strict=True):
            if not self.task.cells[task].contains(settings):
                raise UsageError(f"a stored copy with {settings!r}"[:100], expected=self.task.cells[task].name)
        self.tasks[:], self.elapsed[:], self._returns[:] = tasks, elapsed, returns
        self._keys[:], self._episodes[:], self._key[:] = keys
        self.settings = [dict(own) for own in state["settings"]]
        self._worlds = [self.task.world_in(int(t), own) for t, own in zip(tasks, self.settings, strict=True)]
        self._regroup()
        floats, ints = np.array(state["states"]["floats"]), np.array(state["states"]["ints"])
        for world, own in self._groups:
            layout = world.layouts()[0]
            if ints.shape[1:] != shape or floats.shape[1:] != shape or len(floats) < layout.num_floats:
                raise UsageError(f"stored states of shapes {floats.shape}, {ints.shape}", expected=f"{shape[0]} copies")
            world.require_states(
                States(floats[: layout.num_floats, own], ints[: layout.num_ints, own]), "stored copies"
            )
        self._floats, self._ints, self.keyed = floats, ints, bool(state["keyed"])
        self.task.lessons.load_state_dict(state["lessons"])


def _require_legal(world: World, states: States, actions: Array, own: Array) -> None:
    """Raises `UsageError` where an action is illegal."""
    if world.law_function("legal") is None:
        return
    checked = world._action_array(actions, len(own))
    wrong = ~world.legal_actions(states)[np.arange(len(own)), checked]
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(
            f"copy {int(own[row])}: action {world.action_names[int(checked[row])]!r} is illegal at "
            f"{world.unpack(states, row)}",
            expected="an action where infos['action_mask'][copy] is True",
        )


class CurriculumVectorEnv(VectorEnv[Any, Any, Any]):
    """`num_envs` copies, each in a task of a curriculum; a copy whose episode ended begins the next in the same step.

    `infos["final_obs"]`, `infos["_final_obs"]` and `infos["action_mask"]` are as those of `WorldVectorEnv`.

    Args:
        task: the curriculum and its world.
        num_envs: B.
    """

    def __init__(self, task: Tasks, num_envs: int) -> None:
        if not isinstance(num_envs, int | np.integer) or num_envs < 1:
            raise UsageError(f"num_envs = {num_envs!r}", expected="an integer of at least 1")
        self.num_envs = int(num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space, self.single_action_space = task.observation_space, task.action_space
        self.observation_space = batch_space(task.observation_space, self.num_envs)
        self.action_space = batch_space(task.action_space, self.num_envs)
        self.copies = Copies(task, self.num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begins an episode in every copy. `seed` and `options["first_copy"]` are as those of `WorldVectorEnv`."""
        options = options or {}
        if unknown := set(options) - {"first_copy"}:
            raise UsageError(f"reset option {min(unknown)!r} of a curriculum's copies", expected="first_copy")
        self.copies.reseed(seed, int(options.get("first_copy", 0)))
        self.copies.begin(np.arange(self.num_envs))
        return self.copies.observe(), self._info()

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        if not self.copies.keyed:
            raise UsageError("step on copies of a curriculum before the first reset", hint="reset(seed=0)")
        observed, rewards, terminated, truncated = self.copies.advance(actions)
        over, info = terminated | truncated, {}
        if over.any():
            info = {"final_obs": observed, "_final_obs": over}
            self.copies.begin(np.flatnonzero(over))
            observed = self.copies.observe()
        return observed, rewards, terminated, truncated, {**self._info(), **info}

    def _info(self) -> dict[str, Any]:
        masks = self.copies.masks()
        return {} if masks is None else {"action_mask": masks}

    def state_dict(self) -> dict[str, Any]:
        """Returns everything the copies' future depends on, but the actions; for exact resume."""
        return self.copies.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict()`."""
        self.copies.load_state_dict(state)


class CurriculumEnv(gym.Env[Any, Any]):
    """One copy: each reset begins an episode in the task that the teacher draws.

    Args:
        task: the curriculum and its world.
    """

    def __init__(self, task: Tasks) -> None:
        self.observation_space, self.action_space = task.observation_space, task.action_space
        self.copies, self._over = Copies(task, 1), True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if options:
            raise UsageError(f"reset option {min(options)!r} of a curriculum's environment", expected="none")
        self.copies.reseed(seed)
        self.copies.begin(np.arange(1))
        self._over = False
        return self.copies.observe()[0], self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._over:
            raise UsageError("step after the episode's end, or before the first reset", hint="reset()")
        observed, rewards, terminated, truncated = self.copies.advance(np.asarray(action)[None])
        self._over = bool(terminated[0] | truncated[0])
        return observed[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), self._info()

    def _info(self) -> dict[str, Any]:
        masks = self.copies.masks()
        return {} if masks is None else {"action_mask": masks[0]}

    def state_dict(self) -> dict[str, Any]:
        """Returns everything its future depends on, but the actions; for exact resume."""
        return {**self.copies.state_dict(), "over": self._over}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict()`."""
        self.copies.load_state_dict(state)
        self._over = bool(state["over"])
