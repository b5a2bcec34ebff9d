"""Kernel template: the whole of a tree search on one world's law. See `inscape.world_models.planning.tree_search.uct`.

`inscape.world_models.planning.tree_search.reference.PythonSearch` is the same search in plain Python on any model; on
an enumerable law the two agree number for number. `SearchArrays` says what lies where in `G`; `s` are the
`SearchSettings`. Values are kept in 32 bits and computed in 64.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

from inscape.envs.kernels.lookup import slot_of
from inscape.envs.kernels.names import (
    HAS_LEGAL,
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
    ACTION,
    ACTIONS,
    CLOCK,
    COMPLETE,
    COUNTED,
    FORESEEN,
    FRESH,
    FRONTIER,
    ILLEGAL,
    KIND,
    LARGEST,
    LINKS,
    NEARLY_ALL,
    NO_ACTION,
    NO_NUMBER,
    NO_SUM_OF_ZERO,
    NODES,
    OPEN,
    PLACE,
    PLAYER,
    PRECISION,
    SEEN,
    SIMULATIONS,
    SOLVED,
    STUCK,
    SUMS,
    SWEEPS,
    SWEPT,
    TERMINAL,
    UNTRIED,
    UNVISITED,
    VISITED,
    VISITS,
)

BARE = True  # compiled without counting references: see `inscape.envs.compile.cpu`
WEIGHT, BEFORE, REWARD = 1, 2, 3  # words of a link, after its child

# ------------------------------------------------------------------------------------------------ states and outcomes


@inline_jit
def node_of(P, G, s, params, purpose, state, depth):
    """Returns the number of the node of `state`, made if it is new (the caller has seen to room for it)."""
    fresh = G.counts[NODES]
    store_state(G.floats, G.ints, fresh, state)
    slot = slot_of(G.bits, G.ints, fresh, G.slots, G.bits, G.ints)
    if G.slots[slot] >= 0:
        return int(G.slots[slot])
    G.slots[slot] = fresh
    G.counts[NODES] = fresh + 1
    row = fresh * s.row
    G.words[row + s.depth] = depth
    if terminal(params, purpose, state):
        G.words[row + KIND] = TERMINAL
        return fresh
    G.words[row + PLAYER] = mover(params, state)
    G.reals[row + s.lower] = s.low
    G.reals[row + s.upper] = s.high
    untried = 0
    for a in range(num_actions(P)):
        if legal(params, state, action_of_index(P, a)):
            untried += 1
        else:
            G.words[row + s.at_actions + a] = ILLEGAL
    G.words[row + UNTRIED] = untried
    G.counts[FRONTIER] += 1
    G.counts[OPEN] += untried
    G.counts[ACTIONS] += untried
    return fresh


@inline_jit
def gain(P, G, s, params, purpose, state, a, following):
    """Writes the reward of a transition into `G.reward`."""
    write_reward(G.reward_out, 0, reward(params, purpose, state, action_of_index(P, a), following))
    for m in range(NUM_PLAYERS):
        if not abs(G.reward[m]) < LARGEST:
            G.counts[STUCK] = NO_NUMBER
            G.counts[ACTION] = a
    if s.zero_sum and not G.reward[0] + G.reward[1] == 0.0:
        G.counts[STUCK] = NO_SUM_OF_ZERO


@inline_jit
def add_link(P, G, s, params, purpose, row, a, p, state, following):
    """Adds p to the weight of the action's outcome `following`, made if it is new; returns its node."""
    known = G.counts[NODES]
    child = node_of(P, G, s, params, purpose, following, G.words[row + s.depth] + 1)
    outcome = row + s.at_outcomes + a
    if child < known:
        link = G.words[outcome] - 1
        while link >= 0:
            at = link * (REWARD + s.values)
            if G.links[at] == child:
                G.link_reals[at + WEIGHT] = float(G.link_reals[at + WEIGHT]) + p
                return child
            link = G.links[at + BEFORE] - 1
    gain(P, G, s, params, purpose, state, a, following)
    fresh = G.counts[LINKS]
    G.counts[LINKS] = fresh + 1
    at = fresh * (REWARD + s.values)
    G.links[at] = child
    G.link_reals[at + WEIGHT] = p
    G.links[at + BEFORE] = G.words[outcome]
    for m in range(s.values):
        G.link_reals[at + REWARD + m] = G.reward[m]
    G.words[outcome] = fresh + 1
    G.words[outcome + num_actions(P)] += 1
    return child


@inline_jit
def add_links(P, G, s, params, purpose, key, row, a):
    """Adds every possible outcome of the action (an enumerated law), or a sampled one; returns the last one's node."""
    state = load_state(G.floats, G.ints, row // s.row)
    G.counts[PLACE] = row // s.row
    action = action_of_index(P, a)
    child = -1
    for b in range(branches(params) if s.exact else 1):
        if s.exact:
            p, following = transition_outcome(params, state, action, b)
        else:
            p, following = 1.0, sample_transition(params, state, action, key, G.counts[CLOCK])
        if p > 0.0:
            child = add_link(P, G, s, params, purpose, row, a, p, state, following)
    return child


@inline_jit
def pick_outcome(G, s, last, u):
    """Returns the node of a random outcome, by weight; the action's last link is given.

    With a solver, one of those of which something is left to learn: an action's value is the mean over all, whichever
    is picked.
    """
    total = 0.0
    chosen = last
    for selecting in range(2):
        if selecting == 1:
            u *= total
            total = 0.0
        link = last
        while link >= 0:
            at = link * (REWARD + s.values)
            if not s.solver or G.words[G.links[at] * s.row + KIND] < TERMINAL:
                total += float(G.link_reals[at + WEIGHT])
                if selecting == 1:
                    chosen = link
                    if u < total:
                        break
            link = G.links[at + BEFORE] - 1
    return int(G.links[chosen * (REWARD + s.values)])


# ------------------------------------------------------------------------------------------------ select


@inline_jit
def pick_untried(G, key, first, untried):
    """Returns one of the `untried` legal actions not simulated yet, each equally likely."""
    left = 0
    if untried > 1:
        left = int(uniform(key, G.counts[CLOCK]) * untried)
        G.counts[CLOCK] += 1
    a = -1
    while left >= 0:
        a += 1
        if G.words[first + a] == 0:
            left -= 1
    return a


@inline_jit
def outcome_doubt(G, s, link):
    """Returns Σ p/√n over the outcomes of an action (its last link is given) of which something is left to learn.

    An action is as uncertain as the states it may lead to, however often it was taken itself: a state seldom seen keeps
    its share of doubt, an end and what is solved have none.
    """
    limit = G.tables.shape[1]
    doubt = 0.0
    while link >= 0:
        at = link * (REWARD + s.values)
        child = G.links[at] * s.row
        if G.words[child + KIND] < TERMINAL:
            n = G.words[child + VISITS]
            doubt += float(G.link_reals[at + WEIGHT]) * (G.tables[0, n] if n < limit else 1.0 / math.sqrt(float(n)))
        link = G.links[at + BEFORE] - 1
    return doubt


@inline_jit
def select(G, key, s, row, actions):
    """Returns the action of the highest upper confidence bound (UCB1), where all are tried; −1 if none is left.

    Several of the highest bound are equally likely.
    """
    words, reals, scores, tables, counts = G.words, G.reals, G.scores, G.tables, G.counts
    limit = tables.shape[1]
    visits = words[row + VISITS]
    scale = G.span[1] - G.span[0]
    spread = tables[1, visits] if visits < limit else math.sqrt(math.log(float(visits)))
    spread *= s.exploration * (scale if scale > 0.0 else 1.0)
    player = words[row + PLAYER]
    sign = -1.0 if s.zero_sum and player == 1 else 1.0
    first = row + s.at_actions
    q = first + actions if s.zero_sum else first + actions * (1 + player)
    highest = -math.inf
    for a in range(actions):  # in two passes: what is highest cannot be predicted, and no branch depends on it
        n = words[first + a]
        score = -math.inf
        if n > 0:
            doubt = 0.0
            if s.exact and not s.single:
                doubt = outcome_doubt(G, s, words[row + s.at_outcomes + a] - 1)
            if doubt == 0.0:
                doubt = tables[0, n] if n < limit else 1.0 / math.sqrt(float(n))
            score = sign * float(reals[q + a]) + spread * doubt
        scores[0, a] = score
        highest = max(highest, score)
    if highest == -math.inf:
        return -1
    best = -1
    equals = 0
    for a in range(actions):
        if scores[0, a] == highest:
            best = a
            equals += 1
    if equals > 1:
        left = int(uniform(key, counts[CLOCK]) * equals)
        counts[CLOCK] += 1
        best = -1
        while left >= 0:
            best += 1
            if scores[0, best] == highest:
                left -= 1
    return best


# ------------------------------------------------------------------------------------------------ value a new state


@inline_jit
def roll_out(P, G, s, params, purpose, key, state, discount):
    """Adds to `total` the return of uniformly random legal actions, of at most `max_depth`, from `discount` on.

    Where wins in one move are looked for they are taken, and actions after which another player has one are not, where
    there are others. Returns False if a state that is not terminal has no legal action.
    """
    actions = num_actions(P)
    clock = G.counts[CLOCK]
    for _ in range(s.max_depth):
        u = uniform(key, clock)
        if HAS_LEGAL or s.wins:
            count = 0
            for a in range(actions):
                G.choices[count] = a
                count += int(legal(params, state, action_of_index(P, a)))
            if count == 0:
                return False
            k = int(u * count)
            chosen = G.choices[k]
        else:
            chosen = int(u * actions)
        action = action_of_index(P, chosen)
        following = sample_transition(params, state, action, key, clock + 1)
        clock += 1 + max(1, TRANSITION_SLOTS)
        ended = terminal(params, purpose, following)
        won = False
        if s.wins and not ended:
            player = mover(params, state)
            won = has_win(P, G, s, params, purpose, following)
            while won and count > 1 and mover(params, following) != player:
                count -= 1
                G.choices[k] = G.choices[count]
                k = int(uniform(key, clock) * count)
                clock += 1
                action = action_of_index(P, G.choices[k])
                _, following = transition_outcome(params, state, action, 0)
                ended = terminal(params, purpose, following)
                won = not ended and has_win(P, G, s, params, purpose, following)
        if won:
            for m in range(NUM_PLAYERS):
                G.total[m] += discount * s.gamma * G.reward[m]
        write_reward(G.reward_out, 0, reward(params, purpose, state, action, following))
        for m in range(NUM_PLAYERS):
            G.total[m] += discount * G.reward[m]
        if ended or won:
            break
        discount *= s.gamma
        state = following
    G.counts[CLOCK] = clock
    for m in range(NUM_PLAYERS):
        if not abs(G.total[m]) < LARGEST:
            G.counts[STUCK] = NO_NUMBER
            G.counts[ACTION] = -1
    return True


@inline_jit
def has_win(P, G, s, params, purpose, state):
    """Returns whether an action ends the game with the most there is to gain; that proves the state's value."""
    player = mover(params, state)
    for a in range(num_actions(P)):
        action = action_of_index(P, a)
        if legal(params, state, action):
            _, following = transition_outcome(params, state, action, 0)
            if terminal(params, purpose, following):
                write_reward(G.reward_out, 0, reward(params, purpose, state, action, following))
                if G.reward[player] >= s.high:
                    return True
    return False


@inline_jit
def foresee(P, G, s, params, purpose, state):
    """Follows replies that are forced, of two players whose rewards add up to 0, and adds what they earn to `total`.

    Whoever moves wins at once if that can be done, and has lost if the other wins at once after every action. Where all
    actions but one are worth the least there is, by that, the one is taken.

    Returns (whether the value is proven and `total` is it, the discount, the state in which there is more than one).
    """
    discount = 1.0
    proven = False
    for _ in range(s.max_depth):
        player = mover(params, state)
        if has_win(P, G, s, params, purpose, state):
            for m in range(NUM_PLAYERS):
                G.total[m] += discount * G.reward[m]
            proven = True
            break
        if not s.zero_sum:
            break
        safe = 0
        forced = -1
        highest = -math.inf
        for a in range(num_actions(P)):
            action = action_of_index(P, a)
            if legal(params, state, action):
                _, following = transition_outcome(params, state, action, 0)
                if (
                    terminal(params, purpose, following)
                    or mover(params, following) == player
                    or not has_win(P, G, s, params, purpose, following)
                ):
                    safe += 1
                    forced = a
                    if safe > 1:
                        break
                else:
                    lost = G.reward[player]
                    write_reward(G.reward_out, 0, reward(params, purpose, state, action, following))
                    highest = max(highest, G.reward[player] + s.gamma * lost)
        if safe == 0 and highest > -math.inf:
            G.total[player] += discount * highest
            G.total[1 - player] -= discount * highest
            proven = True
        if safe != 1 or (highest > s.low):
            break
        action = action_of_index(P, forced)
        _, following = transition_outcome(params, state, action, 0)
        write_reward(G.reward_out, 0, reward(params, purpose, state, action, following))
        for m in range(NUM_PLAYERS):
            G.total[m] += discount * G.reward[m]
        if terminal(params, purpose, following):
            proven = True
            break
        discount *= s.gamma
        state = following
    return proven, discount, state


@inline_jit
def close_foreseen(P, G, s, params, purpose, state, row):
    """Closes the actions of a new node whose values are proven by what is forced after them, before they are tried."""
    actions = num_actions(P)
    for a in range(actions):
        if G.words[row + s.at_actions + a] == 0:
            action = action_of_index(P, a)
            _, following = transition_outcome(params, state, action, 0)
            for m in range(NUM_PLAYERS):
                G.total[m] = 0.0
            proven = terminal(params, purpose, following)
            if not proven:
                proven, _, _ = foresee(P, G, s, params, purpose, following)
            if proven:
                G.counts[PLACE] = row // s.row
                gain(P, G, s, params, purpose, state, a, following)
                for m in range(s.values):
                    at = row + s.at_outcomes + (1 + m) * actions + a
                    G.reals[at] = G.reward[m]
                    value = float(G.reals[at]) + s.gamma * G.total[m]
                    G.reals[row + s.at_actions + (1 + m) * actions + a] = value
                G.words[row + s.at_actions + a] = -1
                G.words[row + UNTRIED] -= 1
                G.counts[OPEN] -= 1
                G.counts[FORESEEN] = row


@inline_jit
def close(G, s, row, a, actions):
    """Closes an action: it is not simulated again, and no longer counts in the value of its node."""
    at = row + s.at_actions + a
    n = G.words[at]
    for m in range(s.values):
        G.doubles[(row + SUMS) // 2 + m] -= n * float(G.reals[at + (1 + m) * actions])
    G.words[row + COUNTED] -= n
    G.words[at] = -1 - n


@inline_jit
def first_value(G, s, row, m, value):
    """Sets value m of a node at its first visit."""
    G.reals[row + s.at_values + m] = value
    G.reals[row + s.at_values + s.values + m] = value
    G.doubles[(row + SUMS) // 2 + m] = value


@inline_jit
def try_action(P, G, s, params, purpose, key, row, a, actions):
    """Values an action that has one outcome by that: an end, a win of whoever moves there, or a roll-out.

    Returns False if a state that is not terminal has no legal action.
    """
    state = load_state(G.floats, G.ints, row // s.row)
    _, following = transition_outcome(params, state, action_of_index(P, a), 0)
    G.counts[PLACE] = row // s.row
    gain(P, G, s, params, purpose, state, a, following)
    outcome = row + s.at_outcomes + a
    for m in range(s.values):
        G.reals[outcome + (1 + m) * actions] = G.reward[m]
    for m in range(NUM_PLAYERS):
        G.total[m] = 0.0
    proven = terminal(params, purpose, following)
    if s.solver and not proven:
        store_state(G.floats, G.ints, G.counts[NODES], following)
        known = int(G.slots[slot_of(G.bits, G.ints, G.counts[NODES], G.slots, G.bits, G.ints)])
        if known >= 0:  # reached along another path before
            G.words[outcome] = known + 1
            revalue(G, s, row, a, actions, 1)
            if G.words[known * s.row + KIND] == SOLVED:
                close(G, s, row, a, actions)
            return True
    if not proven:
        discount = 1.0
        if s.wins:
            proven, discount, following = foresee(P, G, s, params, purpose, following)
        if not proven and s.rolls and not roll_out(P, G, s, params, purpose, key, following, discount):
            return False
    for m in range(s.values):
        value = float(G.reals[outcome + (1 + m) * actions]) + s.gamma * G.total[m]
        at = row + s.at_actions + (1 + m) * actions + a
        G.reals[at] = value
        G.doubles[(row + SUMS) // 2 + m] += float(G.reals[at])
    if proven and s.solver:
        close(G, s, row, a, actions)
    else:
        G.counts[FRONTIER] += 1
    return True


@inline_jit
def visit(P, G, s, params, purpose, key, row):
    """Values a new node; returns False if a state that is not terminal has no legal action."""
    G.words[row + KIND] = VISITED
    G.words[row + COUNTED] = 1
    G.counts[FRONTIER] -= 1
    G.counts[PLACE] = row // s.row
    if s.rolls:
        state = load_state(G.floats, G.ints, row // s.row)
        for m in range(NUM_PLAYERS):
            G.total[m] = 0.0
        if not roll_out(P, G, s, params, purpose, key, state, 1.0):
            return False
        for m in range(s.values):
            first_value(G, s, row, m, G.total[m])
    return True


# ------------------------------------------------------------------------------------------------ back up


@inline_jit
def value_action(G, s, row, a, actions):
    """Sets Q [M] of an action from its outcomes, and counts its change in the sum of its node.

    Q is the mean over outcomes, by probability (or frequency). The value of a terminal state is 0 and was never asked
    for; a state not visited yet is taken to be worth what this node was at its first visit.
    """
    words, reals, links, link_reals = G.words, G.reals, G.links, G.link_reals
    outcome = row + s.at_outcomes + a
    for m in range(s.values):
        if s.single:
            child = (words[outcome] - 1) * s.row
            if child < 0:
                continue  # it is what it was worth when it was tried
            value = float(reals[outcome + (1 + m) * actions]) + s.gamma * float(reals[child + s.at_values + m])
        else:
            total = 0.0
            worth = 0.0
            link = words[outcome] - 1
            while link >= 0:
                at = link * (REWARD + s.values)
                child = links[at] * s.row
                weight = float(link_reals[at + WEIGHT])
                future = float(reals[child + s.at_values + m])
                if words[child + KIND] == UNVISITED:
                    future = float(reals[row + s.at_values + s.values + m])
                total += weight
                worth += weight * (float(link_reals[at + REWARD + m]) + s.gamma * future)
                link = links[at + BEFORE] - 1
            value = worth / total
        reals[row + s.at_actions + (1 + m) * actions + a] = value


@inline_jit
def revalue(G, s, row, a, actions, n):
    """Sets Q of an action from its outcomes, and the sum of its node with it, in which it counts n times."""
    at = row + s.at_actions + actions + a
    for m in range(s.values):
        G.scores[1, m] = G.reals[at + m * actions]
    value_action(G, s, row, a, actions)
    for m in range(s.values):
        G.doubles[(row + SUMS) // 2 + m] += n * (float(G.reals[at + m * actions]) - G.scores[1, m])


@inline_jit
def settle(G, s, row, a, actions):
    """Makes a node SOLVED, its best action being `a`, whose value is exact."""
    value_action(G, s, row, a, actions)
    for m in range(s.values):
        G.reals[row + s.at_values + m] = G.reals[row + s.at_actions + (1 + m) * actions + a]
    player = G.words[row + PLAYER]
    own = float(G.reals[row + s.at_values + (0 if s.zero_sum else player)])
    own = -own if s.zero_sum and player == 1 else own
    G.reals[row + s.lower] = own
    G.reals[row + s.upper] = own
    G.words[row + KIND] = SOLVED


@inline_jit
def bound(G, s, row, actions):
    """Proves what can be proven of a node from its children; returns whether its bounds moved.

    The mover's value lies between the highest lower and the highest upper bound of its actions. Nothing is left to
    learn of an action that cannot be better than another is at least: it is closed, as is one whose value is known.
    Where none is left, the node is solved.
    """
    words, reals, links, link_reals, scores = G.words, G.reals, G.links, G.link_reals, G.scores
    player = words[row + PLAYER]
    own = 0 if s.zero_sum else player
    sign = -1.0 if s.zero_sum and player == 1 else 1.0
    lower = -math.inf
    upper = -math.inf
    best = -1
    for a in range(actions):
        n = words[row + s.at_actions + a]
        if n == ILLEGAL:
            continue
        low = s.low
        high = s.high
        outcome = row + s.at_outcomes + a
        if s.single and n < 0 and words[outcome] == 0:
            low = sign * float(reals[row + s.at_actions + (1 + own) * actions + a])
            high = low
        elif n != 0:
            low = 0.0
            high = 0.0
            link = 0 if s.single else words[outcome] - 1
            while link >= 0:
                if s.single:
                    child = (words[outcome] - 1) * s.row
                    earned = float(reals[outcome + (1 + own) * actions])
                    weight = 1.0
                    link = -1
                else:
                    at = link * (REWARD + s.values)
                    child = links[at] * s.row
                    earned = float(link_reals[at + REWARD + own])
                    weight = float(link_reals[at + WEIGHT])
                    link = links[at + BEFORE] - 1
                least = s.low
                most = s.high
                if child >= 0 and words[child + KIND] >= TERMINAL:
                    least = sign * float(reals[child + s.at_values + own])
                    most = least
                elif child >= 0 and words[child + KIND] == VISITED and words[child + PLAYER] == player:
                    least = float(reals[child + s.lower])
                    most = float(reals[child + s.upper])
                elif child >= 0 and words[child + KIND] == VISITED and s.zero_sum:
                    least = -float(reals[child + s.upper])
                    most = -float(reals[child + s.lower])
                if s.gamma == 0.0:
                    least = 0.0
                    most = 0.0
                low += weight * (sign * earned + s.gamma * least)
                high += weight * (sign * earned + s.gamma * most)
        scores[0, a] = low
        scores[1, a] = high
        if best < 0 or low > lower:
            lower = low
            best = a
        upper = max(upper, high)
    for a in range(actions):
        at = row + s.at_actions + a
        if words[at] > 0 and (scores[1, a] <= lower or scores[0, a] == scores[1, a]):
            close(G, s, row, a, actions)
            value_action(G, s, row, a, actions)
            if s.single and words[row + s.at_outcomes + a] == 0:
                words[row + s.at_outcomes + a] = -1  # without a node, and not for being known
    if lower >= upper:
        settle(G, s, row, best, actions)
        return True
    before = float(reals[row + s.lower]), float(reals[row + s.upper])
    reals[row + s.lower] = max(lower, before[0])
    reals[row + s.upper] = min(upper, before[1])
    return float(reals[row + s.lower]) != before[0] or float(reals[row + s.upper]) != before[1]


@inline_jit
def value_node(G, s, row, actions, averaging):
    """Sets V of a node that is not solved from its sum: the average over its visits.

    Where `averaging` is not negative, V is a mixture of it and the value of the best action, which outweighs it once
    there are more than `averaging` visits; an action not tried yet is then taken to be worth what this node was at its
    first visit. Actions of which nothing is left to learn do not count. V is at least what is proven.
    """
    words, reals = G.words, G.reals
    count = float(words[row + COUNTED])
    player = words[row + PLAYER]
    own = 0 if s.zero_sum else player
    sign = -1.0 if s.zero_sum and player == 1 else 1.0
    for m in range(s.values):
        reals[row + s.at_values + m] = G.doubles[(row + SUMS) // 2 + m] / count
    if averaging >= 0.0:
        first = row + s.at_actions
        best = row + s.at_values + s.values  # the first visit
        step = 1
        highest = -math.inf
        if words[row + UNTRIED] > 0 or count == 1.0:
            highest = sign * float(reals[best + own])
        for a in range(actions):
            if words[first + a] > 0:
                value = sign * float(reals[first + (1 + own) * actions + a])
                if value > highest:
                    highest = value
                    best = first + actions + a
                    step = actions
        trust = count / (count + averaging)
        for m in range(s.values):
            average = float(reals[row + s.at_values + m])
            reals[row + s.at_values + m] = trust * float(reals[best + m * step]) + (1.0 - trust) * average
    lower = float(reals[row + s.lower])
    if lower > sign * float(reals[row + s.at_values + own]):
        proven = -1
        if s.values > 1:  # what the others have goes with what the mover has, by the action that proves the bound
            q = row + s.at_actions + (1 + own) * actions
            nearest = math.inf
            for a in range(actions):
                n = words[row + s.at_actions + a]
                if n < 0 and n != ILLEGAL and abs(float(reals[q + a]) - lower) < nearest:
                    nearest = abs(float(reals[q + a]) - lower)
                    proven = a
        if proven < 0:
            reals[row + s.at_values + own] = sign * lower
        else:
            for m in range(s.values):
                reals[row + s.at_values + m] = reals[row + s.at_actions + (1 + m) * actions + proven]


@jit
def sweep(P, G, s):
    """Solves a graph in which nothing is untried, by Gauss–Seidel sweeps; returns whether they converged.

    They stop when no value changes by more than leaves it within PRECISION of the range of values.
    """
    words, reals, actions = G.words, G.reals, num_actions(P)
    tolerance = PRECISION * (G.span[1] - G.span[0]) * (1.0 - s.gamma)
    for _ in range(SWEEPS):
        change = 0.0
        for i in range(G.counts[NODES]):
            row = (G.counts[NODES] - 1 - i) * s.row
            if words[row + KIND] != VISITED:
                continue
            player = words[row + PLAYER]
            own = 0 if s.zero_sum else player
            sign = -1.0 if s.zero_sum and player == 1 else 1.0
            q = row + s.at_actions + actions
            best = -1
            for a in range(actions):
                if words[row + s.at_actions + a] != ILLEGAL:
                    value_action(G, s, row, a, actions)
                    at = q + own * actions
                    if best < 0 or sign * float(reals[at + a]) > sign * float(reals[at + best]):
                        best = a
            for m in range(s.values):
                value = float(reals[q + m * actions + best])
                change = max(change, abs(value - float(reals[row + s.at_values + m])))
                reals[row + s.at_values + m] = value
        if change <= tolerance:
            return True
    return False


# ------------------------------------------------------------------------------------------------ search


@inline_jit
def add_child(P, G, s, params, purpose, row, a, actions):
    """Makes the node of an action's only outcome, which was met before and has none yet; returns its row.

    Where the same state was reached along another path it has one.
    """
    state = load_state(G.floats, G.ints, row // s.row)
    _, following = transition_outcome(params, state, action_of_index(P, a), 0)
    known = G.counts[NODES]
    node = node_of(P, G, s, params, purpose, following, G.words[row + s.depth] + 1)
    outcome = row + s.at_outcomes + a
    G.words[outcome] = node + 1
    G.counts[FRONTIER] -= 1
    child = node * s.row
    if node == known and G.words[child + KIND] == UNVISITED:
        G.words[child + KIND] = VISITED
        G.words[child + VISITS] = 1
        G.words[child + COUNTED] = 1
        G.counts[FRONTIER] -= 1
        for m in range(s.values):
            value = float(G.reals[row + s.at_actions + (1 + m) * actions + a])
            value -= float(G.reals[outcome + (1 + m) * actions])
            first_value(G, s, child, m, value / s.gamma if s.gamma > 0.0 else 0.0)
        if s.wins and s.zero_sum:
            close_foreseen(P, G, s, params, purpose, following, child)
            if G.words[child + UNTRIED] == 0:
                bound(G, s, child, actions)
    return child


@inline_jit
def descend(P, G, s, params, purpose, key, actions):
    """Walks from the root to a state or an action not tried before.

    Returns (the row of the node at the end, length of the path); (−1, 0) where no action is legal. An action that was
    tried is part of the path.
    """
    words, counts, path = G.words, G.counts, G.path
    number = counts[SIMULATIONS]
    returns = 0
    row = 0
    length = 0
    counts[FORESEEN] = -1
    while words[row + KIND] == VISITED and length < s.max_depth:
        if words[row + SEEN] == number and counts[FRONTIER] == 0:
            # Once every state found has been visited, a simulation may come back to states of its own path only so
            # often: going in circles teaches little. The tail is heavy, so that what lies far is still brought up to
            # date.
            if returns == 0:
                returns = 1 + int(1.0 / (1.0 - uniform(key, counts[CLOCK])))
                counts[CLOCK] += 1
            returns -= 1
            if returns <= 1:
                break
        words[row + SEEN] = number
        words[row + VISITS] += 1
        untried = words[row + UNTRIED]
        if untried > 0:
            a = pick_untried(G, key, row + s.at_actions, untried)
            words[row + UNTRIED] = untried - 1
            counts[OPEN] -= 1
        else:
            a = select(G, key, s, row, actions)
            if a < 0:
                return -1, 0
        n = words[row + s.at_actions + a]
        outcome = row + s.at_outcomes + a
        path[0, length] = row
        path[1, length] = a
        length += 1
        words[row + s.at_actions + a] = n + 1
        words[row + COUNTED] += 1
        for m in range(s.values):
            G.doubles[(row + SUMS) // 2 + m] += float(G.reals[row + s.at_actions + (1 + m) * actions + a])
        if s.single:
            if n == 0:
                if not try_action(P, G, s, params, purpose, key, row, a, actions):
                    return -1, 0
                return row, length
            child = (words[outcome] - 1) * s.row
            row = child if child >= 0 else add_child(P, G, s, params, purpose, row, a, actions)
            continue
        # sampled outcomes: a new one only while there are fewer than √n, so that a continuum is searched in depth
        child = -1
        if n == 0 or (not s.exact and words[outcome + actions] ** 2 <= n):
            child = add_links(P, G, s, params, purpose, key, row, a)
            counts[CLOCK] += 0 if s.exact else max(1, TRANSITION_SLOTS)
        if s.exact or child < 0:
            child = pick_outcome(G, s, words[outcome] - 1, uniform(key, counts[CLOCK]))
            counts[CLOCK] += 1
        row = child * s.row
        if s.exact and n == 0:
            break
    words[row + VISITS] += 1
    return row, length


@inline_jit
def averaging_now(G, s):
    """Returns the weight of averages against best actions: where it is left open, by how much is untried."""
    counts = G.counts
    if s.averaging >= 0.0:
        return s.averaging
    if NEARLY_ALL * counts[OPEN] <= counts[ACTIONS] and NEARLY_ALL * counts[FRONTIER] <= counts[NODES]:
        return COMPLETE
    return s.averaging


@inline_jit
def back_up(G, s, row, length, actions):
    """Brings the path up to date, last state first, up from the node in which it ended."""
    words, reals, path, span, counts = G.words, G.reals, G.path, G.span, G.counts
    averaging = averaging_now(G, s)
    proven = s.solver and words[row + KIND] >= TERMINAL
    if s.single and length > 0 and words[row + s.at_actions + path[1, length - 1]] == -2:
        proven = True  # a tried action of the last node
    for i in range(length):
        row = path[0, length - 1 - i]
        a = path[1, length - 1 - i]
        n = words[row + s.at_actions + a]
        if words[row + KIND] == SOLVED:  # the path passes here twice, and it was proven later on
            proven = True
            continue
        q = row + s.at_actions + actions + a
        if n > 0:
            revalue(G, s, row, a, actions, n)
        if s.zero_sum and words[row + PLAYER] == 1:
            own = -float(reals[q])
        else:
            own = float(reals[q + (0 if s.zero_sum else words[row + PLAYER]) * actions])
        span[0] = min(span[0], own)
        span[1] = max(span[1], own)
        if proven or row == counts[FORESEEN]:
            proven = bound(G, s, row, actions)
        if words[row + KIND] != SOLVED:
            value_node(G, s, row, actions, averaging)


@inline_jit
def refresh(G, s, actions):
    """Brings the values of all nodes up to date, the last found first: what changed off the paths, too."""
    words = G.words
    averaging = averaging_now(G, s)
    for i in range(G.counts[NODES]):
        row = (G.counts[NODES] - 1 - i) * s.row
        if words[row + KIND] == VISITED:
            for a in range(actions):
                n = words[row + s.at_actions + a]
                if n > 0:
                    revalue(G, s, row, a, actions, n)
            value_node(G, s, row, actions, averaging)


@jit
def search(P, G, key, s, simulations):
    """Simulates until `simulations` are done or there may be no room for another; node 0 is the root."""
    params = load_params(P)
    purpose = load_purpose(P)
    counts, words = G.counts, G.words
    actions = num_actions(P)
    if counts[NODES] == 0:
        node_of(P, G, s, params, purpose, load_state(G.floats, G.ints, 0), 0)
    while counts[SIMULATIONS] < simulations and words[KIND] != SOLVED:
        if counts[NODES] + s.new_nodes > s.max_nodes or counts[LINKS] + s.new_links > s.max_links:
            return
        counts[SIMULATIONS] += 1
        row, length = descend(P, G, s, params, purpose, key, actions)
        if row < 0 or (words[row + KIND] == UNVISITED and not visit(P, G, s, params, purpose, key, row)):
            counts[STUCK] = NO_ACTION
        if counts[STUCK] != 0:
            return
        back_up(G, s, row, length, actions)
        # where states are met again and again, a pass over all of them costs little beside the simulations between two
        since = counts[SIMULATIONS] - counts[FRESH]
        if s.exact and not s.single and 4 * since >= counts[NODES] and 64 * since >= counts[SIMULATIONS]:
            counts[FRESH] = counts[SIMULATIONS]
            refresh(G, s, actions)
        if s.solver and s.exact and counts[OPEN] == 0 and counts[FRONTIER] == 0 and counts[SWEPT] == 0:
            counts[SWEPT] = 1
            if sweep(P, G, s):
                words[KIND] = SOLVED
