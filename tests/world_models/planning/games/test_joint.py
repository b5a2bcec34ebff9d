"""Joint plans of teams: published values, every pair of plans enumerated, what a plan earns when it is played."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest

from inscape import MissingLawError, UsageError, World, make_world
from inscape.world_models import joint_plan


class BroadcastChannel(World):
    """Two nodes share a channel; each may send when its buffer is full, and one message gets through if only one sends.

    An empty buffer fills with probability 0.9 (the first node) or 0.1. Both hear whether there was a collision.
    Hansen, Bernstein & Zilberstein (2004), "Dynamic programming for partially observable stochastic games", AAAI.
    """

    class State(NamedTuple):
        first: int
        second: int
        collision: int

    class Params(NamedTuple):
        fast: float = 0.9
        slow: float = 0.1

    actions = ("send", "wait")
    players = 2
    simultaneous = True
    branches = 4
    gamma = 1.0

    @staticmethod
    def initial(params, branch):
        return 1.0, BroadcastChannel.State(1, 1, 0)

    @staticmethod
    def transition(params, state, action, branch):
        first_sends = action[0] == 0 and state.first == 1
        second_sends = action[1] == 0 and state.second == 1
        both = first_sends and second_sends
        first, second = branch // 2, branch % 2
        p = 1.0
        kept = state.first == 1 and (not first_sends or both)
        p *= float(first) if kept else (params.fast if first == 1 else 1.0 - params.fast)
        kept = state.second == 1 and (not second_sends or both)
        p *= float(second) if kept else (params.slow if second == 1 else 1.0 - params.slow)
        return p, BroadcastChannel.State(first, second, 1 if both else 0)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        first_sends = action[0] == 0 and state.first == 1
        second_sends = action[1] == 0 and state.second == 1
        one = 1.0 if first_sends != second_sends else 0.0
        return one, one

    @staticmethod
    def observation(params, state, player):
        return state.collision

    @staticmethod
    def observations(params):
        return 2


class Blind(World):
    """Two see one coin each, noisily, and are to name both; the second round pays double. For small enumerations."""

    class State(NamedTuple):
        coin: int
        first: int
        second: int

    actions = ("heads", "tails")
    players = 2
    simultaneous = True
    branches = 8
    gamma = 1.0

    @staticmethod
    def initial(params, branch):
        return 1.0, Blind.State(0, 0, 0)

    @staticmethod
    def transition(params, state, action, branch):
        coin, first, second = branch // 4, branch // 2 % 2, branch % 2
        p = 0.7 if coin == (state.coin + action[0] * action[1]) % 2 else 0.3
        p *= 0.8 if first == coin else 0.2
        p *= 0.65 if second == coin else 0.35
        return p, Blind.State(coin, first, second)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        same = 1.0 if action[0] == state.coin else 0.0
        other = 1.5 if action[1] == 1 - state.coin else -0.25 * action[0]
        return same * other, same * other

    @staticmethod
    def observation(params, state, player):
        return state.first if player == 0 else state.second

    @staticmethod
    def observations(params):
        return 2


def by_enumeration(world, horizon):
    """Returns the best value over all pairs of deterministic plans, one history at a time."""
    law = world.dynamics()
    acts = world.joint_actions(np.arange(law.next_state.shape[1]))
    seen = [np.asarray(world.observe(law.states, player)).reshape(-1) for player in range(2)]
    histories = [h for t in range(horizon) for h in itertools.product((0, 1), repeat=t)]
    number = {tuple(act): a for a, act in enumerate(acts.tolist())}
    reward = {}
    for s in range(len(law.states)):
        for a, act in enumerate(acts):
            following = law.states[law.next_state[s, a]]
            paid = world.reward_of(law.states[[s] * len(following)], np.tile(act, (len(following), 1)), following)
            reward[s, a] = float(law.probability[s, a] @ np.asarray(paid)[:, 0])
    best = -np.inf
    plans = [dict(zip(histories, choice)) for choice in itertools.product((0, 1), repeat=len(histories))]
    for first, second in itertools.product(plans, repeat=2):
        at = {(int(s), (), ()): float(p) for s, p in enumerate(law.initial) if p > 0}
        total = 0.0
        for _ in range(horizon):
            following: dict = {}
            for (s, h, g), p in at.items():
                a = number[first[h], second[g]]
                total += p * reward[s, a]
                for k in range(law.next_state.shape[2]):
                    if law.probability[s, a, k] > 0:
                        to = int(law.next_state[s, a, k])
                        key = to, (*h, int(seen[0][to])), (*g, int(seen[1][to]))
                        following[key] = following.get(key, 0.0) + p * law.probability[s, a, k]
            at = following
        best = max(best, total)
    return best


@pytest.mark.parametrize("horizon", [1, 2])
def test_every_pair_of_plans(horizon):
    world = Blind()
    found = joint_plan(world, horizon)
    assert found.value == pytest.approx(by_enumeration(world, horizon), abs=1e-12)


@pytest.mark.quick("Blind-3")
@pytest.mark.parametrize(("world", "horizon"), [("DecTiger", 3), (Blind, 3), (BroadcastChannel, 4)])
def test_a_plan_earns_what_it_promises(world, horizon):
    world = make_world(world) if isinstance(world, str) else world()
    plan, rng = joint_plan(world, horizon), np.random.default_rng(0)
    states, total = world.sample_initial(4_000, rng), np.zeros(4_000)
    seen = [np.asarray(world.observe(states, player)).reshape(len(states), 1, -1) for player in range(2)]
    for _ in range(horizon):
        actions = np.array([[plan.action(player, seen[player][b]) for player in range(2)] for b in range(len(states))])
        following, *_ = world.step(states, actions, rng)
        total += np.asarray(world.reward_of(states, actions, following))[:, 0]
        states = following
        for player in range(2):
            now = np.asarray(world.observe(states, player)).reshape(len(states), 1, -1)
            seen[player] = np.concatenate([seen[player], now], axis=1)
    assert total.mean() == pytest.approx(plan.value, abs=5 * total.std() / len(total) ** 0.5 + 1e-9)


def test_the_plan_is_read_by_names():
    plan = joint_plan("DecTiger", 3)
    table = dict(plan.table(0))
    assert table[("[2]",)] == "listen"
    assert table["[2]", "[0]", "[0]"] == "open right"
    assert plan.action(0, [2, 0, 0]) == 2
    with pytest.raises(UsageError, match="can come about"):
        plan.action(0, [2, 2])


class Different(BroadcastChannel):
    """Only the first is paid."""

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return 1.0, 0.0


def test_what_is_no_team_is_refused():
    with pytest.raises(MissingLawError, match="two who act at once"):
        joint_plan("TicTacToe", 2)
    with pytest.raises(UsageError, match="earn different amounts"):
        joint_plan(Different(), 2)
    with pytest.raises(UsageError, match="horizon = 0"):
        joint_plan("DecTiger", 0)
    with pytest.raises(UsageError, match="gamma = 2"):
        joint_plan("DecTiger", 2, 2.0)
    with pytest.raises(UsageError, match=r"a shorter horizon"):
        joint_plan(Blind(), 7)
