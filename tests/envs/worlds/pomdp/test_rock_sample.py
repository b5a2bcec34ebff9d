"""RockSample: its law by hand, published values between the bounds, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from inscape import make_world
from inscape.envs.readers.enumeration import enumerate_dynamics
from inscape.envs.worlds.pomdp.rock_sample import RockSample, RockSampleState
from inscape.errors import UsageError
from inscape.world_models import POMCP, BeliefModel, TabularModel, mixed_point_based, value_iteration

NORTH, EAST, SOUTH, WEST, SAMPLE, CHECK = range(6)


def test_law_by_hand():
    """One rock, in the middle of a field of nine cells; d₀ = 1: at a distance of one cell a check is right 3 in 4."""
    world = make_world("RockSample", size=3, positions=[(1, 1)], half_distance=1.0)
    assert world.action_names == ("north", "east", "south", "west", "sample", "check 1")

    def outcomes(cell, good, action):
        state = RockSampleState(cell, good, 0)
        found = [world.transition(world.params, state, action, branch) for branch in range(2)]
        return [
            (p, tuple(int(x) for x in after), world.reward(world.params, world.purpose, state, action, after))
            for p, after in found
            if p > 0
        ]

    assert outcomes(3, 1, NORTH) == [(1.0, (6, 1, 0), 0.0)]
    assert outcomes(3, 1, WEST) == [(1.0, (3, 1, 0), 0.0)]
    assert outcomes(5, 1, EAST) == [(1.0, (9, 0, 0), 10.0)]
    assert outcomes(4, 1, SAMPLE) == [(1.0, (4, 0, 0), 10.0)]
    assert outcomes(4, 0, SAMPLE) == [(1.0, (4, 0, 0), -10.0)]
    assert outcomes(3, 1, SAMPLE) == [(1.0, (3, 1, 0), 0.0)]
    assert outcomes(3, 1, CHECK) == [(0.75, (3, 1, 2), 0.0), (0.25, (3, 1, 1), 0.0)]
    assert outcomes(3, 0, CHECK) == [(0.75, (3, 0, 1), 0.0), (0.25, (3, 0, 2), 0.0)]
    assert outcomes(4, 1, CHECK) == [(1.0, (4, 1, 2), 0.0)]
    assert world.terminal(world.params, world.purpose, RockSampleState(9, 0, 0))
    assert "rock 1" in world.describe_observation(world.params, world.purpose, (4, 2))


def test_plain_equals_compiled():
    world = RockSample(size=2, positions=[(1, 0), (0, 1)])
    plain, fast = enumerate_dynamics(world, compiled=False), world.dynamics()
    assert np.array_equal(plain.next_state, fast.next_state)
    assert plain.initial[plain.initial > 0].tolist() == [0.25] * 4


def test_one_rock_is_worth_what_arithmetic_says():
    """The rock lies one step east of the start, and one before the exit.

    At the rock a check is certain, and costs a step as it does from afar. Moves: east, check; then a good rock is
    sampled and left behind, 10γ² + 10γ³, and a bad one only left, 10γ².
    """
    world = make_world("RockSample", size=2, positions=[(1, 1)])
    found = mixed_point_based(BeliefModel.from_world(world), 0.95, 1e-6)
    value = 0.5 * (10 * 0.95**2 + 10 * 0.95**3) + 0.5 * 10 * 0.95**2
    assert found.gap <= 1e-6
    assert found.lower - 1e-9 <= value <= found.upper + 1e-9


def test_seeing_all_is_worth_more_and_knowing_nothing_less():
    world = make_world("RockSample", size=3, positions=[(1, 1), (2, 0)])
    model = TabularModel.from_world(world)
    seen = float(model.initial @ value_iteration(model, 0.95, 1e-9).values)
    found = mixed_point_based(BeliefModel.from_world(world), 0.95, 0.01)
    assert 10 * 0.95**2 < found.lower <= found.upper < seen
    plans = POMCP(num_simulations=200).plan(
        found.problem.model, found.problem.model.init(np.array([[3, 0]])), np.random.default_rng(0)
    )
    assert 0 <= plans.actions[0] < world.num_actions


@pytest.mark.slow
def test_published_values():
    """HSVI earns 18.0 in RockSample[4, 4] (Smith & Simmons 2004)."""
    found = mixed_point_based(BeliefModel.from_world("RockSample"), 0.95, 0.05)
    assert round(found.lower, 1) == 18.0 and found.upper >= 18.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 1}, "size = 1"),
        ({"size": 6, "rocks": 3}, "without positions"),
        ({"positions": [(1, 1), (1, 1)]}, "different cells"),
        ({"positions": [(4, 0)]}, r"a rock at \(4, 0\)"),
        ({"positions": "here"}, "positions"),
        ({"half_distance": 0}, "half_distance"),
        ({"good_reward": float("nan")}, "good_reward"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(UsageError, match=message):
        make_world("RockSample", **settings)
