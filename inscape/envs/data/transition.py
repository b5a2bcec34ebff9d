"""One step of every copy: the transition record (s, a, r, s′, flags)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    pass

Array = np.ndarray


@dataclass(frozen=True)
class Transition:
    """What one step of every copy led to.

    Attributes:
        reward: `[B]` float64.
        terminated: `[B]` bool: nothing follows.
        truncated: `[B]` bool: cut by the time limit; the value of what would have followed still counts.
        ended: `[E]` int64, the copies whose episode ended, either way.
        last_observation: `[E, ...]` what those observed last, before their next episode began.
        observation: `[B, ...]` what is observed now: of ended copies, the first observation of the next episode.
    """

    reward: Array
    terminated: Array
    truncated: Array
    ended: Array
    last_observation: Array
    observation: Array

    @property
    def next_observation(self) -> Array:
        """`[B, ...]` what each action led to; of ended copies, their last observation."""
        if not len(self.ended):
            return self.observation
        following = self.observation.copy()
        following[self.ended] = self.last_observation
        return following
