"""Batched tree search: selection, expansion and backup of B trees, on arrays. No law, no network, no Python objects.

A tree has `room` nodes, those of tree b from b·room on, its root first; a child always comes after its parent. An
action has K slots, one for each outcome: 1 in a deterministic law. A simulation walks down (`descend`) until it comes
to an outcome that has no node, to an end, or to `max_depth` steps; the caller makes and values the node (`place`,
`set_prior`); its value is passed up (`back_up`). Whoever calls decides how many leaves are valued at once:
`law_search` in one compiled loop, `waves` with one call of a model for all trees.

Values are kept for each player; who moves at a node maximises its own. Of an action's outcomes, the one that is behind
its probability most is taken next (low-discrepancy sampling), so that the mean of n returns weighs each outcome by its
probability to 1/n, and a search without roll-outs uses no random number below its root.

A `rule` holds sizes and options in a tuple: kind (PUCT or GUMBEL), most steps of a walk, room, nodes kept of it, K,
whether outcomes are sampled, whether the span is fixed, value scale and visit offset of σ, A, M. Nodes of the room that
are not kept are spare: where a tree is full, a leaf is valued in one and forgotten.
"""

from __future__ import annotations

import math
from typing import NamedTuple

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
import numpy as np

from inscape.envs.compile.kernel_cache import cached_jit, helper_jit

jit = cached_jit(nogil=True, error_model="numpy")
# put into its caller before types are known: a call would count the references of all arrays, for as long as a step
inline = helper_jit(nogil=True, error_model="numpy", inline="always")

PUCT, GUMBEL = 0, 1
KIND, MAX_DEPTH, ROOM, KEPT, WIDTH, SAMPLED, FIXED, SCALE, OFFSET, ACTIONS, PLAYERS = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
# columns of `node`, and where those of its actions begin; of `real`; of `tree`; of `tree_real`
PARENT, ACTION, SLOT, MOVER, ENDED, VISITS, TRIED = 0, 1, 2, 3, 4, 5, 6
DISCOUNT, VALUE = 0, 1
COUNT, CLOCK, TROUBLE, WHERE, FRESH = 0, 1, 2, 3, 4
LOW, HIGH, RETURNS = 0, 1, 2
NO_ACTION, NO_NUMBER = 1, 2
HERE = -1


class Trees(NamedTuple):
    """B trees of `room` nodes each, G = B·room in all, M players, A actions of K outcomes. A row is a node, or a tree:
    few arrays, because compiled code counts the references of each.

    Attributes:
        node: `[G, 6 + A + A·K]` int32. PARENT, ACTION, SLOT: where the node was reached from, by which action, as which
            of its A·K outcomes; MOVER; ENDED, 1 of an end; VISITS; from TRIED on how often each action was taken; then
            the child of each outcome, −1 without.
        real: `[G, 1 + 3M + 2A + A·K]` float64. DISCOUNT, γ times the probability of going on after the step into the
            node; from VALUE on mean returns `[M]`, what the evaluation said `[M]` (0 of an end), rewards of the step
            into the node `[M]`; mean returns q of the actions for the mover `[A]`; the prior `[A]` (0 where illegal);
            probabilities of the outcomes `[A·K]`, where they can be listed and K > 1.
        tree: `[B, 4 + A]` int64. COUNT of nodes; CLOCK, random numbers used; TROUBLE, what was wrong, and WHERE; from
            FRESH on how often this search took each action at the root.
        tree_real: `[B, 2 + M + 2A]` float64. LOW and HIGH, the span of q, met or fixed; working memory: RETURNS `[M]`,
            weights `[A]`; Gumbel noise of the root's actions `[A]`.
        considered: `[B, S]` int32: at simulation s the root takes one of the actions that it has taken so often.
        spread: `[V]` c(N)·√N of PUCT, N the visits of a node.
    """

    node: np.ndarray
    real: np.ndarray
    tree: np.ndarray
    tree_real: np.ndarray
    considered: np.ndarray
    spread: np.ndarray


# ------------------------------------------------------------------------------------------------ select


@inline
def puct(node, real, tree_real, spread, b, g, A, M):
    """Returns the action of highest q̂(a) + c(N)·P(a)·√N/(1 + N(a)), q̂ being q in units of the tree's span.

    c(N) = exploration + log((1 + N + base)/base). An action not tried yet has the value of the node. Source: Silver et
    al. (2018), "A general reinforcement learning algorithm that masters chess, shogi, and Go through self-play",
    Science 362, supplement, "Search"; q in units of the span: Schrittwieser et al. (2020), "Mastering Atari, Go, chess
    and shogi by planning with a learned model", Nature 588, equation 5.
    """
    low, high = tree_real[b, LOW], tree_real[b, HIGH]
    unit = 1.0 / (high - low) if high > low else 0.0
    scale = spread[node[g, VISITS]]
    unknown = real[g, VALUE + node[g, MOVER]]
    q_at = VALUE + 3 * M
    p_at = q_at + A
    chosen, highest = -1, -math.inf
    for a in range(A):
        n = node[g, TRIED + a]
        p = real[g, p_at + a]
        score = (real[g, q_at + a] if n > 0 else unknown) * unit + scale * p / (1.0 + n)
        if p > 0.0 and score > highest:
            chosen, highest = a, score
    return chosen


@inline
def mixed_value(node, real, g, A, M):
    """Returns (what an action not tried is taken to be worth, ΣN, max N): the mixed value.

    (v̂ + ΣN/ΣP·Σ P·q)/(1 + ΣN), sums of priors over actions tried (equation 33 of Danihelka et al. 2022, "Policy
    improvement by planning with Gumbel", ICLR).
    """
    q_at = VALUE + 3 * M
    total, most = 0, 0
    mass, weighted = 0.0, 0.0
    for a in range(A):
        n = node[g, TRIED + a]
        if n > 0:
            total += n
            most = max(most, n)
            mass += real[g, q_at + A + a]
            weighted += real[g, q_at + A + a] * real[g, q_at + a]
    mixed = real[g, VALUE + M + node[g, MOVER]]
    if mass > 0.0:
        mixed = (mixed * mass + total * weighted) / (mass * (1.0 + total))
    return mixed, total, most


@inline
def value_weight(tree_real, b, most, value_scale, offset):
    """Returns σ(q)/q = (offset + max N)·scale, q in units of the tree's span (equation 8)."""
    low, high = tree_real[b, LOW], tree_real[b, HIGH]
    return (offset + most) * value_scale / (high - low) if high > low else 0.0


@inline
def follow_improved(node, real, tree_real, b, g, A, M, value_scale, offset):
    """Returns the action of highest π′(a) − N(a)/(1 + ΣN), π′ ∝ P·exp(σ(completed q)) (equations 10, 11, 14).

    All actions not tried have the same completed value, and share one exponential. As long as the tree has met one
    value only, π′ is the prior.
    """
    q_at, p_at, w_at = VALUE + 3 * M, VALUE + 3 * M + A, RETURNS + M
    chosen, highest = -1, -math.inf
    if tree_real[b, HIGH] > tree_real[b, LOW]:
        mixed, total, most = mixed_value(node, real, g, A, M)
        weight = value_weight(tree_real, b, most, value_scale, offset)
        top = -math.inf
        for a in range(A):
            if real[g, p_at + a] > 0.0:
                top = max(top, real[g, q_at + a] if node[g, TRIED + a] > 0 else mixed)
        others = math.exp(weight * (mixed - top)) if mixed < top else 1.0
        mass = 0.0
        for a in range(A):
            e = others
            if node[g, TRIED + a] > 0:
                below = weight * (real[g, q_at + a] - top)
                e = math.exp(below) if below < 0.0 else 1.0
            e *= real[g, p_at + a]
            tree_real[b, w_at + a] = e
            mass += e
        for a in range(A):
            score = tree_real[b, w_at + a] * (1.0 + total) - node[g, TRIED + a] * mass
            if real[g, p_at + a] > 0.0 and score > highest:
                chosen, highest = a, score
    else:
        total = 1
        for a in range(A):
            total += node[g, TRIED + a]
        for a in range(A):
            p = real[g, p_at + a]
            score = p * total - node[g, TRIED + a]
            if p > 0.0 and score > highest:
                chosen, highest = a, score
    return chosen


@inline
def improve(node, real, tree_real, b, g, A, M, value_scale, offset):
    """Writes log P(a) + σ(completed q(a)) of a node as the tree's weights, −inf where illegal; returns the largest."""
    mixed, _, most = mixed_value(node, real, g, A, M)
    weight = value_weight(tree_real, b, most, value_scale, offset)
    largest = -math.inf
    for a in range(A):
        q = real[g, VALUE + 3 * M + a] if node[g, TRIED + a] > 0 else mixed
        p = real[g, VALUE + 3 * M + A + a]
        x = math.log(p) + weight * q if p > 0.0 else -math.inf
        tree_real[b, RETURNS + M + a] = x
        largest = max(largest, x)
    return largest


@inline
def halve(node, real, tree, tree_real, wanted, b, g, A, M, value_scale, offset):
    """Returns the root's action by sequential halving: of those taken `wanted` times by this search, the one of highest
    noise + log P + σ(q) (algorithm 2)."""
    improve(node, real, tree_real, b, g, A, M, value_scale, offset)
    chosen, highest = -1, -math.inf
    for a in range(A):
        score = tree_real[b, RETURNS + M + A + a] + tree_real[b, RETURNS + M + a]
        if tree[b, FRESH + a] == wanted and score > highest:
            chosen, highest = a, score
    return chosen


@inline
def next_outcome(node, real, g, a, A, M, width, sampled):
    """Returns the slot of the outcome that is taken next. Sampled outcomes: a new one while they are at most √n."""
    chosen = a * width
    if width > 1:
        first, known, n = a * width, width, node[g, TRIED + a]
        if sampled:
            known = 0
            while known < width and node[g, TRIED + A + first + known] >= 0:
                known += 1
        if sampled and (known == 0 or (known < width and known * known <= n)):
            chosen = first + known
        else:
            furthest = -math.inf
            for slot in range(first, first + known):
                child = node[g, TRIED + A + slot]
                p = 1.0 / known if sampled else real[g, VALUE + 3 * M + 2 * A + slot]
                behind = p * (n + 1) - (node[child, VISITS] if child >= 0 else 0)
                if p > 0.0 and behind > furthest:
                    chosen, furthest = slot, behind
    return chosen


@inline
def descend(node, real, tree, tree_real, considered, spread, b, simulation, rule):
    """Returns (node, slot): the outcome to be made a node; slot HERE where the walk ended at a node that there is."""
    A, M, root = rule[ACTIONS], rule[PLAYERS], b * rule[ROOM]
    g, slot, steps = root, HERE, 0
    while slot == HERE and steps < rule[MAX_DEPTH] and node[g, ENDED] == 0:
        if rule[KIND] == PUCT:
            a = puct(node, real, tree_real, spread, b, g, A, M)
        elif g == root:
            wanted = considered[b, simulation]
            a = halve(node, real, tree, tree_real, wanted, b, g, A, M, rule[SCALE], rule[OFFSET])
        else:
            a = follow_improved(node, real, tree_real, b, g, A, M, rule[SCALE], rule[OFFSET])
        if a < 0:
            tree[b, TROUBLE], tree[b, WHERE] = NO_NUMBER, g
            break
        slot = next_outcome(node, real, g, a, A, M, rule[WIDTH], rule[SAMPLED])
        child = node[g, TRIED + A + slot]
        if child >= 0:
            g, slot = child, HERE
            steps += 1
    return g, slot


# ------------------------------------------------------------------------------------------------ expand


@inline
def likeliest(real, g, a, rule):
    """Returns the slot of the most probable outcome of an action, which is taken first."""
    at = VALUE + 3 * rule[PLAYERS] + 2 * rule[ACTIONS]
    chosen = a * rule[WIDTH]
    for slot in range(chosen + 1, (a + 1) * rule[WIDTH]):
        if real[g, at + slot] > real[g, at + chosen]:
            chosen = slot
    return chosen


@inline
def place(node, real, tree, b, g, slot, rule, spare):
    """Returns the node of an outcome, new; where the tree is full the spare node number `spare`, which is not kept."""
    here = b * rule[ROOM] + rule[KEPT] + spare
    if tree[b, COUNT] < rule[KEPT]:
        here = b * rule[ROOM] + tree[b, COUNT]
        tree[b, COUNT] += 1
        node[g, TRIED + rule[ACTIONS] + slot] = here
    node[here, PARENT], node[here, SLOT], node[here, ACTION] = g, slot, slot // rule[WIDTH]
    clear(node, real, here, rule)
    return here


@inline
def clear(node, real, g, rule):
    """Forgets what memory holds of a node."""
    A, M = rule[ACTIONS], rule[PLAYERS]
    node[g, VISITS], node[g, MOVER], node[g, ENDED] = 0, 0, 0
    for m in range(2 * M):
        real[g, VALUE + m] = 0.0
    for a in range(A):
        node[g, TRIED + a] = 0
        real[g, VALUE + 3 * M + a] = 0.0
    for slot in range(A * rule[WIDTH]):
        node[g, TRIED + A + slot] = -1


@inline
def set_prior(real, g, A, M):
    """Makes logits, −inf where illegal, the prior in their place: their softmax."""
    p_at = VALUE + 3 * M + A
    largest, mass = -math.inf, 0.0
    for a in range(A):
        largest = max(largest, real[g, p_at + a])
    for a in range(A):
        p = math.exp(real[g, p_at + a] - largest)
        real[g, p_at + a] = p
        mass += p
    for a in range(A):
        real[g, p_at + a] /= mass


# ------------------------------------------------------------------------------------------------ back up


@inline
def back_up(node, real, tree, tree_real, b, g, rule):
    """Adds the value of node g to the means of every node and action on the way to it: R ← r + discount·R."""
    M, root = rule[PLAYERS], b * rule[ROOM]
    q_at, here = VALUE + 3 * M, g
    start = VALUE + M if node[g, VISITS] == 0 else VALUE
    for m in range(M):
        tree_real[b, RETURNS + m] = real[g, start + m]
    while here >= 0:
        node[here, VISITS] += 1
        part = 1.0 / node[here, VISITS]
        for m in range(M):
            R = tree_real[b, RETURNS + m]
            real[here, VALUE + m] += (R - real[here, VALUE + m]) * part
            tree_real[b, RETURNS + m] = real[here, VALUE + 2 * M + m] + real[here, DISCOUNT] * R
        up = node[here, PARENT] if here != root else -1
        if up >= 0:
            a = node[here, ACTION]
            node[up, TRIED + a] += 1
            R = tree_real[b, RETURNS + node[up, MOVER]]
            q = real[up, q_at + a] + (R - real[up, q_at + a]) / node[up, TRIED + a]
            real[up, q_at + a] = q
            if not rule[FIXED]:
                tree_real[b, LOW] = min(tree_real[b, LOW], q)
                tree_real[b, HIGH] = max(tree_real[b, HIGH], q)
            if up == root:
                tree[b, FRESH + a] += 1
        here = up


@inline
def pass_through(node, real, tree, b, g, slot, rule, by):
    """Adds `by` to the visits on the way to an outcome: virtual visits, which keep other leaves of a wave away."""
    root, q_at = b * rule[ROOM], VALUE + 3 * rule[PLAYERS]
    here, a = g, slot // rule[WIDTH] if slot != HERE else -1
    while here >= 0:
        if a >= 0:
            if node[here, TRIED + a] == 0:
                real[here, q_at + a] = real[here, VALUE + node[here, MOVER]]
            node[here, TRIED + a] += by
            if here == root:
                tree[b, FRESH + a] += by
        node[here, VISITS] += by
        a = node[here, ACTION]
        here = node[here, PARENT] if here != root else -1


# ------------------------------------------------------------------------------------------------ between moves


@jit
def keep_subtree(node, real, tree, b, g, rule, moved):
    """Makes node g the root of tree b: it and what is below it move to the front, the rest is forgotten.

    Children come after their parents, so that one pass is enough. `moved [room]` int64 gets, for each node, where it
    was; returns how many are kept.
    """
    room, A = rule[ROOM], rule[ACTIONS]
    first = b * room
    place_of = np.full(room, -1, np.int64)
    kept = 0
    for here in range(g, first + tree[b, COUNT]):
        up = node[here, PARENT] - first
        if here == g or (up >= 0 and place_of[up] >= 0):
            to = first + kept
            place_of[here - first] = kept
            moved[kept] = here - first
            kept += 1
            for k in range(node.shape[1]):
                node[to, k] = node[here, k]
            for k in range(real.shape[1]):
                real[to, k] = real[here, k]
            for slot in range(A * rule[WIDTH]):
                node[to, TRIED + A + slot] = -1
            if here == g:
                node[to, PARENT] = -1
            else:
                node[to, PARENT] = first + place_of[up]
                node[first + place_of[up], TRIED + A + node[to, SLOT]] = to
    tree[b, COUNT] = kept
    return kept


@jit
def improved_policy(T, rule, out):
    """Fills `out [B, A]` with π′ ∝ P·exp(σ(completed q)) at the roots (equation 11)."""
    node, real, tree, tree_real = T[0], T[1], T[2], T[3]
    A, M = rule[ACTIONS], rule[PLAYERS]
    for b in range(len(tree)):
        g = b * rule[ROOM]
        largest = improve(node, real, tree_real, b, g, A, M, rule[SCALE], rule[OFFSET])
        mass = 0.0
        for a in range(A):
            out[b, a] = math.exp(tree_real[b, RETURNS + M + a] - largest)
            mass += out[b, a]
        for a in range(A):
            out[b, a] /= mass
