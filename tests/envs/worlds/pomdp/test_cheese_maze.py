from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.readers.enumeration import enumerate_dynamics
from inscape.envs.registry import make_world
from inscape.envs.worlds.pomdp.cheese_maze import CheeseMaze, CheeseMazeState
from inscape.errors import UsageError

# cheese.95.POMDP: the one successor of states 0 to 9 under N0, S0, E0, W0, and the observation of states 0 to 10
SUCCESSORS = (
    (0, 1, 2, 3, 4, 0, 2, 4, 5, 7),
    (5, 1, 6, 3, 7, 8, 10, 9, 8, 9),
    (1, 2, 3, 4, 4, 5, 6, 7, 8, 9),
    (0, 0, 1, 2, 3, 5, 6, 7, 8, 9),
)
OBSERVATIONS = (0, 1, 2, 1, 3, 4, 4, 4, 5, 5, 6)


def test_law_equals_cassandras_file():
    """T, O, R and the start, entry for entry."""
    world = make_world("CheeseMaze")
    law = world.dynamics()
    cells = [world.unpack(law.states, s).cell for s in range(len(law))]
    assert sorted(cells) == list(range(11))
    table = np.zeros((4, 11, 11))
    for s, cell in enumerate(cells):
        for a in range(4):
            np.add.at(table[a, cell], [cells[n] for n in law.next_state[s, a]], law.probability[s, a])
    expected = np.zeros((4, 11, 11))
    for a, successors in enumerate(SUCCESSORS):
        expected[a, range(10), successors] = 1
        expected[a, 10, :10] = 0.1
    assert np.allclose(table, expected, atol=1e-15)
    assert [law.initial[cells.index(c)] for c in range(11)] == pytest.approx([0.1] * 10 + [0.0])
    assert [int(world.observe(law.states)[cells.index(c)]) for c in range(11)] == list(OBSERVATIONS)
    for s in range(11):
        for following in range(11):
            pair = law.states[s], law.states[following]
            assert world.reward_of(pair[0], np.array([0]), pair[1])[0] == (10 if cells[following] == 10 else 0)
    assert not world.terminal_of(law.states).any()


def test_plain_equals_compiled_and_the_task_may_end_at_the_cheese():
    world = CheeseMaze(restarts=False, cheese_reward=1.0)
    plain, fast = enumerate_dynamics(world, compiled=False), world.dynamics()
    assert np.array_equal(plain.next_state, fast.next_state)
    assert np.array_equal(plain.probability, fast.probability)
    over = [world.unpack(fast.states, int(s)).cell for s in np.flatnonzero(world.terminal_of(fast.states))]
    assert over == [10]
    assert world.reward(world.params, world.purpose, CheeseMazeState(6), 1, CheeseMazeState(10)) == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"restarts": 1}, "restarts = 1"), ({"cheese_reward": float("inf")}, "cheese_reward = inf")],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        CheeseMaze(**settings)
