"""The transitions an ensemble remembers: the newest, up to a capacity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.learned.ensemble.fields import Fields

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory

NAMES = ("before", "actions", "after", "rewards", "ended")


class Transitions:
    """A ring of transitions, in the order in which they came.

    Args:
        capacity: how many at most.
        fields: of the observations.
    """

    def __init__(self, capacity: int, fields: Fields) -> None:
        self.capacity, self.fields = capacity, fields
        width = max(1, len(fields.numbers) + len(fields.columns))
        self._parts: tuple[np.ndarray, ...] = (
            np.zeros((0, width)), np.zeros((0, fields.action_width)), np.zeros((0, width)), np.zeros(0),
            np.zeros(0, np.bool_),
        )  # fmt: skip
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, episode: Trajectory) -> None:
        """Remembers an episode.

        Raises:
            UsageError: observations or actions that are not of the task.
        """
        flat = self.fields.flat(episode.observations)
        ended = np.zeros(len(episode), np.bool_)
        ended[-1:] = episode.terminated
        self.append(flat[:-1], self.fields.actions(episode.actions), flat[1:], episode.rewards, ended)

    def append(
        self, before: np.ndarray, actions: np.ndarray, after: np.ndarray, rewards: np.ndarray, ended: np.ndarray
    ) -> None:
        """Remembers N transitions, flat: `[N, D]`, `[N, action width]`, `[N, D]`, `[N]`, `[N]` bool."""
        given = [np.asarray(part)[-self.capacity :] for part in (before, actions, after, rewards, ended)]
        new = len(given[0])
        if self._size + new > len(self._parts[0]):  # room for half as much again; at the capacity the oldest go
            kept = min(self._size, self.capacity - new)
            room = min(2 * self.capacity, max(64, 3 * (kept + new) // 2))
            parts = [np.zeros((room, *part.shape[1:]), part.dtype) for part in self._parts]
            for made, part in zip(parts, self._parts, strict=True):
                made[:kept] = part[self._size - kept : self._size]
            self._parts, self._size = tuple(parts), kept
        for part, rows in zip(self._parts, given, strict=True):
            part[self._size : self._size + new] = rows
        self._size += new

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Returns `before [N, D], actions, after, rewards [N], ended [N]`, the oldest first; views."""
        first = max(0, self._size - self.capacity)
        return tuple(part[first : self._size] for part in self._parts)

    def state_dict(self) -> dict[str, Any]:
        """Returns the transitions."""
        return {name: part.copy() for name, part in zip(NAMES, self.arrays(), strict=True)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces what is remembered.

        Raises:
            UsageError: transitions of another task, the field named.
        """
        given = []
        for name, part in zip(NAMES, self._parts, strict=True):
            array = np.asarray(state.get(name))
            if array.ndim != part.ndim or array.shape[1:] != part.shape[1:]:
                raise UsageError(
                    f"memory.{name} of shape {array.shape}", expected=f"[N, {', '.join(map(str, part.shape[1:]))}]"
                )
            given.append(array.astype(part.dtype))
        if len({len(array) for array in given}) > 1:
            raise UsageError("remembered transitions of different lengths", expected="as many of each part")
        self._parts, self._size = tuple(part[:0] for part in self._parts), 0
        self.append(*given)
