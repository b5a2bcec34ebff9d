"""A kitchen with orders: the kitchen's rules, who sees the order, and when the next one comes."""

from __future__ import annotations

import numpy as np

from inscape.envs.worlds.multi_agent.kitchen import ONION_SOUP, UP, USE, Kitchen, KitchenState
from inscape.envs.worlds.multi_agent.kitchen_orders import KitchenOrders, KitchenOrdersState

WINDOW = {"map": "hatch-window", "cook_time": 1}
WORLD, PLAIN = KitchenOrders(**WINDOW), Kitchen(**WINDOW)


def test_apart_from_the_order_it_is_the_kitchen() -> None:
    rng = np.random.default_rng(0)
    state = WORLD.initial(WORLD.params, 1)[1]
    for _ in range(300):
        action = tuple(int(a) for a in rng.integers(6, size=2))
        _, following = WORLD.transition(WORLD.params, state, action, 0)
        kitchen = KitchenState(*state[:-1])
        _, expected = PLAIN.transition(PLAIN.params, kitchen, action, 0)
        assert KitchenState(*following[:-1]) == expected
        own = WORLD.reward(WORLD.params, WORLD.purpose, state, action, following)
        wanted = PLAIN.purpose._replace(soup=int(state.order))
        assert own == PLAIN.reward(PLAIN.params, wanted, kitchen, action, expected)
        state = following


def test_an_order_stays_until_it_is_delivered_and_only_the_first_cook_reads_it() -> None:
    first = WORLD.initial(WORLD.params, 0)[1]
    right = KitchenOrdersState(first.cells, (2, UP), (ONION_SOUP, 0), first.pots, first.kinds, 0, 0)
    outcomes = [WORLD.transition(WORLD.params, right, (USE, 4), branch) for branch in range(2)]
    assert [(p, state.order, state.held[0]) for p, state in outcomes] == [(0.5, 0, 0), (0.5, 1, 0)]
    assert WORLD.reward(WORLD.params, WORLD.purpose, right, (USE, 4), outcomes[0][1]) == (20.0, 20.0)
    wrong = right._replace(order=1)
    assert [p for p, _ in (WORLD.transition(WORLD.params, wrong, (USE, 4), b) for b in range(2))] == [1.0, 0.0]
    states = WORLD.pack([right, wrong])
    assert WORLD.observe(states, player=0)[:, -1].tolist() == [1, 2]
    assert WORLD.observe(states, player=1)[:, -1].tolist() == [0, 0]
    assert WORLD.observation_space.contains(WORLD.observe(states, player=0)[0])
    assert "ordered: tomato soup" in WORLD.describe_state(states, 1)
