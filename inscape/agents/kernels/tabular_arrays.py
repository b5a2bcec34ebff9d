"""What the tabular kernels are given, by name: flat tuples of arrays and numbers, which Numba caches."""

from __future__ import annotations

from typing import Any, NamedTuple


class Copies(NamedTuple):
    """The world that N learners are in, a copy each.

    Attributes:
        floats, ints: packed copies, one column per learner.
        obs, seen: room for one observation, as the world writes it, and flat: the same memory. (A view made at each
            step counts references to every array at hand, most of the time.)
        first, strides: make a row of an observation; tuples where they are few, whose length is then known when
            compiling.
        current: `[N]` the row each learner is in.
        num_rows: of a table.
        totals: `[N, 3]`, see the columns in the kernel template.
        limit: steps after which an episode is cut, or 0.
        ended: `[N, M, 3]` number of its last step, return and length of each learner's last M episodes, in a ring.
    """

    floats: Any
    ints: Any
    obs: Any
    seen: Any
    first: Any
    strides: Any
    current: Any
    num_rows: int
    totals: Any
    limit: int
    ended: Any


class Choices(NamedTuple):
    """What rules are given of actions and random numbers, in any environment, one by one and in this order.

    Attributes:
        numbers: stands for the actions, a tuple where they are few.
        mask: `[N, rows, A]`, which actions are legal where, or None.
        keys: `[N, 2]` streams of exploration and planning, of which step t uses the numbers `t · DRAWS` and following.
        rates: the step size of the n-th update.
    """

    numbers: Any
    mask: Any
    keys: Any
    rates: Any


class Schedule(NamedTuple):
    """The settings as numbers.

    Attributes:
        gamma: discount per step.
        rate, power, floor: the n-th update of an entry uses max(floor, rate · n^−power).
        epsilon_start, epsilon_end, epsilon_steps: probability of a random action, and over how many steps it falls.
        extra: what an algorithm adds.
    """

    gamma: float
    rate: float
    power: float
    floor: float
    epsilon_start: float
    epsilon_end: float
    epsilon_steps: float
    extra: float


class Step(NamedTuple):
    """One step, to be learned from.

    Attributes:
        row, action: where it was taken, and what was done.
        gain: the reward.
        terminated: whether the task itself ended.
        over: whether the episode ended, by the task or by a time limit.
        length: steps of the episode, this one included.
        next_row: where it led.
        t: its number.
        epsilon: probability of a random action then.
    """

    row: int
    action: int
    gain: float
    terminated: bool
    over: bool
    length: int
    next_row: int
    t: int
    epsilon: float
