"""Worlds that are files: Cassandra's `.pomdp` and `.mdp`."""

from __future__ import annotations

# mypy: disable-error-code="no-any-return"
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from inscape.envs.data import pomdp_file
from inscape.envs.rendering.scene import Rect, Scene, Shape, Text
from inscape.envs.world import World
from inscape.errors import UsageError


class FileState(NamedTuple):
    """The number of the state, and of what was observed on the way there (the number of observations: nothing yet)."""

    number: int
    observed: int


class FileParams(NamedTuple):
    """The tables of the file, without what is impossible.

    Attributes:
        successors, probability, reward: `[S, A, K]` outcomes; `observed [S, A, K]` what is seen with them.
        begins: `[N]` states it may start in, and `starts [N]` their probabilities.
        sees_state: whether the state is seen (an `.mdp` file).
        observations: how many there are.
    """

    successors: np.ndarray
    observed: np.ndarray
    probability: np.ndarray
    begins: np.ndarray
    starts: np.ndarray
    sees_state: bool
    observations: int


class FilePurpose(NamedTuple):
    """`[S, A, K]` rewards of the outcomes."""

    reward: np.ndarray


class DecisionFileWorld(World):
    """A decision problem from a file in Cassandra's format.

    Actions: those of the file.
    Observations: Discrete: the observation's number, and the number of observations before the first one; in an `.mdp`
        file the state's number.
    Rewards: those of the file; costs are negative.
    Start: as the file says.
    End: never terminated; truncated after 100 steps.

    Args:
        path: the file.

    Source: Cassandra's file format, pomdp.org.
    Version history: v0, first.
    """

    State = FileState
    Params = FileParams
    Purpose = FilePurpose
    max_episode_steps = 100
    state_words: tuple[str, ...] = ()
    observation_words: tuple[str, ...] = ()

    @classmethod
    def sized(cls, **settings: Any) -> dict[str, Any]:
        content = _content(settings.get("path", ""))
        return {
            "actions": content.actions,
            "state_words": content.states,
            "observation_words": content.observations,
            "gamma": content.discount,
        }

    def setup(self, path: str = "") -> tuple[FileParams, FilePurpose]:
        return _tables(_content(path))

    @staticmethod
    def branches(params: FileParams) -> int:
        return int(params.successors.shape[2])

    @staticmethod
    def initial_branches(params: FileParams) -> int:
        return len(params.begins)

    @staticmethod
    def initial(params: FileParams, branch: int) -> tuple[float, FileState]:
        return params.starts[branch], FileState(params.begins[branch], params.observations)

    @staticmethod
    def transition(params: FileParams, state: FileState, action: int, branch: int) -> tuple[float, FileState]:
        at = state.number, action, branch
        return params.probability[at], FileState(params.successors[at], params.observed[at])

    @staticmethod
    def reward(params: FileParams, purpose: FilePurpose, state: FileState, action: int, next_state: FileState) -> float:
        for k in range(params.successors.shape[2]):
            at = state.number, action, k
            same = params.successors[at] == next_state.number and params.observed[at] == next_state.observed
            if same and params.probability[at] > 0.0:
                return purpose.reward[at]
        return 0.0

    @staticmethod
    def observation(params: FileParams, state: FileState) -> int:
        return state.number if params.sees_state else state.observed

    @staticmethod
    def observations(params: FileParams) -> gym.Space[Any]:
        return gym.spaces.Discrete(len(params.successors) if params.sees_state else params.observations + 1)

    @staticmethod
    def roots(params: FileParams) -> Iterable[FileState]:
        return [FileState(number, params.observations) for number in range(len(params.successors))]

    @classmethod
    def describe_observation(cls, params: FileParams, purpose: FilePurpose, observation: int) -> str:
        """Returns what is perceived, as text."""
        if params.sees_state:
            return f"state: {cls.state_words[observation]}"
        heard = cls.observation_words[observation] if observation < params.observations else "nothing yet"
        return f"observed: {heard}"

    @classmethod
    def describe(cls, params: FileParams, purpose: FilePurpose, state: FileState) -> str:
        return cls.describe_observation(params, purpose, cls.observation(params, state))

    @classmethod
    def draw(cls, params: FileParams, purpose: FilePurpose, state: FileState) -> Scene:
        """Returns what is perceived, in words."""
        text = cls.describe(params, purpose, state)
        shapes: list[Shape] = [Rect(0, 0, 12, 2, fill="paper"), Text(6, 1, text[:30], 0.7, "ink", layer="moving")]
        return Scene(12, 2, tuple(shapes))


def _content(path: Any) -> pomdp_file.DecisionFile:
    if not isinstance(path, str | Path) or not str(path):
        raise UsageError(f"path = {path!r}: no file", expected="path = FILE.pomdp or FILE.mdp")
    return pomdp_file.read(path)


def _tables(content: pomdp_file.DecisionFile) -> tuple[FileParams, FilePurpose]:
    """Returns outcomes (s', o) of each state and action, as many as the row with most has."""
    actions, states, _ = content.transition.shape
    seen = content.observation
    count = 0 if seen is None else seen.shape[2]
    rows: list[tuple[int, int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for a in range(actions):
        for s in range(states):
            following = np.flatnonzero(content.transition[a, s])
            if seen is None:
                to, observed = following, np.zeros(len(following), np.int64)
                mass = content.transition[a, s, to]
            else:
                index, observed = np.nonzero(seen[a, following])
                to = following[index]
                mass = content.transition[a, s, to] * seen[a, to, observed]
            reward = content.reward[a, s, to] if content.reward.ndim == 3 else content.reward[a, s, to, observed]
            rows.append((s, a, to, observed, mass, reward))
    width = max(len(row[2]) for row in rows)
    shape = states, actions, width
    successors = np.broadcast_to(np.arange(states)[:, None, None], shape).copy()
    observed, probability, rewards = np.full(shape, count), np.zeros(shape), np.zeros(shape)
    for s, a, to, what, mass, reward in rows:
        at = s, a, slice(len(to))
        successors[at], observed[at], probability[at], rewards[at] = to, what, mass, reward
    begins = np.flatnonzero(content.start)
    params = FileParams(successors, observed, probability, begins, content.start[begins], seen is None, count)
    return params, FilePurpose(rewards)


def is_decision_file(name: str) -> bool:
    """Returns whether a name means a file in Cassandra's format."""
    return Path(name).suffix.lower() in (".pomdp", ".mdp")
