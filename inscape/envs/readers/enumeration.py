"""Reads a world as tables: every state it can be in, and P(s'|s,a) over them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from inscape.envs.compile import choice
from inscape.envs.law.states import States
from inscape.envs.readers.batched import BatchedLaw
from inscape.errors import MissingLawError, TooManyStatesError, UsageError

TEMPLATE = "inscape.envs.kernels.enumeration"
FEW = 16
"""States up to which they are found among all by comparing."""
FIRST_ROOM, FIRST_ROOM_COMPILED = 16, 1024
"""States there is room for at first: few in plain Python, which is looked at again before it goes on with more."""


@dataclass(frozen=True, eq=False)
class Enumeration:
    """The dynamics of a world as tables, without purpose.

    Attributes:
        states: the S states: roots first, then as found breadth first from the initial ones.
        next_state: `[S, A, K]` int32 successors; unused entries repeat the state itself with probability 0.
        probability: `[S, A, K]` float64, each `[s, a]` summing to one; successors are distinct.
        legal: `[S, A]` bool.
        initial: `[S]` float64 probabilities of starting there.
    """

    states: States
    next_state: np.ndarray
    probability: np.ndarray
    legal: np.ndarray
    initial: np.ndarray

    def __len__(self) -> int:
        return len(self.states)

    @cached_property
    def _index(self) -> dict[bytes, int]:
        return {key: index for index, key in enumerate(self.states.keys())}

    def index_of(self, states: States) -> np.ndarray:
        """Returns `[B]` int64: the number of each state.

        Raises:
            UsageError: a state is not among the enumerated ones.
        """
        if len(states) <= FEW and "_index" not in self.__dict__:
            return self._search(states)
        index = self._index
        found = np.empty(len(states), np.int64)
        for b, key in enumerate(states.keys()):
            if key not in index:
                raise _unknown(states, b)
            found[b] = index[key]
        return found

    def _search(self, states: States) -> np.ndarray:
        """Returns what `index_of` does, by comparing: for few states an index of all takes longer, and memory."""
        mine, theirs = self.states.floats.view(np.int64), np.ascontiguousarray(states.floats).view(np.int64)
        found = np.empty(len(states), np.int64)
        for b in range(len(states)):
            same = np.ones(len(self), bool)
            for known, wanted in ((mine, theirs), (self.states.ints, states.ints)):
                for row, value in zip(known, wanted[:, b]):
                    same &= row == value
            if not same.any():
                raise _unknown(states, b)
            found[b] = int(np.argmax(same))
        return found


def _unknown(states: States, b: int) -> UsageError:
    return UsageError(
        f"state {b} (floats {states.floats[:, b].tolist()}, ints {states.ints[:, b].tolist()}) "
        "is not among the enumerated states",
        expected="a state reachable from the initial ones or from `roots`",
    )


def enumerate_dynamics(world: BatchedLaw, max_states: int = 1_000_000, *, compiled: bool | None = None) -> Enumeration:
    """Returns the dynamics of `world` as tables; where all players act at once, A counts joint actions.

    States that are terminal under the world's own purpose and under each of its named `purposes` are not expanded.

    Args:
        world: the world.
        max_states: how many states it may have.
        compiled: whether compiled kernels find and tabulate them, or plain Python; None: what takes less time.

    Raises:
        MissingLawError: the law can only be sampled, or actions are continuous.
        UsageError: more than `max_states` states are reachable; or probabilities do not sum to one.
    """
    world.require_enumerable("enumeration")
    if world.continuous:
        raise MissingLawError(f"{world.name} has continuous actions", expected="a finite action set")
    if compiled is not None:
        return _enumerate(world, max_states, compiled)
    try:
        with np.errstate(all="ignore"):
            return _enumerate(world, max_states, None)
    except choice.PLAIN_FAILURES as error:
        choice.refuse_unless_arithmetic(error)
        return _enumerate(world, max_states, True)


def _enumerate(world: BatchedLaw, max_states: int, compiled: bool | None) -> Enumeration:
    start_probability, starts = world.initial_outcomes(compiled=compiled)
    roots = States.concatenate([world.pack(type(world).roots(world.params)), starts[start_probability > 0]])
    packed = world.packed
    every = _all_purposes(world)
    scratch = world.empty_states(1)
    scratch_args = (scratch.floats, scratch.ints, scratch.floats.view(np.int64))
    calls = world.num_choices * number_of_branches(world)  # of the law, per state

    room = FIRST_ROOM
    while True:
        fast = choice.choose(world, TEMPLATE, "explore", room * calls, compiled)
        capacity = min(max(room, FIRST_ROOM_COMPILED) if fast else room, max_states)
        found = world.empty_states(capacity)
        bits = found.floats.view(np.int64)
        table = np.full(capacity * 2 + 1, -1, np.int64)
        count = world.kernel(TEMPLATE, choice.choose(world, TEMPLATE, "insert_all", len(roots), compiled)).insert_all(
            found.floats, found.ints, bits, table, roots.floats, roots.ints, roots.floats.view(np.int64), 0
        )
        if count >= 0:
            explore = world.kernel(TEMPLATE, fast).explore
            began = time.perf_counter()
            expanded, count = explore(packed, every, found.floats, found.ints, bits, table, 0, count, *scratch_args)
            if compiled is None and not fast:
                choice.usage(world, TEMPLATE, "explore").charge(expanded * calls, time.perf_counter() - began)
        if count >= 0:
            break
        if capacity == max_states:
            raise TooManyStatesError(
                f"{world!r} has more than {max_states:,} states",
                expected="a smaller world",
                hint="a planner that samples (inscape plan, mcts), or dynamics(max_states=…)",
            )
        room = 4 * capacity

    states = States(found.floats[:, :count].copy(), found.ints[:, :count].copy())
    _refuse_continua(world, states)
    fast = choice.choose(world, TEMPLATE, "tabulate", count * calls, compiled)
    began = time.perf_counter()
    next_state, probability, legal = _tabulate(
        world, world.kernel(TEMPLATE, fast), packed, every, found, bits, table, count, scratch_args
    )
    if compiled is None and not fast:
        choice.usage(world, TEMPLATE, "tabulate").charge(count * calls, time.perf_counter() - began)
    total = probability.sum(2)
    wrong = np.argwhere(np.abs(total - 1) > 1e-9)
    if len(wrong):
        s, a = wrong[0]
        raise UsageError(
            f"the outcomes of {world.name} in state {world.unpack(states, int(s))} under action "
            f"{world.choice_name(int(a))!r} have probabilities summing to {total[s, a]:.9g}",
            expected="1",
            hint=f"inscape check: fix `transition`, or raise `branches` (now {number_of_branches(world)})",
        )
    enumeration = Enumeration(states, next_state, probability, legal, np.zeros(count))
    np.add.at(enumeration.initial, enumeration.index_of(starts[start_probability > 0]),
              start_probability[start_probability > 0])  # fmt: skip
    if abs(enumeration.initial.sum() - 1) > 1e-9:
        raise UsageError(
            f"the initial states of {world.name} have probabilities summing to {enumeration.initial.sum():.9g}",
            expected="1",
            hint="fix `initial`, or set `initial_branches` to the number of its outcomes",
        )
    return enumeration


def _all_purposes(world: BatchedLaw) -> tuple[np.ndarray, np.ndarray]:
    """Returns the world's own purpose and its named ones as rows of numbers: `(floats [G, ·], ints [G, ·])`.

    Raises:
        UsageError: their lookup tables differ.
    """
    # a world that never ends by itself ends under none of them
    goals = {} if world.law_function("terminal") is BatchedLaw.terminal else world.goals
    packed = [world.packed, *(world.with_purpose(purpose).packed for purpose in goals.values())]
    for name, other in zip(goals, packed[1:]):
        if not all(np.array_equal(mine, theirs) for mine, theirs in zip(packed[0][4:], other[4:])):
            raise UsageError(
                f"the purpose {name!r} of {world.name} has lookup tables of its own",
                expected="purposes that differ in numbers, and share their tables",
            )
    return np.stack([one[2] for one in packed]), np.stack([one[3] for one in packed])


def number_of_branches(world: BatchedLaw) -> int:
    """Returns the number of branches of the transition law."""
    return world.count_outcomes()[0]


def _refuse_continua(world: BatchedLaw, states: States) -> None:
    if not np.isfinite(states.floats).all():
        bad = int(np.argwhere(~np.isfinite(states.floats))[0][1])
        raise UsageError(f"{world.name} reaches the state {world.unpack(states, bad)}", expected="finite numbers")


def _tabulate(
    world: BatchedLaw, kernels: Any, packed: Any, every: Any, found: States, bits: np.ndarray, table: np.ndarray,
    count: int, scratch_args: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Fills the tables in blocks, so that memory holds merged outcomes, not branches."""
    actions, width = world.num_choices, number_of_branches(world)
    legal = np.zeros((count, actions), np.bool_)
    block = max(1, min(count, 20_000_000 // max(1, actions * width)))
    blocks: list[tuple[np.ndarray, np.ndarray]] = []
    most = 1
    for low in range(0, count, block):
        high = min(count, low + block)
        nexts = np.repeat(np.arange(low, high, dtype=np.int32), actions * width).reshape(high - low, actions, width)
        probability = np.zeros((high - low, actions, width))
        widths = np.zeros((high - low, actions), np.int64)
        here = kernels.tabulate(
            packed, every, found.floats, found.ints, bits, table, low, high, nexts, probability, legal, widths,
            *scratch_args,
        )  # fmt: skip
        unused = np.arange(width) >= widths[:, :, None]
        nexts[unused] = np.broadcast_to(np.arange(low, high, dtype=np.int32)[:, None, None], nexts.shape)[unused]
        blocks.append((nexts[:, :, :here].copy(), probability[:, :, :here].copy()))
        most = max(most, here)
    next_state = np.repeat(np.arange(count, dtype=np.int32), actions * most).reshape(count, actions, most)
    table_probability = np.zeros((count, actions, most))
    low = 0
    for nexts, probability in blocks:
        rows, k = slice(low, low + len(nexts)), nexts.shape[2]
        next_state[rows, :, :k], table_probability[rows, :, :k] = nexts, probability
        low += len(nexts)
    return next_state, table_probability, legal
