from __future__ import annotations

import itertools

import numpy as np
import pytest

from inscape.envs.readers.enumeration import enumerate_dynamics
from inscape.envs.registry import make_world
from inscape.envs.worlds.pomdp.t_maze import TMaze, TMazeState
from inscape.errors import UsageError
from inscape.world_models.planning.dynamic_programming import policy_evaluation, value_iteration
from inscape.world_models.tabular.model import TabularModel

NORTH, SOUTH, EAST, WEST = range(4)


def test_law_by_hand():
    """Length 2: start, corridor, junction, two arms; the goal south."""
    world = make_world("TMaze", length=2)
    moves = {  # place: (north, south, east, west)
        0: ((0, -0.1), (0, -0.1), (1, 0.0), (0, -0.1)),
        1: ((1, -0.1), (1, -0.1), (2, 0.0), (0, 0.0)),
        2: ((3, -0.1), (4, 4.0), (2, -0.1), (1, 0.0)),
    }
    for place, row in moves.items():
        for action, (following, reward) in enumerate(row):
            state = TMazeState(1, place)
            probability, found = world.transition(world.params, state, action, 0)
            assert (probability, found) == (1.0, TMazeState(1, following))
            assert world.reward(world.params, world.purpose, state, action, found) == reward
    assert [world.observation(world.params, TMazeState(1, place)) for place in range(5)] == [1, 2, 3, 4, 4]
    assert [world.observation(world.params, TMazeState(0, place)) for place in range(5)] == [0, 2, 3, 4, 4]
    over = [world.terminal(world.params, world.purpose, TMazeState(0, place)) for place in range(5)]
    assert over == [False, False, False, True, True]
    assert world.reward(world.params, world.purpose, TMazeState(0, 2), NORTH, TMazeState(0, 3)) == 4.0


def test_plain_equals_compiled():
    world = TMaze(length=3, goal_reward=2.0)
    plain, fast = enumerate_dynamics(world, compiled=False), world.dynamics()
    assert len(fast) == 2 * (3 + 3)
    assert np.array_equal(plain.next_state, fast.next_state)
    assert np.array_equal(plain.initial, fast.initial)
    assert sorted(plain.initial[plain.initial > 0].tolist()) == [0.5, 0.5]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_what_can_be_earned_with_and_without_memory(length):
    """Of all 256 ways to act on the present observation the best earns γ^length·(4 − 0.1)/2; who remembers, γ^length·4.

    Mixing ways to act does not help: what is seen from the corridor on does not depend on the sign, so the turn is
    right in half of the episodes, whatever chance is in it.
    """
    world = make_world("TMaze", length=length)
    model, gamma = TabularModel.from_world(world), world.gamma
    seen = world.observe(world.dynamics().states)
    best = max(
        float(model.initial @ policy_evaluation(model, np.eye(4)[np.array([*choice, 0])[seen]], gamma))
        for choice in itertools.product(range(4), repeat=4)
    )
    assert best == pytest.approx(gamma**length * 1.95)
    # the sign is seen before anything is done: who remembers it knows the state
    assert float(model.initial @ value_iteration(model, gamma, 1e-10).values) == pytest.approx(gamma**length * 4)


def test_what_is_shown_while_playing_tells_no_more_than_what_is_observed():
    world = make_world("TMaze")
    views = {}
    for goal, place in itertools.product(range(2), range(13)):
        state = TMazeState(goal, place)
        view = world.draw_view(world.params, world.purpose, state)
        assert views.setdefault(world.observation(world.params, state), view) == view
    assert len(views) == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length = 0"),
        ({"length": 101}, "length = 101"),
        ({"length": 2.5}, r"length = 2\.5"),
        ({"goal_reward": float("nan")}, "goal_reward = nan"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        TMaze(**settings)
