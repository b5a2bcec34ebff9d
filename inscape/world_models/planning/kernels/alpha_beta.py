"""Kernel template: alpha-beta on one world's law. See `inscape.world_models.planning.tree_search.alpha_beta`.

`AlphaBetaArrays` says what lies where in `G`. The stack is explicit, so that the search can stop anywhere and go on.
Every value comes with two flags: that no cut-off has entered what makes it at least, and at most, so much.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import math

from inscape.envs.kernels.names import (
    NUM_FLOATS,
    NUM_INTS,
    action_of_index,
    branches,
    jit,
    legal,
    load_params,
    load_purpose,
    load_state,
    mover,
    num_actions,
    reward,
    store_state,
    terminal,
    transition_outcome,
    write_reward,
)
from inscape.world_models.planning.kernels.alpha_beta_arrays import (
    ABOVE_WIN,
    ACTION,
    ADVANCE,
    ALPHA,
    AT_LEAST,
    AT_MOST,
    BEGAN,
    BEST,
    BEST_ACTION,
    BETA,
    BRANCHING,
    BUCKET,
    CHANCE,
    COLUMN,
    COUNT,
    DECISION,
    DONE,
    ENTER,
    FAULT,
    FIRST_ALPHA,
    FIRST_BETA,
    FRAME,
    HIGH,
    HIGH_DEPTH,
    HIGH_PROVEN,
    KIND,
    LOW,
    LOW_DEPTH,
    LOW_PROVEN,
    NO_LEGAL_ACTION,
    NO_NUMBER,
    NODES,
    NOT_OPPOSED,
    OPEN,
    OVER,
    PHASE,
    PLAYER,
    PROBABILITY,
    PROVEN,
    REMAIN,
    RETURN,
    REWARD,
    SIGN,
    TAKEN,
    TOO_LONG,
    VALUE,
    WORK,
    WORTH_ASKING,
)

# ------------------------------------------------------------------------------------------------ positions known


@jit
def bucket_of(G, column):
    """Returns the first of the places in the table at which the state may be."""
    h = 0
    for k in range(NUM_FLOATS + NUM_INTS):  # 32 bits at a time, so that plain Python and compiled code agree
        x = G.bits[k, column] if k < NUM_FLOATS else G.ints[k - NUM_FLOATS, column]
        h = ((h ^ (x & 0xFFFFFFFF)) * 0x01000193 + (h >> 15)) & 0xFFFFFFFF
        h = ((h ^ ((x >> 32) & 0xFFFFFFFF)) * 0x01000193 + (h >> 15)) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 0x5BD1E995) & 0xFFFFFFFF
    return (h ^ (h >> 15)) % (G.info.shape[0] // BUCKET) * BUCKET


@jit
def place_of(G, column):
    """Returns where the state is in the table; −1 if it is not there."""
    first = bucket_of(G, column)
    for place in range(first, first + BUCKET):
        if G.info[place, WORK] == 0:
            return -1
        same = True
        for k in range(NUM_FLOATS):
            if G.keys[place, k] != G.bits[k, column]:
                same = False
        for k in range(NUM_INTS):
            if G.keys[place, NUM_FLOATS + k] != G.ints[k, column]:
                same = False
        if same:
            return place
    return -1


@jit
def remember(G, f, value, low, high):
    """Writes what was found out about frame f's state, over what took least work if there is no room."""
    column = G.frame[f, COLUMN]
    place = place_of(G, column)
    work = min(PROVEN, G.counts[NODES] - G.frame[f, BEGAN] + 1)
    if place < 0:
        first = bucket_of(G, column)
        place = first
        for other in range(first, first + BUCKET):
            if G.info[other, WORK] < G.info[place, WORK]:
                place = other
        for k in range(NUM_FLOATS):
            G.keys[place, k] = G.bits[k, column]
        for k in range(NUM_INTS):
            G.keys[place, NUM_FLOATS + k] = G.ints[k, column]
        G.known[place, AT_LEAST] = -math.inf
        G.known[place, AT_MOST] = math.inf
        G.info[place, LOW_DEPTH] = -1
        G.info[place, HIGH_DEPTH] = -1
    G.info[place, WORK] = work
    G.info[place, BEST_ACTION] = G.frame[f, BEST]
    remain = G.frame[f, REMAIN]
    if value > G.window[f, FIRST_ALPHA] or low:
        depth = PROVEN if low else remain
        if depth >= G.info[place, LOW_DEPTH]:
            G.known[place, AT_LEAST] = value
            G.info[place, LOW_DEPTH] = depth
    if value < G.window[f, FIRST_BETA] or high:
        depth = PROVEN if high else remain
        if depth >= G.info[place, HIGH_DEPTH]:
            G.known[place, AT_MOST] = value
            G.info[place, HIGH_DEPTH] = depth


# ------------------------------------------------------------------------------------------------ what follows


@jit
def pay(G, params, purpose, player, state, action, following):
    """Returns what the transition pays the player; notes a fault where the two do not earn opposite amounts."""
    write_reward(G.reward_out, 0, reward(params, purpose, state, action, following))
    total = G.reward[0] + G.reward[1]
    if not (total - total == 0.0):
        G.counts[FAULT] = NO_NUMBER
    elif abs(total) > 1e-9 * (1.0 + abs(G.reward[0])):
        G.counts[FAULT] = NOT_OPPOSED
    return G.reward[player]


@jit
def list_actions(P, G, params, purpose, f, best, gamma):
    """Sets what follows each legal action of frame f, and the order in which they are searched."""
    column, player = G.frame[f, COLUMN], G.frame[f, PLAYER]
    actions = num_actions(P)
    state = load_state(G.floats, G.ints, column)
    count = 0
    for a in range(actions):
        action = action_of_index(P, a)
        if not legal(params, state, action):
            continue
        outcomes = 0
        for b in range(branches(params)):
            p, following = transition_outcome(params, state, action, b)
            if p > 0.0:
                outcomes += 1
                if outcomes > 1:
                    break
                store_state(G.floats, G.ints, 1 + f * actions + a, following)
        rank = 0.0
        G.child_reward[f, a] = 0.0
        if outcomes > 1:
            G.child[f, a] = BRANCHING
        else:
            following = load_state(G.floats, G.ints, 1 + f * actions + a)
            gained = pay(G, params, purpose, player, state, action, following)
            G.child_reward[f, a] = gained
            G.child[f, a] = OVER if terminal(params, purpose, following) else OPEN
            if G.child[f, a] == OVER:
                rank = 1e18 if gained > 0.0 else (1e15 if gained == 0.0 else -1.0)
            elif gamma > 0.0 and G.frame[f, REMAIN] >= WORTH_ASKING:  # is it known to be good enough already
                place = place_of(G, 1 + f * actions + a)
                if place >= 0:
                    if mover(params, following) != player:
                        if G.info[place, HIGH_DEPTH] >= G.frame[f, REMAIN] - 1:
                            if gained - gamma * G.known[place, AT_MOST] >= G.window[f, BETA]:
                                rank = 1e19
                    elif G.info[place, LOW_DEPTH] >= G.frame[f, REMAIN] - 1:
                        if gained + gamma * G.known[place, AT_LEAST] >= G.window[f, BETA]:
                            rank = 1e19
        if rank == 0.0:
            rank = min(1e14, G.history[player, a])
            if G.killers[f, 0] == a + 1:
                rank += 2e15
            elif G.killers[f, 1] == a + 1:
                rank += 1e15
        if a == best:
            rank = max(rank, 1e17)
        # insertion, the highest rank first; equals in the order of their numbers
        at = count
        while at > 0 and G.window[f, 7 + G.order[f, at - 1]] < rank:
            G.order[f, at] = G.order[f, at - 1]
            at -= 1
        G.order[f, at] = a
        G.window[f, 7 + a] = rank
        count += 1
    G.frame[f, COUNT] = count


@jit
def push(G, f, column, player, remain, alpha, beta):
    """Makes frame f, a state to be searched with a window."""
    G.frame[f, KIND] = DECISION
    G.frame[f, COLUMN] = column
    G.frame[f, PLAYER] = player
    G.frame[f, REMAIN] = remain
    G.window[f, ALPHA] = alpha
    G.window[f, BETA] = beta
    G.window[f, FIRST_ALPHA] = alpha
    G.window[f, FIRST_BETA] = beta


@jit
def take_in(G, f, action, value, low, high, win, every):
    """Brings frame f up to date with the value of one of its actions."""
    if abs(value) > win * (1.0 + 1e-9):
        G.counts[FAULT] = ABOVE_WIN
    if f == 0:
        G.root_values[action] = value
    if high == 0 or (every and f == 0 and low == 0):  # of the root's actions all are to be proven
        G.frame[f, HIGH] = 0
    if G.frame[f, BEST] < 0 or value > G.window[f, VALUE]:
        G.window[f, VALUE] = value
        G.frame[f, BEST] = action
        G.frame[f, LOW] = low
    elif value == G.window[f, VALUE] and low != 0:
        G.frame[f, LOW] = 1
    if value > G.window[f, ALPHA]:
        G.window[f, ALPHA] = value
    if value >= G.window[f, BETA] and G.child[f, action] != OVER:
        remain = min(G.frame[f, REMAIN], 1000)
        G.history[G.frame[f, PLAYER], action] += remain * remain
        if G.killers[f, 0] != action + 1:
            G.killers[f, 1] = G.killers[f, 0]
            G.killers[f, 0] = action + 1


# ------------------------------------------------------------------------------------------------ search


@jit
def search(P, G, until, gamma, win, every):
    """Searches until it is done, or `until` nodes have been entered; a call goes on where the last one stopped.

    Args:
        win: no return is larger; infinite where that is not known.
        every: the root's actions are all searched with an open window.
    """
    params = load_params(P)
    purpose = load_purpose(P)
    counts, frame, window = G.counts, G.frame, G.window
    actions = num_actions(P)
    f = counts[FRAME]
    phase = counts[PHASE]
    value = G.result[0]
    low = counts[LOW_PROVEN]
    high = counts[HIGH_PROVEN]
    while phase != DONE and counts[FAULT] == 0:
        if phase == ENTER:
            if counts[NODES] >= until:
                break
            counts[NODES] += 1
            frame[f, BEGAN] = counts[NODES]
            remain = frame[f, REMAIN]
            place = place_of(G, frame[f, COLUMN])
            best = -1
            phase = ADVANCE
            if place >= 0:
                best = G.info[place, BEST_ACTION]
                if f > 0:
                    at_least = G.known[place, AT_LEAST]
                    at_most = G.known[place, AT_MOST]
                    below = G.info[place, LOW_DEPTH] >= remain
                    above = G.info[place, HIGH_DEPTH] >= remain
                    if below and (at_least >= window[f, BETA] or (above and at_least == at_most)):
                        value = at_least
                        low = 1 if G.info[place, LOW_DEPTH] == PROVEN else 0
                        high = 1 if above and at_least == at_most and G.info[place, HIGH_DEPTH] == PROVEN else 0
                        phase = RETURN
                    elif above and at_most <= window[f, ALPHA]:
                        value = at_most
                        low = 0
                        high = 1 if G.info[place, HIGH_DEPTH] == PROVEN else 0
                        phase = RETURN
            if phase == ADVANCE and remain == 0:
                value = 0.0
                low = 0
                high = 0
                phase = RETURN
            if phase == ADVANCE:
                list_actions(P, G, params, purpose, f, best, gamma)
                if frame[f, COUNT] == 0:
                    counts[FAULT] = NO_LEGAL_ACTION
                if f + 2 >= frame.shape[0]:
                    counts[FAULT] = TOO_LONG
                frame[f, TAKEN] = 0
                frame[f, BEST] = -1
                frame[f, LOW] = 0
                frame[f, HIGH] = 1
                window[f, VALUE] = -math.inf
        elif phase == ADVANCE and frame[f, KIND] == CHANCE:
            state = load_state(G.floats, G.ints, frame[f, COLUMN])
            action = action_of_index(P, frame[f, ACTION])
            b = frame[f, TAKEN]
            if b == branches(params):
                value = window[f, VALUE]
                low = frame[f, LOW]
                high = frame[f, HIGH]
                phase = RETURN
            else:
                frame[f, TAKEN] = b + 1
                p, following = transition_outcome(params, state, action, b)
                if p > 0.0:
                    player = frame[f, PLAYER]
                    gained = pay(G, params, purpose, player, state, action, following)
                    if gamma == 0.0 or terminal(params, purpose, following):
                        window[f, VALUE] += p * gained
                    else:
                        store_state(G.floats, G.ints, 1 + f * actions, following)
                        moves = mover(params, following)
                        frame[f, SIGN] = 1 if moves == player else -1
                        window[f, PROBABILITY] = p
                        window[f, REWARD] = gained
                        push(G, f + 1, 1 + f * actions, moves, frame[f, REMAIN], -win, win)
                        f += 1
                        phase = ENTER
        elif phase == ADVANCE:
            whole = every and f == 0
            enough = frame[f, BEST] >= 0 and window[f, VALUE] >= window[f, BETA] and not whole
            if frame[f, TAKEN] == frame[f, COUNT] or enough:
                value = window[f, VALUE]
                low = frame[f, LOW]
                high = frame[f, HIGH] if frame[f, TAKEN] == frame[f, COUNT] else 0
                if value >= win and not whole:  # no return is larger
                    high = 1
                if value <= -win and not whole:
                    low = 1
                remember(G, f, value, low, high)
                phase = RETURN
            else:
                a = G.order[f, frame[f, TAKEN]]
                frame[f, TAKEN] += 1
                gained = G.child_reward[f, a]
                player = frame[f, PLAYER]
                frame[f, ACTION] = a
                if G.child[f, a] == BRANCHING:
                    column = frame[f, COLUMN]
                    remain = frame[f, REMAIN]
                    f += 1
                    frame[f, KIND] = CHANCE
                    frame[f, COLUMN] = column
                    frame[f, PLAYER] = player
                    frame[f, REMAIN] = remain - 1
                    frame[f, ACTION] = a
                    frame[f, TAKEN] = 0
                    frame[f, LOW] = 1
                    frame[f, HIGH] = 1
                    window[f, VALUE] = 0.0
                elif G.child[f, a] == OVER or gamma == 0.0:
                    take_in(G, f, a, gained, 1, 1, win, every)
                else:
                    column = 1 + f * actions + a
                    moves = mover(params, load_state(G.floats, G.ints, column))
                    alpha = window[f, ALPHA]
                    beta = window[f, BETA]
                    if every and f == 0:
                        alpha = -win
                        beta = win
                    below = max((alpha - gained) / gamma, -win)
                    above = min((beta - gained) / gamma, win)
                    if moves == player:
                        frame[f, SIGN] = 1
                        push(G, f + 1, column, moves, frame[f, REMAIN] - 1, below, above)
                    else:
                        frame[f, SIGN] = -1
                        push(G, f + 1, column, moves, frame[f, REMAIN] - 1, -above, -below)
                    f += 1
                    phase = ENTER
        else:  # RETURN
            f -= 1
            if f < 0:
                phase = DONE
            elif frame[f, KIND] == CHANCE:
                sign = frame[f, SIGN]
                window[f, VALUE] += window[f, PROBABILITY] * (window[f, REWARD] + gamma * sign * value)
                frame[f, LOW] = min(frame[f, LOW], low if sign > 0 else high)
                frame[f, HIGH] = min(frame[f, HIGH], high if sign > 0 else low)
                phase = ADVANCE
            else:
                a = frame[f, ACTION]
                if G.child[f, a] == BRANCHING:
                    take_in(G, f, a, value, low, high, win, every)
                elif frame[f, SIGN] > 0:
                    take_in(G, f, a, G.child_reward[f, a] + gamma * value, low, high, win, every)
                else:
                    take_in(G, f, a, G.child_reward[f, a] - gamma * value, high, low, win, every)
                phase = ADVANCE
    counts[FRAME] = f
    counts[PHASE] = phase
    G.result[0] = value
    counts[LOW_PROVEN] = low
    counts[HIGH_PROVEN] = high
