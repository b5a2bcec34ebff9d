"""What the stepping kernels are given beside the packed copies, by name."""

from __future__ import annotations

from typing import Any, NamedTuple


class StepArrays(NamedTuple):
    """Actions, and where a step's results are written; B copies, batch axis last unless said otherwise.

    One flat tuple of arrays: Numba caches kernels that take it, and parallel kernels cannot pass nested ones.

    Attributes:
        actions: `[B]`; all at once `[B, M]`, continuous `[B, D]`.
        obs: what is observed, as `World.observation_array` makes it.
        rewards: `[B]`, of several players `[M, B]`.
        terminated, truncated: `[B]` bool.
        final_obs: as `obs`: what finished copies observed last, with same-step resets.
        mask: `[B, A]` bool, all at once `[B, M, A]`: what is legal then, in worlds that restrict actions.
        movers: `[B]` who acts then, in worlds whose players act in turn.
    """

    actions: Any
    obs: Any
    rewards: Any
    terminated: Any
    truncated: Any
    final_obs: Any
    mask: Any
    movers: Any


class StepMemory(NamedTuple):
    """Working memory of a step.

    Attributes:
        fresh: `[B]` int64, the copies this call only resets.
        floats, ints: shaped like the packed copies: first states of their next episodes.
        view_floats, view_ints: `[VF, B]`, `[VI, B]` packed views, where the law separates them.
    """

    fresh: Any
    floats: Any
    ints: Any
    view_floats: Any
    view_ints: Any
