"""Episodes as a checkpoint holds them: laid end to end in a few arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inscape.envs.data.trajectory import Trajectory


def packed_episodes(episodes: Sequence[Trajectory]) -> dict[str, Any]:
    """Returns what a model learns from of episodes, as arrays: no states of the world, and no names."""
    if not episodes:
        return {}
    found: dict[str, Any] = {
        "lengths": np.array([len(one) for one in episodes], np.int64),
        "ended": np.array([[one.terminated, one.truncated] for one in episodes], np.bool_),
    }
    for name in ("observations", "actions", "rewards"):
        found[name] = np.concatenate([getattr(one, name) for one in episodes])
    if all(one.action_masks is not None for one in episodes):
        found["action_masks"] = np.concatenate([one.action_masks for one in episodes])
    return found


def unpacked_episodes(state: dict[str, Any]) -> list[Trajectory]:
    """Returns the episodes that `packed_episodes` has packed."""
    if not state:
        return []
    lengths = np.asarray(state["lengths"])
    ends = np.cumsum(lengths)
    masks = state.get("action_masks")
    found = []
    for number, (start, stop) in enumerate(zip(ends - lengths, ends, strict=True)):
        terminated, truncated = (bool(flag) for flag in state["ended"][number])
        found.append(
            Trajectory(
                observations=np.array(state["observations"][start + number : stop + number + 1]),
                actions=np.array(state["actions"][start:stop]),
                rewards=np.array(state["rewards"][start:stop]),
                terminated=terminated,
                truncated=truncated,
                action_masks=None if masks is None else np.array(masks[start:stop]),
            )
        )
    return found
