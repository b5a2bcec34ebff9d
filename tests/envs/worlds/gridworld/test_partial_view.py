"""MiniGrid's partial view against a picture of the whole grid, cut, turned and darkened cell by cell."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from inscape.envs.registry import make_world
from inscape.envs.worlds.gridworld.door_key import CARRIED, CLOSED, LOCKED, OPEN, DoorKey, DoorKeyState
from inscape.envs.worlds.gridworld.empty_room import EmptyRoom, EmptyRoomState
from inscape.envs.worlds.gridworld.partial_view import SIDE, line_of_sight
from inscape.errors import UsageError
from inscape.world_models.planning.dynamic_programming import value_iteration

FLOOR, WALL, GOAL, KEY = (1, 0, 0), (2, 5, 0), (8, 1, 0), (5, 4, 0)
RIGHT, FORWARD, PICK_UP, DROP, TOGGLE = 1, 2, 3, 4, 5


def lit_cells(clear):
    """The published rule on `clear[across, row]`, the agent at [3, 6]: two sweeps per row, from the agent's on."""
    lit = np.zeros((SIDE, SIDE), bool)
    lit[3, 6] = True
    for row in range(SIDE - 1, -1, -1):
        for sweep, towards in ((range(SIDE - 1), 1), (range(SIDE - 1, 0, -1), -1)):
            for across in sweep:
                if lit[across, row] and clear[across, row]:
                    lit[across + towards, row] = True
                    if row > 0:
                        lit[across, row - 1] = lit[across + towards, row - 1] = True
    return lit


def whole_grid(size, state):
    """`[x, y, 3]`: every cell's encoding."""
    grid = np.full((size, size, 3), WALL, np.int64)
    grid[1:-1, 1:-1] = FLOOR
    grid[size - 2, size - 2] = GOAL
    if isinstance(state, DoorKeyState):
        grid[state.wall] = WALL
        grid[state.wall, state.door_y] = (4, 4, state.door)
        if state.key_x != CARRIED:
            grid[state.key_x, state.key_y] = KEY
    return grid


def image_of(size, state, see_through_walls):
    """What MiniGrid shows: the grid with walls around it, turned so that the agent faces up, cut out and darkened."""
    margin = 2 * SIDE
    grid = np.full((size + 2 * margin, size + 2 * margin, 3), WALL, np.int64)
    grid[margin:-margin, margin:-margin] = whole_grid(size, state)
    marker = np.zeros(grid.shape[:2], bool)
    marker[state.x + margin, state.y + margin] = True
    quarters = (state.direction + 1) % 4  # of a turn; axes are (x, y), and y grows downwards
    grid, marker = np.rot90(grid, quarters, (1, 0)), np.rot90(marker, quarters, (1, 0))
    x, y = np.argwhere(marker)[0]
    view = grid[x - 3 : x + 4, y - 6 : y + 1].copy()
    opaque = (view[..., 0] == WALL[0]) | ((view[..., 0] == 4) & (view[..., 2] != OPEN))
    view[3, 6] = KEY if getattr(state, "key_x", 0) == CARRIED else FLOOR
    if not see_through_walls:
        view[~lit_cells(~opaque)] = 0
    return view


def any_states(world, count, rng):
    """States of DoorKey anywhere in its houses, but for keys in walls, on the goal or under the agent."""
    size, found = world.params.size, []
    while len(found) < count:
        wall, door_y = int(rng.integers(2, size - 2)), int(rng.integers(1, size - 2))
        x, y, key_x, key_y = (int(v) for v in rng.integers(1, size - 1, 4))
        door = int(rng.integers(3))
        if rng.random() < 0.3:
            key_x = key_y = CARRIED
        if (x == wall and (y != door_y or door != OPEN)) or key_x == wall:
            continue
        if (key_x, key_y) in ((x, y), (size - 2, size - 2)):
            continue
        if rng.random() < 0.1:  # in the doorway
            x, y, door = wall, door_y, OPEN
        found.append(DoorKeyState(x, y, int(rng.integers(4)), key_x, key_y, door, wall, door_y, 0))
    return found


def test_line_of_sight_follows_the_published_rule():
    rng = np.random.default_rng(0)
    for trial in range(3000):
        clear = rng.random((SIDE, SIDE)) < (0.3, 0.6, 0.85, 0.95)[trial % 4]
        clear[3, 6] = True
        bits = sum(1 << 7 * (6 - row) + across for across, row in np.argwhere(clear).tolist())
        seen = line_of_sight(bits)
        assert seen == sum(1 << 7 * (6 - row) + across for across, row in np.argwhere(lit_cells(clear)).tolist())


@pytest.mark.parametrize("see_through_walls", [False, True])
@pytest.mark.parametrize("size", [5, 6, 8, 16])
def test_door_key_shows_the_grid_cut_turned_and_darkened(size, see_through_walls):
    world = DoorKey(size=size, see_through_walls=see_through_walls)
    states = any_states(world, 400, np.random.default_rng(size))
    images = world.observe(world.pack(states))
    assert images.shape == (400, 7, 7, 3)
    assert images.dtype == np.uint8
    for state, image in zip(states, images):
        assert np.array_equal(image, image_of(size, state, see_through_walls)), state
    few = world.pack(states[:30])
    assert np.array_equal(world.observe(few, compiled=False), images[:30])


@pytest.mark.parametrize("see_through_walls", [False, True])
def test_empty_room_shows_every_place_right(see_through_walls):
    for size in (4, 8, 13):
        world = EmptyRoom(size=size, see_through_walls=see_through_walls)
        inside = range(1, size - 1)
        states = [EmptyRoomState(x, y, d, 0) for x in inside for y in inside for d in range(4)]
        for state, image in zip(states, world.observe(world.pack(states))):
            assert np.array_equal(image, image_of(size, state, see_through_walls)), state


def test_compass_is_in_the_agents_own_cell():
    rng = np.random.default_rng(3)
    plain, compass = DoorKey(), DoorKey(compass=True)
    states = any_states(plain, 100, rng)
    without, with_it = (world.observe(world.pack(states)) for world in (plain, compass))
    assert with_it[:, 3, 6, 2].tolist() == [state.direction for state in states]
    with_it[:, 3, 6, 2] = 0
    assert np.array_equal(with_it, without)


def after(world, state, *actions):
    for action in actions:
        state = world.transition(world.params, state, action, 0)[1]
    return state


def test_keys_and_doors():
    world = DoorKey(reward="constant")
    before_door = DoorKeyState(3, 3, 0, 3, 4, LOCKED, 4, 3, 0)
    assert after(world, before_door, TOGGLE, FORWARD, PICK_UP) == before_door  # locked, and no key ahead
    holding = after(world, before_door, RIGHT, PICK_UP)
    assert (holding.key_x, holding.key_y, holding.door) == (CARRIED, CARRIED, LOCKED)
    turned = holding._replace(direction=0)
    assert after(world, turned, DROP) == turned  # nothing is put down on a door
    opened = after(world, turned, TOGGLE)
    assert opened == turned._replace(door=OPEN)
    assert after(world, opened, TOGGLE) == turned._replace(door=CLOSED)
    assert after(world, opened, TOGGLE, FORWARD).x == 3
    assert after(world, opened._replace(door=CLOSED, key_x=2, key_y=2), TOGGLE).door == OPEN  # unlocked: no key needed
    through = after(world, opened, FORWARD, FORWARD)
    assert (through.x, through.y) == (5, 3)
    assert after(world, through, DROP)[3:5] == (6, 3)
    assert after(world, through, DROP, FORWARD) == after(world, through, DROP)  # keys are in the way
    by_goal = through._replace(x=6, y=5, direction=1)
    assert after(world, by_goal, DROP) == by_goal  # nor on the goal
    arrived = after(world, by_goal, FORWARD)
    assert world.terminal(world.params, world.purpose, arrived)
    assert world.reward(world.params, world.purpose, by_goal, FORWARD, arrived) == 1.0


def test_falling_reward_counts_steps():
    world = EmptyRoom(size=5)
    state = EmptyRoomState(1, 1, 0, 0)
    rewards = []
    for action in (FORWARD, 6, FORWARD, RIGHT, FORWARD, FORWARD):
        before, state = state, after(world, state, action)
        rewards.append(world.reward(world.params, world.purpose, before, action, state))
    assert rewards == [0, 0, 0, 0, 0, 1 - 0.9 * (6 / 100)]
    assert world.terminal(world.params, world.purpose, state)
    late = state._replace(steps=100)
    assert after(world, late, FORWARD).steps == 100  # counted up to the limit, so that states stay finitely many


def test_shortest_way_through_the_empty_room():
    """5 cells ahead, a turn, 5 cells ahead: 11 steps from the corner, so the value there is γ^10."""
    world = EmptyRoom(reward="constant")
    law = world.dynamics()
    assert len(law) == 35 * 4 + 2  # the goal is reached facing right or down
    values = value_iteration(world, gamma=0.9, tolerance=1e-10).values
    assert values @ law.initial == pytest.approx(0.9**10, abs=1e-9)


@pytest.mark.parametrize(("size", "starts"), [(5, 48), pytest.param(6, 816, marks=pytest.mark.slow)])
def test_small_door_keys_are_enumerated_and_every_start_can_be_won(size, starts):
    world = DoorKey(size=size, reward="constant")
    law = world.dynamics()
    assert np.count_nonzero(law.initial) == starts
    first = [world.unpack(law.states, int(s)) for s in np.flatnonzero(law.initial)]
    weight = law.initial[law.initial > 0]
    for wall in range(2, size - 2):  # the wall's column is drawn first, so each weighs the same
        assert weight[[s.wall == wall for s in first]].sum() == pytest.approx(1 / (size - 4))
    values = value_iteration(world, gamma=0.9, tolerance=1e-6).values
    assert values[law.initial > 0].min() > 0.9**40


def test_large_door_keys_draw_their_starts():
    world = DoorKey(size=8)
    states = world.sample_initial(20_000, np.random.default_rng(0))
    x, y, direction, key_x, key_y, door, wall, door_y, steps = states.ints
    for values, low, high in ((wall, 2, 5), (door_y, 1, 5), (direction, 0, 3)):
        share = np.bincount(values, minlength=high + 1)[low:] / len(values)
        assert share.sum() == pytest.approx(1)
        assert share == pytest.approx(np.full(high + 1 - low, 1 / (high + 1 - low)), abs=0.015)
    assert (x >= 1).all() and (x < wall).all() and (key_x >= 1).all() and (key_x < wall).all()
    assert not ((x == key_x) & (y == key_y)).any()
    assert (door == LOCKED).all() and (steps == 0).all()
    narrow = wall == 2  # six cells for the agent, five left for the key
    pairs = np.bincount(y[narrow] * 7 + key_y[narrow])
    assert np.count_nonzero(pairs) == 30
    assert pairs[pairs > 0] / narrow.sum() == pytest.approx(np.full(30, 1 / 30), abs=0.015)


def test_several_states_look_the_same():
    world = EmptyRoom(size=16, reward="constant")
    image = world.observe(world.pack([EmptyRoomState(8, 8, 0, 0)]))
    assert np.array_equal(image, world.observe(world.pack([EmptyRoomState(7, 8, 2, 0)])))


def test_words_tell_what_is_in_sight_and_no_more():
    world = DoorKey()
    state = DoorKeyState(2, 3, 0, 3, 5, LOCKED, 4, 3, 0)
    text = world.describe(world.params, world.purpose, state)
    assert text == (
        "use the key to open the door and then get to the goal | carrying nothing | "
        "ahead locked door at 2 | left wall at 3 | right free for 3 cells | "
        "in view: key 1 ahead 2 right, locked door 2 ahead"
    )
    compass = DoorKey(compass=True)
    assert "goal | facing right | carrying" in compass.describe(compass.params, compass.purpose, state)
    away = world.describe(world.params, world.purpose, state._replace(direction=2))
    assert away.endswith("in view: no object")
    assert away == world.describe(world.params, world.purpose, state._replace(direction=2, key_x=3, key_y=1, door=OPEN))


@pytest.mark.quick("DoorKey-False", "EmptyRoom-False")
@pytest.mark.parametrize("compass", [False, True])
@pytest.mark.parametrize("cls", [DoorKey, EmptyRoom])
def test_words_and_pictures_follow_from_the_image(cls, compass):
    """Whoever sees the same is told and shown the same, and the image holds every word."""
    world, rng = cls(reward="constant", compass=compass), np.random.default_rng(3)
    states, pictures = world.sample_initial(60, rng), {}
    for _ in range(30):
        images = world.observe(states)
        words = world.describe_seen(images)
        for k, image in enumerate(images):
            assert words[k] == world.describe_state(states, k)
            shown = words[k], world.draw_view(world.params, world.purpose, world.unpack(states, k))
            assert pictures.setdefault(image.tobytes(), shown) == shown
        states, _, _ = world.step(states, rng.integers(0, 6, 60), rng)
    assert len({scene.shapes for _, scene in pictures.values()}) == len(pictures)


def test_only_what_is_in_view_is_drawn():
    world = DoorKey()
    state = DoorKeyState(2, 3, 0, 3, 5, CLOSED, 4, 3, 0)
    scene = world.draw_view(world.params, world.purpose, state)
    assert (scene.width, scene.height) == (7, 7)
    fills = [shape.fill for shape in scene.shapes]
    # the door two cells ahead hides the goal; the key lies one ahead, two to the right
    assert "goal" not in fills
    assert sorted((shape.x, shape.y) for shape in scene.shapes if shape.fill == "yellow") == [(3.06, 4.06), (5.5, 5.3)]
    away = world.draw_view(world.params, world.purpose, state._replace(direction=2))
    assert {"goal", "yellow"}.isdisjoint(shape.fill for shape in away.shapes)
    lit = world.draw_view(world.params, world.purpose, state._replace(door=OPEN, y=3))
    assert sum(shape.fill == "paper" for shape in lit.shapes) > fills.count("paper")


def test_time_limits_follow_the_size():
    assert [EmptyRoom(size=n).max_episode_steps for n in (5, 8, 16)] == [100, 256, 1024]
    assert [DoorKey(size=n).max_episode_steps for n in (5, 8, 16)] == [250, 640, 2560]
    assert DoorKey(max_steps=30).max_episode_steps == 30
    assert gym.spec("inscape/DoorKey-v0").max_episode_steps == make_world("DoorKey").max_episode_steps == 640
    assert gym.spec("inscape/EmptyRoom-v0").max_episode_steps == make_world("EmptyRoom").max_episode_steps == 256


@pytest.mark.parametrize(
    ("world", "settings", "message"),
    [
        (DoorKey, {"size": 4}, "size = 4 for DoorKey"),
        (DoorKey, {"size": 8.5}, "size = 8.5"),
        (EmptyRoom, {"size": 3}, "size = 3 for EmptyRoom"),
        (EmptyRoom, {"start": "middle"}, "start = 'middle'"),
        (EmptyRoom, {"reward": "none"}, "reward = 'none'"),
        (EmptyRoom, {"max_steps": 0}, "max_steps = 0"),
        (DoorKey, {"seize": 8}, "no setting 'seize'"),
    ],
)
def test_bad_settings_are_refused(world, settings, message):
    with pytest.raises(UsageError, match=message):
        world(**settings)
