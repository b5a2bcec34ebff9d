"""The agent that chooses at random: the floor every other agent is measured against."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from inscape.agents.acting import sample_actions
from inscape.agents.batches import count_of, objects
from inscape.agents.interface import Agent
from inscape.envs.tasks.checking.contract import mask_sizes
from inscape.errors import UsageError
from inscape.rng import restore_rng, rng_state
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


@dataclass(frozen=True)
class RandomSettings:
    """The random agent has nothing to set."""


def legal_choices(space: gymnasium.Space[Any], action_mask: Array, rng: np.random.Generator) -> Array:
    """Returns `[B, ...]` MultiDiscrete or MultiBinary actions, each part uniform among its legal choices.

    Args:
        space: the action space.
        action_mask: `[B, Σ n]` bool, the parts' masks side by side.
        rng: what is drawn from.
    """
    sizes = mask_sizes(space)
    parts = np.split(action_mask, np.cumsum(sizes)[:-1], axis=1)
    drawn = [np.where(part, rng.random(part.shape), -1.0).argmax(axis=1) for part in parts]
    start = space.start if isinstance(space, gymnasium.spaces.MultiDiscrete) else 0
    return np.asarray(np.stack(drawn, axis=1).reshape(len(action_mask), *(space.shape or ())) + start)


def box_actions(space: gymnasium.spaces.Box, count: int, rng: np.random.Generator) -> Array:
    """Returns `[B, ...]` actions drawn from a Box: uniform between bounds; where one of them is infinite, the other and
    an exponential number of mean 1 from it; where both are, normal around 0. As `gymnasium.spaces.Box.sample` does.
    """
    shape = (count, *space.shape)
    if space.dtype.kind in "iub":
        least, most = space.low.astype(np.int64), space.high.astype(np.int64)
        return rng.integers(least, most, shape, np.int64, endpoint=True).astype(space.dtype)
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    if space.is_bounded():
        return rng.uniform(low, high, shape).astype(space.dtype)
    below, above = space.bounded_below, space.bounded_above
    floor, ceiling = np.where(below, low, 0.0), np.where(above, high, 0.0)
    one_sided = np.where(below, floor + rng.exponential(size=shape), ceiling - rng.exponential(size=shape))
    open_ended = np.where(below | above, one_sided, rng.normal(size=shape))
    between = rng.uniform(floor, np.where(below & above, ceiling, floor), shape)
    return np.where(below & above, between, open_ended).astype(space.dtype)


class RandomAgent(Agent):
    """Chooses uniformly among the legal actions; in a Box as `box_actions`.

    Args:
        task: what to act in.
        seed: seed of its choices.
    """

    name = "random"

    def __init__(self, task: Task, seed: int = 0, settings: RandomSettings | None = None) -> None:
        self.settings = settings or RandomSettings()
        self._space: gymnasium.Space[Any] = copy.deepcopy(task.action_space)  # seeded here where it is composite
        self._rng = np.random.default_rng(seed)

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        count, space, rng = count_of(observation), self._space, self._rng
        if isinstance(space, gymnasium.spaces.Discrete):
            return sample_actions(self.action_log_probs(observation, action_mask), rng) + int(space.start)
        if action_mask is not None and mask_sizes(space):
            return legal_choices(space, action_mask, rng)
        if isinstance(space, gymnasium.spaces.MultiDiscrete):
            return rng.integers(space.start, space.start + space.nvec, (count, *space.nvec.shape))
        if isinstance(space, gymnasium.spaces.MultiBinary):
            return rng.integers(0, 2, (count, *space.shape))
        if isinstance(space, gymnasium.spaces.Box):
            return box_actions(space, count, rng)
        space.seed(int(rng.integers(2**31)))
        return objects([space.sample() for _ in range(count)])

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]`: minus the logarithm of the number of legal actions; −inf where illegal."""
        if not isinstance(self._space, gymnasium.spaces.Discrete):
            raise UsageError(f"action_log_probs on the action space {self._space}", expected="a Discrete action space")
        legal = np.ones((count_of(observation), int(self._space.n)), np.bool_) if action_mask is None else action_mask
        uniform = -np.log(legal.sum(axis=1, keepdims=True))
        return np.where(legal, uniform, -np.inf)

    def state_dict(self) -> State:
        return {"rng": rng_state(self._rng)}

    def load_state_dict(self, state: State) -> None:
        restore_rng(self._rng, state["rng"])
