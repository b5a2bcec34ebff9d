"""Compiled prioritised sweeping: one state after another, the one whose backup changes most first."""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

from inscape.envs.compile.kernel_cache import cached_jit, helper_jit

OPTIONS = {"nogil": True, "error_model": "numpy"}


@helper_jit(**OPTIONS)
def backup(next_state, weight, reward, values, s):
    """Returns max_a Σ of state s."""
    best = -math.inf
    for a in range(weight.shape[1]):
        value = reward[s, a]
        for k in range(weight.shape[2]):
            value += weight[s, a, k] * values[next_state[s, a, k]]
        best = max(best, value)
    return best


@helper_jit(**OPTIONS)
def rise(heap, place, priority, i):
    """Moves the entry at place i of the heap up to where it belongs."""
    s = heap[i]
    while i > 0 and priority[heap[(i - 1) // 2]] < priority[s]:
        heap[i] = heap[(i - 1) // 2]
        place[heap[i]] = i
        i = (i - 1) // 2
    heap[i] = s
    place[s] = i


@helper_jit(**OPTIONS)
def sink(heap, place, priority, i, size):
    """Moves the entry at place i of the heap down to where it belongs."""
    s = heap[i]
    while 2 * i + 1 < size:
        child = 2 * i + 1
        if child + 1 < size and priority[heap[child + 1]] > priority[heap[child]]:
            child += 1
        if priority[heap[child]] <= priority[s]:
            break
        heap[i] = heap[child]
        place[heap[i]] = i
        i = child
    heap[i] = s
    place[s] = i


@cached_jit(**OPTIONS)
def sweep(next_state, weight, reward, terminal, values, starts, sources, heap, place, priority, target, most):
    """Backs up the state whose value changes most, until none changes by more than `target`; returns the backups made.

    Args:
        next_state, weight: `[S, A, K]`.
        reward: `[S, A]`, −inf where illegal.
        terminal: `[S]` bool; their values stay.
        values: `[S]`, changed in place.
        starts, sources: `[S + 1]`, `[N]`: `sources[starts[s]:starts[s + 1]]` are the states that lead into s.
        heap, place: `[S]` int64 each, to work in.
        priority: `[S]`, to work in.
        target: the largest change to leave.
        most: backups after which to end.
    """
    states, size, done = len(values), 0, 0
    for s in range(states):
        place[s] = -1
        if not terminal[s]:
            priority[s] = abs(backup(next_state, weight, reward, values, s) - values[s])
            if priority[s] > target:
                heap[size] = s
                rise(heap, place, priority, size)
                size += 1
    while size > 0 and done < most:
        s = heap[0]
        size -= 1
        place[s] = -1
        if size > 0:
            heap[0] = heap[size]
            sink(heap, place, priority, 0, size)
        values[s] = backup(next_state, weight, reward, values, s)
        done += 1
        for j in range(starts[s], starts[s + 1]):
            u = sources[j]
            if terminal[u]:
                continue
            priority[u] = abs(backup(next_state, weight, reward, values, u) - values[u])
            if place[u] >= 0:
                rise(heap, place, priority, place[u])
                sink(heap, place, priority, place[u], size)
            elif priority[u] > target:
                heap[size] = u
                rise(heap, place, priority, size)
                size += 1
    return done
