from __future__ import annotations

import math

import numpy as np
import pytest

from inscape.envs.readers.enumeration import enumerate_dynamics
from inscape.envs.registry import make_world
from inscape.envs.worlds.pomdp.food_trucks import MAPS, FoodTrucks, FoodTrucksState, _share_in_view
from inscape.errors import UsageError

STAY, WEST, EAST, SOUTH, NORTH, EAT = range(6)
NOTHING, KOREAN, LEBANESE, MEXICAN = range(4)


@pytest.fixture(scope="module")
def world():
    return make_world("FoodTrucks")


def at(column, row):
    """The cell of the source's coordinates: column 1 to 15, row 1 (south) to 5."""
    return (5 - row) * 15 + column - 1


def test_sight_of_the_far_spot_equals_the_authors():
    """Their saved observation distribution: P(far spot seen) from each free cell of the three campuses."""
    for name in MAPS:
        sight = FoodTrucks(map=name).params.sight[1]
        for row in range(1, 6):
            for column in range(1, 16):
                if MAPS[name][5 - row][column - 1] == "#":
                    continue
                north = row >= 4
                expected = 1.0 if north or (column == 15 and name != "west") else 0.0
                if (column, row) == (14, 1) and name != "west":
                    expected = 1 / 6
                assert sight[at(column, row)] == pytest.approx(expected, abs=1e-9), (name, column, row)
        assert sight[75] == 0  # one who is gone sees nothing


def test_share_in_view_equals_rays_through_random_towns():
    """Another route to the area: points of the square, each joined to the eye by a line sampled finely."""
    rng = np.random.default_rng(0)
    checked = 0
    for _ in range(60):
        walls = rng.random((5, 6)) < 0.25
        free = np.argwhere(~walls)
        here, spot = (tuple(int(v) for v in free[k]) for k in rng.choice(len(free), 2, replace=False))
        share = _share_in_view(here, spot, [tuple(map(int, block)) for block in np.argwhere(walls)])
        # 24 by 25 points: none lies on the diagonal, where a line may slip between two corners that touch
        down, right = ((np.arange(n) + 0.5) / n for n in (24, 25))
        ys, xs = (g.ravel() for g in np.meshgrid(spot[0] + down, spot[1] + right, indexing="ij"))
        t = np.linspace(0, 1, 400)[:, None]
        rows = np.floor(here[0] + 0.5 + t * (ys - here[0] - 0.5)).astype(int)
        columns = np.floor(here[1] + 0.5 + t * (xs - here[1] - 0.5)).astype(int)
        seen = ~walls[rows, columns].any(axis=0)
        assert share == pytest.approx(seen.mean(), abs=0.04), (walls, here, spot)
        checked += 0.05 < share < 0.95
    assert checked >= 10


def test_starts_are_the_authors(world):
    """The student starts below the wall's ends or middle, the Korean truck is near, and the far spot is unknown."""
    law = world.dynamics()
    starts = [world.unpack(law.states, int(s)) for s in np.flatnonzero(law.initial)]
    assert {s.cell for s in starts} == {at(2, 2), at(8, 2), at(14, 2)}
    assert {(s.first, s.second) for s in starts} == {(1, 0), (1, 2), (1, 3)}
    assert {s.seen for s in starts} == {1}
    assert np.allclose(law.initial[law.initial > 0], 1 / 9)
    assert world.params.spots == (at(1, 1), at(15, 5))


def test_plain_equals_compiled(world):
    plain, fast = enumerate_dynamics(world, compiled=False), world.dynamics()
    assert np.array_equal(plain.states.ints, fast.states.ints)
    assert np.array_equal(plain.next_state, fast.next_state)
    assert np.array_equal(plain.probability, fast.probability)
    assert np.array_equal(world.observe(fast.states), world.observe(fast.states, compiled=False))


def test_moving_eating_and_leaving(world):
    def step(state, action):
        found: dict = {}
        for branch in range(4):
            p, following = world.transition(world.params, state, action, branch)
            found[following] = found.get(following, 0.0) + p
        return {s: p for s, p in found.items() if p > 0}

    def reward(state, action):
        return world.reward(world.params, world.purpose, state, action, state)

    below = FoodTrucksState(at(14, 2), KOREAN, MEXICAN, 1)
    assert step(below, NORTH) == {below: 1.0}  # a wall
    assert step(below, WEST) == {below._replace(cell=at(13, 2)): 1.0}
    corner = step(below, SOUTH)  # from the corner a sixth of the far spot is in view
    assert corner == {
        below._replace(cell=at(14, 1), seen=1): pytest.approx(5 / 6),
        below._replace(cell=at(14, 1), seen=3): pytest.approx(1 / 6),
    }
    near, far = below._replace(cell=at(1, 1)), below._replace(cell=at(15, 5), seen=2)
    gone = FoodTrucksState(75, KOREAN, MEXICAN, 0)
    assert step(near, EAT) == step(far, EAT)
    assert list(step(near, EAT)) == [gone]
    assert step(below, EAT) == {below: 1.0}
    assert (reward(near, EAT), reward(far, EAT), reward(below, EAT)) == (19.0, 99.0, -1.0)
    assert (reward(below, STAY), reward(below, NORTH)) == (0.0, -1.0)
    assert world.terminal(world.params, world.purpose, gone)
    assert not world.terminal(world.params, world.purpose, near)
    empty = far._replace(second=NOTHING)
    assert step(empty, EAT) == {empty: 1.0}
    assert world.observation(world.params, empty) == (at(15, 5), 4, NOTHING)
    assert world.observation(world.params, below) == (at(14, 2), KOREAN, 4)


def test_purposes_are_the_preference_orders(world):
    goals = world.goals
    assert len(goals) == len(set(goals.values())) == 6
    first = goals["Lebanese > Korean > Mexican"]
    assert (first.lebanese, first.korean, first.mexican) == (100.0, 60.0, 20.0)
    assert world.with_purpose("Mexican > Lebanese > Korean").purpose == world.purpose


@pytest.mark.parametrize(("parked", "pairs"), [("K?", 3), ("??", 12), ("?-", 3), ("KL", 1), ("-M", 1)])
def test_what_may_be_parked(parked, pairs):
    trucks = FoodTrucks(parked=parked).params.trucks
    assert len(trucks) == len(np.unique(trucks, axis=0)) == pairs
    assert all(a != b for a, b in trucks.tolist())
    assert math.prod((a, b) != (0, 0) for a, b in trucks.tolist())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"map": "north"}, "no map named 'north'"),
        ({"map": ["1S", "2"]}, "row 2 of the map"),
        ({"map": "1S/.."}, "0 cells '2'"),
        ({"map": "12/.."}, "no start"),
        ({"map": "1S/x2"}, "unknown letter 'x'"),
        ({"parked": "KK"}, "parked = 'KK'"),
        ({"parked": "--"}, "parked = '--'"),
        ({"parked": "K"}, "parked = 'K'"),
        ({"mexican": float("nan")}, "mexican = nan"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        FoodTrucks(**settings)
