"""Several players for learners that know of one: each player of each copy becomes a row of its own.

    one_player(resolve_task("StagHunt")).vector_env(16)      # 8 copies × 2 hunters, a row each

What learns on such rows is one policy for all players ("parameter sharing"). `PettingZooTask` reads any PettingZoo
Parallel environment as a task of several players: `resolve_task("pettingzoo:pettingzoo.classic.rps_v2")`.

Source: Gupta, Egorov & Kochenderfer (2017), "Cooperative multi-agent control using deep reinforcement learning",
AAMAS workshops, LNCS 10642, §4 (parameter sharing).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from inscape.envs.registry import PETTINGZOO_PREFIX, Autoreset, Task
from inscape.envs.streams import copy_seeds
from inscape.errors import UsageError

Array = np.ndarray


class PlayersVectorEnv(VectorEnv[Any, Any, Any]):
    """Rows (copy, player) of a vector environment whose players act all at once: row `copy · M + player`.

    Observations `[B·M, ...]`, rewards, masks and actions are those of the row's player; both flags are those of its
    copy. No Python loop over copies or players.

    Args:
        env: a vector environment with observations `[B, M, ...]`, rewards `[B, M]`, masks `[B, M, A]` and actions
            `[B, M, ...]`, reset in the same step.
        players: M.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], players: int) -> None:
        self.env, self.players = env, players
        self.num_envs = env.num_envs * players
        self.metadata = env.metadata
        self.single_observation_space = env.single_observation_space
        self.single_action_space = env.single_action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes; seed and options are those of the copies, but `"first_copy"` counts rows."""
        if options and "first_copy" in options:
            options = {**options, "first_copy": options["first_copy"] // self.players}
        observation, info = self.env.reset(seed=seed, options=options)
        return self._rows(observation), self._info(info)

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        actions = np.asarray(actions)
        joint = actions.reshape(self.env.num_envs, self.players, *actions.shape[1:])
        observation, reward, terminated, truncated, info = self.env.step(joint)
        flags = np.repeat(terminated, self.players), np.repeat(truncated, self.players)
        return self._rows(observation), self._rows(reward), *flags, self._info(info)

    def _rows(self, array: Array) -> Array:
        return np.ascontiguousarray(array).reshape(self.num_envs, *array.shape[2:])

    def _info(self, info: dict[str, Any]) -> dict[str, Any]:
        rows: dict[str, Any] = {name: self._rows(info[name]) for name in ("action_mask", "final_obs") if name in info}
        if "_final_obs" in info:
            rows["_final_obs"] = np.repeat(info["_final_obs"], self.players)
        return rows

    def state_dict(self) -> dict[str, Any] | None:
        """Returns what the copies' future depends on; None where the environment cannot say."""
        return self.env.state_dict() if hasattr(self.env, "state_dict") else None

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict()`."""
        self.env.load_state_dict(state)  # type: ignore[attr-defined]

    def close(self, **kwargs: Any) -> None:
        self.env.close(**kwargs)


@dataclass(frozen=True, eq=False)
class PlayersTask(Task):
    """A task of several players as one player meets it, whichever of them: what a shared policy learns in.

    It is no law of one player, so `world` is None.

    Attributes:
        whole: the task of all players.
    """

    whole: Task

    @cached_property
    def _spaces(self) -> tuple[gym.Space[Any], gym.Space[Any]]:
        return self.whole.observation_space, self.whole.action_space

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return self.whole.action_names

    def env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Refuses: one player alone is no environment."""
        raise no_single_environment(self.whole)

    def vector_env(self, num_envs: int, autoreset: Autoreset = "same-step") -> VectorEnv[Any, Any, Any]:
        """Returns `num_envs` rows: the players of num_envs / M copies.

        Raises:
            UsageError: `num_envs` is no multiple of M, or the copies are not to be reset in the same step.
        """
        players = self.whole.players
        if autoreset != "same-step":
            raise UsageError(f"autoreset {autoreset!r} for rows of players", expected="same-step")
        if num_envs % players:
            nearest = max(1, round(num_envs / players)) * players
            raise UsageError(
                f"{num_envs} rows for the {players} players of {self.name}, each of which takes one",
                expected=f"a multiple of {players}",
                hint=f"num_envs = {nearest} (--num-envs {nearest})",
            )
        return PlayersVectorEnv(self.whole.vector_env(num_envs // players, autoreset), players)

    def to_json(self) -> dict[str, Any]:
        """Returns the whole task, from which this one is made again."""
        return self.whole.to_json()


def one_player(task: Task) -> Task:
    """Returns the task as a learner of one policy meets it: itself, or with several players one of them.

    Raises:
        UsageError: the players act in turn, so that one player's next observation is not known when it has acted.
    """
    if task.players == 1:
        return task
    if not task.simultaneous:
        raise UsageError(
            f"{task.name} has {task.players} players who act in turn",
            expected="a learner that meets opponents",
            hint=f"inscape train self-play {task.name}, or independent:ppo for a learner of each player",
        )
    return PlayersTask(task.name, None, task.settings, task.max_episode_steps, task)


# ------------------------------------------------------------------------------------------------ other people's


@dataclass(frozen=True, eq=False)
class PettingZooTask(Task):
    """A PettingZoo Parallel environment, named by its module: `pettingzoo:pettingzoo.butterfly.pistonball_v6`.

    All players have the same spaces. Observations that are `{"observation", "action_mask"}` are taken apart; a mask in
    the infos is used too. Who leaves early observes zeros, gets nothing and is not asked, until the episode ends for
    all; it ends by time (`truncated`) if anybody's does. Arguments of `parallel_env` are `settings`.
    """

    @cached_property
    def _parallel(self) -> Any:
        path = self.name.removeprefix(PETTINGZOO_PREFIX)
        try:
            module = importlib.import_module(path)
        except ImportError as error:
            raise UsageError(
                f"{self.name} does not import: {error}",
                expected="the module of a PettingZoo environment, and what it needs installed",
                hint="pettingzoo:pettingzoo.classic.rps_v2",
            ) from error
        if not callable(getattr(module, "parallel_env", None)):
            raise UsageError(
                f"the module {path} has no parallel_env",
                expected="an environment whose players act all at once",
                hint="games in turn: inscape list worlds",
            )
        return module.parallel_env

    def make(self) -> Any:
        """Returns one Parallel environment."""
        try:
            return self._parallel(**self.settings)
        except TypeError as error:
            raise UsageError(f"{self.name} cannot be made: {error}", hint="check its settings") from error

    @cached_property
    def _spaces(self) -> tuple[gym.Space[Any], gym.Space[Any]]:
        env = self.make()
        spaces = [(_plain_space(env.observation_space(name)), env.action_space(name)) for name in env.possible_agents]
        env.close()
        for name, pair in zip(env.possible_agents, spaces, strict=True):
            if pair != spaces[0]:
                raise UsageError(
                    f"{self.name}: {name} has the spaces {pair[0]}, {pair[1]}, and {env.possible_agents[0]} has "
                    f"{spaces[0][0]}, {spaces[0][1]}",
                    expected="the same for all players",
                    hint="SuperSuit's pad_observations_v0 and pad_action_space_v0 make them so",
                )
        observation, action = spaces[0]
        return observation, action

    @cached_property
    def player_names(self) -> tuple[str, ...]:
        """The players' names, in PettingZoo's order."""
        env = self.make()
        names = tuple(env.possible_agents)
        env.close()
        return names

    @property
    def players(self) -> int:
        """How many act."""
        return len(self.player_names)

    @property
    def simultaneous(self) -> bool:
        """Whether all players act at once: they do."""
        return True

    def env(self, render_mode: str | None = None) -> gym.Env[Any, Any]:
        """Refuses: a Gymnasium environment has one player."""
        raise no_single_environment(self)

    def vector_env(self, num_envs: int, autoreset: Autoreset = "same-step") -> VectorEnv[Any, Any, Any]:
        """Returns `num_envs` copies, arrays as those of our own worlds of several players; a Python loop over them."""
        return ParallelVectorEnv(self, num_envs, autoreset)


class ParallelVectorEnv(VectorEnv[Any, Any, Any]):
    """Copies of a PettingZoo Parallel environment: observations `[B, M, ...]`, rewards `[B, M]`, masks `[B, M, A]`.

    Args:
        task: what to make copies of.
        num_envs: B.
        autoreset: `"same-step"` (last observations in `infos["final_obs"]`) or `"next-step"`.
    """

    def __init__(self, task: PettingZooTask, num_envs: int, autoreset: Autoreset) -> None:
        self.task, self.num_envs = task, num_envs
        self._same_step = autoreset == "same-step"
        mode = AutoresetMode.SAME_STEP if self._same_step else AutoresetMode.NEXT_STEP
        self.metadata = {"autoreset_mode": mode, "render_modes": []}
        self.single_observation_space, self.single_action_space = task.observation_space, task.action_space
        shape = num_envs, task.players
        space: gym.Space[Any]
        for name in ("observation_space", "action_space"):
            space = getattr(self, f"single_{name}")
            for count in reversed(shape):
                space = batch_space(space, count)
            setattr(self, name, space)
        self.copies = [task.make() for _ in range(num_envs)]
        observation = self.single_observation_space
        self._seen = np.zeros((*shape, *(observation.shape or ())), observation.dtype)
        self._actions = int(self.single_action_space.n) if isinstance(self.single_action_space, _DISCRETE) else 0
        self._mask = np.ones((*shape, max(1, self._actions)), np.bool_)
        self._restricts = False
        self._ended = np.zeros(num_envs, np.bool_)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts new episodes: with `copy_seeds(seed)`, or without a seed as each copy's stream of chance goes on.

        Args:
            seed: of all copies.
            options: `"first_copy"`: how many copies other processes have before these.
        """
        first = int((options or {}).get("first_copy", 0))
        seeds = [None] * self.num_envs if seed is None else copy_seeds(seed, self.num_envs, first)
        for copy, own in enumerate(seeds):
            self._begin(copy, own)
        return self._seen.copy(), self._info()

    def _begin(self, copy: int, seed: int | None = None) -> None:
        self._look(copy, *self.copies[copy].reset(seed=seed))
        self._ended[copy] = False

    def step(self, actions: Any) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        rewards = np.zeros((self.num_envs, self.task.players))
        terminated, truncated = np.zeros(self.num_envs, np.bool_), np.zeros(self.num_envs, np.bool_)
        for copy in range(self.num_envs):
            if self._ended[copy]:
                self._begin(copy)
            else:
                terminated[copy], truncated[copy] = self._step(copy, actions[copy], rewards[copy])
        self._ended = terminated | truncated
        final = self._seen.copy() if self._same_step and self._ended.any() else None
        if self._same_step:
            for ended in np.flatnonzero(self._ended).tolist():
                self._begin(ended)
        info = self._info()
        if final is not None:
            info |= {"final_obs": final, "_final_obs": terminated | truncated}
        return self._seen.copy(), rewards, terminated, truncated, info

    def _step(self, copy: int, actions: Array, rewards: Array) -> tuple[bool, bool]:
        """Steps one copy; writes rewards `[M]`; returns whether the episode ended, and whether by time."""
        env, names = self.copies[copy], self.task.player_names
        chosen = {name: _as_given(actions[m]) for m, name in enumerate(names) if name in env.agents}
        observations, gained, ended, late, infos = env.step(chosen)
        self._look(copy, observations, infos)
        for m, name in enumerate(names):
            rewards[m] = gained.get(name, 0.0)
        if env.agents and not all(ended.get(name, False) or late.get(name, False) for name in chosen):
            return False, False
        by_time = any(late.get(name, False) and not ended.get(name, False) for name in chosen)
        return not by_time, by_time

    def _look(self, copy: int, observations: dict[str, Any], infos: dict[str, Any]) -> None:
        for m, name in enumerate(self.task.player_names):
            if name not in observations:
                self._seen[copy, m], self._mask[copy, m] = 0, True
                continue
            seen, mask = observations[name], infos.get(name, {}).get("action_mask")
            if isinstance(seen, dict):
                seen, mask = seen["observation"], seen.get("action_mask", mask)
            self._seen[copy, m] = seen
            if mask is not None and self._actions:
                # nothing is legal for one whose part is over: nobody asks it
                self._mask[copy, m] = np.asarray(mask, np.bool_) | (not np.any(mask))
                self._restricts = True

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._mask.copy()} if self._restricts else {}

    def close(self, **kwargs: Any) -> None:
        for env in self.copies:
            env.close()


_DISCRETE = gym.spaces.Discrete


def _as_given(action: Array) -> Any:
    return int(action) if np.ndim(action) == 0 else action


def _plain_space(space: gym.Space[Any]) -> gym.Space[Any]:
    return space["observation"] if isinstance(space, gym.spaces.Dict) and "observation" in space.spaces else space


def no_single_environment(task: Task) -> UsageError:
    """Returns the refusal of one Gymnasium environment for several players."""
    return UsageError(
        f"{task.name} has {task.players} players, and a Gymnasium environment has one",
        expected="a task of one player, or what acts in many copies at once",
        hint=f"inscape train ppo {task.name}; inscape evaluate random {task.name}"
        if task.simultaneous
        else f"inscape train self-play {task.name}",
    )
