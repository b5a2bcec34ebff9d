from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.worlds.mdp.river_swim import RiverSwim
from inscape.errors import UsageError
from inscape.world_models import value_iteration
from tests.envs.worlds.mdp.plain import outcomes, plain_table, starts


def places(world, place, action):
    return {s.place: p for s, p in outcomes(world, world.State(place), action).items()}


def test_numbers_are_the_published_ones():
    osband, strehl = RiverSwim(), RiverSwim(version="strehl2008")
    assert places(osband, 0, 1) == pytest.approx({0: 0.4, 1: 0.6})
    assert places(osband, 3, 1) == pytest.approx({2: 0.05, 3: 0.6, 4: 0.35})
    assert places(osband, 5, 1) == pytest.approx({4: 0.4, 5: 0.6})
    assert places(strehl, 0, 1) == pytest.approx({0: 0.7, 1: 0.3})
    assert places(strehl, 3, 1) == pytest.approx({2: 0.1, 3: 0.6, 4: 0.3})
    assert places(strehl, 5, 1) == pytest.approx({4: 0.7, 5: 0.3})
    for world in (osband, strehl):
        assert [places(world, place, 0) for place in range(6)] == [{max(place - 1, 0): 1.0} for place in range(6)]
    assert {s.place: p for s, p in starts(osband).items()} == {0: 1.0}
    assert {s.place: p for s, p in starts(strehl).items()} == {1: 0.5, 2: 0.5}


@pytest.mark.quick("2-osband2013-1.0", "2-strehl2008-3000.0")
@pytest.mark.parametrize(("version", "reward_at_end"), [("osband2013", 1.0), ("strehl2008", 10_000 * 0.3)])
@pytest.mark.parametrize("n", [2, 6, 20])
def test_the_long_run_reward_is_that_of_a_birth_and_death_chain(version, reward_at_end, n):
    """Always swimming right: the share of time in the last place, by detailed balance, against value iteration.

    For a stationary policy Σ_s π(s) V(s) = gain / (1 − γ); for n = 6 of Osband et al. the gain is 0.429.
    """
    world = RiverSwim(n=n, version=version)
    on = [places(world, k, 1).get(k + 1, 0.0) for k in range(n)]
    back = [places(world, k, 1).get(k - 1, 0.0) for k in range(n)]
    share = np.cumprod([1.0] + [on[k] / back[k + 1] for k in range(n - 1)])
    share /= share.sum()
    gain = share[-1] * reward_at_end
    if (version, n) == ("osband2013", 6):
        assert gain == pytest.approx(3601.5 / 8402.5)  # 12 · 7³ · 0.875 over the sum of 1, 12, 84, 588, 4116, 3601.5
    gamma = 0.9999
    table, _ = plain_table(world)
    solution = value_iteration(table, gamma, tolerance=1e-7)
    assert (solution.policy == 1).all()
    assert (share @ solution.values) * (1 - gamma) == pytest.approx(gain, rel=1e-6)


def test_rewards_follow_the_version():
    osband, strehl = RiverSwim(), RiverSwim(version="strehl2008")
    for world, small, large, carried_back in ((osband, 0.005, 1.0, 1.0), (strehl, 5.0, 10_000.0, 0.0)):

        def paid(place, action, to, world=world):
            return world.reward(world.params, world.purpose, world.State(place), action, world.State(to))

        assert paid(0, 0, 0) == small
        assert paid(5, 1, 5) == large
        assert paid(5, 1, 4) == carried_back
        assert paid(0, 1, 0) == paid(3, 1, 4) == paid(5, 0, 4) == paid(1, 0, 0) == 0


@pytest.mark.parametrize("settings", [{"n": 1}, {"n": 2.5}, {"version": "osband"}])
def test_bad_settings_are_refused(settings):
    (name,) = settings
    with pytest.raises(UsageError, match=f"{name} = "):
        RiverSwim(**settings)
