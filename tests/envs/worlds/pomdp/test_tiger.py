from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.readers.enumeration import enumerate_dynamics
from inscape.envs.registry import make_world
from inscape.envs.worlds.pomdp.tiger import ExtendedTiger, ExtendedTigerState, Tiger, TigerState
from inscape.errors import UsageError

LISTEN, OPEN_LEFT, OPEN_RIGHT = 0, 1, 2


def outcomes(world, state, action):
    """P(next state | state, action) as a dictionary, by the law in plain Python."""
    found: dict = {}
    branches = world.branches(world.params) if callable(world.branches) else world.branches
    for branch in range(branches):
        p, following = world.transition(world.params, state, action, branch)
        found[following] = found.get(following, 0.0) + p
    return {state: p for state, p in found.items() if p > 0}


def test_law_equals_cassandras_file():
    """tiger.95.POMDP: T, O and R entry for entry; states and observations are left (0) and right (1)."""
    listen, uniform, stays = [[0.85, 0.15], [0.15, 0.85]], [[0.5, 0.5], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]
    transition = {LISTEN: stays, OPEN_LEFT: uniform, OPEN_RIGHT: uniform}
    observation = {LISTEN: listen, OPEN_LEFT: uniform, OPEN_RIGHT: uniform}
    reward = {LISTEN: [-1, -1], OPEN_LEFT: [-100, 10], OPEN_RIGHT: [10, -100]}
    world = make_world("Tiger")
    assert world.gamma == 0.95
    for s in (0, 1):
        for heard in (0, 1, 2):
            state = TigerState(s, heard)
            for a in range(3):
                found = outcomes(world, state, a)
                for after in (0, 1):
                    for o in (0, 1):
                        expected = transition[a][s][after] * observation[a][after][o]
                        assert found.get(TigerState(after, o), 0.0) == pytest.approx(expected, abs=1e-15)
                for following in found:
                    assert world.reward(world.params, world.purpose, state, a, following) == reward[a][s]
    law = world.dynamics()
    starts = {world.unpack(law.states, int(s)): law.initial[s] for s in np.flatnonzero(law.initial)}
    assert starts == {TigerState(0, 2): 0.5, TigerState(1, 2): 0.5}


@pytest.mark.parametrize("doors", [3, 5])
def test_more_doors(doors):
    world = Tiger(doors=doors, accuracy=0.7)
    assert world.num_actions == doors + 1
    assert len(set(world.action_names)) == doors + 1
    assert world.observation_space.n == doors + 1
    heard = outcomes(world, TigerState(1, doors), LISTEN)
    assert heard[TigerState(1, 1)] == pytest.approx(0.7)
    assert heard[TigerState(1, 0)] == pytest.approx(0.3 / (doors - 1))
    opened = outcomes(world, TigerState(1, 0), 2)
    assert len(opened) == doors * doors
    assert sum(opened.values()) == pytest.approx(1)
    assert world.reward(world.params, world.purpose, TigerState(1, 0), 2, None) == -100
    assert world.reward(world.params, world.purpose, TigerState(1, 0), 1, None) == 10


def test_two_and_three_doors_are_worlds_of_their_own():
    """Sizes belong to the class that is compiled: one must not change the other."""
    three, two = Tiger(doors=3), Tiger()
    assert (len(three.dynamics()), len(two.dynamics())) == (12, 6)
    for world in (three, two):
        plain, fast = enumerate_dynamics(world, compiled=False), world.dynamics()
        assert np.array_equal(plain.next_state, fast.next_state)
        assert np.array_equal(plain.probability, fast.probability)
        assert np.array_equal(plain.states.ints, fast.states.ints)


def test_extended_tiger_hears_on_the_chair_and_opens_on_its_feet():
    world = make_world("ExtendedTiger")
    listen, stand, left, right = range(4)
    sitting, standing = ExtendedTigerState(0, 2, False), ExtendedTigerState(0, 2, True)

    def reward(state, action):
        return {world.reward(world.params, world.purpose, state, action, s) for s in outcomes(world, state, action)}

    assert outcomes(world, sitting, listen) == {
        ExtendedTigerState(0, 0, False): 0.85,
        ExtendedTigerState(0, 1, False): pytest.approx(0.15),
    }
    assert outcomes(world, sitting, stand) == {standing: 1.0}
    assert outcomes(world, sitting, left) == {sitting: 1.0}
    assert outcomes(world, standing, listen) == {standing: 1.0}
    assert outcomes(world, standing, stand) == {standing: 1.0}
    for door in (left, right):
        again = outcomes(world, standing, door)
        assert again == {ExtendedTigerState(0, 2, False): 0.5, ExtendedTigerState(1, 2, False): 0.5}
    assert (reward(sitting, listen), reward(sitting, stand)) == ({-1.0}, {-1.0})
    assert (reward(sitting, left), reward(standing, listen), reward(standing, stand)) == ({-10.0}, {-10.0}, {-10.0})
    assert (reward(standing, left), reward(standing, right)) == ({-100.0}, {30.0})
    plain, fast = enumerate_dynamics(world, compiled=False), world.dynamics()
    assert np.array_equal(plain.next_state, fast.next_state)
    assert np.array_equal(plain.probability, fast.probability)
    assert len(fast) == 2 * (3 + 1)  # standing comes with silence


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (Tiger, {"doors": 1}, "doors = 1"),
        (Tiger, {"doors": 2.5}, "doors = 2.5"),
        (Tiger, {"doors": True}, "doors = True"),
        (Tiger, {"accuracy": 1.2}, "accuracy = 1.2"),
        (Tiger, {"tiger": float("nan")}, "tiger = nan"),
        (ExtendedTiger, {"accuracy": float("nan")}, "accuracy = nan"),
        (ExtendedTiger, {"invalid": "x"}, "invalid = 'x'"),
    ],
)
def test_bad_settings_are_refused(make, settings, message):
    with pytest.raises(UsageError, match=message):
        make(**settings)
