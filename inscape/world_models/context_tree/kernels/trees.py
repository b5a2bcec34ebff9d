"""Context trees in arrays: predict a bit, learn it, and take it back bit for bit.

Several trees share the arrays: root k is node k. A node has counts of zeros and ones, its two children (0: none; no
child is a root) and the ratio r = P_kt / (P_w(child 0)·P_w(child 1)) of its own Krichevsky–Trofimov probability to
that of its children. So the weight of the node's own estimate is r/(1 + r), and no logarithm is needed:

    P_w(bit) = (r·P_kt(bit) + P_w(bit | child)) / (1 + r)        r ← r·P_kt(bit) / P_w(bit | child)

with P_kt(bit) = (n_bit + ½)/(n_0 + n_1 + 1) and, at depth D, P_w = P_kt. r is kept as `ratio·BIG^scale`, so that it
neither overflows nor forgets. What learning overwrites is written to a log, from which it is taken back.

Sources: Willems, Shtarkov & Tjalkens (1995), IEEE Trans. Inf. Theory 41(3), section III; Krichevsky & Trofimov (1981);
the ratios: Willems & Tjalkens (1997), "Complexity reduction of the context-tree weighting algorithm".
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import numpy as np

from inscape.envs.compile.kernel_cache import cached_jit, helper_jit

jit = cached_jit(nogil=True, error_model="numpy")
inline = helper_jit(nogil=True, error_model="numpy", forceinline=True)

BIG = 2.0**400
NODES, LENGTH, LOGGED, MADE = 0, 1, 2, 3
"""Entries of `numbers`: nodes in use, bits in the history, rows of the log."""


@inline
def one_probability(root, depth, children, counts, ratio, scale, history, numbers, path, below):
    """Returns P_w(1) in the context of the history; notes the path and what was predicted below each of its nodes.

    Nodes are made on the way where there are none: `MADE` says how many of the path were there before.
    """
    length = numbers[LENGTH]
    node = root
    path[0] = root
    made = depth + 1
    for d in range(depth):
        at = length - 1 - d
        bit = history[at] if at >= 0 else 0
        following = children[bit, node]
        if following == 0:
            if made > depth:
                made = d + 1
            following = numbers[NODES]
            numbers[NODES] += 1
            children[bit, node] = following
            children[0, following] = 0
            children[1, following] = 0
            counts[0, following] = 0
            counts[1, following] = 0
            ratio[following] = 1.0
            scale[following] = 0
        node = following
        path[d + 1] = node
    numbers[MADE] = made
    p = (counts[1, node] + 0.5) / (counts[0, node] + counts[1, node] + 1.0)
    for d in range(depth - 1, -1, -1):
        node = path[d]
        below[d] = p
        if scale[node] == 0:
            own = (counts[1, node] + 0.5) / (counts[0, node] + counts[1, node] + 1.0)
            r = ratio[node]
            p = (r * own + p) / (1.0 + r)
        elif scale[node] > 0:
            p = (counts[1, node] + 0.5) / (counts[0, node] + counts[1, node] + 1.0)
    return p


@inline
def learn_bit(bit, depth, counts, ratio, scale, path, below):
    """Learns a bit along the path that `one_probability` noted."""
    for d in range(depth):
        node = path[d]
        own = (counts[bit, node] + 0.5) / (counts[0, node] + counts[1, node] + 1.0)
        r = ratio[node] * own / (below[d] if bit == 1 else 1.0 - below[d])
        if r > BIG:
            r /= BIG
            scale[node] += 1
        elif r < 1.0 / BIG:
            r *= BIG
            scale[node] -= 1
        ratio[node] = r
        counts[bit, node] += 1
    counts[bit, path[depth]] += 1


@inline
def log_path(bit, root, depth, ratio, scale, numbers, path, log_nodes, log_ratio, log_scale):
    """Writes what learning a bit along the path will overwrite to the log, a column for each bit learned."""
    column = numbers[LOGGED]
    made = numbers[MADE]
    log_nodes[depth + 1, column] = bit
    log_nodes[depth + 2, column] = made
    for d in range(depth + 1):
        log_nodes[d, column] = path[d]
        log_ratio[d, column] = ratio[path[d]]
        log_scale[d, column] = scale[path[d]]
    numbers[LOGGED] = column + 1


@inline
def take_back(depth, children, counts, ratio, scale, history, numbers, log_nodes, log_ratio, log_scale):
    """Takes the bit learned last back: what it changed is as before, and the nodes it made are free again.

    The history is as long as it was when the bit was predicted.
    """
    column = numbers[LOGGED] - 1
    numbers[LOGGED] = column
    bit, made = log_nodes[depth + 1, column], log_nodes[depth + 2, column]
    for d in range(min(made, depth + 1)):
        node = log_nodes[d, column]
        counts[bit, node] -= 1
        ratio[node] = log_ratio[d, column]
        scale[node] = log_scale[d, column]
    if made <= depth:
        at = numbers[LENGTH] - made
        context = history[at] if at >= 0 else 0
        children[context, log_nodes[made - 1, column]] = 0
        numbers[NODES] -= depth + 1 - made


@jit
def learn_steps(codes, predicted, depth, children, counts, ratio, scale, history, numbers, probability):
    """Learns bits one after another, and writes the probability each was given.

    Args:
        codes: `[N]` bits.
        predicted: `[N]` the tree that predicts each; −1: it is not predicted, and only enters the history; −2 − k: tree
            k predicts it, and it does not enter the history.
        probability: `[N]`, written: of each bit before it was learned; 1 where it is not predicted.

    Returns how many were learned: fewer where the arrays are full.
    """
    path, below = np.zeros(depth + 1, np.int64), np.zeros(depth + 1)
    for n in range(len(codes)):
        tree, bit = predicted[n], codes[n]
        if numbers[NODES] + depth + 1 > children.shape[1] or numbers[LENGTH] >= len(history):
            return n
        probability[n] = 1.0
        if tree != -1:
            root = tree if tree >= 0 else -2 - tree
            p = one_probability(root, depth, children, counts, ratio, scale, history, numbers, path, below)
            learn_bit(bit, depth, counts, ratio, scale, path, below)
            probability[n] = p if bit == 1 else 1.0 - p
        if tree >= -1:
            history[numbers[LENGTH]] = bit
            numbers[LENGTH] += 1
    return len(codes)


@jit
def score_steps(
    codes,
    predicted,
    depth,
    children,
    counts,
    ratio,
    scale,
    history,
    numbers,
    probability,
    log_nodes,
    log_ratio,
    log_scale,
):
    """As `learn_steps`, and takes all of it back: arrays are bit for bit what they were. The log: a column a bit."""
    path, below = np.zeros(depth + 1, np.int64), np.zeros(depth + 1)
    done = 0
    for n in range(len(codes)):
        tree, bit = predicted[n], codes[n]
        if numbers[NODES] + depth + 1 > children.shape[1] or numbers[LENGTH] >= len(history):
            break
        probability[n] = 1.0
        if tree != -1:
            root = tree if tree >= 0 else -2 - tree
            p = one_probability(root, depth, children, counts, ratio, scale, history, numbers, path, below)
            log_path(bit, root, depth, ratio, scale, numbers, path, log_nodes, log_ratio, log_scale)
            learn_bit(bit, depth, counts, ratio, scale, path, below)
            probability[n] = p if bit == 1 else 1.0 - p
        if tree >= -1:
            history[numbers[LENGTH]] = bit
            numbers[LENGTH] += 1
        done += 1
    for n in range(done - 1, -1, -1):
        if predicted[n] >= -1:
            numbers[LENGTH] -= 1
        if predicted[n] != -1:
            take_back(depth, children, counts, ratio, scale, history, numbers, log_nodes, log_ratio, log_scale)
    return done


@inline
def frozen_probability(root, depth, children, counts, ratio, scale, contexts, b):
    """Returns P_w(1) in a context; no node is made. Top down: what weight each node on the path has."""
    node, p, weight, d = root, 0.0, 1.0, 0
    while True:
        own = (counts[1, node] + 0.5) / (counts[0, node] + counts[1, node] + 1.0)
        if d == depth:
            return p + weight * own
        if scale[node] == 0:
            share = ratio[node] / (1.0 + ratio[node])
        else:
            share = 1.0 if scale[node] > 0 else 0.0
        p += weight * share * own
        weight *= 1.0 - share
        following = children[contexts[depth - 1 - d, b], node]
        if following == 0:
            return p + weight * 0.5
        node = following
        d += 1


@jit
def sample_steps(
    contexts, uniforms, percept_bits, reward_bits, reward_context, depth, children, counts, ratio, scale, codes, reward
):
    """Samples a step from each of B contexts; the trees stay as they are.

    Args:
        contexts: `[D, B]` bits, the newest last, the action's among them; written: those after the step.
        uniforms: `[percept_bits + reward_bits, B]`.
        codes: `[percept_bits, B]`, written.
        reward: `[B]`, written: numbers of rewards.
    """
    for b in range(contexts.shape[1]):
        number = 0
        for n in range(percept_bits + reward_bits):
            j = n - percept_bits
            root = n if j < 0 else percept_bits + (1 << j) - 1 + number
            bit = (
                1
                if uniforms[n, b] < frozen_probability(root, depth, children, counts, ratio, scale, contexts, b)
                else 0
            )
            if j < 0:
                codes[n, b] = bit
            else:
                number = 2 * number + bit
            if depth > 0 and (j < 0 or reward_context):
                for d in range(depth - 1):
                    contexts[d, b] = contexts[d + 1, b]
                contexts[depth - 1, b] = bit
        reward[b] = number
