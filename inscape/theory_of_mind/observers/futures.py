"""Where minds will be: distributions over states pushed through their policies and the dynamics, step by step.

Only the states that can be reached by then are held, and policies are taken out of logs only there: one step ahead of
512 minds in 10,000 states is a matter of a few actions, not of all of their tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.mind_policies import MemoryStep, MindPolicies

if TYPE_CHECKING:
    from inscape.envs.readers.enumeration import Enumeration


def future_states(
    policies: MindPolicies,
    dynamics: Enumeration,
    held: Array,
    weights: Array,
    state: int,
    horizon: int,
    steps: Sequence[MemoryStep],
) -> Array:
    """Returns `[H + 1, S]` P(state after h steps), summed over rows (a memory state of a mind each).

    Args:
        policies: what minds do.
        dynamics: of the world.
        held: `[N]` the rows that have weight.
        weights: `[N]` theirs; they sum to one.
        state: where all of them are now.
        horizon: H.
        steps: how memory changes, with rows counted among `held`.
    """
    size = len(dynamics)
    everyone = len(held) == len(policies.mind_of)
    rows: Any = slice(None) if everyone else held[:, None]
    here, occupancy = np.array([state]), weights[:, None]
    path = np.zeros((horizon + 1, size))
    path[0, state] = weights.sum()
    for h in range(1, horizon + 1):
        columns = here if everyone else here[None]
        arrived = policies.arrived[rows, columns]
        staying = np.where(arrived, occupancy, 0.0)
        moving = (occupancy - staying)[:, :, None] * np.exp(policies.log_probs[rows, columns])
        following, arriving = _moved(dynamics, here, moving, steps)
        reached = np.union1d(here[staying.any(axis=0)], following)
        occupancy = np.zeros((len(held), len(reached)))
        occupancy[:, np.searchsorted(reached, following)] = arriving
        stays = np.isin(here, reached)
        occupancy[:, np.searchsorted(reached, here[stays])] += staying[:, stays]
        here = reached
        path[h, here] = occupancy.sum(axis=0)
    return path


def _moved(dynamics: Enumeration, here: Array, moving: Array, steps: Sequence[MemoryStep]) -> tuple[Array, Array]:
    """Returns the states that `moving [N, n, A]`, in `here [n]`, leads to, and `[N, m]` how much arrives there."""
    from scipy.sparse import csr_matrix

    next_state, probability = dynamics.next_state[here], dynamics.probability[here]
    used = probability > 0
    following, column = np.unique(next_state[used], return_inverse=True)
    count, actions, width = next_state.shape
    ways = np.nonzero(used.reshape(count * actions, width))[0]
    law = csr_matrix((probability[used], (column, ways)), (len(following), count * actions))
    arriving = np.asarray(law @ moving.reshape(len(moving), -1).T).T
    for step in steps:
        places = np.zeros(next_state.shape, np.int64)
        places[used] = column
        s, a, k = np.ix_(here, np.arange(actions), np.arange(width))
        next_memory, log_probability = step.at(s, a, k)  # [n, A, K, M, J]
        memories = next_memory.shape[3]
        flow = np.moveaxis(moving[step.rows], 0, -1)[:, :, None, :, None] * probability[..., None, None]
        place = next_memory * len(following) + places[..., None, None]
        counted = np.bincount(place.ravel(), (flow * np.exp(log_probability)).ravel(), memories * len(following))
        arriving[step.rows] = counted.reshape(memories, -1)
    return following, arriving
