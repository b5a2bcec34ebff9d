"""Episodes as a table of different transitions, each with how often it was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.world_models.episodes import check_episodes

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Transitions:
    """Different transitions, N of them, between observations of F whole numbers.

    Attributes:
        before: `[N, F]` int64, what was observed.
        action: `[N]` int64.
        after: `[N, F]` int64, what was observed next.
        reward: `[N]` float64.
        ended: `[N]` bool, the task ended there.
        count: `[N]` int64, how often this happened.
        where: `[N, 2]` episode and step at which it happened first.
        starts: `[K, F]` int64, the first observations of episodes, each once.
    """

    before: Array
    action: Array
    after: Array
    reward: Array
    ended: Array
    count: Array
    where: Array
    starts: Array

    def __len__(self) -> int:
        return len(self.action)

    @property
    def total(self) -> int:
        """How many transitions were seen, repeated ones included."""
        return int(self.count.sum())


def read(episodes: Sequence[Trajectory], num_actions: int, size: int, reader: str) -> Transitions:
    """Returns the transitions of episodes whose observations are whole numbers.

    Args:
        episodes: what was seen.
        num_actions: A; actions are 0 … A − 1.
        size: F, numbers in an observation.
        reader: who asks, for messages.

    Raises:
        UsageError: nothing to read; NaN; an action out of range; arrays of another shape; an observation that is no
            whole number.
    """
    check_episodes(episodes, reader)
    rows: dict[tuple[Any, ...], list[int]] = {}
    starts: dict[tuple[int, ...], None] = {}
    for number, episode in enumerate(episodes):
        episode.require_whole()
        seen = np.asarray(episode.observations).reshape(len(episode) + 1, -1)
        if seen.shape[1] != size:
            raise UsageError(
                f"observations of {seen.shape[1]} numbers in episode {number}", expected=f"{size}, as the task has"
            )
        whole = np.rint(seen.astype(np.float64))
        if not (whole == seen).all():
            t, k = (int(index) for index in np.argwhere(whole != seen)[0])
            raise UsageError(
                f"observation {seen[t, k]} in episode {number} at step {t}",
                expected="whole numbers, for rules of grids",
            )
        actions = np.asarray(episode.actions)
        if actions.ndim != 1 or actions.dtype.kind not in "iu":
            raise UsageError(f"actions of shape {actions.shape}, {actions.dtype}", expected="[T] integers")
        wrong = (actions < 0) | (actions >= num_actions)
        if wrong.any():
            raise UsageError(
                f"action {actions[wrong][0]} in episode {number} at step {int(np.argmax(wrong))}",
                expected=f"actions from 0 to {num_actions - 1}",
            )
        cells = [tuple(row) for row in whole.astype(np.int64).tolist()]
        if len(actions):
            starts[cells[0]] = None
        last = len(actions) - 1
        rewards = np.asarray(episode.rewards, np.float64).tolist()
        for t, action in enumerate(actions.tolist()):
            key = (cells[t], action, cells[t + 1], rewards[t], bool(episode.terminated) and t == last)
            rows.setdefault(key, [0, number, t])[0] += 1
    keys = sorted(rows, key=lambda key: rows[key][1:])
    return Transitions(
        before=np.array([key[0] for key in keys], np.int64).reshape(len(keys), size),
        action=np.array([key[1] for key in keys], np.int64),
        after=np.array([key[2] for key in keys], np.int64).reshape(len(keys), size),
        reward=np.array([key[3] for key in keys], np.float64),
        ended=np.array([key[4] for key in keys], np.bool_),
        count=np.array([rows[key][0] for key in keys], np.int64),
        where=np.array([rows[key][1:] for key in keys], np.int64).reshape(len(keys), 2),
        starts=np.array(sorted(starts), np.int64).reshape(len(starts), size),
    )
