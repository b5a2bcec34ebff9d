"""An agent acting in several copies at once, its actions checked against the action space."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from inscape.agents.batches import is_array_space, objects, rows_of
from inscape.agents.interface import Agent, can_remember
from inscape.envs.tasks.checking.contract import Contract, integer_range, mask_sizes
from inscape.errors import UsageError
from inscape.world_models.networks.types import Array


class VectorActor:
    """An agent acting in several copies, asked for some of them at a time; keeps for it what it remembers in each.

    What everybody uses who lets agents act: agents without memory are asked as ever.

        acting = VectorActor(agent, 8)
        actions = acting.act(observation[rows], None, rows)
        acting.earned(reward)
        acting.begin(np.flatnonzero(ended))

    Args:
        agent: as `as_agent` returned it.
        count: how many copies there are; an episode begins in each.

    Attributes:
        remembers: whether there is any need to call `begin` and `earned`.
    """

    def __init__(self, agent: Agent, count: int) -> None:
        self.agent = agent
        self.remembers = can_remember(agent)
        self._remembering = agent if can_remember(agent) else None
        if self._remembering is not None:
            self._memory = self._fresh(count).copy()
            self._reward = np.zeros(count)

    def begin(self, copies: Array) -> None:
        """An episode begins in these copies `[E]`: what was remembered there is forgotten."""
        if self._remembering is not None and len(copies):
            self._memory[copies] = self._fresh(len(copies))
            self._reward[copies] = 0.0

    def earned(self, reward: Array) -> None:
        """Adds `[count]` rewards, to be handed over when a copy is next asked for."""
        if self._remembering is not None:
            self._reward += reward

    def act(self, observation: Array, action_mask: Array | None, copies: Array) -> Array:
        """Returns the agent's actions `[B, ...]` for these copies, not checked yet.

        Args:
            observation: `[B, ...]`.
            action_mask: `[B, A]` bool or None.
            copies: `[B]` indices of the copies, each at most once.

        Raises:
            UsageError: what it returned is not a pair, or its memory does not fit.
        """
        if self._remembering is None:
            return self.agent.act(observation, action_mask)
        answer = self._remembering.act_with_memory(
            observation, self._memory[copies], self._reward[copies], action_mask=action_mask
        )
        if not (isinstance(answer, tuple) and len(answer) == 2):
            raise UsageError(
                f"act_with_memory of {self.agent.name} returned {type(answer).__name__}",
                expected="a pair: actions, and what is remembered from now on",
            )
        actions, memory = answer[0], np.asarray(answer[1])
        known = self._memory
        if memory.shape != (len(copies), *known.shape[1:]) or not np.can_cast(memory.dtype, known.dtype, "same_kind"):
            raise UsageError(
                f"act_with_memory of {self.agent.name} returned memory of shape {memory.shape}, {memory.dtype}, for "
                f"{len(copies)} copies",
                expected=f"({len(copies)}, …) like initial_memory, whose rows are {known.shape[1:]}, {known.dtype}",
            )
        known[copies] = memory
        self._reward[copies] = 0.0
        return actions

    def _fresh(self, count: int) -> Array:
        assert self._remembering is not None
        memory = np.asarray(self._remembering.initial_memory(count))
        if memory.ndim < 1 or len(memory) != count:
            raise UsageError(
                f"initial_memory({count}) of {self.agent.name} returned an array of shape {memory.shape}",
                expected=f"a row for each of the {count} copies",
            )
        return memory


def check_actions(
    actions: Any,
    space: gymnasium.Space[Any],
    copies: Array,
    *,
    agent: str,
    step: int,
    action_mask: Array | None = None,
) -> Array:
    """Returns the actions as an array the environment takes, or says what is wrong with which one.

    Args:
        actions: what `act` returned for the copies acted for.
        space: the action space of one copy.
        copies: `[B]` indices of those copies, for messages.
        agent: name of the agent, for messages.
        step: environment step since the start of the rollout, for messages.
        action_mask: `[B, A]` bool, True where legal.

    Raises:
        UsageError: wrong shape, dtype, range, or an illegal action; it names agent, copy and step.
    """
    who = f"agent {agent}"
    if not is_array_space(space):
        return _check_composite(actions, space, copies, who, step)
    array = np.asarray(actions)
    shape = (len(copies), *(space.shape or ()))
    if array.shape != shape:
        raise UsageError(
            f"{who} returned actions of shape {array.shape} for {len(copies)} copies at step {step}",
            expected=f"shape {shape}: act takes a batch of observations and returns one action for each",
            hint="return one action per row, or say `batched = False` in the class to be asked one copy at a time",
        )
    if isinstance(space, gymnasium.spaces.Box):
        return _check_continuous(array, space, copies, who, step)
    if array.dtype.kind not in "iu":
        raise UsageError(
            f"{who} returned actions of dtype {array.dtype} at step {step} (copy {copies[0]}: {array[0]!r})",
            expected=f"integers, for the action space {space}",
            hint="e.g. actions.astype(int)",
        )
    array = array.astype(np.int64, copy=False)
    low, high = integer_range(space)
    wrong = ((array < low) | (array >= high)).reshape(len(copies), -1).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise UsageError(
            f"{who} returned action {array[row]} for copy {copies[row]} at step {step}",
            expected=f"a value in {space}",
            hint=f"inscape check {agent} WORLD, and see what its `act` computes",
        )
    if action_mask is not None:
        _require_legal(array, space, copies, who, step, action_mask)
    return array


def _require_legal(
    array: Array, space: gymnasium.Space[Any], copies: Array, who: str, step: int, action_mask: Array
) -> None:
    """Raises for an action, or a part of one, that its mask `[B, Σ n]` forbids."""
    sizes = np.array(mask_sizes(space))
    start = getattr(space, "start", 0)
    numbers = (array - start).reshape(len(copies), -1)
    firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    illegal = ~np.take_along_axis(action_mask, numbers + firsts, axis=1)
    if not illegal.any():
        return
    row, part = (int(k) for k in np.argwhere(illegal)[0])
    first = int(np.reshape(start, -1)[part]) if np.ndim(start) else int(start)
    legal = np.flatnonzero(action_mask[row, firsts[part] : firsts[part] + sizes[part]]) + first
    which = f", part {part} of it," if len(sizes) > 1 else ""
    raise UsageError(
        f"{who} chose the illegal action {array[row]}{which} for copy {copies[row]} at step {step}",
        expected=f"one of the legal actions {legal.tolist()}",
        hint="take `action_mask` in act and choose where it is True",
    )


def _check_composite(actions: Any, space: gymnasium.Space[Any], copies: Array, who: str, step: int) -> Array:
    """Returns `[B]` actions of a Dict, Tuple, Text or other space as objects; a batch of parts is taken apart."""
    if isinstance(actions, (dict, tuple)):
        actions = [rows_of(actions, row) for row in range(len(copies))]
    if not hasattr(actions, "__len__") or len(actions) != len(copies):
        raise UsageError(
            f"{who} returned {type(actions).__name__} for {len(copies)} copies at step {step}",
            expected=f"{len(copies)} actions, elements of {space}",
        )
    contract = Contract(who, space, space)
    try:
        return objects([contract.action(action) for action in actions])
    except UsageError as error:
        raise UsageError(
            f"{who} returned an action that is none at step {step}: {error.found}", expected=f"an element of {space}"
        ) from error


def _check_continuous(array: Array, space: gymnasium.spaces.Box, copies: Array, who: str, step: int) -> Array:
    if array.dtype.kind not in "fiub":
        raise UsageError(f"{who} returned actions of dtype {array.dtype} at step {step}", expected=f"{space.dtype}")
    if array.dtype.kind == "f" and space.dtype.kind in "iub" and np.isfinite(array).all():
        array = np.rint(array)  # the nearest of whole numbers
    array = array.astype(space.dtype, copy=False)
    # `not inside` rather than `outside`: a NaN is neither above nor below.
    inside = ((array >= space.low) & (array <= space.high)).reshape(len(copies), -1).all(axis=1)
    if not inside.all():
        row = int(np.argmin(inside))
        raise UsageError(
            f"{who} returned action {array[row]} for copy {copies[row]} at step {step}",
            expected=f"finite values between {space.low} and {space.high}",
        )
    return array
