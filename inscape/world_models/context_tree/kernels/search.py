"""ρUCT: a tree search over histories in which the context trees are the simulator, learning along each simulation.

Source: Veness, Ng, Hutter, Uther & Silver (2011), "A Monte-Carlo AIXI approximation", JAIR 40, section 3, algorithms 1
to 4.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

import numpy as np

from inscape.world_models.context_tree.kernels.trees import (
    LENGTH,
    inline,
    jit,
    learn_bit,
    log_path,
    one_probability,
    take_back,
)


@inline
def child_of(link, slots, links, used):
    """Returns the decision node of a link (node, action, percept), made if it is new, and whether it is."""
    size = len(slots)
    slot = ((link * 0x9E3779B1) >> 7) % size
    while slots[slot] >= 0:
        node = slots[slot]
        if links[node] == link:
            return node, False
        slot += 1
        if slot == size:
            slot = 0
    node = used[0]
    used[0] = node + 1
    slots[slot] = node
    links[node] = link
    return node, True


@inline
def chosen(node, visits, totals, spread, exploration, draw):
    """Returns the action of highest mean + C·√(ln N / n), untried ones first and at random."""
    actions = visits.shape[0]
    untried = 0
    parent = 0
    for a in range(actions):
        parent += visits[a, node]
        if visits[a, node] == 0:
            untried += 1
    if untried > 0:
        left = int(draw * untried)
        for a in range(actions):
            if visits[a, node] == 0:
                if left == 0:
                    return a
                left -= 1
    best, top = 0, -math.inf
    for a in range(actions):
        n = visits[a, node]
        value = totals[a, node] / (n * spread) + exploration * math.sqrt(math.log(parent) / n)
        if value > top:
            best, top = a, value
    return best


@jit
def search(
    state,
    action_bits,
    percept_bits,
    reward_bits,
    reward_context,
    rewards,
    gamma,
    horizon,
    simulations,
    exploration,
    uniforms,
    depth,
    children,
    counts,
    ratio,
    scale,
    history,
    numbers,
    log_nodes,
    log_ratio,
    log_scale,
    visits,
    totals,
    links,
    slots,
    used,
):
    """Searches from a history; `visits` and `totals` `[A, N]` of node 0 are the result. The trees are as before.

    Args:
        state: `[depth]` bits, the newest last.
        rewards: `[2^reward_bits]` value of each number.
        uniforms: `[simulations, horizon, 1 + percept_bits + reward_bits]`.
        log_nodes, log_ratio, log_scale: the log of what is learned: a column a bit, `horizon·(bits of a step)`.
        visits, totals, links, slots, used: the search's own tree: at least simulations + 1 nodes.
    """
    path, below = np.zeros(depth + 1, np.int64), np.zeros(depth + 1)
    nodes, taken = np.zeros(horizon, np.int64), np.zeros(horizon, np.int64)
    earned = np.zeros(horizon)
    pushed = percept_bits + (reward_bits if reward_context else 0)
    bits = percept_bits + reward_bits
    actions = visits.shape[0]
    spread = max(rewards.max() - rewards.min(), 1e-12) * horizon
    for d in range(depth):
        history[d] = state[d]
    numbers[LENGTH] = depth
    used[0] = 1
    for simulation in range(simulations):
        node, inside, steps, seen = 0, True, 0, 0
        for t in range(horizon):
            draw = uniforms[simulation, t, 0]
            if inside:
                action = chosen(node, visits, totals, spread, exploration, draw)
                nodes[t], taken[t] = node, action
                seen = t + 1
            else:
                action = int(draw * actions)
            for j in range(action_bits):
                history[numbers[LENGTH]] = (action >> (action_bits - 1 - j)) & 1
                numbers[LENGTH] += 1
            percept, number = 0, 0
            ended = False
            for n in range(bits):
                j = n - percept_bits
                root = n if j < 0 else percept_bits + (1 << j) - 1 + number
                p = one_probability(root, depth, children, counts, ratio, scale, history, numbers, path, below)
                bit = 1 if uniforms[simulation, t, n + 1] < p else 0
                log_path(bit, root, depth, ratio, scale, numbers, path, log_nodes, log_ratio, log_scale)
                learn_bit(bit, depth, counts, ratio, scale, path, below)
                if j < 0 or reward_context:
                    history[numbers[LENGTH]] = bit
                    numbers[LENGTH] += 1
                percept = 2 * percept + bit
                if j >= 0:
                    number = 2 * number + bit
                elif j == -1:
                    ended = bit == 1
            earned[t] = rewards[number]
            steps = t + 1
            if ended:
                break
            if inside and t + 1 < horizon:
                node, fresh = child_of((node * actions + action) * (1 << bits) + percept, slots, links, used)
                if fresh:
                    inside = False
        total = 0.0
        for t in range(steps - 1, -1, -1):
            total = earned[t] + gamma * total
            if t < seen:
                visits[taken[t], nodes[t]] += 1
                totals[taken[t], nodes[t]] += total
        for _ in range(steps):
            for n in range(bits - 1, -1, -1):
                if n < pushed:
                    numbers[LENGTH] -= 1
                take_back(depth, children, counts, ratio, scale, history, numbers, log_nodes, log_ratio, log_scale)
            numbers[LENGTH] -= action_bits
