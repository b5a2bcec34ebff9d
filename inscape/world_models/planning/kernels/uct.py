"""Kernel template: the whole of a tree search on one world's law. See `inscape.world_models.planning.tree_search.uct`.

`inscape.world_models.planning.tree_search.reference.PythonSearch` is the same search in plain Python on any model; on
an enumerable law the two agree number for number. `SearchArrays` says what lies where in `G`.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

from inscape.envs.kernels.lookup import slot_of
from inscape.envs.kernels.names import (
    NUM_PLAYERS,
    TRANSITION_SLOTS,
    action_of_index,
    branches,
    inline_jit,
    jit,
    legal,
    load_params,
    load_purpose,
    load_state,
    mover,
    num_actions,
    reward,
    sample_transition,
    store_state,
    terminal,
    transition_outcome,
    uniform,
    write_reward,
)
from inscape.world_models.planning.kernels.search_arrays import (
    ACTIONS,
    CHILD,
    CLOCK,
    COMPLETE,
    DEPTH,
    EDGES,
    ENDLESS,
    FIRST,
    FRONTIER,
    HEAD,
    INTO,
    KIND,
    LAST,
    LEGAL,
    NEARLY_ALL,
    NEXT,
    NODES,
    OPEN,
    OUTCOMES,
    PARENT,
    PENDING,
    PLAYER,
    QUEUED,
    SEEN,
    SENSITIVITY,
    SIBLING,
    SIMULATIONS,
    SOLVED,
    STUCK,
    TERMINAL,
    TRIED,
    UNTRIED,
    UNVISITED,
    UPDATES,
    VISITED,
    VISITS,
)

# ------------------------------------------------------------------------------------------------ states and edges


@jit
def node_of(P, G, params, purpose, state, depth):
    """Returns the node of `state`, made if it is new (the caller has seen to room for it)."""
    fresh = G.counts[NODES]
    store_state(G.floats, G.ints, fresh, state)
    slot = slot_of(G.bits, G.ints, fresh, G.slots, G.bits, G.ints)
    if G.slots[slot] >= 0:
        return G.slots[slot]
    G.slots[slot] = fresh
    G.counts[NODES] = fresh + 1
    G.node[fresh, DEPTH] = depth
    if terminal(params, purpose, state):
        G.node[fresh, KIND] = TERMINAL
        return fresh
    G.counts[FRONTIER] += 1
    G.node[fresh, PLAYER] = mover(params, state)
    for a in range(num_actions(P)):
        if legal(params, state, action_of_index(P, a)):
            G.action[fresh, a, LEGAL] = 1
            G.node[fresh, UNTRIED] += 1
            G.counts[OPEN] += 1
            G.counts[ACTIONS] += 1
    return fresh


@jit
def outcome_to(P, G, params, purpose, node, action, state, following):
    """Returns the edge of the action to the state `following`, made with weight 0 if it is new."""
    known = G.counts[NODES]
    child = node_of(P, G, params, purpose, following, G.node[node, DEPTH] + 1)
    if child < known:
        link = G.action[node, action, FIRST]
        while link > 0:
            if G.edge[link - 1, CHILD] == child:
                return link - 1
            link = G.edge[link - 1, NEXT]
    fresh = G.counts[EDGES]
    G.counts[EDGES] = fresh + 1
    G.edge[fresh, CHILD] = child
    G.edge[fresh, PARENT] = node
    G.edge[fresh, SIBLING] = G.node[child, INTO]
    G.node[child, INTO] = fresh + 1
    write_reward(G.reward_out, 0, reward(params, purpose, state, action_of_index(P, action), following))
    for m in range(NUM_PLAYERS):
        G.edge_reward[fresh, m] = G.reward[m]
    if G.action[node, action, FIRST] == 0:
        G.action[node, action, FIRST] = fresh + 1
    else:
        G.edge[G.action[node, action, LAST] - 1, NEXT] = fresh + 1
    G.action[node, action, LAST] = fresh + 1
    G.action[node, action, OUTCOMES] += 1
    return fresh


@jit
def add_outcomes(P, G, params, purpose, key, node, action, exact):
    """Adds every possible outcome of the action (`exact`), or a sampled one; returns the last edge."""
    state = load_state(G.floats, G.ints, node)
    chosen = action_of_index(P, action)
    edge = -1
    for b in range(branches(params) if exact else 1):
        if exact:
            p, following = transition_outcome(params, state, chosen, b)
        else:
            p, following = 1.0, sample_transition(params, state, chosen, key, G.counts[CLOCK])
        if p > 0.0:
            edge = outcome_to(P, G, params, purpose, node, action, state, following)
            G.weight[edge] += p
    return edge


@jit
def total_weight(edges, weight, first):
    """Returns how often the action whose first edge is given was sampled."""
    edge = first
    total = weight[edge]
    while edges[edge, NEXT] > 0:
        edge = edges[edge, NEXT] - 1
        total += weight[edge]
    return total


@jit
def pick_edge(edges, weight, first, u):
    """Returns the outcome at which the summed weights pass `u`; the first edge of the action is given."""
    edge = first
    total = weight[edge]
    while u >= total and edges[edge, NEXT] > 0:
        edge = edges[edge, NEXT] - 1
        total += weight[edge]
    return edge


# ------------------------------------------------------------------------------------------------ select


@jit
def pick_untried(key, counts, action_of, node, untried):
    """Returns one of the `untried` legal actions not simulated yet, each equally likely.

    A function apart from `select`: in one with several loops and ways out, Numba counts the references of all its
    arrays at every call, which makes a simulation twice as long.
    """
    left = 0
    if untried > 1:
        left = int(uniform(key, counts[CLOCK]) * untried)
        counts[CLOCK] += 1
    chosen = -1
    while left >= 0:
        chosen += 1
        if action_of[node, chosen, LEGAL] != 0 and action_of[node, chosen, TRIED] == 0:
            left -= 1
    return chosen


@inline_jit
def select(key, counts, tables, action_of, action_value, node_of, edges, weight, span, node, exact, exploration):
    """Returns the action of the highest upper bound (UCB1), where all are tried; −1 if none is legal.

    Several of the highest bound are equally likely.
    """
    scale = span[1] - span[0]
    if not scale > 0.0:
        scale = 1.0
    limit = tables.shape[1]
    visits = node_of[node, VISITS]
    root_log = tables[1, visits] if visits < limit else math.sqrt(math.log(float(visits)))
    spread = exploration * scale * root_log
    player = node_of[node, PLAYER]
    best = -1
    highest = -math.inf
    equals = 0
    for a in range(action_of.shape[1]):
        if action_of[node, a, LEGAL] != 0:
            known = False
            width = 0.0
            if exact:
                # as uncertain as the states it may lead to, however often the action itself was taken: a state
                # seldom seen keeps its share of doubt, an end and what is solved have none. An action after which all
                # is known keeps the doubt of its own visits: without, it would be taken less often than the others
                # of its value, and averages over visits would miss it.
                known = True
                link = action_of[node, a, FIRST]
                while link > 0:
                    e = link - 1
                    child = edges[e, CHILD]
                    if node_of[child, KIND] < TERMINAL:
                        known = False
                        n = node_of[child, VISITS]
                        width += weight[e] * (tables[0, n] if n < limit else 1.0 / math.sqrt(float(n)))
                    link = edges[e, NEXT]
            if not exact or known:
                n = action_of[node, a, TRIED]
                width = tables[0, n] if n < limit else 1.0 / math.sqrt(float(n))
            bound = action_value[node, a, player] + spread * width
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


# ------------------------------------------------------------------------------------------------ evaluate


@jit
def roll_out(P, G, params, purpose, key, node, gamma, max_depth):
    """Sets `total` to the discounted return of uniformly random legal actions, cut after `max_depth` steps.

    Returns False if a state that is not terminal has no legal action.
    """
    state = load_state(G.floats, G.ints, node)
    discount = 1.0
    for m in range(NUM_PLAYERS):
        G.total[m] = 0.0
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
        for m in range(NUM_PLAYERS):
            G.total[m] += discount * G.reward[m]
        if terminal(params, purpose, following):
            break
        discount *= gamma
        state = following
    return True


# ------------------------------------------------------------------------------------------------ back up


@inline_jit
def back_up(
    edge, weight, edge_reward, node_of, value, leaf, action_of, action_value, span, node, exact, complete, averaging,
    gamma,
):  # fmt: skip
    """Sets Q(node, a) of every action tried, and V(node), from the values of the states that follow.

    Q is the mean over outcomes, by probability (or frequency). The value of a terminal state is 0 and was never asked
    for; a state not visited yet, and an action not tried yet, are taken to be worth what this node was at its first
    visit. V is the average over all visits, or where `averaging` is not negative, a mixture of it and the value of the
    best action, which outweighs it once there are more than `averaging` visits. Negative: as if COMPLETE once the graph
    is `complete`. Where all that may follow the state is known exactly, V is the value of the best action.

    Returns:
        By how much V(node) changed, the most of any player; infinity when it has become exact.
    """
    player = node_of[node, PLAYER]
    best = -1
    untried = node_of[node, UNTRIED] > 0
    solved = exact
    visits = 1.0
    for a in range(action_of.shape[1]):
        tried = action_of[node, a, TRIED]
        if tried > 0:
            visits += tried
            for m in range(NUM_PLAYERS):
                total = 0.0
                worth = 0.0
                link = action_of[node, a, FIRST]
                while link > 0:
                    e = link - 1
                    child = edge[e, CHILD]
                    kind = node_of[child, KIND]
                    if kind < TERMINAL:
                        solved = False
                    w = weight[e]
                    total += w
                    future = value[child, m] if kind != UNVISITED else leaf[node, m]
                    worth += w * (edge_reward[e, m] + gamma * future)
                    link = edge[e, NEXT]
                action_value[node, a, m] = worth / total
            q = action_value[node, a, player]
            if q < span[0]:
                span[0] = q
            if q > span[1]:
                span[1] = q
            if best < 0 or q > action_value[node, best, player]:
                best = a
    solved = solved and not untried
    if averaging < 0.0:
        averaging = COMPLETE if complete else ENDLESS
    trust = 1.0 if solved else visits / (visits + averaging)
    hopeful = untried and leaf[node, player] > action_value[node, best, player]
    change = 0.0
    for m in range(NUM_PLAYERS):
        average = leaf[node, m]
        for a in range(action_of.shape[1]):
            tried = action_of[node, a, TRIED]
            if tried > 0:
                average += tried * action_value[node, a, m]
        average /= visits
        chosen = leaf[node, m] if hopeful else action_value[node, best, m]
        fresh = trust * chosen + (1.0 - trust) * average
        change = max(change, abs(fresh - value[node, m]))
        value[node, m] = fresh
    if solved:
        node_of[node, KIND] = SOLVED
        return math.inf
    return change


@inline_jit
def announce(counts, queue, edge, node_of, node):
    """Puts the states that can lead to `node` in the queue of those to bring up to date."""
    link = node_of[node, INTO]
    while link > 0:
        parent = edge[link - 1, PARENT]
        if node_of[parent, QUEUED] == 0:
            node_of[parent, QUEUED] = 1
            queue[(counts[HEAD] + counts[PENDING]) % queue.shape[0]] = parent
            counts[PENDING] += 1
        link = edge[link - 1, SIBLING]


@inline_jit
def update(
    counts, path, queue, edge, weight, edge_reward, node_of, value, leaf, action_of, action_value, span, length,
    exact, averaging, gamma,
):  # fmt: skip
    """Brings the path up to date, last state first; then states that can lead to those that changed."""
    complete = NEARLY_ALL * counts[OPEN] <= counts[ACTIONS] and NEARLY_ALL * counts[FRONTIER] <= counts[NODES]
    change = 0.0
    for i in range(length + UPDATES):
        if i < length:
            if i > 0 and change < math.inf and not span[1] > span[0]:
                return  # every action value is still the same: there is nothing to pass on
            node = path[length - 1 - i]
        elif counts[PENDING] == 0:
            return
        else:
            node = queue[counts[HEAD]]
            node_of[node, QUEUED] = 0
            counts[HEAD] = (counts[HEAD] + 1) % queue.shape[0]
            counts[PENDING] -= 1
        change = back_up(
            edge, weight, edge_reward, node_of, value, leaf, action_of, action_value, span, node, exact,
            complete, averaging, gamma,
        )  # fmt: skip
        if change > SENSITIVITY * (span[1] - span[0]):
            announce(counts, queue, edge, node_of, node)


# ------------------------------------------------------------------------------------------------ search


@jit
def rehash(G):
    """Fills an empty table with the nodes there are."""
    for node in range(G.counts[NODES]):
        G.slots[slot_of(G.bits, G.ints, node, G.slots, G.bits, G.ints)] = node


@jit
def search(P, G, key, simulations, limits, widths, exact, rolls, averaging, gamma, exploration, max_depth):
    """Simulates until `simulations` are done or there may be no room for another; column 0 is the root.

    Args:
        G: `SearchArrays`; all counters live there, so the driver may enlarge them and call again.
        limits: room for (nodes, edges). widths: most new (nodes, edges) one simulation can make.
        exact: the law is enumerated; else sampled. rolls: value a new node by a roll-out, else by 0.
        averaging: visits after which the best action outweighs the average in a node's value; negative: the average
            counts until nearly every action was tried in the states within reach; as if COMPLETE from then on.
    """
    params = load_params(P)
    purpose = load_purpose(P)
    counts, nodes, actions, edges, path = G.counts, G.node, G.action, G.edge, G.path
    if counts[NODES] == 0:
        node_of(P, G, params, purpose, load_state(G.floats, G.ints, 0), counts[NODES])
    while counts[SIMULATIONS] < simulations and nodes[0, KIND] != SOLVED:
        if counts[NODES] + widths[0] > limits[0] or counts[EDGES] + widths[1] > limits[1]:
            return
        # Once every state found has been visited, a simulation may come back to states of its own path only so often:
        # going in circles teaches little. The tail is heavy, so that what lies far is still brought up to date.
        returns = int(1.0 / (1.0 - uniform(key, counts[CLOCK])))
        counts[CLOCK] += 1
        counts[SIMULATIONS] += 1
        path[0] = 0
        node = path[0]
        length = 0
        while nodes[node, KIND] == VISITED and length < max_depth:
            if nodes[node, SEEN] == counts[SIMULATIONS] and counts[FRONTIER] == 0:
                returns -= 1
                if returns <= 0:
                    break
            nodes[node, SEEN] = counts[SIMULATIONS]
            if nodes[node, UNTRIED] > 0:
                action = pick_untried(key, counts, actions, node, nodes[node, UNTRIED])
            else:
                action = select(
                    key, counts, G.tables, actions, G.action_value, nodes, edges, G.weight, G.span, node, exact,
                    exploration,
                )  # fmt: skip
            if action < 0:
                counts[STUCK] = 1
                return
            fresh = actions[node, action, TRIED] == 0
            if fresh:
                counts[OPEN] -= 1
                nodes[node, UNTRIED] -= 1
            # sampled outcomes: a new one only while there are fewer than √n, so that a continuum is searched in depth
            sampled = not exact and actions[node, action, OUTCOMES] ** 2 <= actions[node, action, TRIED]
            edge = -1
            if fresh or sampled:
                edge = add_outcomes(P, G, params, purpose, key, node, action, exact)
            if not sampled:
                first = actions[node, action, FIRST] - 1
                total = 1.0 if exact else total_weight(edges, G.weight, first)
                edge = pick_edge(edges, G.weight, first, total * uniform(key, counts[CLOCK]))
            counts[CLOCK] += max(1, TRANSITION_SLOTS)
            path[length] = node
            length += 1
            nodes[node, VISITS] += 1
            actions[node, action, TRIED] += 1
            node = edges[edge, CHILD]
            if exact and fresh:
                break
        nodes[node, VISITS] += 1
        if nodes[node, KIND] == UNVISITED:
            nodes[node, KIND] = VISITED
            counts[FRONTIER] -= 1
            if rolls:
                if not roll_out(P, G, params, purpose, key, node, gamma, max_depth):
                    counts[STUCK] = 1
                    return
                for m in range(NUM_PLAYERS):
                    G.leaf[node, m] = G.total[m]
                    G.value[node, m] = G.total[m]
        update(
            counts, path, G.queue, edges, G.weight, G.edge_reward, nodes, G.value, G.leaf, actions, G.action_value,
            G.span, length, exact, averaging, gamma,
        )  # fmt: skip
