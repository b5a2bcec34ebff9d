"""Episodes as tokens: actions, what is observed, whether it ended; a vocabulary made of what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory

Ints = np.ndarray
BEGIN = 0
"""The token that an episode begins with."""


@dataclass(frozen=True)
class Vocabulary:
    """Which token says what: a beginning, then a block of tokens for each part of a step.

    A step is `[action] field… [ended]`: the action where there are several, each field of the observation, and whether
    the task ended, where it can. The first observation of an episode follows the beginning, without an action.

    Attributes:
        num_actions: A.
        fields: how many values each field of an observation has.
        ends: whether steps say that the task ended.
        shape: of an observation.
        lows: `[F]` smallest value of each field.
    """

    num_actions: int
    fields: tuple[int, ...]
    ends: bool
    shape: tuple[int, ...]
    lows: tuple[int, ...]

    @classmethod
    def of_spaces(cls, observation_space: spaces.Space[Any], action_space: spaces.Space[Any], ends: bool) -> Vocabulary:
        """Returns the vocabulary of a task whose observations and actions are finitely many.

        Raises:
            UsageError: they are not.
        """
        if not isinstance(action_space, spaces.Discrete) or action_space.start != 0:
            raise UsageError(
                f"actions {action_space} for a model of tokens", expected="Discrete actions, counted from 0"
            )
        space = observation_space
        if isinstance(space, spaces.Discrete):
            return cls(int(action_space.n), (int(space.n),), ends, (), (int(space.start),))
        if isinstance(space, spaces.MultiDiscrete):
            counts = tuple(int(n) for n in np.ravel(space.nvec))
            return cls(int(action_space.n), counts, ends, space.shape, tuple(int(v) for v in np.ravel(space.start)))
        if isinstance(space, spaces.MultiBinary):
            count = int(np.prod(space.shape))
            return cls(int(action_space.n), (2,) * count, ends, space.shape, (0,) * count)
        whole = isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.integer)
        if whole and (widths := np.ravel(space.high.astype(int) - space.low.astype(int)) + 1).max() <= 256:  # type: ignore[attr-defined]
            lows = tuple(int(v) for v in np.ravel(space.low))  # type: ignore[attr-defined]
            return cls(int(action_space.n), tuple(int(w) for w in widths), ends, space.shape or (), lows)
        raise UsageError(
            f"observations {space} for a model of tokens",
            expected="Discrete, MultiDiscrete, MultiBinary, or a Box of whole numbers with at most 256 values each",
        )

    @property
    def acts(self) -> bool:
        """Whether steps say which action was taken: there are several."""
        return self.num_actions > 1

    @property
    def step(self) -> int:
        """Tokens of a step."""
        return self.acts + len(self.fields) + self.ends

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return 1 + self.acts * self.num_actions + sum(self.fields) + 2 * self.ends

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """For each token of a step, the first of its tokens and how many there are."""
        made, at = [], 1
        for count in (*((self.num_actions,) if self.acts else ()), *self.fields, *((2,) if self.ends else ())):
            made.append((at, count))
            at += count
        return tuple(made)

    def observed(self, observations: np.ndarray) -> Ints:
        """Returns `[N, F]` values of the fields of `[N, ...]` observations, counted from 0.

        Raises:
            UsageError: a value that the space does not have.
        """
        array = np.asarray(observations)
        values = array.reshape(len(array), -1)
        if values.shape[1] != len(self.fields):
            raise UsageError(
                f"observations of shape {array.shape[1:]}", expected=f"{self.shape}, as the model was made for"
            )
        numbers = values.astype(np.float64)
        finite = np.isfinite(numbers)
        whole = np.where(finite, numbers, 0.0).astype(np.int64) - np.array(self.lows)
        wrong = (whole < 0) | (whole >= np.array(self.fields)) | ~finite | (finite & (numbers % 1 != 0))
        if wrong.any():
            row, field = map(int, np.argwhere(wrong)[0])
            raise UsageError(
                f"field {field} of observation {row} is {values[row, field]}",
                expected=f"{self.lows[field]} to {self.lows[field] + self.fields[field] - 1}",
            )
        return np.asarray(whole)

    def first(self, observations: np.ndarray) -> Ints:
        """Returns `[N, 1 + F (+ 1)]` tokens of the beginnings of episodes with these first observations."""
        return self._row(None, observations, None)

    def steps(self, actions: np.ndarray, observations: np.ndarray, ended: np.ndarray) -> Ints:
        """Returns `[N, step]` tokens of steps."""
        return self._row(np.asarray(actions, np.int64), observations, np.asarray(ended, np.int64))

    def _row(self, actions: np.ndarray | None, observations: np.ndarray, ended: np.ndarray | None) -> Ints:
        values = self.observed(observations)
        starts = [start for start, _ in self.blocks]
        columns = []
        if actions is None:
            columns.append(np.full(len(values), BEGIN))
        elif self.acts:
            columns.append(starts[0] + actions)
        columns += [starts[self.acts + k] + values[:, k] for k in range(len(self.fields))]
        if self.ends:
            columns.append(starts[-1] + (np.zeros(len(values), np.int64) if ended is None else ended))
        return np.stack(columns, axis=1)

    def episode(self, trajectory: Trajectory) -> Ints:
        """Returns the tokens of an episode of T steps: `1 + F (+ 1) + T·step`."""
        ended = np.zeros(len(trajectory), np.int64)
        if trajectory.terminated and len(ended):
            ended[-1] = 1
        head = self.first(trajectory.observations[:1]).ravel()
        return np.concatenate([head, self.steps(trajectory.actions, trajectory.observations[1:], ended).ravel()])

    def head(self) -> int:
        """Returns how many tokens an episode begins with."""
        return 1 + len(self.fields) + self.ends

    def scored(self, length: int) -> np.ndarray:
        """Returns `[length]` bool: tokens of an episode that tell what happened (observations and ends after actions).

        The first observation is not among them: a model is asked what comes next.
        """
        marks = np.ones(length, np.bool_)
        marks[: self.head()] = False
        if self.acts:
            marks[self.head() :: self.step] = False
        return marks

    def decoded(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[N, ...]` observations of `[N, F]` tokens of their fields."""
        starts = np.array([start for start, _ in self.blocks[self.acts : self.acts + len(self.fields)]])
        values = np.asarray(tokens) - starts + np.array(self.lows)
        return np.asarray(values.reshape(len(values), *self.shape))


def ends_seen(trajectories: Sequence[Trajectory]) -> bool:
    """Returns whether any of the episodes ended by itself."""
    return any(trajectory.terminated for trajectory in trajectories)
