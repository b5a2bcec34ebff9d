"""What every learned model asks of the episodes it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory


def check_episodes(episodes: Sequence[Trajectory], reader: str) -> None:
    """Checks that there is something to read, and that all of it is numbers.

    Raises:
        UsageError: no episodes, or none with a step; NaN or infinity in observations, actions or rewards, naming the
            episode and the step.
    """
    if not sum(len(episode) for episode in episodes):
        found = "no episodes" if not len(episodes) else f"{len(episodes)} episodes without a step"
        raise UsageError(
            f"{found} for {reader}", expected="at least one step", hint="rollout(agent, world, episodes=20)"
        )
    for number, episode in enumerate(episodes):
        for name in ("observations", "actions", "rewards"):
            array = np.asarray(getattr(episode, name))
            if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
                at = tuple(int(index) for index in np.argwhere(~finite)[0])
                raise UsageError(
                    f"{name} with {array[at]} in episode {number} at step {at[0]}", expected="finite numbers"
                )
