"""Mean return and length of the episodes of a training, without a bias to short ones. Imports no torch."""

from __future__ import annotations

import numpy as np

from inscape.agents.interface import Metrics
from inscape.world_models.networks.types import Array, State

WINDOW = 100
"""Episodes that a report averages over, at least, once there are so many."""
LONGEST_WAIT = 10_000
"""Steps after which an episode under way no longer holds up the report of those that began after it."""


class EpisodeLog:
    """The last `WINDOW` episodes of several copies, in the order in which they began.

    Of the episodes under way at some time the short ones end first: a mean over those that ended in a round of training
    says too little of long ones, most of all in the first rounds. So an episode is counted once every episode that
    began before it, or with it, has ended. A report averages over those that are newly counted, together with as many
    before them as make `WINDOW`; there is none until the first are counted.

    Args:
        count: B, copies.

    Attributes:
        averaged: how many episodes the last report averaged over.
    """

    def __init__(self, count: int) -> None:
        self._steps = 0
        self._began = np.zeros(count, np.int64)  # with which step the episode under way began, of each copy
        self._waiting = np.zeros((3, 0))  # began, return, length: those that ended and are not counted yet
        self._last = np.zeros((2, 0))  # return, length: those that are counted
        self._new = 0
        self.averaged = 0

    def forget(self, copies: Array) -> None:
        """Leaves out the episodes that the next step cuts off for no reason of theirs: a copy was made again."""
        self._began[copies] = self._steps + 1

    def skip(self, steps: int) -> None:
        """Adds steps in which no episode ended."""
        self._steps += steps

    def add(self, ended: Array, returns: Array, lengths: Array) -> None:
        """Adds T steps.

        Args:
            ended: `[T, B]` bool, the last steps of episodes.
            returns, lengths: `[T, B]`, of those episodes; elsewhere anything.
        """
        steps, copies = np.nonzero(ended)
        self.add_ended(len(ended), steps, copies, returns[steps, copies], lengths[steps, copies])

    def add_ended(self, count: int, steps: Array, copies: Array, returns: Array, lengths: Array) -> None:
        """Adds `count` steps in which K episodes ended.

        Args:
            steps, copies: `[K]`, with which of the steps and in which copy each ended.
            returns, lengths: `[K]`, of those episodes.
        """
        if len(steps):
            over = self._steps + steps + 1
            found = np.stack([over - lengths, returns, lengths])
            self._waiting = np.concatenate([self._waiting, found], axis=1)
            np.maximum.at(self._began, copies, over)
        self._steps += count
        if not self._waiting.shape[1]:
            return
        under_way = self._began[self._steps - self._began <= LONGEST_WAIT]
        counted = self._waiting[0] < under_way.min(initial=self._steps)
        if not counted.any():
            return
        new = self._waiting[1:, counted][:, np.argsort(self._waiting[0, counted], kind="stable")]
        self._waiting = self._waiting[:, ~counted]
        self._new += new.shape[1]
        self._last = np.concatenate([self._last, new], axis=1)[:, -max(WINDOW, self._new) :]

    def report(self) -> Metrics:
        """Returns mean return and length; nothing before the first episodes are counted."""
        self.averaged = self._last.shape[1]
        if not self.averaged:
            return {}
        returns, lengths = self._last.mean(axis=1)
        self._last, self._new = self._last[:, -WINDOW:], 0
        return {"episode_return": float(returns), "episode_length": float(lengths)}

    def restart(self) -> None:
        """New episodes begin in every copy; those under way are forgotten."""
        self._began[:] = self._steps

    def state_dict(self) -> State:
        """Returns what later reports depend on."""
        return {
            "steps": self._steps,
            "began": self._began.copy(),
            "waiting": self._waiting.copy(),
            "last": self._last.copy(),
            "new": self._new,
        }

    def load_state_dict(self, state: State | None) -> None:
        """Goes on from a `state_dict`; without one, as runs from before it have none, begins."""
        if state is None or np.shape(state["began"]) != self._began.shape:
            return
        self._steps, self._began = int(state["steps"]), np.array(state["began"], np.int64)
        self._waiting = np.array(state["waiting"], np.float64).reshape(3, -1)
        self._last, self._new = np.array(state["last"], np.float64).reshape(2, -1), int(state.get("new", 0))
