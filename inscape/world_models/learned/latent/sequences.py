"""Episodes as rows in fixed memory, and sequences drawn from them at a cost that does not grow with what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape.errors import UsageError


@dataclass(frozen=True)
class Sequences:
    """L rows of B sequences, time first.

    Attributes:
        observations: `[L, B, D]`.
        actions: `[L, B, K]`, row t the action before observation t.
        rewards: `[L, B]`, what that action earned.
        ended: `[L, B]`, 1 where the task ended with observation t.
        known: `[L, B]`, 1 where there is a row; 0 after the end of an episode.
        whole: `[B]` bool: the sequence begins where its episode does.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    ended: np.ndarray
    known: np.ndarray
    whole: np.ndarray


class SequenceMemory:
    """The latest `capacity` rows of episodes. A row is an observation, and the action, reward and end that led to it.

    Args:
        capacity: rows.
        width: numbers of an observation; they are kept as `dtype`.
        actions: numbers of an action.
        dtype: of observations.
    """

    def __init__(self, capacity: int, width: int, actions: int, dtype: Any = np.float32) -> None:
        self.capacity, self.written = capacity, 0
        self.observations = np.zeros((capacity, width), dtype)
        self.actions = np.zeros((capacity, actions), np.float32)
        self.rewards = np.zeros(capacity, np.float32)
        self.ended = np.zeros(capacity, np.float32)
        self.start = np.full(capacity, -1, np.int64)  # number of the first row of this row's piece
        self.begins = np.zeros(capacity, np.bool_)  # whether that piece begins where its episode does

    def __len__(self) -> int:
        return min(self.written, self.capacity)

    def add(self, observations: Any, actions: Any, rewards: Any, terminated: bool, begins: bool = True) -> None:
        """Adds an episode, or a piece of one that begins in its middle: `[T + 1, D]`, `[T, K]`, `[T]`."""
        count = len(observations)
        if count > self.capacity:  # the end of it is what fits
            observations, actions = observations[-self.capacity :], actions[-self.capacity + 1 :]
            rewards, count, begins = rewards[-self.capacity + 1 :], self.capacity, False
        at = (self.written + np.arange(count)) % self.capacity
        self.observations[at] = observations
        self.actions[at[0]], self.rewards[at[0]], self.ended[at] = 0.0, 0.0, 0.0
        self.actions[at[1:]], self.rewards[at[1:]] = np.reshape(actions, (count - 1, self.actions.shape[1])), rewards
        self.ended[at[-1]] = float(terminated)
        self.start[at], self.begins[at] = self.written, begins
        self.written += count

    def draw(self, count: int, length: int, rng: np.random.Generator) -> Sequences:
        """Returns `count` sequences of `length` rows; every row is as likely to be in one, but for those cut off by the
        beginnings of episodes, which are seen more often.

        Raises:
            UsageError: nothing is stored.
        """
        if not self.written:
            raise UsageError("an empty memory to draw sequences from", expected="episodes that were added")
        oldest = self.written - len(self)
        row = rng.integers(oldest, self.written, count)
        first = np.maximum(self.start[row % self.capacity], oldest)
        begin = np.maximum(first, row - rng.integers(0, length, count))
        rows = begin + np.arange(length)[:, None]
        there = rows % self.capacity
        known = (rows < self.written) & (self.start[there] == self.start[row % self.capacity])
        return Sequences(
            self.observations[there],
            self.actions[there],
            self.rewards[there],
            self.ended[there],
            known.astype(np.float32),
            (begin == self.start[row % self.capacity]) & self.begins[row % self.capacity],
        )

    def state_dict(self) -> dict[str, Any]:
        """Returns the rows that are filled."""
        kept = len(self)
        names = ("observations", "actions", "rewards", "ended", "start", "begins")
        return {"written": self.written, **{name: getattr(self, name)[:kept].copy() for name in names}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces what is stored.

        Raises:
            UsageError: rows of another shape.
        """
        for name in ("observations", "actions", "rewards", "ended", "start", "begins"):
            own, given = getattr(self, name), np.asarray(state[name])
            if given.shape[1:] != own.shape[1:] or len(given) > len(own):
                raise UsageError(f"stored {name} of shape {given.shape}", expected=f"at most {own.shape}")
            own[: len(given)] = given
        self.written = int(state["written"])
