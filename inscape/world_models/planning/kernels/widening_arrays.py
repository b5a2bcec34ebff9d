"""The memory of a search over continuous actions, filled by `kernels/widening.py`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# entries of `counts`
NODES, ACTIONS, CLOCK, TROUBLE = range(4)
# columns of `node` and of `action`
VISITS, LINKS, LAST, BEFORE, TIMES, OVER = range(6)
TRIES = 20  # candidates for an action near the best one, in ever smaller boxes


class WideningArrays(NamedTuple):
    """A tree of N state nodes and K action nodes, one random number stream.

    Attributes:
        floats, ints, bits: `[NF, N]`, `[NI, N]` packed states; `bits` is the memory of `floats` as int64.
        node: `[N, 6]` int64: VISITS; LINKS, the number of actions; LAST of them (−1: none); BEFORE, the outcome of the
            same action that was found before; TIMES it was drawn; OVER: is it terminal.
        action: `[K, 6]`: VISITS; LINKS, the number of outcomes; LAST of them; BEFORE, the action of the same node.
        actions: `[K, D]`. worth: `[K]` mean return. earned: `[N]` reward of the transition into the node.
        low, high: `[D]` the box of actions. span: `[2]` least and greatest mean return: the scale of exploration.
        path, reached: `[H + 1]` actions and nodes of the simulation under way.
        counts: `[4]` nodes, actions, random numbers used, 1 + the action (−1: a roll-out) that earned no number.
    """

    floats: np.ndarray
    ints: np.ndarray
    bits: np.ndarray
    node: np.ndarray
    action: np.ndarray
    actions: np.ndarray
    worth: np.ndarray
    earned: np.ndarray
    low: np.ndarray
    high: np.ndarray
    span: np.ndarray
    path: np.ndarray
    reached: np.ndarray
    counts: np.ndarray


class WideningSettings(NamedTuple):
    """What a search is like, in numbers; see `DPW`."""

    action_width: float
    action_exponent: float
    outcome_width: float
    outcome_exponent: float
    local: float
    exploration: float
    gamma: float
    max_depth: int
    rolls: bool
    single: bool
