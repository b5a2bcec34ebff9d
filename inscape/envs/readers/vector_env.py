"""Reads a world as a `gymnasium.vector.VectorEnv`: many copies, one kernel call per step, no Python per copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, cast

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from inscape.envs.catalogue import RENDERING
from inscape.envs.compile import choice
from inscape.envs.compile.adapter import view_layout
from inscape.envs.compile.kernel_cache import entry_point
from inscape.envs.compile.threads import block_count, is_forked, one_thread_after_fork
from inscape.envs.kernels.step_arrays import StepMemory
from inscape.envs.law.states import States
from inscape.envs.readers.copies import STEPPING, PackedCopies
from inscape.envs.readers.gym_env import initial_of
from inscape.envs.readers.outputs import Outputs
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.readers.batched import BatchedLaw

MODES = {
    "next-step": (0, AutoresetMode.NEXT_STEP),
    "same-step": (1, AutoresetMode.SAME_STEP),
    "disabled": (2, AutoresetMode.DISABLED),
}
# Below this many copies waking the other threads costs more than they save (4,096 copies: 33 M steps/s on two threads,
# 65 M on one).
PARALLEL_FROM = 8192
FEW_COPIES = 4
"""Copies up to which steps are plain Python until compiling is worth it; more are there to be stepped often."""


RENDER_MODES = ("rgb_array", "ansi")


def _named_autoreset(mode: AutoresetMode | str) -> Literal["next-step", "same-step", "disabled"]:
    """Returns our name of one of Gymnasium's modes, given as such, by its name or by its value."""
    for name, (_, known) in MODES.items():
        if mode in (known, known.name, known.value, name):
            return cast('Literal["next-step", "same-step", "disabled"]', name)
    raise UsageError(f"autoreset_mode {mode!r}", expected=", ".join(f"{known}" for _, known in MODES.values()))


def _batched(space: gym.Space[Any], shape: tuple[int, ...]) -> gym.Space[Any]:
    """Returns the space of arrays of `space`'s values, `[*shape, ...]`."""
    for count in reversed(shape):
        space = batch_space(space, count)
    return space


class WorldVectorEnv(gym.vector.VectorEnv[Any, Any, Any]):
    """`num_envs` copies of a world, stepped together.

    Several players: rewards are `[B, M]`. In turn, actions `[B]` are those of the players `infos["mover"]` `[B]`, who
    also observe; all at once, actions are `[B, M]`, observations `[B, M, ...]` and masks `[B, M, A]`.

    Copy i of seed s produces the same trajectory whatever `num_envs` is. Observations, rewards `[B]` float64 and flags
    `[B]` bool are fresh arrays at each step (observations of several numbers are `[B, n]` views of batch-last memory).

    Args:
        world: the law.
        num_envs: B.
        autoreset: `"next-step"` (Gymnasium's default), `"same-step"` (the final observations are
            `infos["final_obs"]` `[B, ...]`, rows valid where `infos["_final_obs"]`), or `"disabled"` (reset finished
            copies with `reset(options={"reset_mask": mask})`).
        max_episode_steps: the time limit, or None.
        threads: number of threads; None for one per core where it pays.
        arithmetic: `"exact"` (the bits of plain Python, and of Gymnasium where the world promises it) or `"fast"`:
            sine and cosine as polynomials and fused operations, the same to about one unit in the last place per step.
        render_mode: None, `"rgb_array"` or `"ansi"`: what `render` returns of each copy.
        autoreset_mode: the same as `autoreset`, as Gymnasium has it (`AutoresetMode.SAME_STEP` or "SameStep").

    Attributes:
        autoreset_mode: the `gymnasium.vector.AutoresetMode` in force.
        render_mode: as given.
    """

    def __init__(
        self,
        world: BatchedLaw,
        num_envs: int,
        autoreset: Literal["next-step", "same-step", "disabled"] = "next-step",
        max_episode_steps: int | None = None,
        threads: int | None = None,
        arithmetic: Literal["exact", "fast"] = "exact",
        render_mode: Literal["rgb_array", "ansi"] | str | None = None,
        autoreset_mode: AutoresetMode | str | None = None,
    ) -> None:
        world.require_probabilities()
        if autoreset_mode is not None:
            autoreset = _named_autoreset(autoreset_mode)
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise UsageError(
                f"render_mode {render_mode!r} for copies of {world.name}", expected=f"None or one of {RENDER_MODES}",
                hint="a window shows one copy: gym.make",
            )  # fmt: skip
        if autoreset not in MODES:
            raise UsageError(f"autoreset {autoreset!r}", expected=", ".join(MODES))
        if not isinstance(num_envs, (int, np.integer)) or num_envs < 1:
            raise UsageError(f"num_envs = {num_envs!r}", expected="an integer of at least 1")
        self.world = world
        self._made_with = num_envs, autoreset, max_episode_steps, threads, arithmetic, render_mode
        self.num_envs = int(num_envs)
        self.max_episode_steps = max_episode_steps
        self._mode, mode = MODES[autoreset]
        self.autoreset_mode, self.render_mode = mode, render_mode
        self.metadata = {
            "autoreset_mode": mode,
            "render_modes": list(RENDER_MODES),
            "render_fps": RENDERING["render_fps"],
        }
        self.single_observation_space = world.observation_space
        self.single_action_space = world.action_space
        everyone = (self.num_envs, world.players) if world.simultaneous else (self.num_envs,)
        self.observation_space = _batched(self.single_observation_space, everyone)
        self.action_space = _batched(self.single_action_space, everyone)
        self._packed = world.packed
        self._copies = PackedCopies.empty(world, self.num_envs)
        self._floats, self._ints = self._copies.floats, self._copies.ints
        views = view_layout(type(world))
        rows = (0, 0) if views is None else (views.num_floats, views.num_ints)
        self._memory = StepMemory(
            np.zeros(self.num_envs, np.int64), np.zeros_like(self._floats), np.zeros_like(self._ints),
            np.zeros((rows[0], self.num_envs)), np.zeros((rows[1], self.num_envs), np.int64),
        )  # fmt: skip
        self._restricts = world.law_function("legal") is not None
        self._takes_turns = world.players > 1 and not world.simultaneous
        threads = self.threads = block_count(threads, self.num_envs, PARALLEL_FROM)
        parallel = threads > 1 and not is_forked()
        constants = {"AUTORESET": self._mode}
        self._few = self.num_envs <= FEW_COPIES and threads == 1 and arithmetic == "exact"
        if not self._few:
            self._kernels = world.kernel(STEPPING, arithmetic=arithmetic)
            self._stepping = world.kernel(STEPPING, arithmetic=arithmetic, constants=constants)
        self._limit = max_episode_steps or 0
        self._wide = world.is_wide()
        players = () if world.players == 1 else (world.players,)
        self._rewards_out = Outputs((*players, self.num_envs), np.float64)
        obs = world.observation_array(self.num_envs)
        self._obs_out = Outputs(obs.shape, obs.dtype)
        self._actions_shape = self.action_space.shape or ()
        self._actions_dtype = np.dtype(np.float64 if world.continuous else np.int64)
        self._no_mask, self._no_movers = world.mask_array(1), np.zeros(1, np.int64)
        self._mask_out = Outputs((self.num_envs, *self._no_mask.shape[1:]), np.bool_)
        flags = np.zeros(self.num_envs, np.bool_)
        actions, rewards = np.zeros(self._actions_shape, self._actions_dtype), self._rewards_out.take()
        arguments = (
            self._packed, self._floats, self._ints, actions, obs, rewards, flags, flags, obs, self._no_mask,
            self._no_movers, self._memory, 0, 1,
        )  # fmt: skip
        self._step: Callable[..., Any]
        if self._few:
            self._step = choice.entry(
                world, STEPPING, "step", arguments, lambda compiled: setattr(self, "_step", compiled),
                copies=self.num_envs, constants=tuple(constants.items()),
            )  # fmt: skip
        else:
            stepping = self._stepping
            self._step = entry_point(stepping.step_parallel if parallel else stepping.step, *arguments)
        if parallel:
            one_thread_after_fork(self)

    def use_one_thread(self) -> None:
        """Steps without other threads from now on: the same copies, with the same results."""
        self._step = self._step_on_one_thread

    def _step_on_one_thread(self, *arguments: Any) -> Any:
        self._step = entry_point(self._stepping.step, *arguments)  # compiled at the first step, if at all
        return self._step(*arguments)

    def __getstate__(self) -> dict[str, Any]:
        """Returns all but compiled code and working memory."""
        left_out = (
            "_packed", "_kernels", "_stepping", "_few", "_step", "_memory", "_rewards_out", "_obs_out", "_mask_out",
            "_no_mask", "_no_movers", "threads",
        )  # fmt: skip
        return {name: value for name, value in vars(self).items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        WorldVectorEnv.__init__(self, state["world"], *state["_made_with"])
        vars(self).update(state)

    @property
    def states(self) -> States:
        """The current states, packed, `[., B]` (a copy)."""
        return self._copies.states.copy()

    @states.setter
    def states(self, states: States) -> None:
        self._copies.set_states(states)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes.

        Args:
            seed: s gives copy i the stream (s, i); a list gives copy i the stream (seed[i], 0), that of a single
                environment with that seed. None goes on with the streams there are.
            options: `"reset_mask"` `[B]` bool: only these copies; `"state"`: one start state for all of them;
                `"first_copy"`: with seed s, copy i takes the stream (s, first_copy + i), so that several processes can
                share out the copies of one run.
        """
        options = options or {}
        mask = np.asarray(options.get("reset_mask", np.ones(self.num_envs, np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise UsageError(f"reset_mask of shape {mask.shape}, {mask.dtype}", expected=f"({self.num_envs},) bool")
        self._copies.reseed(seed, int(options.get("first_copy", 0)))
        obs = self.world.observation_array(self.num_envs)
        arguments = self._packed, self._floats, self._ints, mask, obs
        if self._few:
            choice.call(self.world, STEPPING, "reset", self.num_envs, *arguments, changed=(self._floats, self._ints))
        else:
            self._kernels.reset(*arguments)
        if "state" in options:
            states = initial_of(self.world, options["state"])
            self._copies.set_states(states, mask)
            return self.world.observe(self.states), self._info()
        return self.world.batch_first(obs), self._info()

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        count = self.num_envs
        if not self._copies.keyed:
            raise UsageError(
                f"step on {count} copies of {self.world.name} before the first reset", hint="reset(seed=0)"
            )
        if (
            type(actions) is not np.ndarray
            or actions.dtype != self._actions_dtype
            or actions.shape != self._actions_shape
            or not actions.flags.c_contiguous
        ):
            actions = self.world._action_array(actions, count, clip=True)
        if self._mode == 2 and (self._copies.elapsed < 0).any():
            copy = int(np.argmax(self._copies.elapsed < 0))
            raise UsageError(
                f"copy {copy}: step after the episode's end, with autoreset disabled",
                hint='reset(options={"reset_mask": terminated | truncated})',
            )
        obs = self._obs_out.take()
        final = self._obs_out.take() if self._mode == 1 else obs
        rewards = self._rewards_out.take()
        terminated, truncated = np.empty(count, np.bool_), np.empty(count, np.bool_)
        mask = self._mask_out.take() if self._restricts else self._no_mask
        movers = np.empty(count, np.int64) if self._takes_turns else self._no_movers
        rest = obs, rewards, terminated, truncated, final, mask, movers, self._memory, self._limit, self.threads
        ended = self._step(self._packed, self._floats, self._ints, actions, *rest)
        not_finite = -2 - count  # a reward: the copies were stepped
        if not_finite < ended < 0 and self.world.continuous:  # no copy was stepped: once more, clipped
            actions = self.world._action_array(actions, count, clip=True)
            ended = self._step(self._packed, self._floats, self._ints, actions, *rest)
        if ended == not_finite:
            self._refuse_rewards(rewards, actions)
        elif ended < 0:
            self._refuse(actions, -1 - ended)
        infos: dict[str, Any] = {}
        if self._restricts:
            infos["action_mask"] = mask
        if self._takes_turns:
            infos["mover"] = movers
        if self._mode == 1 and ended:
            infos["final_obs"] = self.world.batch_first(final)
            infos["_final_obs"] = terminated | truncated
        return self.world.batch_first(obs) if self._wide else obs.T, rewards.T, terminated, truncated, infos

    def _refuse_rewards(self, rewards: np.ndarray, actions: np.ndarray) -> None:
        """Raises UsageError: a reward is no finite number."""
        wrong = ~np.isfinite(rewards.reshape(-1, self.num_envs))
        player, copy = np.argwhere(wrong)[0]
        reward, action = rewards.reshape(wrong.shape)[player, copy], actions[copy].tolist()
        raise UsageError(
            f"copy {copy}: {self.world.name} gave the reward {reward} for action {action}",
            expected="a finite number",
            hint="fix `reward`: inscape check tells state and action",
        )

    def _refuse(self, actions: np.ndarray, copy: int) -> None:
        """Raises UsageError: the action of this copy is out of range, or illegal."""
        self.world._action_array(actions, self.num_envs)
        raise UsageError(
            f"copy {copy}: {self._illegal(actions, copy)} at {self.world.unpack(self.states, copy)}",
            expected="an action where infos['action_mask'][copy] is True",
        )

    def _illegal(self, actions: np.ndarray, copy: int) -> str:
        """Returns what is illegal about the actions of a copy."""
        world = self.world
        if not world.simultaneous:
            return f"action {world.action_names[int(actions[copy])]!r} is illegal"
        mask = world.legal_actions(self.states[copy])[0]
        names = [f"action {world.action_names[int(a)]!r} of {world.agents[m]}" for m, a in enumerate(actions[copy])]
        wrong = [name for m, name in enumerate(names) if not mask[m, actions[copy, m]]]
        # none is wrong by itself where `legal` is no function of the state: then all are named
        return " with ".join(wrong[:1] or names) + " is illegal"

    def action_masks(self) -> np.ndarray:
        """Returns `[B, A]` bool (all at once `[B, M, A]`), True where the action is legal now.

        Raises:
            UsageError: actions are continuous.
        """
        if self.world.continuous:
            raise UsageError(f"action masks of {self.world.name}, whose actions are continuous")
        return self.world.legal_actions(self._copies.states)

    def render(self) -> tuple[Any, ...]:
        """Returns what each copy looks like: `B` pictures `[H, W, 3]` uint8 (`"rgb_array"`) or texts (`"ansi"`).

        Raises:
            UsageError: the copies were made without a render mode.
        """
        if self.render_mode is None:
            raise UsageError("render() without a render mode", hint='make the copies with render_mode="rgb_array"')
        states = self.states
        if self.render_mode == "ansi":
            return tuple(self.world.describe_state(states[i]) for i in range(self.num_envs))
        from inscape.envs.rendering.rasterizer import render_scene

        return tuple(render_scene(self.world.scene(states, i)) for i in range(self.num_envs))

    def _info(self) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        if self._takes_turns:
            infos["mover"] = self.world.mover_of(self._copies.states)
        if self._restricts:
            infos["action_mask"] = self.world.legal_actions(self._copies.states)
        return infos

    def state_dict(self) -> dict[str, Any]:
        """Returns everything the copies' future depends on, but the actions; for exact resume."""
        return self._copies.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict()`.

        Raises:
            UsageError: the state is of another number of copies or of another world.
        """
        self._copies.load_state_dict(state)
