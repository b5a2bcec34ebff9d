from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from inscape.envs.registry import make_world
from inscape.envs.worlds.gridworld.grid import GridState, GridWorld, read_map
from inscape.errors import UsageError


@pytest.mark.parametrize(
    ("name", "map_name", "slippery"),
    [
        ("FrozenLake", "4x4", True),
        ("FrozenLake8x8", "8x8", True),
        ("FrozenLake-firm", "4x4", False),
        ("FrozenLake8x8-firm", "8x8", False),
    ],
)
def test_law_equals_gymnasiums_table(name, map_name, slippery):
    """Every state, action and successor: probability, reward, ending (their duplicates merged)."""
    world = make_world(name)
    table = gym.make("FrozenLake-v1", map_name=map_name, is_slippery=slippery).unwrapped.P
    law = world.dynamics()
    assert len(law) == len(table)
    cells = [world.unpack(law.states, s).cell for s in range(len(law))]
    assert cells == list(range(len(table)))
    over = world.terminal_of(law.states)
    for s, by_action in table.items():
        for a, entries in by_action.items():
            theirs: dict[int, float] = {}
            for probability, successor, _, _ in entries:
                theirs[successor] = theirs.get(successor, 0.0) + probability
            if over[s]:
                assert entries == [(1.0, s, 0, True)]
                continue
            kept = law.probability[s, a] > 0
            ours = dict(zip(law.next_state[s, a][kept].tolist(), law.probability[s, a][kept].tolist()))
            assert ours.keys() == theirs.keys()
            for successor, probability in ours.items():
                assert probability == pytest.approx(theirs[successor], abs=1e-15)
            for _, successor, reward, terminated in entries:
                pair = law.states[s], law.states[successor]
                assert world.reward_of(pair[0], np.array([a]), pair[1])[0] == reward
                assert over[successor] == terminated
    assert law.initial[0] == 1


def step_cells(world, cell, action, draws=400):
    states = world.pack([world.State(cell)] * draws)
    after, _, _ = world.step(states, np.full(draws, action), np.random.default_rng(0))
    return set(after.ints[0].tolist())


def test_walls_arrows_and_corners():
    world = GridWorld(map=["S>.", ".#.", "..G"], slip=0.0, moves=8)
    left, down_right, right = 0, 3, 4
    assert step_cells(world, 0, right) == {1}
    assert step_cells(world, 1, right) == {2}
    assert step_cells(world, 1, left) == {1}  # left only along the arrow
    assert step_cells(world, 2, left) == {2}  # never entered against it
    assert step_cells(world, 1, down_right) == {1}
    assert step_cells(world, 0, down_right) == {0}  # a wall
    assert step_cells(world, 3, 3) == {3}  # around the corner of a wall


def test_ice_slips_to_the_neighbouring_directions():
    world = GridWorld(map=["...", "SF.", "..G"], slip=0.5)
    assert step_cells(world, 4, 2) == {5, 7, 1}
    assert step_cells(world, 3, 2) == {4}  # floor does not slip
    eight = GridWorld(map=["...", "SF.", "..G"], slip=0.5, moves=8)
    assert step_cells(eight, 4, 4) == {5, 8, 2}


def test_rewards_follow_the_purpose():
    world = GridWorld(map=["AS.B", ".H..", "...."], goal="B", step_cost=0.1, pit_reward=-2.0)
    here, pit, a, b = (world.pack([world.State(c)]) for c in (1, 5, 0, 3))
    action = np.array([0])
    assert world.reward_of(here, action, pit)[0] == pytest.approx(-2.1)
    assert world.reward_of(here, action, a)[0] == pytest.approx(-0.1)
    assert world.reward_of(here, action, b)[0] == pytest.approx(0.9)
    assert world.terminal_of(b)[0]
    assert world.terminal_of(pit)[0]
    assert not world.terminal_of(a)[0]
    assert set(world.goals) == {"A", "B"}
    assert world.reward_of(here, action, a, purpose=world.goals["A"])[0] == pytest.approx(0.9)
    assert world.with_purpose("A").dynamics() is world.dynamics()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"map": ["SG", "."]}, "row 2 of the map has 1 cells"),
        ({"map": ["FG", ".."]}, "no start"),
        ({"map": ["Sx", ".G"]}, "unknown letter 'x' in row 1, column 2"),
        ({"map": "9x9"}, "no map named '9x9'"),
        ({"map": ""}, "no map named ''"),
        ({"slip": 1.5}, "slip = 1.5"),
        ({"slip": float("nan")}, "slip = nan"),
        ({"moves": 6}, "moves = 6"),
        ({"goal": "E"}, "goal = 'E'"),
        ({"step_cost": float("inf")}, "step_cost = inf"),
        ({"slop": 1}, "no setting 'slop'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        GridWorld(**settings)


def test_maps_come_from_text_and_files(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("S.\n.G\n")
    assert read_map("S./.G") == read_map("S.\n.G") == read_map(["S.", ".G"]) == read_map(str(path))


def test_words_tell_where_the_goals_are():
    lake, rooms = make_world("FrozenLake"), make_world("FourGoals", goal="any")
    assert lake.describe_state(lake.pack([GridState(0)])).endswith("| goal row 3 column 3")
    told = rooms.describe_state(rooms.pack([GridState(int(rooms.params.starts[0]))]))
    goals = [name for name in "ABCD" if name in rooms.goals]
    assert told.count(" or row ") == len(goals) - 1 == 3
    one = rooms.with_purpose(rooms.goals["A"])
    assert " or " not in one.describe_state(one.pack([GridState(int(rooms.params.starts[0]))]))
