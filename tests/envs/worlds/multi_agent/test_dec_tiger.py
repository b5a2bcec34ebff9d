"""The tiger problem for two: Nair et al. (2003), tables 1 to 3."""

from __future__ import annotations

import numpy as np
import pytest

from inscape import UsageError, make_world
from inscape.envs.worlds.multi_agent.dec_tiger import DecTigerState

LISTEN, LEFT, RIGHT = range(3)


@pytest.mark.parametrize(
    ("actions", "behind_left", "behind_right"),
    [
        ((RIGHT, RIGHT), 20, -50),
        ((LEFT, LEFT), -50, 20),
        ((RIGHT, LEFT), -100, -100),
        ((LEFT, RIGHT), -100, -100),
        ((LISTEN, LISTEN), -2, -2),
        ((LISTEN, RIGHT), 9, -101),
        ((RIGHT, LISTEN), 9, -101),
        ((LISTEN, LEFT), -101, 9),
        ((LEFT, LISTEN), -101, 9),
    ],
)
def test_rewards(actions, behind_left, behind_right):
    world = make_world("DecTiger")
    for tiger, expected in ((0, behind_left), (1, behind_right)):
        state = DecTigerState(tiger, 2, 2)
        assert world.reward(world.params, world.purpose, state, actions, state) == (expected, expected)


def test_what_is_heard():
    world = make_world("DecTiger")
    outcomes = [world.transition(world.params, DecTigerState(0, 2, 2), (LISTEN, LISTEN), b) for b in range(8)]
    heard = {(s.first, s.second): p for p, s in outcomes if p > 0}
    assert heard == pytest.approx({(0, 0): 0.7225, (0, 1): 0.1275, (1, 0): 0.1275, (1, 1): 0.0225})
    assert all(s.tiger == 0 for p, s in outcomes if p > 0)
    outcomes = [world.transition(world.params, DecTigerState(0, 2, 2), (LISTEN, LEFT), b) for b in range(8)]
    assert {p for p, _ in outcomes} == {0.125}
    states = world.pack([DecTigerState(1, 0, 1)])
    assert [int(np.asarray(world.observe(states, player))[0]) for player in range(2)] == [0, 1]
    assert "player 0 heard left, player 1 heard right" in world.describe_state(states, 0)
    seen = world.describe_observation(world.params, world.purpose, 1)
    assert "last sound: right door" in seen
    assert "behind the right" not in seen


@pytest.mark.parametrize("settings", [{"accuracy": 1.5}, {"accuracy": float("nan")}, {"listen": float("inf")}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(UsageError, match=next(iter(settings))):
        make_world("DecTiger", **settings)
