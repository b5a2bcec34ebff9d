from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.worlds.gridworld.four_rooms import CELLS, HALLWAYS, NUMBER, FourRooms
from inscape.errors import UsageError
from inscape.world_models import value_iteration
from tests.envs.worlds.mdp.plain import outcomes, plain_table, starts


def test_rooms_are_the_papers():
    """104 free cells; without the four hallways they fall apart into four rooms."""
    assert len(CELLS) == 104
    rooms, left = [], set(CELLS) - set(HALLWAYS.values())
    while left:
        room, edge = set(), {left.pop()}
        while edge:
            room |= edge
            edge = {(r + d, c + e) for r, c in edge for d, e in ((0, 1), (1, 0), (0, -1), (-1, 0))} & left
            left -= edge
        rooms.append(len(room))
    assert sorted(rooms) == [20, 25, 25, 30]


def test_moves_fail_in_the_three_other_directions_alike():
    """2/3 as meant, 1/9 each of the others (Sutton, Precup & Singh 1999, Section 3); walls hold."""
    world = FourRooms()
    number = {cell: NUMBER[cell] for cell in ((2, 2), (1, 2), (3, 2), (2, 1), (2, 3), (1, 1), (1, 2), (2, 1))}
    up, left = 0, 3
    ours = {CELLS[s.cell]: p for s, p in outcomes(world, world.State(number[2, 2], 0), up).items()}
    assert ours == pytest.approx({(1, 2): 2 / 3, (2, 3): 1 / 9, (3, 2): 1 / 9, (2, 1): 1 / 9})
    corner = {CELLS[s.cell]: p for s, p in outcomes(world, world.State(number[1, 1], 0), left).items()}
    assert corner == pytest.approx({(1, 1): 2 / 3 + 1 / 9, (1, 2): 1 / 9, (2, 1): 1 / 9})


def test_without_failures_the_value_is_the_distance():
    """γ^(d − 1) with d by breadth-first search: two routes to one number, for every hallway and every cell."""
    gamma = 0.9
    for goal, (row, column) in HALLWAYS.items():
        world = FourRooms(goal=goal, fail_probability=0.0)
        table, states = plain_table(world)
        values = value_iteration(table, gamma, tolerance=1e-12).values
        distance, edge = {}, {(row, column)}
        while edge:
            steps = max(distance.values(), default=-1) + 1
            distance |= dict.fromkeys(edge, steps)
            near = {(r + d, c + e) for r, c in edge for d, e in ((0, 1), (1, 0), (0, -1), (-1, 0))}
            edge = (near & set(CELLS)) - set(distance)
        for s, state in enumerate(states):
            d = distance[CELLS[state.cell]]
            assert values[s] == pytest.approx(gamma ** (d - 1) if d else 0.0, abs=1e-9)


def test_starts_and_goals():
    fixed = starts(FourRooms(goal="8,9"))
    assert len(fixed) == 99  # 100 cells of rooms, the goal left out
    assert NUMBER[8, 9] not in {state.cell for state in fixed}
    gymnax = FourRooms(goal="8,9", start="4,1")
    assert starts(gymnax) == {gymnax.State(NUMBER[4, 1], 0): 1.0}
    drawn = FourRooms(goal="random", start="4,1")
    assert len(starts(drawn)) == 103
    assert len(starts(FourRooms(goal="random"))) == 100 * 103
    assert drawn.observation_space.n == 104 * 104 and gymnax.observation_space.n == 104
    state = drawn.State(5, 77)
    assert drawn.state_of(drawn.params, drawn.observation(drawn.params, state)) == state
    assert drawn.terminal(drawn.params, drawn.purpose, state._replace(cell=77))
    assert drawn.reward(drawn.params, drawn.purpose, state, 0, state._replace(cell=77)) == 1
    assert not gymnax.terminal(gymnax.params, gymnax.purpose, state._replace(cell=77))


def test_hallways_are_purposes_over_the_same_dynamics():
    world = FourRooms()
    assert set(world.goals) == set(HALLWAYS)
    table, states = plain_table(world.with_purpose("west"))
    ended = [CELLS[states[s].cell] for s in np.flatnonzero(table.terminal)]
    assert ended == [HALLWAYS["west"]]


@pytest.mark.parametrize(
    "settings", [{"goal": "up"}, {"goal": "0,0"}, {"start": "1"}, {"fail_probability": 2}, {"goal_reward": None}]
)
def test_bad_settings_are_refused(settings):
    (name,) = settings
    with pytest.raises(UsageError, match=f"{name} = "):
        FourRooms(**settings)


def test_a_start_at_the_goal_is_refused():
    with pytest.raises(UsageError, match="is the goal"):
        FourRooms(goal="8,9", start="8,9")
