"""Compiled Gauss–Seidel passes outwards from where rewards are: states in order of distance, a few distances at a time.

A sweep in order of distance carries values outwards at once, but what leads away by accident is seen a sweep late, so
that a path with n steps astray takes n sweeps. Here a window of a few distances is swept until it hardly changes before
it moves on by half its width: a step astray and back lies within it, and the number of passes does not depend on how
long paths are. What a window works on stays in the processor's cache.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

import numpy as np

from inscape.envs.compile.kernel_cache import cached_jit
from inscape.world_models.planning.kernels.tables.backups import OPTIONS


@cached_jit(**OPTIONS)
def earnings(reward, terminal):
    """Returns of the best expected rewards of the states that are not terminal (the least one or 0 if that is less, the
    middle between it and the most, how many are above that)."""
    states, actions = reward.shape
    least, most, above = 0.0, -math.inf, 0
    for s in range(states):
        if not terminal[s]:
            best = -math.inf
            for a in range(actions):
                best = max(best, reward[s, a])
            least, most = min(least, best), max(most, best)
    middle = 0.5 * (least + most)
    for s in range(states):
        if not terminal[s]:
            best = -math.inf
            for a in range(actions):
                best = max(best, reward[s, a])
            above += best >= middle
    return least, middle, above


@cached_jit(**OPTIONS)
def outwards(next_state, weight, reward, terminal, high, kept, share, order):
    """Fills `order [S]` with the states that are not terminal, by their distance from where an action earns or ends.

    Distance counts steps to the likeliest successors, or to others with at least `share` of their weight. What has no
    such path comes last.

    Args:
        next_state, weight, reward, terminal: as in `backups.improve`.
        high: the distance is 0 where an action earns at least so much,
        kept: or goes on with at most this weight.
        share: see above; beyond 1, one successor for each action.
        order: uint32, to fill.

    Returns:
        (states in `order`, distances, how many states are at distance 0).
    """
    states, actions, width = weight.shape
    first = np.zeros(states + 1, np.int32)  # of the edges into a state
    place = np.full(states, -1, np.int32)
    reached = 0
    for s in range(states):
        if terminal[s]:
            continue
        source = False
        for a in range(actions):
            if reward[s, a] == -math.inf:
                continue
            total, j = 0.0, 0
            for k in range(width):
                total += weight[s, a, k]
                j = k if weight[s, a, k] > weight[s, a, j] else j
            source = source or reward[s, a] >= high or total <= kept
            for k in range(width):
                if (k == j or weight[s, a, k] >= share * weight[s, a, j]) and next_state[s, a, k] != s:
                    first[next_state[s, a, k] + 1] += 1
        if source:
            order[reached] = s
            place[s] = reached
            reached += 1
    sources = reached
    for s in range(states):
        first[s + 1] += first[s]
    before, end = np.empty(first[states], np.int32), first[:states].copy()
    for s in range(states):
        if terminal[s]:
            continue
        for a in range(actions):
            if reward[s, a] == -math.inf:
                continue
            j = 0
            for k in range(width):
                j = k if weight[s, a, k] > weight[s, a, j] else j
            for k in range(width):
                if (k == j or weight[s, a, k] >= share * weight[s, a, j]) and next_state[s, a, k] != s:
                    t = next_state[s, a, k]
                    before[end[t]] = s
                    end[t] += 1
    distances, done, last = 0, 0, reached
    while done < reached:
        if done == last or distances == 0:
            distances += 1
            last = reached
        t = order[done]
        for e in range(first[t], first[t + 1]):
            s = before[e]
            if place[s] < 0:
                order[reached] = s
                place[s] = reached
                reached += 1
        done += 1
    for s in range(states):
        if place[s] < 0 and not terminal[s]:
            order[reached] = s
            reached += 1
    return reached, distances, sources


@cached_jit(**OPTIONS)
def spread(next_state, weight, reward, values, order, taken, rows, weights, rewards, window, step, evaluations, sticky):
    """Makes one pass outwards: a window slides along `order`, and in each of its places all actions are backed up once
    and the greedy ones several times.

    Args:
        next_state, weight, reward: as in `backups.improve`.
        values: `[S]`, changed in place.
        order: `[N]` uint32 states, nearest first; terminal ones left out.
        taken: `[N]` int32, in `order`: the actions whose outcomes `rows` and the others hold; −1: none.
        rows, weights, rewards: `[N, K]`, `[N, K]` and `[N]`, in `order`: what the greedy actions do.
        window, step: how many states the window holds, and by how many it moves on.
        evaluations: sweeps under the greedy actions in each place.
        sticky: from which weight of staying on to sum that in closed form.

    Returns:
        The largest change that backing up all actions made.
    """
    _, actions, width = weight.shape
    number, end, largest = len(order), 0, 0.0
    while end < number:
        end = min(number, end + step)
        begin = max(0, end - window)
        for i in range(begin, end):
            s = order[i]
            best, chosen = -math.inf, 0
            for a in range(actions):
                value = reward[s, a]
                for k in range(width):
                    value += weight[s, a, k] * values[next_state[s, a, k]]
                if value > best:
                    best, chosen = value, a
            largest = max(largest, abs(best - values[s]))
            values[s] = best
            if taken[i] != chosen:
                taken[i] = chosen
                stays = 0.0
                for k in range(width):
                    if next_state[s, chosen, k] == s:
                        stays += weight[s, chosen, k]
                closed = sticky <= stays < 1.0
                scale = 1.0 / (1.0 - stays) if closed else 1.0
                rewards[i] = reward[s, chosen] * scale
                for k in range(width):
                    t = next_state[s, chosen, k]
                    rows[i, k] = t
                    weights[i, k] = 0.0 if closed and t == s else weight[s, chosen, k] * scale
        for _ in range(evaluations):
            for i in range(begin, end):
                value = rewards[i]
                for k in range(width):
                    value += weights[i, k] * values[rows[i, k]]
                values[order[i]] = value
    return largest
