"""A world's law as tables, read by its plain Python functions alone: no kernel is compiled."""

from __future__ import annotations

import numpy as np

from inscape.world_models.tabular.model import TabularModel


def outcomes(world, state, action):
    """Returns {next state: probability} of the law, equal outcomes merged."""
    law, found = type(world), {}
    count = law.branches(world.params) if callable(law.branches) else law.branches
    for branch in range(count):
        p, following = law.transition(world.params, state, action, branch)
        following = plain(following)
        if p > 0:
            found[following] = found.get(following, 0.0) + p
    return found


def plain(state):
    """Returns a state with Python scalars, to be a key."""
    return type(state)(*(value.item() if hasattr(value, "item") else value for value in state))


def starts(world):
    """Returns {state: probability} of the initial distribution."""
    law, found = type(world), {}
    count = law.initial_branches
    for branch in range(count(world.params) if callable(count) else count):
        p, state = law.initial(world.params, branch)
        if p > 0:
            found[plain(state)] = found.get(plain(state), 0.0) + p
    return found


def plain_table(world):
    """Returns `(TabularModel, states)`: roots first, then states as found from the initial ones."""
    law, params, purpose = type(world), world.params, world.purpose
    initial = starts(world)
    states = list(dict.fromkeys([*map(plain, law.roots(params)), *initial]))
    index = {state: k for k, state in enumerate(states)}
    rows = {}
    for state in states:  # grows
        if law.terminal(params, purpose, state):
            continue
        for action in range(world.num_actions):
            if hasattr(law, "legal") and not law.legal(params, state, action):
                continue
            rows[state, action] = outcomes(world, state, action)
            for following in rows[state, action]:
                if following not in index:
                    index[following] = len(states)
                    states.append(following)
    over = np.array([law.terminal(params, purpose, state) for state in states])
    shape = (len(states), world.num_actions, max(map(len, rows.values())))
    next_state = np.broadcast_to(np.arange(shape[0])[:, None, None], shape).astype(np.int32)
    probability, reward, continuation = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    probability[:, :, 0] = 1.0
    legal = np.repeat(over[:, None], world.num_actions, axis=1)
    for (state, action), found in rows.items():
        at = index[state], action
        legal[at], probability[at] = True, 0.0
        for k, (following, p) in enumerate(found.items()):
            next_state[(*at, k)], probability[(*at, k)] = index[following], p
            reward[(*at, k)] = law.reward(params, purpose, state, action, following)
            continuation[(*at, k)] = not over[index[following]]
    start = np.zeros(len(states))
    for state, p in initial.items():
        start[index[state]] = p
    return TabularModel(next_state, probability, reward, continuation, legal, start, over), states
