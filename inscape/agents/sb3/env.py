"""What Stable-Baselines3 learns in, its `VecEnv`: our worlds without a Python loop over copies, and ordinary ones."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from inscape.agents.batches import rows_of
from inscape.agents.learning.episode_log import EpisodeLog
from inscape.agents.sb3.from_zero import FromZero, IgnoredMasks, from_zero, mask_size, space_from_zero, to_environment
from inscape.envs.law.streams import copy_seeds
from inscape.envs.tasks.checking.env import CheckedEnv
from inscape.envs.tasks.resolve import as_task
from inscape.world_models.networks.finite_checks import require_finite
from inscape.world_models.networks.types import Array

if TYPE_CHECKING:
    from inscape.envs.tasks.processes.workers import Workers
    from inscape.envs.tasks.resolve import Given
    from inscape.envs.tasks.task import Task


def gymnasium_copies(task: Task, n_envs: int, seed: int, ignoring: str = "") -> SeededVecEnv | WorkerVecEnv:
    """Returns `n_envs` copies of a task without a law, as Stable-Baselines3 wants them.

    Args:
        task: what to make copies of.
        n_envs: how many.
        seed: of all.
        ignoring: name of an algorithm that takes no masks, which is said where there are some.
    """
    ignored = IgnoredMasks(f"{ignoring} in {task.name}" if ignoring else "")
    if task.workers is not None:
        return WorkerVecEnv(task, task.workers, n_envs, seed, ignored)
    numbers = itertools.count()

    def one() -> FromZero:
        env, number = task.env(), next(numbers)
        if isinstance(env, CheckedEnv):
            env.copy.number = number
        return FromZero(env, ignored)

    env: SeededVecEnv = make_vec_env(one, n_envs, seed, vec_env_cls=SeededVecEnv)
    return env


def note_episodes(log: EpisodeLog, done: Array, infos: Sequence[Mapping[str, Any]]) -> None:
    """Adds one step of all copies: what ended, by what `Monitor` writes in `info["episode"]`; without it, a fault cut
    the episode off.

    Args:
        log: which it is added to.
        done: `[B]` bool.
        infos: of each copy.
    """
    if not done.any():
        log.skip(1)
        return
    returns, lengths, counted = np.zeros((1, len(done))), np.zeros((1, len(done)), np.int64), done.copy()
    for i in np.flatnonzero(done).tolist():
        episode = infos[i].get("episode")
        counted[i] = episode is not None
        if episode is not None:
            returns[0, i], lengths[0, i] = episode["r"], episode["l"]
    log.forget(done & ~counted)
    log.add(counted[None], returns, lengths)


class SeededVecEnv(DummyVecEnv):  # type: ignore[misc]
    """Copies of an ordinary environment, with `copy_seeds`; what they hand over is checked by `CheckedEnv`.

    Theirs have seeds one after another, which runs share.

    Args:
        env_fns: functions that make a copy each.

    Attributes:
        steps: steps each copy has taken.
        episodes: what ended.
    """

    def __init__(self, env_fns: list[Any]) -> None:
        super().__init__(env_fns)
        self.steps = 0
        self.episodes = EpisodeLog(self.num_envs)

    def reset(self) -> Any:
        self.episodes.restart()
        return super().reset()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        self._seeds: Sequence[int | None] = super().seed(seed) if seed is None else copy_seeds(seed, self.num_envs)
        return self._seeds

    def step_wait(self) -> tuple[Any, Array, Array, list[dict[str, Any]]]:
        result: tuple[Any, Array, Array, list[dict[str, Any]]] = super().step_wait()
        self.steps += 1
        note_episodes(self.episodes, result[2], result[3])
        return result


def _require_finite(rows: Any, what: str, step: int, name: str, copies: Any = None) -> None:
    """Raises unless every number of `[B, ...]`, an array or a dictionary of arrays, is finite."""
    for key, array in rows.items() if isinstance(rows, dict) else [("", np.asarray(rows))]:
        if array.dtype.kind == "f":
            require_finite(array[None], f"{what} {key!r}" if key else what, step, name, copies)


class LawVecEnv(VecEnv):  # type: ignore[misc]
    """`n_envs` copies of a world with a law behind the interface of Stable-Baselines3.

    What a finished copy's `info` must hold (`terminal_observation`, `TimeLimit.truncated`, `episode`) is made for
    finished copies only; all others share one empty dictionary per step. When an episode both terminates and reaches
    its time limit, termination wins.

    Args:
        task: a task with a world, or what stands for one (`resolve_task`).
        n_envs: number of copies.
        seed: copy i uses the random stream (seed, i).
    """

    def __init__(self, task: Given, n_envs: int, seed: int) -> None:
        task = as_task(task)
        self.venv: Any = task.vector_env(n_envs, autoreset="same-step")
        self._seed, self.steps, self._name = seed, 0, task.name
        self._actions: Array = np.zeros(0)
        self.action_mask: Array | None = None
        self.returns, self.lengths = np.zeros(n_envs), np.zeros(n_envs, np.int64)
        self.episodes = EpisodeLog(n_envs)
        # copies: Stable-Baselines3 seeds the spaces it is given
        super().__init__(n_envs, copy.deepcopy(task.observation_space), copy.deepcopy(task.action_space))

    def reset(self) -> Array:
        observation, info = self.venv.reset(seed=self._seed)
        _require_finite(observation, "the first observation", self.steps, self._name)
        self.action_mask = info.get("action_mask")
        self.returns[:], self.lengths[:] = 0.0, 0
        self.episodes.restart()
        return np.ascontiguousarray(observation)

    def step_async(self, actions: Array) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
        observation, reward, terminated, truncated, info = self.venv.step(self._actions)
        done = terminated | truncated
        _require_finite(reward, "the reward", self.steps, self._name)
        _require_finite(observation, "the observation", self.steps, self._name)
        ended = np.flatnonzero(done)
        if len(ended):
            _require_finite(info["final_obs"][ended], "the last observation", self.steps, self._name, ended)
        self.steps += 1
        self.action_mask = info.get("action_mask")
        self.returns += reward
        self.lengths += 1
        infos: list[dict[str, Any]] = [{}] * self.num_envs
        for i in ended:
            infos[i] = {
                "terminal_observation": info["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                "episode": {"r": float(self.returns[i]), "l": int(self.lengths[i]), "t": 0.0},
            }
            self.returns[i], self.lengths[i] = 0.0, 0
        note_episodes(self.episodes, done, infos)
        # in rows, as a checkpoint gives them back: a product rounds differently in the other order
        return np.ascontiguousarray(observation), reward, done, infos

    def state_dict(self) -> dict[str, Any]:
        """Returns what the copies' future depends on; for exact resume."""
        return {
            "env": self.venv.state_dict(),
            "returns": self.returns.copy(),
            "lengths": self.lengths.copy(),
            "steps": self.steps,
            "episodes": self.episodes.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes from `state_dict()`."""
        self.venv.load_state_dict(state["env"])
        self.returns, self.lengths = np.array(state["returns"]), np.array(state["lengths"])
        self.steps = int(state["steps"])
        self.episodes.load_state_dict(state.get("episodes"))
        self.action_mask = self.venv.world.legal_actions(self.venv.states)

    def action_masks(self) -> Array:
        """Returns `[B, A]` bool, True where legal: what sb3-contrib's masked algorithms ask for."""
        if self.action_mask is None:
            return np.ones((self.num_envs, int(self.action_space.n)), np.bool_)
        return self.action_mask

    # ------------------------------------------------------------------------------------------- the rest of VecEnv

    def close(self) -> None:
        self.venv.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        value = self.action_masks if attr_name == "action_masks" else getattr(self.venv, attr_name)
        return [value] * len(self._rows(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(f"copies of one law have no attributes to set ({attr_name})")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        if method_name != "action_masks":
            raise AttributeError(f"copies of one law have no method {method_name}")
        return list(self.action_masks()[self._rows(indices)])

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        # `episode` is reported above, so it counts as monitored
        return [wrapper_class.__name__ == "Monitor"] * len(self._rows(indices))

    def _rows(self, indices: Any) -> Sequence[int]:
        if indices is None:
            return range(self.num_envs)
        return [indices] if isinstance(indices, int) else list(indices)


class WorkerVecEnv(VecEnv):  # type: ignore[misc]
    """Copies of a third-party environment in worker processes behind the interface of Stable-Baselines3.

    What it returns is what `SeededVecEnv` does for copies in this process: rewards in single precision, infos as the
    environment has them, and `episode` as `Monitor` writes it; not of an episode that a fault cut off.

    Args:
        task: a task whose copies are in workers.
        workers: these.
        n_envs: number of copies.
        seed: of the copies, by `copy_seeds`.
        ignored: is shown every mask, and reports those that the algorithm does not obey.
    """

    def __init__(
        self, task: Task, workers: Workers, n_envs: int, seed: int, ignored: IgnoredMasks | None = None
    ) -> None:
        self._ignored = ignored or IgnoredMasks("")
        self.venv = task.worker_env(n_envs, workers, with_infos=True)
        self._observed, self._taken = task.observation_space, task.action_space
        self._seed: int | None = seed
        self.steps = 0
        self._actions: Any = None
        self._mask: Array | None = None
        self._rewards: list[list[float]] = [[] for _ in range(n_envs)]
        self.episodes = EpisodeLog(n_envs)
        super().__init__(
            n_envs, copy.deepcopy(space_from_zero(self._observed)), copy.deepcopy(space_from_zero(self._taken))
        )

    def reset(self) -> Any:
        observation, info = self.venv.reset(seed=self._seed)
        self._seed = None
        self._mask = info.get("action_mask")
        self._rewards = [[] for _ in range(self.num_envs)]
        self.episodes.restart()
        return from_zero(observation, self._observed)

    def step_async(self, actions: Array) -> None:
        self._actions = to_environment(actions, self._taken)

    def step_wait(self) -> tuple[Any, Array, Array, list[dict[str, Any]]]:
        observation, reward, terminated, truncated, info = self.venv.step(self._actions)
        self.steps += 1
        self._mask = info.get("action_mask")
        self._ignored(self._mask)
        done, told, last = terminated | truncated, info.get("infos", {}), info.get("final_infos", {})
        infos: list[dict[str, Any]] = []
        for i, rewards in enumerate(self._rewards):
            rewards.append(float(reward[i]))
            own = dict((last if done[i] else told).get(i, {}))
            own["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
            if done[i]:
                own["terminal_observation"] = from_zero(rows_of(info["final_obs"], i), self._observed)
                own.pop("episode", None)
                if not ("_cut_off" in info and info["_cut_off"][i]):
                    own["episode"] = {"r": round(sum(rewards), 6), "l": len(rewards), "t": 0.0}
                self._rewards[i] = []
            infos.append(own)
        note_episodes(self.episodes, done, infos)
        return from_zero(observation, self._observed), reward.astype(np.float32), done, infos

    def action_masks(self) -> Array:
        """Returns `[B, Σ n]` bool, True where legal; everything is, where the environment does not say."""
        if self._mask is None:
            return np.ones((self.num_envs, mask_size(self.action_space)), np.bool_)
        return self._mask

    def close(self) -> None:
        self.venv.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        value = self.action_masks if attr_name == "action_masks" else getattr(self.venv, attr_name)
        return [value] * len(_rows(self.num_envs, indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(f"copies in worker processes have no attributes to set ({attr_name})")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        if method_name != "action_masks":
            raise AttributeError(f"copies in worker processes have no method {method_name}")
        return list(self.action_masks()[_rows(self.num_envs, indices)])

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        # `episode` is reported above, so it counts as monitored
        return [wrapper_class.__name__ == "Monitor"] * len(_rows(self.num_envs, indices))


def _rows(count: int, indices: Any) -> list[int]:
    if indices is None:
        return list(range(count))
    return [indices] if isinstance(indices, int) else list(indices)
