"""Reads a world as pictures: what is observed is its drawing, in grey, the last few frames stacked.

    resolve_task("pixels:FrozenLake-firm", {"pixels": 48, "frames": 4})

Pictures of states drawn before are kept, so that a grid costs a look-up a step. Worlds that hide part of their state
show what the acting player sees of it (`draw_view`); those that do not say what that is are refused.

Source of the stack: Mnih et al. (2013), "Playing Atari with Deep Reinforcement Learning", arXiv:1312.5602, section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from inscape.envs.law.states import States
from inscape.envs.registry import PIXELS_PREFIX
from inscape.envs.tasks.task import Autoreset, Task
from inscape.errors import PartialObservationError, UsageError

if TYPE_CHECKING:
    from inscape.envs.readers.vector_env import WorldVectorEnv
    from inscape.envs.world import World

Array = np.ndarray
LUMINANCE = np.array([0.299, 0.587, 0.114])
"""How bright red, green and blue look (Rec. ITU-R BT.601)."""
KEPT_BYTES = 64 << 20
"""Memory for pictures kept; when it is full, it is emptied."""
DEFAULTS = {"pixels": 48, "frames": 4}


class Pictures:
    """Draws states as `[size, size]` uint8 grey pictures and keeps what it drew.

    Args:
        world: the law, of one player.
        size: pixels of each side; a world of other proportions is fitted into the middle.

    Raises:
        UsageError: several players; or a world that hides part of its state and does not say what is seen of it.
    """

    def __init__(self, world: World, size: int) -> None:
        if world.players > 1:
            raise UsageError(f"pictures of {world.name}, which has {world.players} players", expected="one player")
        self.world, self.size = world, size
        self._view: Any = getattr(type(world), "draw_view", None)
        if self._view is None:
            start = world.sample_initial(1, np.random.default_rng(0))
            try:
                world.states_of(world.observe(start))
            except PartialObservationError as error:
                raise UsageError(
                    f"{error.found}, and its drawing would show all of it",
                    expected="a world without secrets, or one that draws what is seen of it: draw_view",
                ) from error
        self._most = max(1, KEPT_BYTES // (size * size))
        self._clear()

    def __getstate__(self) -> dict[str, Any]:
        """Returns what is drawn, without what was: that is drawn again."""
        return {"world": self.world, "size": self.size, "_most": self._most}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._view = getattr(type(self.world), "draw_view", None)
        self._clear()

    def _clear(self) -> None:
        self._kept = np.zeros((0, self.size, self.size), np.uint8)
        self._hashes, self._order = np.zeros(0, np.uint64), np.zeros(0, np.int64)  # sorted, and which picture
        self._states = np.zeros((0, 0), np.uint64)

    def __call__(self, states: States) -> Array:
        """Returns `[B, size, size]` pictures of `B` states."""
        rows = np.concatenate([states.floats.view(np.uint64), states.ints.view(np.uint64)]).T
        hashes = _hashes(rows)
        if len(self._states) and self._states.shape[1] != rows.shape[1]:
            raise UsageError(f"states of {rows.shape[1]} numbers", expected=f"{self._states.shape[1]}")
        found = self._find(rows, hashes)
        missing = np.flatnonzero(found < 0)
        if not len(missing):
            return np.asarray(self._kept[found])
        _, first = np.unique(hashes[missing], return_index=True)
        drawn = missing[np.sort(first)]
        new = np.stack([self._draw(states, int(i)) for i in drawn])
        if len(self._kept) + len(new) > self._most:
            self._clear()
        if len(new) <= self._most:
            self._keep(rows[drawn], hashes[drawn], new)
        found = self._find(rows, hashes)
        pictures = (
            self._kept[np.maximum(found, 0)] if len(self._kept) else np.zeros((len(rows), *new.shape[1:]), np.uint8)
        )
        # two states of one hash, or more of them at once than are kept
        for i in np.flatnonzero(found < 0):
            pictures[i] = self._draw(states, int(i))
        return pictures

    def _find(self, rows: Array, hashes: Array) -> Array:
        """Returns `[B]` which picture kept shows each state; −1 if none does."""
        if not len(self._hashes):
            return np.full(len(rows), -1)
        place = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        candidate = self._order[place]
        return np.where((self._states[candidate] == rows).all(axis=1), candidate, -1)

    def _keep(self, rows: Array, hashes: Array, pictures: Array) -> None:
        before = len(self._kept)
        self._kept = np.concatenate([self._kept, pictures])
        self._states = np.concatenate([self._states, rows]) if before else rows
        number = np.concatenate([self._order, np.arange(before, before + len(rows))])
        every = np.concatenate([self._hashes, hashes])
        order = np.argsort(every, kind="stable")
        self._hashes, self._order = every[order], number[order]

    def _draw(self, states: States, i: int) -> Array:
        from inscape.envs.rendering.rasterizer import render_scene  # imports pygame

        world = self.world
        if self._view is not None:
            scene = self._view(world.params, world.purpose, world.unpack(states, i))
        else:
            scene = world.scene(states, i)
        colours = render_scene(scene, self.size, self.size)
        grey: Array = np.rint(colours @ LUMINANCE).astype(np.uint8)
        return grey


def _hashes(rows: Array) -> Array:
    """Returns `[B]` a number for each row of `[B, N]` uint64, by the finaliser of SplitMix64 (Steele et al. 2014)."""
    mixed = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        mixed = (mixed ^ column) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed


class PixelVectorEnv(VectorEnv[Any, Any, Any]):
    """`num_envs` copies of a world, observed as `[B, frames, size, size]` uint8 pictures, oldest frame first.

    Trajectories are the same as without pictures. An episode begins with its first picture in every frame. Same-step
    autoreset: `infos["final_obs"]` `[B, ...]`, rows valid where `infos["_final_obs"]`.

    Args:
        world: the law.
        num_envs: B.
        autoreset: `"same-step"` or `"next-step"`.
        max_episode_steps: the time limit, or None.
        pictures: what draws.
        frames: how many are stacked.
    """

    def __init__(
        self,
        world: World,
        num_envs: int,
        autoreset: Autoreset,
        max_episode_steps: int | None,
        pictures: Pictures,
        frames: int,
    ) -> None:
        self.env: WorldVectorEnv = world.vector_env(num_envs, autoreset, max_episode_steps)
        self._same_step = autoreset == "same-step"
        # the last state of an episode is gone with the step that resets: it is stepped to once more
        self._ending: WorldVectorEnv = world.vector_env(num_envs, "disabled", max_episode_steps)
        self.num_envs, self._pictures = num_envs, pictures
        self.metadata = self.env.metadata
        self.single_observation_space = picture_space(pictures.size, frames)
        self.single_action_space = self.env.single_action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = self.env.action_space
        self._stack = np.zeros(self.observation_space.shape or (), np.uint8)
        self._ended = np.zeros(num_envs, np.bool_)

    @property
    def states(self) -> States:
        """The current states, packed, `[., B]` (a copy)."""
        return self.env.states

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes; seed and options are those of the world's own copies."""
        _, info = self.env.reset(seed=seed, options=options)
        begun = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_)))
        self._begin(begun)
        self._ended &= ~begun
        return self._stack.copy(), info

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        before = self.env.state_dict() if self._same_step else None
        _, reward, terminated, truncated, info = self.env.step(actions)
        ended = terminated | truncated
        states = self.env.states
        if before is not None and ended.any():
            self._ending.load_state_dict(before)
            self._ending.step(actions)
            states = self._ending.states
        self._stack = np.concatenate([self._stack[:, 1:], self._pictures(states)[:, None]], axis=1)
        if before is None:
            self._begin(self._ended)
        elif ended.any():
            info = {**info, "final_obs": self._stack.copy(), "_final_obs": ended}
            self._begin(ended)
        self._ended = ended
        return self._stack.copy(), reward, terminated, truncated, info

    def _begin(self, copies: Array) -> None:
        """Fills every frame of these copies with the picture of the current state."""
        if copies.any():
            self._stack[copies] = self._pictures(self.env.states[copies])[:, None]

    def state_dict(self) -> dict[str, Any]:
        """Returns everything the copies' future depends on, but the actions; for exact resume."""
        return {"env": self.env.state_dict(), "stack": self._stack.copy(), "ended": self._ended.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state_dict()`.

        Raises:
            UsageError: the state is of another number of copies, another world or other pictures.
        """
        stack = np.array(state["stack"])
        if stack.shape != self._stack.shape:
            raise UsageError(f"stored pictures of shape {stack.shape}", expected=f"{self._stack.shape}")
        self.env.load_state_dict(state["env"])
        self._stack, self._ended = stack, np.array(state["ended"])


class PixelEnv(gym.Wrapper[Any, Any, Any, Any]):
    """One copy of a world, observed as `[frames, size, size]` uint8 pictures, oldest frame first.

    Args:
        env: the world as a Gymnasium environment.
        pictures: what draws.
        frames: how many are stacked.
    """

    def __init__(self, env: gym.Env[Any, Any], pictures: Pictures, frames: int) -> None:
        super().__init__(env)
        self.observation_space = picture_space(pictures.size, frames)
        self._pictures = pictures
        self._stack = np.zeros(self.observation_space.shape or (), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts a new episode."""
        _, info = self.env.reset(seed=seed, options=options)
        self._stack = np.repeat(self._picture(), len(self._stack), axis=0)
        return self._stack.copy(), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        _, reward, terminated, truncated, info = self.env.step(action)
        self._stack = np.concatenate([self._stack[1:], self._picture()])
        return self._stack.copy(), reward, terminated, truncated, info

    def _picture(self) -> Array:
        return self._pictures(self.env.unwrapped.states)  # type: ignore[attr-defined]


def picture_space(size: int, frames: int) -> gym.spaces.Box:
    """Returns the space of `[frames, size, size]` uint8 pictures."""
    return gym.spaces.Box(0, 255, (frames, size, size), np.uint8)


@dataclass(frozen=True, eq=False)
class PixelTask(Task):
    """A world as one meets it who sees its drawing. Its law takes no pictures, so `world` is None.

    Attributes:
        whole: the task whose drawing is seen.
        size: pixels of each side.
        frames: how many are stacked.
    """

    whole: Task
    size: int
    frames: int

    @cached_property
    def pictures(self) -> Pictures:
        """What draws, and keeps what it drew, for all copies of this task."""
        assert self.whole.world is not None
        return Pictures(self.whole.world, self.size)

    @cached_property
    def _spaces(self) -> tuple[gym.Space[Any], gym.Space[Any]]:
        return picture_space(self.size, self.frames), self.whole.action_space

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return self.whole.action_names

    def no_workers(self) -> str:
        """Returns why its copies cannot be divided over worker processes."""
        return "a world is drawn for all copies at once"

    def env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Returns one environment, its time limit included; what it renders is in colour and of any size."""
        return PixelEnv(self.whole.env(render_mode), self.pictures, self.frames)

    def vector_env(self, num_envs: int, autoreset: Autoreset = "same-step") -> VectorEnv[Any, Any, Any]:
        """Returns `num_envs` copies, time limit included."""
        assert self.whole.world is not None
        return PixelVectorEnv(self.whole.world, num_envs, autoreset, self.max_episode_steps, self.pictures, self.frames)


def pixel_task(whole: Task, settings: Mapping[str, Any]) -> PixelTask:
    """Returns the task `pixels:WORLD`.

    Args:
        whole: the task of the world itself.
        settings: `pixels` (of each side, 48), `frames` (stacked, 4).

    Raises:
        UsageError: not an Inscape world; a size or number out of range; a world that cannot be shown (see `Pictures`).
    """
    own = {**DEFAULTS, **settings}
    for key, (low, high) in {"pixels": (8, 512), "frames": (1, 16)}.items():
        if not isinstance(own[key], (int, np.integer)) or not low <= own[key] <= high:
            raise UsageError(f"{key} = {own[key]!r}", expected=f"an integer from {low} to {high}")
    if whole.world is None:
        raise UsageError(
            f"pictures of {whole.name}",
            expected="an Inscape world",
            hint="an environment with pictures of its own needs no reader; see gymnasium.wrappers.AddRenderObservation",
        )
    full = PIXELS_PREFIX + whole.name
    given = {**whole.settings, **settings}
    task = PixelTask(full, None, given, whole.max_episode_steps, whole, int(own["pixels"]), int(own["frames"]))
    _ = task.pictures  # a world that cannot be shown is reported here
    return task
