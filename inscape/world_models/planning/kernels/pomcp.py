"""Kernel template: a tree search over histories on one world's law. See `inscape.world_models.planning.beliefs.pomcp`.

`HistoryArrays` says what lies where in `G`.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

from inscape.envs.kernels.names import (
    HAS_LEGAL,
    TRANSITION_SLOTS,
    action_of_index,
    inline_jit,
    jit,
    legal,
    load_params,
    load_purpose,
    load_state,
    num_actions,
    observe_into,
    reward,
    sample_transition,
    store_state,
    terminal,
    uniform,
    write_reward,
)
from inscape.world_models.planning.kernels.history_arrays import (
    CLOCK,
    DIFFERENT,
    NO_ACTION,
    NODES,
    SIMULATIONS,
    STUCK,
)


@jit
def hash_slot(bits, links, column, slots, known_bits, known_links):
    """Returns where the history in `column` of (bits, links) lies in the table, or the empty slot for it."""
    h = 0
    width = bits.shape[0]
    for k in range(width + 1):  # 32 bits at a time, so that plain Python and compiled code agree
        x = bits[k, column] if k < width else links[column]
        h = ((h ^ (x & 0xFFFFFFFF)) * 0x01000193 + (h >> 15)) & 0xFFFFFFFF
        h = ((h ^ ((x >> 32) & 0xFFFFFFFF)) * 0x01000193 + (h >> 15)) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 0x5BD1E995) & 0xFFFFFFFF
    size = slots.shape[0]
    slot = (h ^ (h >> 15)) % size
    while True:
        j = slots[slot]
        if j < 0:
            return slot
        if known_links[j] == links[column]:
            same = True
            for k in range(width):
                if known_bits[k, j] != bits[k, column]:
                    same = False
            if same:
                return slot
        slot += 1
        if slot == size:
            slot = 0


@inline_jit
def child_of(flat, observed, bits, links, slots, counts, link):
    """Returns the history after `link` (parent and action) and what was just observed, made if it is new."""
    fresh = counts[NODES]
    for k in range(flat.shape[0]):
        observed[k, fresh] = float(flat[k])
    links[fresh] = link
    slot = hash_slot(bits, links, fresh, slots, bits, links)
    if slots[slot] >= 0:
        return slots[slot]
    slots[slot] = fresh
    counts[NODES] = fresh + 1
    return fresh


@jit
def rehash(G):
    """Fills an empty table with the histories there are; the root is in no table."""
    for node in range(1, G.counts[NODES]):
        G.slots[hash_slot(G.bits, G.links, node, G.slots, G.bits, G.links)] = node


@jit
def pick_particle(cumulative, u):
    """Returns the particle at which the summed weights pass `u`."""
    low = 0
    high = cumulative.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if u < cumulative[middle]:
            high = middle
        else:
            low = middle + 1
    return low


@jit
def pick_untried(key, counts, able, tried, node, untried):
    """Returns one of the `untried` legal actions, each equally likely."""
    left = int(uniform(key, counts[CLOCK]) * untried)
    counts[CLOCK] += 1
    chosen = -1
    while left >= 0:
        chosen += 1
        if able[node, chosen] != 0 and tried[node, chosen] == 0:
            left -= 1
    return chosen


@inline_jit
def select(key, counts, able, tried, action_value, visits, span, node, exploration):
    """Returns the legal action of the highest upper bound (UCB1), untried ones first; −1 if none is legal."""
    untried = 0
    for a in range(able.shape[1]):
        if able[node, a] != 0 and tried[node, a] == 0:
            untried += 1
    if untried > 0:
        return pick_untried(key, counts, able, tried, node, untried)
    scale = span[1] - span[0]
    if not scale > 0.0:
        scale = 1.0
    spread = exploration * scale * math.sqrt(math.log(float(visits[node])))
    best = -1
    highest = -math.inf
    equals = 0
    for a in range(able.shape[1]):
        if able[node, a] != 0:
            bound = action_value[node, a] + spread / math.sqrt(float(tried[node, a]))
            if bound > highest:
                highest = bound
                best = a
                equals = 1
            elif bound == highest:
                equals += 1
                if uniform(key, counts[CLOCK]) * equals < 1.0:
                    best = a
                counts[CLOCK] += 1
    return best


@jit
def begin(P, able, params, state, node):
    """Notes which actions are legal at a new history: those of the state that led to it."""
    for a in range(num_actions(P)):
        able[node, a] = 1 if legal(params, state, action_of_index(P, a)) else 0


@jit
def informed(G, able, state, node):
    """Adds what a guide says of a state to its history; returns what that is worth by the states that came."""
    store_state(G.at_floats, G.at_ints, 0, state)
    number = G.at_ints[0, 0]
    G.arrived[node] += 1
    floor = -math.inf
    for k in range(able.shape[1], G.guide.shape[1]):
        G.guided[node, k] += G.guide[number, k]
        if G.guided[node, k] > floor:
            floor = G.guided[node, k]
    G.floor[node] = floor
    best = -math.inf
    for a in range(able.shape[1]):
        G.guided[node, a] += G.guide[number, a]
        G.earned[node, a] += G.immediate[number, a]
        if able[node, a] != 0 and G.guided[node, a] > best:
            best = G.guided[node, a]
    return (best + floor) / G.arrived[node]


@jit
def agrees(P, able, params, state, node):
    """Returns whether what is legal in a state is what is legal at its history."""
    for a in range(num_actions(P)):
        if (able[node, a] != 0) != bool(legal(params, state, action_of_index(P, a))):
            return False
    return True


@jit
def roll_out(P, G, params, purpose, key, start, gamma, max_depth):
    """Sets `total` to the discounted return of uniformly random legal actions; returns False if none is legal."""
    state = start
    discount = 1.0
    G.total[0] = 0.0
    for _ in range(max_depth):
        count = 0
        for a in range(num_actions(P)):
            if legal(params, state, action_of_index(P, a)):
                count += 1
        if count == 0:
            return False
        left = int(uniform(key, G.counts[CLOCK]) * count)
        chosen = -1
        while left >= 0:
            chosen += 1
            if legal(params, state, action_of_index(P, chosen)):
                left -= 1
        action = action_of_index(P, chosen)
        following = sample_transition(params, state, action, key, G.counts[CLOCK] + 1)
        G.counts[CLOCK] += 1 + max(1, TRANSITION_SLOTS)
        write_reward(G.reward_out, 0, reward(params, purpose, state, action, following))
        G.total[0] += discount * G.reward[0]
        if terminal(params, purpose, following):
            break
        discount *= gamma
        state = following
    return True


@inline_jit
def back_up(
    path, taken, gained, length, ended, last, visits, tried, able, rewards, futures, counted, action_value, value, leaf,
    span, averaging, gamma, guided, floor, earned, arrived, has_guide,
):  # fmt: skip
    """Brings the histories of a simulation up to date, last first.

    Q(h, a) is the mean reward and γ times the mean, by how often each was observed, of the values of the histories that
    follow. With a guide the mean reward is that of all states that came to the history, not of those alone in which
    the action was taken. V(h) lies between the mean of Q over visits and the value of the best action, which weighs
    N/(N + averaging).
    """
    for step in range(length):
        i = length - 1 - step
        node = path[i]
        a = taken[i]
        tried[node, a] += 1
        rewards[node, a] += gained[i]
        if not ended or i < length - 1:
            child = last if i == length - 1 else path[i + 1]
            worth = visits[child] * value[child]
            futures[node, a] += worth - counted[child]
            counted[child] = worth
        if has_guide:
            q = earned[node, a] / arrived[node] + gamma * futures[node, a] / tried[node, a]
        else:
            q = (rewards[node, a] + gamma * futures[node, a]) / tried[node, a]
        action_value[node, a] = q
        if q < span[0]:
            span[0] = q
        if q > span[1]:
            span[1] = q
        visits[node] += 1
        total = leaf[node]
        best = -math.inf
        for b in range(able.shape[1]):
            if tried[node, b] > 0:
                total += tried[node, b] * action_value[node, b]
                if action_value[node, b] > best:
                    best = action_value[node, b]
            elif has_guide and able[node, b] != 0:
                best = max(best, (guided[node, b] + floor[node]) / arrived[node])
        trust = visits[node] / (visits[node] + averaging)
        value[node] = trust * best + (1.0 - trust) * total / visits[node]


@jit
def search(P, G, key, simulations, limit, rolls, averaging, gamma, exploration, max_depth):
    """Simulates until `simulations` are done or there may be no room for another; node 0 is the present.

    Args:
        G: `HistoryArrays`; all counters live there, so the driver may enlarge them and call again.
        limit: room for nodes; each simulation adds at most one.
        rolls: value a new history by a roll-out, else by the guide where there is one, else by 0.
        averaging: visits after which the best action outweighs the average in a history's value.
    """
    params = load_params(P)
    purpose = load_purpose(P)
    counts, visits = G.counts, G.visits
    has_guide = G.guide.shape[0] > 0
    while counts[SIMULATIONS] < simulations:
        if counts[NODES] + 1 > limit:
            return
        u = uniform(key, counts[CLOCK]) * G.cumulative[G.cumulative.shape[0] - 1]
        counts[CLOCK] += 1
        state = load_state(G.floats, G.ints, pick_particle(G.cumulative, u))
        counts[SIMULATIONS] += 1
        node = 0
        length = 0
        ended = False
        known = counts[NODES]
        if visits[0] == 0:
            begin(P, G.able, params, state, 0)
            visits[0] = 1
        while length < max_depth:
            if HAS_LEGAL and not agrees(P, G.able, params, state, node):
                counts[STUCK] = DIFFERENT
                return
            a = select(key, counts, G.able, G.tried, G.action_value, visits, G.span, node, exploration)
            if a < 0:
                counts[STUCK] = NO_ACTION
                return
            action = action_of_index(P, a)
            following = sample_transition(params, state, action, key, counts[CLOCK])
            counts[CLOCK] += max(1, TRANSITION_SLOTS)
            write_reward(G.reward_out, 0, reward(params, purpose, state, action, following))
            G.path[length] = node
            G.taken[length] = a
            G.gained[length] = G.reward[0]
            length += 1
            if terminal(params, purpose, following):
                ended = True
                break
            state = following
            observe_into(params, state, G.seen, 0)
            node = child_of(G.flat, G.observed, G.bits, G.links, G.slots, counts, node * num_actions(P) + a)
            if node >= known:
                break
            if has_guide:
                informed(G, G.able, state, node)
        if not ended:
            if node >= known:
                begin(P, G.able, params, state, node)
                if rolls:
                    if not roll_out(P, G, params, purpose, key, state, gamma, max_depth):
                        counts[STUCK] = NO_ACTION
                        return
                    G.leaf[node] = G.total[0]
                    G.value[node] = G.total[0]
                elif has_guide:
                    G.leaf[node] = informed(G, G.able, state, node)
                    G.value[node] = G.leaf[node]
            visits[node] += 1
        back_up(
            G.path, G.taken, G.gained, length, ended, node, visits, G.tried, G.able, G.rewards, G.futures, G.counted,
            G.action_value, G.value, G.leaf, G.span, averaging, gamma, G.guided, G.floor, G.earned, G.arrived,
            has_guide,
        )  # fmt: skip
