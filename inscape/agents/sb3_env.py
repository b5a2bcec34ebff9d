"""Our vector environment as Stable-Baselines3 wants it: a `VecEnv`, without a Python loop over copies."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnv

from inscape.agents.finite import require_finite
from inscape.agents.interface import Array
from inscape.envs.streams import copy_seeds

if TYPE_CHECKING:
    from inscape.envs.registry import Task


class SeededVecEnv(DummyVecEnv):  # type: ignore[misc]
    """Copies of an ordinary environment with `copy_seeds`: theirs has seeds one after another, which runs share."""

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        self._seeds: Sequence[int | None] = super().seed(seed) if seed is None else copy_seeds(seed, self.num_envs)
        return self._seeds


class LawVecEnv(VecEnv):  # type: ignore[misc]
    """`n_envs` copies of a world of ours behind the interface of Stable-Baselines3.

    What a finished copy's `info` must hold (`terminal_observation`, `TimeLimit.truncated`, `episode`) is made for
    finished copies only; all others share one empty dictionary per step. When an episode both terminates and reaches
    its time limit, termination wins.

    Args:
        task: a task with a world.
        n_envs: number of copies.
        seed: copy i lives the stream (seed, i).
    """

    def __init__(self, task: Task, n_envs: int, seed: int) -> None:
        self.venv: Any = task.vector_env(n_envs, autoreset="same-step")
        self._seed, self._steps, self._name = seed, 0, task.name
        self._actions: Array = np.zeros(0)
        self.action_mask: Array | None = None
        self.returns, self.lengths = np.zeros(n_envs), np.zeros(n_envs, np.int64)
        # copies: Stable-Baselines3 seeds the spaces it is given
        super().__init__(n_envs, copy.deepcopy(task.observation_space), copy.deepcopy(task.action_space))

    def reset(self) -> Array:
        observation, info = self.venv.reset(seed=self._seed)
        self.action_mask = info.get("action_mask")
        self.returns[:], self.lengths[:] = 0.0, 0
        return np.ascontiguousarray(observation)

    def step_async(self, actions: Array) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
        observation, reward, terminated, truncated, info = self.venv.step(self._actions)
        for array, what in ((reward, "the reward"), (observation, "the observation")):
            if array.dtype.kind == "f":
                require_finite(array[None], what, self._steps, self._name)
        self._steps += 1
        self.action_mask = info.get("action_mask")
        self.returns += reward
        self.lengths += 1
        done = terminated | truncated
        infos: list[dict[str, Any]] = [{}] * self.num_envs
        for i in np.flatnonzero(done):
            infos[i] = {
                "terminal_observation": info["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                "episode": {"r": float(self.returns[i]), "l": int(self.lengths[i]), "t": 0.0},
            }
            self.returns[i], self.lengths[i] = 0.0, 0
        # in rows, as a checkpoint gives them back: a product rounds differently in the other order
        return np.ascontiguousarray(observation), reward, done, infos

    def state_dict(self) -> dict[str, Any]:
        """Returns what the copies' future depends on; for exact resume."""
        return {
            "env": self.venv.state_dict(),
            "returns": self.returns.copy(),
            "lengths": self.lengths.copy(),
            "steps": self._steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from `state_dict()`."""
        self.venv.load_state_dict(state["env"])
        self.returns, self.lengths = np.array(state["returns"]), np.array(state["lengths"])
        self._steps = int(state["steps"])
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
        raise AttributeError(f"copies of one law have no attributes of their own to set ({attr_name})")

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
