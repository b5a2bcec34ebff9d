"""Kernel template: tree search over continuous actions in one world's law, by double progressive widening.

See `inscape.world_models.planning.control.widening`. State nodes and action nodes are numbered as they are made;
`WideningArrays` says what is kept of them.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

from inscape.envs.kernels.names import (
    CHOICE_SLOTS,
    TRANSITION_SLOTS,
    inner,
    jit,
    load_action,
    load_params,
    load_purpose,
    load_state,
    random_action,
    reward,
    sample_transition,
    store_state,
    terminal,
    uniform,
)
from inscape.world_models.planning.kernels.widening_arrays import (
    ACTIONS,
    BEFORE,
    CLOCK,
    LAST,
    LINKS,
    NODES,
    OVER,
    TIMES,
    TRIES,
    TROUBLE,
    VISITS,
)


@inner
def make_action(P, G, s, key, node, actions):
    """Makes an action of a node: uniform in the box, or nearer to the best one than to any other; returns it."""
    fresh = G.counts[ACTIONS]
    G.counts[ACTIONS] = fresh + 1
    D = G.actions.shape[1]
    best = -1
    if actions > 0 and uniform(key, G.counts[CLOCK]) < s.local:
        other = G.node[node, LAST]
        while other >= 0:
            if best < 0 or G.worth[other] > G.worth[best]:
                best = other
            other = G.action[other, BEFORE]
    G.counts[CLOCK] += 1
    width = 1.0
    for _ in range(TRIES):
        own = 0.0
        for d in range(D):
            u = uniform(key, G.counts[CLOCK])
            G.counts[CLOCK] += 1
            low, high = G.low[d], G.high[d]
            if best < 0:
                G.actions[fresh, d] = low + (high - low) * u
            else:
                moved = G.actions[best, d] + (high - low) * width * (u - 0.5)
                G.actions[fresh, d] = min(max(moved, low), high)
                if high > low:
                    own += ((G.actions[fresh, d] - G.actions[best, d]) / (high - low)) ** 2
        if best < 0:
            break
        nearest = True
        other = G.node[node, LAST]
        while other >= 0 and nearest:
            if other != best:
                apart = 0.0
                for d in range(D):
                    if G.high[d] > G.low[d]:
                        apart += ((G.actions[fresh, d] - G.actions[other, d]) / (G.high[d] - G.low[d])) ** 2
                nearest = own <= apart
            other = G.action[other, BEFORE]
        if nearest:
            break
        width *= 0.5
    G.action[fresh, BEFORE] = G.node[node, LAST]
    G.action[fresh, LAST] = -1
    G.node[node, LAST] = fresh
    G.node[node, LINKS] += 1
    return fresh


@inner
def select(G, s, node):
    """Returns the action of a node with the highest upper confidence bound (UCB1), the first of several."""
    scale = G.span[1] - G.span[0]
    spread = s.exploration * (scale if scale > 0.0 else 1.0) * math.sqrt(math.log(float(G.node[node, VISITS])))
    best = -1
    highest = -math.inf
    a = G.node[node, LAST]
    while a >= 0:
        score = G.worth[a] + spread / math.sqrt(float(G.action[a, VISITS]))
        if score >= highest:
            highest = score
            best = a
        a = G.action[a, BEFORE]
    return best


@inner
def pick_outcome(G, key, a):
    """Returns the node of an outcome met before, in proportion to how often it was drawn."""
    total = 0
    node = G.action[a, LAST]
    while node >= 0:
        total += G.node[node, TIMES]
        node = G.node[node, BEFORE]
    left = int(uniform(key, G.counts[CLOCK]) * total)
    G.counts[CLOCK] += 1
    node = G.action[a, LAST]
    while left >= G.node[node, TIMES]:
        left -= G.node[node, TIMES]
        node = G.node[node, BEFORE]
    return node


@inner
def make_outcome(P, G, params, purpose, key, node, a):
    """Draws an outcome of an action, as a node of its own unless it is the state of one; returns (it, is it new)."""
    state = load_state(G.floats, G.ints, node)
    action = load_action(G.actions, a)
    following = sample_transition(params, state, action, key, G.counts[CLOCK])
    G.counts[CLOCK] += max(1, TRANSITION_SLOTS)
    fresh = G.counts[NODES]
    store_state(G.floats, G.ints, fresh, following)
    other = G.action[a, LAST]
    while other >= 0:
        same = True
        for k in range(G.bits.shape[0]):
            same = same and G.bits[k, other] == G.bits[k, fresh]
        for k in range(G.ints.shape[0]):
            same = same and G.ints[k, other] == G.ints[k, fresh]
        if same:
            G.node[other, TIMES] += 1
            return other, False
        other = G.node[other, BEFORE]
    G.counts[NODES] = fresh + 1
    G.earned[fresh] = reward(params, purpose, state, action, following)
    if not abs(G.earned[fresh]) < math.inf:
        G.counts[TROUBLE] = 1 + a
    G.node[fresh, TIMES] = 1
    G.node[fresh, LAST] = -1
    G.node[fresh, OVER] = terminal(params, purpose, following)
    G.node[fresh, BEFORE] = G.action[a, LAST]
    G.action[a, LAST] = fresh
    G.action[a, LINKS] += 1
    return fresh, True


@inner
def roll_out(P, G, s, params, purpose, key, node, steps):
    """Returns the discounted return of uniformly random actions from a node, of at most `steps`."""
    total, discount = 0.0, 1.0
    state = load_state(G.floats, G.ints, node)
    for _ in range(steps):
        action = random_action(P, params, state, key, G.counts[CLOCK])
        following = sample_transition(params, state, action, key, G.counts[CLOCK] + CHOICE_SLOTS)
        G.counts[CLOCK] += CHOICE_SLOTS + max(1, TRANSITION_SLOTS)
        total += discount * reward(params, purpose, state, action, following)
        if terminal(params, purpose, following):
            break
        discount *= s.gamma
        state = following
    if not abs(total) < math.inf:
        G.counts[TROUBLE] = -1
    return total


@jit
def search(P, G, key, s, simulations):
    """Runs simulations in the tree whose root is node 0."""
    params = load_params(P)
    purpose = load_purpose(P)
    for _ in range(simulations):
        node, length, total = 0, 0, 0.0
        while True:
            G.node[node, VISITS] += 1
            if G.node[node, OVER] or length >= s.max_depth:
                break
            actions = G.node[node, LINKS]
            if actions < s.action_width * float(G.node[node, VISITS]) ** s.action_exponent:
                a = make_action(P, G, s, key, node, actions)
            else:
                a = select(G, s, node)
            G.action[a, VISITS] += 1
            G.path[length] = a
            known, fresh = G.action[a, LINKS], False
            width = s.outcome_width * float(G.action[a, VISITS]) ** s.outcome_exponent
            if known == 0 or (not s.single and known < width):
                child, fresh = make_outcome(P, G, params, purpose, key, node, a)
            else:
                child = pick_outcome(G, key, a) if known > 1 else G.action[a, LAST]
            node = child
            length += 1
            G.reached[length] = node
            if fresh:
                G.node[node, VISITS] = 1
                if s.rolls and not G.node[node, OVER]:
                    total = roll_out(P, G, s, params, purpose, key, node, s.max_depth - length)
                break
        if G.counts[TROUBLE] != 0:
            return
        for i in range(length, 0, -1):
            a = G.path[i - 1]
            total = G.earned[G.reached[i]] + s.gamma * total
            G.worth[a] += (total - G.worth[a]) / G.action[a, VISITS]
            G.span[0] = min(G.span[0], G.worth[a])
            G.span[1] = max(G.span[1], G.worth[a])
