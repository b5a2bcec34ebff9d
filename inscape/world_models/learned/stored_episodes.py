"""Episodes as a state dict of arrays: what models keep that find their law anew from data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError
from inscape.world_models.interface import nothing_to_load

PARTS = ("observations", "actions", "rewards")


def episodes_to_state(episodes: Sequence[Trajectory]) -> dict[str, Any]:
    """Returns episodes as arrays, one after the other; {} for none."""
    if not episodes:
        return {}
    join = {name: np.concatenate([np.asarray(getattr(episode, name)) for episode in episodes]) for name in PARTS}
    ends = np.array([episode.terminated for episode in episodes], np.bool_)
    return {**join, "lengths": np.array([len(episode) for episode in episodes], np.int64), "terminated": ends}


def episodes_from_state(state: dict[str, Any], width: int, owner: str) -> list[Trajectory]:
    """Returns the episodes of a state dict.

    Args:
        state: what `episodes_to_state` returned.
        width: numbers in an observation.
        owner: what they belong to, for messages.

    Raises:
        UsageError: arrays are missing or do not fit together, or observations have another width.
    """
    if not state:
        return []
    wanted = {*PARTS, "lengths", "terminated"}
    if set(state) != wanted:
        nothing_to_load(dict.fromkeys(set(state) ^ wanted, 0), owner)
    arrays = {name: np.asarray(value) for name, value in state.items()}
    lengths = arrays["lengths"].astype(np.int64)
    total, count = int(lengths.sum()), len(lengths)
    for name, length in {
        "observations": total + count,
        "actions": total,
        "rewards": total,
        "terminated": count,
    }.items():
        if len(arrays[name]) != length:
            raise UsageError(f"stored {name} of length {len(arrays[name])}", expected=f"{length}")
    found = int(np.prod(arrays["observations"].shape[1:]))
    if found != width:
        raise UsageError(f"stored observations of {found} numbers", expected=f"{width}, as the task has")
    episodes = []
    at = 0
    for number, length in enumerate(lengths.tolist()):
        ended = bool(arrays["terminated"][number])
        steps = slice(at, at + length)
        seen = arrays["observations"][at + number : at + number + length + 1]
        episodes.append(Trajectory(seen, arrays["actions"][steps], arrays["rewards"][steps], ended, not ended))
        at += length
    return episodes
