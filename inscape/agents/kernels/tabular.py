"""Kernel template: tabular learners, environment and update in one compiled loop, several seeds interleaved.

Each algorithm is a pair of functions in `RULES`: what to do, and what to learn from one step. `learn` is the loop over
steps and learners that calls the pair of `LEARNER`. The pairs know no world: imported directly, this module is what
learners run on any other Gymnasium environment, in plain Python.

What all have: `T`, the tables of the algorithm, each with a row per learner `[N, …]`, and `S`, `Schedule`. The kernels
take the world they are in, `E`, `Copies`, and `C`, `Choices`, and hand their arrays on one by one: read from a named
tuple at each step, references to them were counted each time, and steps took 3 to 12 times as long.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"
import numpy as np

from inscape.agents.kernels.tabular_arrays import Step
from inscape.envs.kernels.names import (
    CLOCK,
    ELAPSED,
    KEY,
    SLOTS,
    TRANSITION_SLOTS,
    inner,
    jit,
    legal,
    load_params,
    load_purpose,
    load_state,
    observe_into,
    reward,
    sample_initial,
    sample_transition,
    store_state,
    terminal,
    uniform,
)

# Columns of `totals`: episodes ended, return so far, sum of absolute errors (how far each update was from what it aimed
# at).
EPISODES, RUNNING, ERRORS = 0, 1, 2
DRAWS = 4  # random numbers of a step: the choice; the next choice, or which table; which among equals
TILE = 32  # learners side by side: enough to hide latency, few enough for their tables to stay near
NATURAL = 0x7FFFFFFFFFFFFFFF  # `index & NATURAL` is the index, and LLVM leaves out what a negative one would need
ACCUMULATING, REPLACING, DUTCH = 0, 1, 2
FIRST_VISIT, EVERY_VISIT, OFF_POLICY = 0, 1, 2
SMALLEST_TRACE = 1e-12  # of traces that start at most at 1: below, a trace is forgotten


def inline(function):
    """Compiles a helper into its callers. Called, it would count references to every array it is handed, at each step:
    three quarters of the time."""
    compiled = inner(function)
    getattr(compiled, "targetoptions", {})["forceinline"] = True  # plain functions have no such thing
    return compiled


# ------------------------------------------------------------------------------------------- choices and values


@inline
def epsilon_at(S, t):
    """Returns the probability of exploring at step t."""
    return S.epsilon_end + (S.epsilon_start - S.epsilon_end) * max(0.0, 1.0 - t / S.epsilon_steps)


@inline
def allowed(mask, i, row, a):
    """Returns whether learner i may take action a."""
    if mask is None:
        return True
    return mask[i, row, a]


@inline
def best_value(q, at, mask, i, row, numbers):
    """Returns max_a Q(s, a) over the legal actions, of table `q[at]`."""
    best = -np.inf
    for a in range(len(numbers)):
        value = q[at, row, a]
        best = value if (value > best) & allowed(mask, i, row, a) else best
    return best


@inline
def mean_value(q, at, mask, i, row, numbers):
    """Returns the mean of Q(s, a) over the legal actions."""
    total, count = 0.0, 0
    for a in range(len(numbers)):
        fine = allowed(mask, i, row, a)
        total += q[at, row, a] if fine else 0.0
        count += fine
    return total / count


@inline
def expected_value(q, at, mask, i, row, epsilon, numbers):
    """Returns Σ_a π(a|s)·Q(s,a) of the epsilon-greedy policy."""
    best = best_value(q, at, mask, i, row, numbers)
    return best + epsilon * (mean_value(q, at, mask, i, row, numbers) - best)


@inline
def choose(q, at, mask, i, row, epsilon, u, numbers):
    """Returns an action, epsilon-greedy, uniform among the legal or among the best; one number decides both."""
    explores = u < epsilon
    rest = (u - (0.0 if explores else epsilon)) / (epsilon if explores else 1.0 - epsilon)
    best = best_value(q, at, mask, i, row, numbers)
    count = 0
    for a in range(len(numbers)):
        count += ((q[at, row, a] >= best) | explores) & allowed(mask, i, row, a)
    k = min(int(rest * count), count - 1)  # rounding may make `rest` one
    chosen, seen = 0, 0
    for a in range(len(numbers)):  # number k of them: as many actions lie before it as are passed with k or fewer
        seen += ((q[at, row, a] >= best) | explores) & allowed(mask, i, row, a)
        chosen += seen <= k
    return chosen


@inline
def greedy(q, at, mask, i, row, numbers):
    """Returns the best legal action, the first among equals."""
    best, chosen = -np.inf, 0
    for a in range(len(numbers)):
        better = (q[at, row, a] > best) & allowed(mask, i, row, a)
        best = q[at, row, a] if better else best
        chosen = a if better else chosen
    return chosen


@inline
def choice_probability(q, at, mask, i, row, action, epsilon, numbers):
    """Returns π(a|s) of the epsilon-greedy policy that `choose` follows."""
    best = best_value(q, at, mask, i, row, numbers)
    legal_ones, equals = 0, 0
    for a in range(len(numbers)):
        fine = allowed(mask, i, row, a)
        legal_ones += fine
        equals += fine & (q[at, row, a] >= best)
    return epsilon / legal_ones + ((1.0 - epsilon) / equals if q[at, row, action] >= best else 0.0)


@inline
def step_size(S, rates, n):
    """Returns the step size of the n-th update: max(floor, rate · n^−power)."""
    if n < len(rates):
        return rates[n]
    return max(S.floor, S.rate * float(n) ** -S.power)


@inline
def aim(q, counts, at, row, action, target, S, rates):
    """Moves Q(s, a) towards the target; returns how far off it was."""
    n = counts[at, row, action] + 1
    counts[at, row, action] = n
    old = q[at, row, action]
    q[at, row, action] = old + step_size(S, rates, n) * (target - old)
    return abs(target - old)


# ------------------------------------------------------------------------------------------- Q-learning, expected SARSA


@inline
def choose_greedily(T, numbers, mask, keys, i, row, t, epsilon):
    """Returns what those do who look no further than their first table: epsilon-greedy."""
    return choose(T[0], i, mask, i, row, epsilon, uniform(keys[i, 0], t * DRAWS), numbers)


@inline
def q_learning_update(T, numbers, mask, keys, rates, S, i, step):
    """Q(s,a) ← Q(s,a) + α·(r + γ·max_a′ Q(s′,a′) − Q(s,a)). A time limit ends no sum: only termination does."""
    q, counts = T
    ahead = best_value(q, i, mask, i, step.next_row, numbers)
    return aim(q, counts, i, step.row, step.action, step.gain + (0.0 if step.terminated else S.gamma * ahead), S, rates)


@inline
def expected_sarsa_update(T, numbers, mask, keys, rates, S, i, step):
    """As Q-learning, with Σ_a′ π(a′|s′)·Q(s′,a′) for the maximum (Sutton & Barto 2018, equation 6.9)."""
    q, counts = T
    ahead = expected_value(q, i, mask, i, step.next_row, step.epsilon, numbers)
    return aim(q, counts, i, step.row, step.action, step.gain + (0.0 if step.terminated else S.gamma * ahead), S, rates)


# ------------------------------------------------------------------------------------------- double Q-learning


@inline
def double_q_learning_update(T, numbers, mask, keys, rates, S, i, step):
    """A randomly chosen table selects the action; the other evaluates it (van Hasselt 2010)."""
    q, pair, counts = T
    one = 2 * i + (uniform(keys[i, 0], step.t * DRAWS + 1) < 0.5)
    other = 4 * i + 1 - one
    best = choose(pair, one, mask, i, step.next_row, 0.0, uniform(keys[i, 0], step.t * DRAWS + 2), numbers)
    target = step.gain + (0.0 if step.terminated else S.gamma * pair[other, step.next_row, best])
    error = aim(pair, counts, one, step.row, step.action, target, S, rates)
    q[i, step.row, step.action] = 0.5 * (pair[one, step.row, step.action] + pair[other, step.row, step.action])
    return error


# ------------------------------------------------------------------------------------------- SARSA of n steps


@inline
def sarsa_action(T, numbers, mask, keys, i, row, t, epsilon):
    """Returns the action chosen when the last one was learned from; at an episode's start, a new one."""
    planned = T[2][i]
    if planned >= 0:
        return planned
    return choose(T[0], i, mask, i, row, epsilon, uniform(keys[i, 0], t * DRAWS), numbers)


@inline
def sarsa_update(T, numbers, mask, keys, rates, S, i, step):
    """Q(s_t,a_t) ← … r_t+1 + … + γ^n·Q(s_t+n,a_t+n) (Sutton & Barto 2018, section 7.2); n = 1 is SARSA."""
    q, counts, planned, last_rows, last_actions, last_gains = T
    n = last_rows.shape[1]
    slot = (step.length - 1) % n
    last_rows[i, slot], last_actions[i, slot], last_gains[i, slot] = step.row, step.action, step.gain
    then = choose(q, i, mask, i, step.next_row, step.epsilon, uniform(keys[i, 0], step.t * DRAWS + 1), numbers)
    planned[i] = -1 if step.over else then
    total = 0.0 if step.terminated else q[i, step.next_row, then]
    error = 0.0
    held = min(step.length, n)
    for k in range(held):  # newest first; where an episode ends, every return that still waits
        back = (step.length - 1 - k) % n
        total = last_gains[i, back] + S.gamma * total
        if step.over or k == n - 1:
            error += aim(q, counts, i, last_rows[i, back], last_actions[i, back], total, S, rates)
    return error


# ------------------------------------------------------------------------------------------- Monte Carlo


@inline
def monte_carlo_update(T, numbers, mask, keys, rates, S, i, step):
    """Keeps the step; at the end of the episode, learns from its returns."""
    q, counts, weights, stamps, past_rows, past_actions, past_gains, past_chances, first = T
    e = step.length - 1
    kind = int(S.extra)
    past_rows[i, e], past_actions[i, e], past_gains[i, e] = step.row, step.action, step.gain
    if kind == OFF_POLICY:
        past_chances[i, e] = choice_probability(q, i, mask, i, step.row, step.action, step.epsilon, numbers)
    elif kind == FIRST_VISIT:
        # stamps are one more than the step, and the episode began with step t − length + 1
        first[i, e] = stamps[i, step.row, step.action] <= step.t - step.length + 1
        stamps[i, step.row, step.action] = step.t + 1
    if not step.over:
        return 0.0
    total = 0.0
    if not step.terminated:  # cut by a time limit: the return bootstraps from the estimated value of the last state
        if kind == OFF_POLICY:
            total = best_value(q, i, mask, i, step.next_row, numbers)
        else:
            total = expected_value(q, i, mask, i, step.next_row, step.epsilon, numbers)
    error, weight = 0.0, 1.0
    for k in range(step.length):
        e = step.length - 1 - k
        total = past_gains[i, e] + S.gamma * total
        s, a = past_rows[i, e], past_actions[i, e]
        if kind == OFF_POLICY:  # weighted importance sampling (Sutton & Barto 2018, section 5.7)
            counts[i, s, a] += 1
            weights[i, s, a] += weight
            old = q[i, s, a]
            error += abs(total - old)
            q[i, s, a] = old + weight / weights[i, s, a] * (total - old)
            if a != greedy(q, i, mask, i, s, numbers):
                break  # the policy that is learned would not have done so
            weight /= past_chances[i, e]
        elif kind == EVERY_VISIT or first[i, e]:
            error += aim(q, counts, i, s, a, total, S, rates)
    return error


# ------------------------------------------------------------------------------------------- Dyna-Q


@inline
def dyna_q_update(T, numbers, mask, keys, rates, S, i, step):
    """Q-learning from the step, from the model as often as settings say (Sutton & Barto 2018, section 8.2)."""
    q, counts, tried, pairs, known, model_rows, model_gains, model_ends = T
    depth = model_rows.shape[3]
    if tried[i, step.row, step.action] == 0:
        pairs[i, known[i]] = step.row * len(numbers) + step.action
        known[i] += 1
    slot = tried[i, step.row, step.action] % depth
    tried[i, step.row, step.action] += 1
    model_rows[i, step.row, step.action, slot] = step.next_row
    model_gains[i, step.row, step.action, slot] = step.gain
    model_ends[i, step.row, step.action, slot] = step.terminated
    ahead = best_value(q, i, mask, i, step.next_row, numbers)
    error = aim(
        q, counts, i, step.row, step.action, step.gain + (0.0 if step.terminated else S.gamma * ahead), S, rates
    )
    planning = int(S.extra)
    for k in range(planning):
        draw = 2 * (step.t * planning + k)
        pair = pairs[i, min(int(uniform(keys[i, 1], draw) * known[i]), known[i] - 1)]
        s, a = pair // len(numbers), pair % len(numbers)
        held = min(tried[i, s, a], depth)
        j = min(int(uniform(keys[i, 1], draw + 1) * held), held - 1)
        ahead = best_value(q, i, mask, i, model_rows[i, s, a, j], numbers)
        target = model_gains[i, s, a, j] + (0.0 if model_ends[i, s, a, j] else S.gamma * ahead)
        aim(q, counts, i, s, a, target, S, rates)
    return error


# ------------------------------------------------------------------------------------------- TD(λ) prediction


@inline
def td_lambda_action(T, numbers, mask, keys, i, row, t, epsilon):
    """Returns an action of the given policy, restricted to what is legal."""
    policy = T[6]
    total = 0.0
    for a in range(len(numbers)):
        total += policy[row, a] if allowed(mask, i, row, a) else 0.0
    left = uniform(keys[i, 0], t * DRAWS) * total
    chosen = -1
    for a in range(len(numbers)):
        p = policy[row, a] if allowed(mask, i, row, a) else 0.0
        chosen = a if (left >= 0.0) & (p > 0.0) else chosen
        left -= p
    return chosen


@inline
def td_lambda_update(T, numbers, mask, keys, rates, S, i, step):
    """V ← V + δ·e with a trace e, step sizes within; Dutch traces: true online TD(λ) (van Seijen et al. 2016)."""
    values, counts, trace, active, num_active, before, _, kind_and_decay = T
    kind, fade = kind_and_decay
    fade *= S.gamma
    n = counts[i, step.row] + 1
    counts[i, step.row] = n
    rate = step_size(S, rates, n)
    here = values[i, step.row]
    delta = step.gain + (0.0 if step.terminated else S.gamma * values[i, step.next_row]) - here
    lasting, fresh = 0, True
    for k in range(num_active[i]):
        s = active[i, k]
        trace[i, s] *= fade
        if s == step.row:
            fresh = False
        elif trace[i, s] < SMALLEST_TRACE:
            trace[i, s] = 0.0
            continue
        active[i, lasting] = s
        lasting += 1
    if fresh:
        active[i, lasting] = step.row
        lasting += 1
    num_active[i] = lasting
    correction = 0.0
    if kind == ACCUMULATING:
        trace[i, step.row] += rate
    elif kind == REPLACING:
        trace[i, step.row] = rate
    else:
        trace[i, step.row] += rate - rate * trace[i, step.row]
        correction = here - before[i] if step.length > 1 else 0.0
    ahead = values[i, step.next_row]
    for k in range(lasting):
        s = active[i, k]
        values[i, s] += (delta + correction) * trace[i, s]
    values[i, step.row] -= rate * correction
    before[i] = ahead
    if step.over:
        for k in range(lasting):
            trace[i, active[i, k]] = 0.0
        num_active[i] = 0
    return abs(delta)


# ------------------------------------------------------------------------------------------- the world


@inline
def cell(seen, first, strides):
    """Returns the row of the table for an observation of several integers."""
    row = 0
    for d in range(len(strides)):
        row += (int(seen[d]) - first[d]) * strides[d]
    return row


@inline
def note_legal(mask, params, state, i, row, numbers):
    """Notes which actions are legal, where some are not."""
    if mask is None:
        return
    for a in range(len(numbers)):
        mask[i, row, a] = legal(params, state, a)


@inline
def arrive(params, state, obs, start, strides, numbers, mask, num_rows, i):
    """Observes; returns the row of the table, −1 if there is none, and notes what is legal there."""
    out, seen = obs
    observe_into(params, state, out, 0)
    row = cell(seen, start, strides)
    if not 0 <= row < num_rows:
        return -1
    note_legal(mask, params, state, i, row, numbers)
    return row


@inline
def move(params, purpose, F, I, obs, start, strides, numbers, mask, num_rows, totals, limit, i, action):
    """Takes a step; returns (reward, terminated, over, length of the episode, row of what is seen then)."""
    clock, length = I[CLOCK, i], I[ELAPSED, i] + 1
    state = load_state(F, I, i)
    next_state = sample_transition(params, state, action, I[KEY, i], clock * SLOTS)
    gain = reward(params, purpose, state, action, next_state)
    terminated = terminal(params, purpose, next_state)
    over = terminated | ((limit > 0) & (length >= limit))
    I[CLOCK, i] = clock + 1
    I[ELAPSED, i] = -length if over else length
    store_state(F, I, i, next_state)
    totals[i, RUNNING] += gain
    then = arrive(params, next_state, obs, start, strides, numbers, mask, num_rows, i)
    return gain, terminated, over, length, then


@inline
def note_end(totals, ended, i, t, length):
    """Notes the episode of learner i that ended with step t."""
    k = int(totals[i, EPISODES]) % ended.shape[1]
    ended[i, k, 0], ended[i, k, 1], ended[i, k, 2] = t, totals[i, RUNNING], length
    totals[i, EPISODES] += 1.0
    totals[i, RUNNING] = 0.0


@inline
def reset_finished(
    params, F, I, obs, start, strides, numbers, mask, num_rows, current, totals, ended, fresh, t, low, high
):  # fmt: skip
    """Begins the next episode of learners that finished one with step t; returns −1, or who sees what has no row."""
    count = 0
    for i in range(low, high):  # no branch: which are finished cannot be predicted
        fresh[count] = i
        count += I[ELAPSED, i] < 0
    for k in range(count):
        i = fresh[k]
        note_end(totals, ended, i, t, -I[ELAPSED, i])
        state = sample_initial(params, I[KEY, i], (I[CLOCK, i] - 1) * SLOTS + TRANSITION_SLOTS)
        store_state(F, I, i, state)
        I[ELAPSED, i] = 0
        current[i] = arrive(params, state, obs, start, strides, numbers, mask, num_rows, i)
        if current[i] < 0:
            return i
    return -1


@inline
def first_unindexed(params, F, I, obs, start, strides, numbers, mask, num_rows, low, high):
    """Returns the first learner that sees what has no row, and leaves that in `obs`."""
    for i in range(low, high):
        if arrive(params, load_state(F, I, i), obs, start, strides, numbers, mask, num_rows, i) < 0:
            return i
    return -1


@inline
def first_nonfinite(gains, count):
    """Returns the first of so many rewards that is not finite; −1 if all are."""
    for k in range(count):
        if not np.isfinite(gains[k]):
            return k
    return -1


@jit
def observe_all(P, E, C):
    """Finds the row of every learner; returns −1, or who sees what has none."""
    params = load_params(P)
    F, I, out, seen, start, strides, current, num_rows, _, _, _ = E
    obs, numbers, mask = (out, seen), C.numbers, C.mask
    for i in range(len(current)):
        state = load_state(F, I, i)
        current[i] = arrive(params, state, obs, start, strides, numbers, mask, num_rows, i)
        if current[i] < 0:
            return i
    return -1


RULES = {  # what each learner does, and what it learns from a step
    "q_learning": (choose_greedily, q_learning_update),
    "expected_sarsa": (choose_greedily, expected_sarsa_update),
    "double_q_learning": (choose_greedily, double_q_learning_update),
    "sarsa": (sarsa_action, sarsa_update),
    "monte_carlo": (choose_greedily, monte_carlo_update),
    "dyna_q": (choose_greedily, dyna_q_update),
    "td_lambda": (td_lambda_action, td_lambda_update),
}
LEARNER = "q_learning"
# bound when the module is loaded: Numba stores no kernel on disk that is handed functions
act, update = RULES[LEARNER]


@jit
def learn(P, E, T, C, S, done, steps, low, high):
    """Takes `steps` steps, numbers `done` and following, with learners low … high − 1.

    Each step is three passes over a tile of learners, so that the processor overlaps them: what one learner does
    depends on itself at every turn, and its whole step is longer than what the processor looks ahead.

    Returns:
        (−1, −1, −1); or (learner whose observation, left in `obs`, has no row in the table, −1, −1); or (learner whose
        reward is not finite, number of the step, its action), before anything is learned from it.
    """
    params, purpose, fresh = load_params(P), load_purpose(P), np.empty(TILE, np.int64)
    actions, lengths, rows = np.empty(TILE, np.int64), np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    gains, terminations, ends = np.empty(TILE), np.empty(TILE, np.bool_), np.empty(TILE, np.bool_)
    F, I, out, flat, start, strides, current, num_rows, totals, limit, ended = E
    obs = (out, flat)
    numbers, mask, keys, rates = C
    for first in range(low, high, TILE):
        last = min(high, first + TILE)
        for t in range(done, done + steps):
            epsilon = epsilon_at(S, t)
            for learner in range(first, last):
                i, k = learner & NATURAL, (learner - first) & NATURAL
                actions[k] = act(T, numbers, mask, keys, i, current[i] & NATURAL, t, epsilon)
            least, sound = 0, True
            for learner in range(first, last):
                i, k = learner & NATURAL, (learner - first) & NATURAL
                gains[k], terminations[k], ends[k], lengths[k], rows[k] = move(
                    params, purpose, F, I, obs, start, strides, numbers, mask, num_rows, totals, limit, i,
                    actions[k] & NATURAL,
                )  # fmt: skip
                least = min(least, rows[k])
                sound &= np.isfinite(gains[k])
            if least < 0:
                return first_unindexed(params, F, I, obs, start, strides, numbers, mask, num_rows, first, last), -1, -1
            if not sound:
                k = first_nonfinite(gains, last - first)
                return first + k, t, actions[k]
            for learner in range(first, last):
                i, k = learner & NATURAL, (learner - first) & NATURAL
                step = Step(
                    current[i] & NATURAL, actions[k] & NATURAL, gains[k], terminations[k], ends[k], lengths[k],
                    rows[k] & NATURAL, t, epsilon,
                )  # fmt: skip
                totals[i, ERRORS] += update(T, numbers, mask, keys, rates, S, i, step)
                current[i] = rows[k]
            wrong = reset_finished(
                params, F, I, obs, start, strides, numbers, mask, num_rows, current, totals, ended, fresh, t, first,
                last,
            )  # fmt: skip
            if wrong >= 0:
                return wrong, -1, -1
    return -1, -1, -1
