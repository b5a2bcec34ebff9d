"""Waves of a batched search on any model: every tree walks down, the model is asked once for all, then values go up.

The parts are those of `kernels/tree.py`; what is between two calls, `tree_search/model_trees.py` does.
"""

from __future__ import annotations

import math

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
from inscape.world_models.planning.kernels.tree import (
    ACTIONS,
    DISCOUNT,
    ENDED,
    MOVER,
    PLAYERS,
    TRIED,
    VALUE,
    WIDTH,
    back_up,
    descend,
    jit,
    likeliest,
    pass_through,
    place,
    set_prior,
)


@jit
def select_wave(T, first, last, simulation, leaves, rule, nodes, slots):
    """Walks down every tree `leaves` times; fills `nodes`, `slots [B·leaves]` as `descend` returns them."""
    node, real, tree, tree_real, considered, spread = T
    for b in range(first, last):
        for i in range(b * leaves, (b + 1) * leaves):
            g, slot = descend(
                node, real, tree, tree_real, considered, spread, b, simulation + i - b * leaves, rule
            )  # fmt: skip
            nodes[i], slots[i] = g, slot
            if leaves > 1:
                pass_through(node, real, tree, b, g, slot, rule, 1)
        if leaves > 1:
            for i in range(b * leaves, (b + 1) * leaves):
                pass_through(node, real, tree, b, nodes[i], slots[i], rule, -1)


@jit
def place_wave(T, nodes, slots, listed, probability, leaves, rule, fresh):
    """Makes the nodes of a wave's outcomes, a row each: `listed [R]` their number in the wave.

    `probability [R, K]` of each outcome (`[R, 0]` where they were sampled). Fills `fresh [R]` with the new node, −1 − g
    where an earlier leaf of the wave made it; leaves in `slots` which outcome it is, and in `nodes` its node.
    """
    node, real, tree = T[0], T[1], T[2]
    width, A = rule[WIDTH], rule[ACTIONS]
    at = VALUE + 3 * rule[PLAYERS] + 2 * A
    for r in range(len(listed)):
        i = listed[r]
        b, g, slot = i // leaves, nodes[i], slots[i]
        a = slot // width
        if width > 1 and probability.shape[1] > 0 and node[g, TRIED + a] == 0:
            for k in range(width):
                real[g, at + a * width + k] = probability[r, k]
            slot = likeliest(real, g, a, rule)
            slots[i] = slot
        child = node[g, TRIED + A + slot]
        if child >= 0:
            fresh[r] = -1 - child
            nodes[i] = child
        else:
            fresh[r] = place(node, real, tree, b, g, slot, rule, i - b * leaves)
            nodes[i] = fresh[r]


@jit
def fill_wave(T, made, reward, discount, ended, mover, legal, values, logits, rule):
    """Writes what model and evaluation said of the nodes `made [n]`; returns the first row without a legal action, −1.

    Args:
        reward: `[n, M]`. discount: `[n]`, γ and all. ended: `[n]`. mover: `[n]`. legal: `[n, A]`, or `[n, 0]`: all.
        values: `[n, M]`. logits: `[n, A]`, or `[n, 0]`: uniform.
    """
    node, real = T[0], T[1]
    A, M = rule[ACTIONS], rule[PLAYERS]
    stuck = -1
    for r in range(len(made)):
        g = made[r]
        real[g, DISCOUNT], node[g, ENDED], node[g, MOVER] = discount[r], ended[r], mover[r]
        possible = 0
        for m in range(M):
            real[g, VALUE + 2 * M + m] = reward[r, m]
            real[g, VALUE + M + m] = 0.0 if ended[r] else values[r, m]
        for a in range(A):
            x = logits[r, a] if logits.shape[1] > 0 else 0.0
            x = x if legal.shape[1] == 0 or legal[r, a] else -math.inf
            real[g, VALUE + 3 * M + A + a] = x
            possible += x > -math.inf
        if possible > 0:
            set_prior(real, g, A, M)
        elif not ended[r] and stuck < 0:
            stuck = r
    return stuck


@jit
def back_up_wave(T, nodes, leaves, rule):
    """Passes the values of a wave's leaves up."""
    node, real, tree, tree_real = T[0], T[1], T[2], T[3]
    for i in range(len(nodes)):
        back_up(node, real, tree, tree_real, i // leaves, nodes[i], rule)
