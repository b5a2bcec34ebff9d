"""Reads a world as a `gymnasium.Env`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from inscape.envs.catalogue import RENDERING
from inscape.envs.compile.choice import entry
from inscape.envs.law.states import States
from inscape.envs.readers.copies import STEPPING, PackedCopies
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.readers.batched import BatchedLaw
    from inscape.envs.rendering.rasterizer import Window

ARROWS = {"right": 1073741903, "left": 1073741904, "down": 1073741905, "up": 1073741906}
"""Key codes of SDL, as pygame has them."""
SINGLE = "inscape.envs.kernels.single"
INFINITY = float("inf")
NOT_RUNNING = 1  # a status of the single template; any other but 0 is an illegal action


def require_single_player(world: BatchedLaw, reader: str) -> None:
    """Raises UsageError for a world of several players."""
    if world.players > 1:
        raise UsageError(
            f"{world.name} has {world.players} players, and {reader} serves one",
            expected="a world for one player",
            hint=f"several players: world.{'parallel' if world.simultaneous else 'aec'}_env() for PettingZoo, or "
            "world.vector_env(num_envs) for many copies",
        )


def initial_of(world: BatchedLaw, state: Any) -> States:
    """Returns a start state given by a user (a State, or its values in order) as packed states."""
    if isinstance(state, States):
        return state
    cls = world.State
    fields = cls._fields  # type: ignore[attr-defined]
    if not isinstance(state, cls):
        values = list(state) if isinstance(state, (list, tuple)) or np.ndim(state) else [state]
        if len(values) != len(fields):
            raise UsageError(f"start state {state!r} for {world.name}", expected=f"{len(fields)} values: {fields}")
        state = cls(*values)
    return world.pack([state])


class LegalDiscrete(gym.spaces.Discrete):
    """The actions of an environment that forbids some in some states: `sample()` draws a legal one.

    So that tools that know nothing of masks (Gymnasium's and SB3's checkers, a random policy) act within the rules.

    Args:
        n: number of actions.
        mask: `[n]` bool, kept up to date by the environment.
        at_start: `[n]` bool, legal wherever an episode may start: what the first sample after `seed` draws from, since
            the tools that seed a space draw an action and then reset.
    """

    def __init__(self, n: int, mask: np.ndarray, at_start: np.ndarray) -> None:
        super().__init__(n)
        self._legal, self._at_start = mask, at_start
        self._just_seeded = False

    def seed(self, seed: int | None = None) -> int:
        self._just_seeded = True
        return super().seed(seed)

    def sample(self, mask: Any = None, probability: Any = None) -> np.int64:
        legal = self._at_start if self._just_seeded else self._legal
        if mask is None and probability is None and legal.any():
            mask = legal.astype(np.int8)
        action = super().sample(mask=mask, probability=probability)
        self._just_seeded = False  # a space that nobody seeded seeds itself as it draws
        return action


class WorldEnv(gym.Env[Any, Any]):
    """One copy of a world as a Gymnasium environment.

    Copy 0 of seed s: the same life as copy 0 of a vector environment reset with that seed.

    Args:
        world: the law.
        render_mode: None, `"rgb_array"`, `"human"` (a pygame window) or `"ansi"` (text).
        max_episode_steps: the time limit, or None; truncation never sets `terminated`.

    `reset(options={"state": …})` starts from a given state. `info["action_mask"]` `[A]` bool is present where the
    world restricts actions.
    """

    metadata: dict[str, Any] = RENDERING

    def __init__(self, world: BatchedLaw, render_mode: str | None = None, max_episode_steps: int | None = None) -> None:
        require_single_player(world, "a Gymnasium environment")
        world.require_probabilities()
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise UsageError(f"render_mode {render_mode!r}", expected="None, 'human', 'rgb_array' or 'ansi'")
        self.world = world
        self.render_mode = render_mode
        self.max_episode_steps = max_episode_steps
        self.action_space = world.action_space
        self.observation_space = world.observation_space
        self._packed = world.packed
        self._copies = PackedCopies.empty(world, 1)
        self._floats, self._ints = self._copies.floats, self._copies.ints
        obs = world.observation_array(1)
        self._scalar = obs.ndim == 1
        self._obs_shape: tuple[int, ...] = (1,) if self._scalar else self.observation_space.shape or ()
        self._obs_dtype = obs.dtype
        self._restricts = world.law_function("legal") is not None
        self._mask = world.mask_array(1)
        if self._restricts:
            starts = world.sample_initial(64, np.random.default_rng(0))
            self.action_space = LegalDiscrete(
                world.num_actions, self._mask[0], np.asarray(world.legal_actions(starts).all(0))
            )
        self._everyone = np.ones(1, np.bool_)
        self._num_actions = 0 if world.continuous else world.num_actions
        self._limit = max_episode_steps or 0
        copies = self._packed, self._floats, self._ints
        self._reset: Callable[..., Any] = entry(
            world, STEPPING, "reset", (*copies, self._everyone, obs), lambda compiled: setattr(self, "_reset", compiled)
        )
        any_action = tuple(world.action_low) if world.continuous else 0
        self._step: Callable[..., Any] = entry(
            world, SINGLE, "step", (*copies, any_action, obs.reshape(self._obs_shape), self._mask, 0),
            lambda compiled: setattr(self, "_step", compiled),
        )  # fmt: skip
        self._window: Window | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Returns all but compiled code and the window."""
        left_out = ("_packed", "_reset", "_step", "_window")
        return {name: value for name, value in vars(self).items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        WorldEnv.__init__(self, state["world"], state["render_mode"], state["max_episode_steps"])
        vars(self).update(state)
        if isinstance(self.action_space, LegalDiscrete):
            self.action_space._legal = self._mask[0]  # a view: what is legal is what the mask says

    @property
    def states(self) -> States:
        """The current state, packed, a batch of one."""
        return self._copies.states.copy()

    @property
    def state(self) -> Any:
        """The current state as the world's named tuple."""
        return self.world.unpack(self.states)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None or not self._copies.keyed:
            self._copies.reseed(seed if seed is not None else int(self.np_random.integers(2**63)))
        obs = self.world.observation_array(1)
        self._reset(self._packed, self._floats, self._ints, self._everyone, obs)
        if options and "state" in options:
            states = initial_of(self.world, options["state"])
            self._copies.set_states(states)
            obs[...] = self.world.observe(states).reshape(obs.shape)
        if self.render_mode == "human":
            self.render()
        infos = {}
        if self._restricts:
            self._mask[:] = self.world.legal_actions(self.states)
            infos["action_mask"] = self._mask[0].copy()
        return obs[0] if self._scalar else obs.reshape(self._obs_shape), infos

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if type(action) is np.int64:  # what a policy's argmax gives
            action = int(action)
        if type(action) is not int or not 0 <= action < self._num_actions:
            action = self._as_law_takes(action)
        obs = np.empty(self._obs_shape, self._obs_dtype)
        status, reward, terminated, truncated = self._step(
            self._packed, self._floats, self._ints, action, obs, self._mask, self._limit
        )
        if status:
            self._refuse(status, action)
        if not -INFINITY < reward < INFINITY:  # NaN compares with nothing
            raise UsageError(
                f"{self.world.name} gave the reward {reward} for action {action}, which led to "
                f"{self.world.unpack(self.states)}",
                expected="a finite number",
                hint="fix `reward`: inscape check",
            )
        if self.render_mode == "human":
            self.render()
        infos = {"action_mask": self._mask[0].copy()} if self._restricts else {}
        return obs[0] if self._scalar else obs, reward, terminated, truncated, infos

    def _as_law_takes(self, action: Any) -> Any:
        """Returns an action given as an array, or as something continuous, as the law takes it.

        Raises:
            UsageError: it is of the wrong type or shape, a discrete one out of range, or not a number. Continuous ones
                out of bounds are clipped.
        """
        row = self.world._action_array(np.asarray(action)[None], 1, clip=True)[0]
        return tuple(row.tolist()) if self.world.continuous else int(row)

    def _refuse(self, status: int, action: Any) -> None:
        if status == NOT_RUNNING:
            raise UsageError(
                f"step on {self.world.name} after the episode's end, or before the first reset",
                expected="a running episode",
                hint="call reset() first",
            )
        raise UsageError(
            f"action {self.world.action_names[action]!r} is illegal in {self.world.name} at {self.state}",
            expected="an action where info['action_mask'] is True",
        )

    def action_masks(self) -> np.ndarray:
        """Returns `[A]` bool, True where the action is legal now: what `MaskablePPO` of sb3-contrib asks for.

        Raises:
            UsageError: actions are continuous.
        """
        if self.world.continuous:
            raise UsageError(f"action masks of {self.world.name}, whose actions are continuous")
        return np.asarray(self._mask[0].copy() if self._restricts else np.ones(self._num_actions, np.bool_))

    def get_keys_to_action(self) -> dict[tuple[int, ...], int]:
        """Returns the keys of `gymnasium.utils.play`: arrows for directions, else the digits, then letters.

        Raises:
            UsageError: actions are continuous.
        """
        if self.world.continuous:
            raise UsageError(
                f"keys for {self.world.name}, whose actions are continuous", hint=f"inscape play {self.world.name}"
            )
        keys: dict[tuple[int, ...], int] = {}
        others = [ord(key) for key in "0123456789abcdefghijklmnoprstuvwxyz"]  # q ends some programs
        for action, name in enumerate(self.world.action_names):
            key = ARROWS.get(name.lower()) or (ord(name) if name.isdigit() and len(name) == 1 else 0)
            if not key or (key,) in keys:
                key = next((other for other in others if (other,) not in keys), 0)
            if key:
                keys[(key,)] = action
        return keys

    def render(self) -> Any:
        """Returns the picture `[H, W, 3]` uint8 (`"rgb_array"`), the text (`"ansi"`), or shows a window (`"human"`).

        Raises:
            UsageError: the environment was made without a render mode.
        """
        if self.render_mode is None:
            raise UsageError("render() without a render mode", hint='make the environment with render_mode="rgb_array"')
        if self.render_mode == "ansi":
            return self.world.describe_state(self.states)
        from inscape.envs.rendering import rasterizer as rendering

        scene = self.world.scene(self.states)
        if self.render_mode == "rgb_array":
            return rendering.render_scene(scene)
        if self._window is None:
            self._window = rendering.Window(self.world.name, fps=self.metadata["render_fps"])
        self._window.show(scene)
        return None

    def close(self) -> None:
        if self._window is not None:
            self._window.close()
            self._window = None

    def state_dict(self) -> dict[str, Any]:
        """Returns everything the environment's future depends on, but the actions."""
        return self._copies.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict()`.

        Raises:
            UsageError: the state is that of another world.
        """
        self._copies.load_state_dict(state)
