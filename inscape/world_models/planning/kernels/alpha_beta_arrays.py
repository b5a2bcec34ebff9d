"""The memory of an alpha-beta search: a stack of frames, a table of positions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# entries of `counts`
NODES, FRAME, PHASE, FAULT, LOW_PROVEN, HIGH_PROVEN = 0, 1, 2, 3, 4, 5
# phases
ENTER, ADVANCE, RETURN, DONE = 0, 1, 2, 3
# faults
NO_LEGAL_ACTION, NOT_OPPOSED, NO_NUMBER, ABOVE_WIN, TOO_LONG = 1, 2, 3, 4, 5
# columns of `frame`
KIND, COLUMN, PLAYER, REMAIN, COUNT, TAKEN, BEST, ACTION, LOW, HIGH, SIGN, BEGAN = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
# values of frame[:, KIND]
DECISION, CHANCE = 0, 1
# columns of `window`
ALPHA, BETA, FIRST_ALPHA, FIRST_BETA, VALUE, REWARD, PROBABILITY = 0, 1, 2, 3, 4, 5, 6
# values of `child`
OPEN, OVER, BRANCHING = 0, 1, 2
# columns of `known` and `info`
AT_LEAST, AT_MOST = 0, 1
LOW_DEPTH, HIGH_DEPTH, BEST_ACTION, WORK = 0, 1, 2, 3
PROVEN = 1_000_000_000  # depth of a bound that no cut-off has entered
BUCKET = 4
WORTH_ASKING = 4  # plies left from which on a frame looks its children up before it searches them


class AlphaBetaArrays(NamedTuple):
    """One search; the kernel may stop and go on with it.

    Attributes:
        floats, ints, bits: packed states: column 0 the root, then one for each action of each frame; `bits` is the
            memory of `floats` as int64.
        frame, window: `[D, 12]` int64 and `[D, 7]` float64, a frame for each state or chance event on the way from the
            root: see the names of their columns.
        order: `[D, A]` legal actions of a frame, the likeliest first. child, child_reward: `[D, A]` what follows.
        killers: `[D, 2]` actions that were too good for the other player in frames of this depth, + 1.
        history: `[2, A]` how often, weighed by depth, an action was.
        keys: `[T, NF + NI]` states in the table. known: `[T, 2]` the value is at least, and at most. info: `[T, 4]`
            int32 depths of both bounds, best action, size of its search (0: empty).
        root_values: `[A]` what the root's actions are worth, or at most worth; NaN where not searched.
        counts, result: where the search stands, and the last value.
        reward_out, reward: one transition's reward, as the law writes it and as `[2]`: the same memory.
    """

    floats: np.ndarray
    ints: np.ndarray
    bits: np.ndarray
    frame: np.ndarray
    window: np.ndarray
    order: np.ndarray
    child: np.ndarray
    child_reward: np.ndarray
    killers: np.ndarray
    history: np.ndarray
    keys: np.ndarray
    known: np.ndarray
    info: np.ndarray
    root_values: np.ndarray
    counts: np.ndarray
    result: np.ndarray
    reward_out: np.ndarray
    reward: np.ndarray
