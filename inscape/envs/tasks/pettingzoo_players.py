"""What each player of a PettingZoo environment observes and may do, in the spaces that all of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from inscape.envs.tasks.checking.batches import ARRAY_SPACES
from inscape.envs.tasks.checking.contract import MASK_KEYS, Contract
from inscape.envs.tasks.checking.place import Place
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError

Array = np.ndarray
Pair = tuple[gym.Space[Any], gym.Space[Any]]
"""Spaces of observations and of actions."""


def common_spaces(name: str, players: Sequence[str], own: Sequence[Pair]) -> Pair:
    """Returns the spaces of observations and actions that all players share.

    Where they differ in their sizes alone, they are the largest: observations of one axis get zeros behind them,
    numbered actions that a player does not have are masked. So SuperSuit's `pad_observations` and `pad_action_space`
    do it; Terry et al. (2020), "Revisiting parameter sharing in multi-agent deep reinforcement learning",
    arXiv:2005.13625.

    Args:
        name: of the environment, for messages.
        players: their names.
        own: each player's spaces.

    Raises:
        UsageError: they differ in more, or actions are no array.
    """
    for player, (_, actions) in zip(players, own, strict=True):
        if not isinstance(actions, ARRAY_SPACES):
            raise UsageError(
                f"{name}: the action space {actions} of {player}",
                expected="one array: Box, Discrete, MultiDiscrete or MultiBinary",
                hint="wrap it in a module of your own, whose env() takes other actions",
            )
    observed, taken = _common_box([pair[0] for pair in own]), _common_numbers([pair[1] for pair in own])
    if observed is not None and taken is not None:
        return observed, taken
    which = 0 if observed is None else 1
    other = next(m for m, pair in enumerate(own) if pair[which] != own[0][which])
    raise UsageError(
        f"{name}: {players[other]} has the spaces {own[other][0]}, {own[other][1]}, and {players[0]} has "
        f"{own[0][0]}, {own[0][1]}",
        expected="the same for all players, or of other sizes: observations of one axis, numbered actions",
        hint="wrap it in a module of your own, whose env() makes them so",
    )


def _common_box(spaces: Sequence[gym.Space[Any]]) -> gym.Space[Any] | None:
    if all(space == spaces[0] for space in spaces):
        return spaces[0]
    boxes = [space for space in spaces if isinstance(space, gym.spaces.Box) and len(space.shape) == 1]
    if len(boxes) < len(spaces) or len({space.dtype for space in boxes}) > 1:
        return None
    size = max(space.shape[0] for space in boxes)
    lows, highs = (
        [np.pad(getattr(space, side), (0, size - space.shape[0])) for space in boxes] for side in ("low", "high")
    )
    return gym.spaces.Box(np.min(lows, axis=0), np.max(highs, axis=0), dtype=boxes[0].dtype.type)


def _common_numbers(spaces: Sequence[gym.Space[Any]]) -> gym.Space[Any] | None:
    if all(space == spaces[0] for space in spaces):
        return spaces[0]
    numbered = [space for space in spaces if isinstance(space, gym.spaces.Discrete)]
    if len(numbered) < len(spaces) or len({(int(space.start), space.dtype) for space in numbered}) > 1:
        return None
    return max(numbered, key=lambda space: int(space.n))


def padded(observation: Any, space: gym.Space[Any]) -> Any:
    """Returns a player's observation with zeros behind it, up to the size of the space that all players share."""
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and observation.shape != space.shape:
        return np.pad(observation, (0, space.shape[0] - len(observation)))
    return observation


def number_of_actions(task: Task) -> int:
    """Returns A; 0 where actions are not Discrete."""
    return int(task.action_space.n) if isinstance(task.action_space, gym.spaces.Discrete) else 0


def taken_apart(
    task: Task, contract: Contract, seen: Any, info: Any, place: Place, acts: bool = True
) -> tuple[Any, Array | None]:
    """Returns the observation, copied, without its mask, in the space that all players share, and the mask `[A]` bool,
    or None where there is none.

    Args:
        task: what is played.
        contract: of the player whose they are.
        seen, info: what a player observes and is told, as the environment gives them.
        place: where that is, for messages.
        acts: whether that player acts next; one whose part is over may have no legal action.

    Raises:
        EnvironmentFault: the observation, or the mask, is not in its space; or it forbids everything.
    """
    actions = number_of_actions(task)
    told = place.taken(contract.info, info)
    mask = next((told[key] for key in MASK_KEYS if told.get(key) is not None), None)
    seen, within = without_mask(seen, contract.observation_space)
    mask = within if within is not None else mask
    seen = padded(place.taken(contract.observation, seen), task.observation_space)
    own = sum(contract.mask_sizes)
    if not actions or (mask is None and own == actions):
        return seen, None
    legal: Array = np.ones(own, np.bool_) if mask is None else place.taken(contract.mask, mask)
    if not legal.any():
        if acts:
            place.forbids()
        legal = np.ones_like(legal)
    return seen, np.concatenate([legal, np.zeros(actions - own, np.bool_)])


def without_mask(seen: Any, space: gym.Space[Any]) -> tuple[Any, Any]:
    """Returns an observation as `space` has it, and the mask that is handed over with it; None where there is none.

    Args:
        seen: what a player observes, as the environment gives it.
        space: of observations, taken apart.
    """
    if not isinstance(seen, Mapping):
        return seen, None
    mask = next((seen[key] for key in MASK_KEYS if key in seen), None)
    inside = isinstance(space, gym.spaces.Dict) and set(space.spaces) == set(seen)
    return (seen["observation"] if _is_wrapped(seen) and not inside else seen), mask


def plain_space(space: gym.Space[Any]) -> gym.Space[Any]:
    """Returns the space of observations without their masks, where these stand beside one part alone."""
    return space["observation"] if isinstance(space, gym.spaces.Dict) and _is_wrapped(space.spaces) else space


def _is_wrapped(parts: Mapping[str, Any]) -> bool:
    """Returns whether an observation, or a Dict space, is one part and its mask: no other part would be lost."""
    return "observation" in parts and set(parts) <= {"observation", *MASK_KEYS}
