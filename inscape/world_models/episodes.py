"""What every learned model asks of the episodes it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

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


def check_spaces(
    episodes: Sequence[Trajectory], observation_space: spaces.Space[Any], action_space: spaces.Space[Any], reader: str
) -> None:
    """Checks that episodes are of a world with these spaces.

    Raises:
        UsageError: observations or actions of another shape or kind, or out of range, naming the episode and the step.
    """
    for number, episode in enumerate(episodes):
        for name, space in (("observations", observation_space), ("actions", action_space)):
            array = np.asarray(getattr(episode, name))
            if space.shape is None:
                continue
            if array.shape[1:] != space.shape:
                raise UsageError(
                    f"{name} of shape {array.shape[1:]} in episode {number}, for {reader}",
                    expected=f"{name} in {space}", hint="episodes of the same world",
                )  # fmt: skip
            wrong = ~_inside(array, space)
            if wrong.any():
                step = int(np.argmax(wrong))
                raise UsageError(
                    f"{name} with {array[step]} in episode {number} at step {step}, for {reader}",
                    expected=f"{name} in {space}", hint="episodes of the same world",
                )  # fmt: skip


def _inside(array: np.ndarray, space: spaces.Space[Any]) -> np.ndarray:
    """Returns `[T]` bool: which rows can be of a space, as far as numbers and their ranges tell."""
    rows = array.reshape(len(array), -1)
    if isinstance(space, spaces.Box):
        low, high = space.low.reshape(-1), space.high.reshape(-1)
        slack = 1e-4 * np.maximum(
            1.0, np.abs(rows)
        )  # single precision, and what an environment reports beyond its own bounds
        return np.asarray(((rows >= low - slack) & (rows <= high + slack)).all(axis=1))
    if array.dtype.kind not in "iub":
        return np.zeros(len(array), np.bool_)
    if isinstance(space, spaces.Discrete):
        return np.asarray(((rows >= space.start) & (rows < space.start + space.n)).all(axis=1))
    if isinstance(space, spaces.MultiDiscrete):
        first, sizes = np.asarray(space.start).reshape(-1), space.nvec.reshape(-1)
        return np.asarray(((rows >= first) & (rows < first + sizes)).all(axis=1))
    return np.ones(len(array), np.bool_)
