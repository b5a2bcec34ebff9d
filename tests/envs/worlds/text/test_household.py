from __future__ import annotations

import itertools

import numpy as np
import pytest

from inscape.envs.readers.enumeration import enumerate_dynamics
from inscape.envs.registry import make_world
from inscape.envs.worlds.text.household import Household, HouseholdState
from inscape.errors import UsageError

SMALL = {"containers": "cupboard in kitchen, chest in living room", "objects": "mug, key"}


@pytest.fixture(scope="module")
def world():
    return make_world("Household")


@pytest.fixture(scope="module")
def small():
    return Household(**SMALL)


class House:
    """The same house written anew with names and sets, to play against."""

    rooms = {"kitchen": {"living room"}, "living room": {"kitchen", "bedroom"}, "bedroom": {"living room"}}
    boxes = {"cupboard": "kitchen", "fridge": "kitchen", "chest": "living room", "drawer": "bedroom",
             "wardrobe": "bedroom"}  # fmt: skip

    def __init__(self, places):
        self.room, self.open, self.places = "kitchen", set(), dict(zip(("mug", "book", "key"), places))

    def hand(self):
        return [thing for thing, place in self.places.items() if place == "hand"]

    def visible(self):
        near = {box for box in self.open if self.boxes[box] == self.room}
        return {thing: place for thing, place in self.places.items() if place in near | {"hand"}}

    def legal(self):
        here = {box for box, room in self.boxes.items() if room == self.room}
        names = {"look"} | {f"go to {room}" for room in self.rooms[self.room]}
        names |= {f"open {box}" for box in here - self.open} | {f"close {box}" for box in here & self.open}
        if self.hand():
            names |= {f"put in {box}" for box in here & self.open}
        else:
            names |= {f"take {thing}" for thing in self.visible()}
        return names

    def act(self, name):
        verb, _, rest = name.partition(" ")
        if verb == "go":
            self.room = rest.removeprefix("to ")
        elif verb == "open":
            self.open.add(rest)
        elif verb == "close":
            self.open.remove(rest)
        elif verb == "take":
            self.places[rest] = "hand"
        elif verb == "put":
            self.places[self.hand()[0]] = rest.removeprefix("in ")

    def done(self):
        return self.visible().get("mug") == "cupboard"


@pytest.mark.slow
def test_law_equals_the_house_written_anew(world):
    """Legal actions, what is seen, rewards and endings over 40 plays at random, in plain Python and compiled."""
    rng = np.random.default_rng(0)
    boxes, things, rooms = list(House.boxes), ["mug", "book", "key"], list(House.rooms)
    visited, chosen, done = [], [], 0
    for _ in range(40):
        places = rng.integers(0, 5, 3)
        house = House([boxes[p] for p in places])
        state = HouseholdState(0, (0,) * 5, tuple(places.tolist()))
        for _ in range(40):
            legal = {name for a, name in enumerate(world.action_names) if world.legal(world.params, state, a)}
            assert legal == house.legal()
            name = sorted(legal)[rng.integers(len(legal))]
            action = world.action_names.index(name)
            visited.append(state)
            chosen.append(action)
            house.act(name)
            probability, following = world.transition(world.params, state, action, 0)
            assert probability == 1
            room, *seen = world.observation(world.params, following)
            assert rooms[room] == house.room
            for box, flag in zip(boxes, seen[:5]):
                assert flag == (2 if House.boxes[box] != house.room else int(box in house.open))
            visible = house.visible()
            for thing, place in zip(things, seen[5:]):
                assert [*boxes, "hand", None][place] == visible.get(thing)
            assert world.terminal(world.params, world.purpose, following) == house.done()
            reward = world.reward(world.params, world.purpose, state, action, following)
            assert reward == (1.0 if house.done() else 0.0)
            state = following
            if house.done():
                done += 1
                break
    assert done >= 5
    states, actions = world.pack(visited), np.array(chosen)
    for plain, fast in zip(world.outcomes(states, actions, compiled=False), world.outcomes(states, actions)):
        assert np.array_equal(getattr(plain, "ints", plain), getattr(fast, "ints", fast))
    assert np.array_equal(world.legal_actions(states, compiled=False), world.legal_actions(states))
    assert np.array_equal(world.observe(states, compiled=False), world.observe(states))


def test_start_is_any_placement_alike(world):
    probability, states = world.initial_outcomes()
    assert len(probability) == 5**3
    assert np.allclose(probability, 1 / 125)
    places = {world.unpack(states, i).places for i in range(125)}
    assert places == set(itertools.product(range(5), repeat=3))
    assert not world.terminal_of(states).any()  # what is not seen is not done
    drawn = world.sample_initial(5000, np.random.default_rng(0))
    counts = np.bincount(drawn.ints[-3], minlength=5)
    assert ((counts - 1000) ** 2 / 800).sum() < 4 + 5 * np.sqrt(8)


def test_states_are_those_that_can_be_counted(small):
    """Rooms × open and closed × places, of which at most one is the hand."""
    law = enumerate_dynamics(small, compiled=False)
    assert len(law) == 3 * 2**2 * (2**2 + 2 * 2)
    assert (law.probability == 1).all()


def test_what_is_illegal_changes_nothing(small):
    law = enumerate_dynamics(small, compiled=False)
    for s in range(0, len(law), 7):
        state = small.unpack(law.states, s)
        for action in np.flatnonzero(~law.legal[s]):
            assert small.transition(small.params, state, int(action), 0) == (1.0, state)


def test_goals_are_every_object_in_every_container(small):
    assert set(small.goals) == {"mug in cupboard", "mug in chest", "key in cupboard", "key in chest"}
    shown = HouseholdState(0, (1, 0), (0, 0))
    states = small.pack([shown, shown._replace(open=(0, 0)), shown._replace(room=1), shown._replace(places=(2, 0))])
    goals = small.goals
    assert small.terminal_of(states, compiled=False).tolist() == [True, False, False, False]
    assert small.terminal_of(states, goals["key in cupboard"], compiled=False).tolist() == [True, False, False, True]
    assert not small.terminal_of(states, goals["mug in chest"], compiled=False).any()


def test_words(world):
    hidden = HouseholdState(0, (1, 0, 0, 0, 0), (5, 0, 1))
    assert world.describe_state(world.pack([hidden])) == (
        "in the kitchen | open cupboard: book | closed fridge | doors to living room | holding mug | "
        "goal: mug in cupboard"
    )


def test_houses_of_other_shapes():
    house = Household(
        rooms=["hall", "attic", "cellar"], containers=["box in attic"], objects="ring",
        doors="hall - attic, hall - cellar", start="cellar", goal="ring in box",
    )  # fmt: skip
    assert house.action_names == (
        "look", "go to hall", "go to attic", "go to cellar", "open box", "close box", "take ring", "put in box",
    )  # fmt: skip
    _, state = house.initial(house.params, 0)
    assert state == HouseholdState(2, (0,), (0,))
    for name in ("go to hall", "go to attic", "open box"):
        action = house.action_names.index(name)
        assert house.legal(house.params, state, action)
        assert not house.terminal(house.params, house.purpose, state)
        _, state = house.transition(house.params, state, action, 0)
    assert house.terminal(house.params, house.purpose, state)  # it was there all along
    assert not house.legal(house.params, state, house.action_names.index("go to cellar"))
    assert house.observation_space.nvec.tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"goal": "mug in oven"}, "no container 'oven'"),
        ({"goal": "cup in cupboard"}, "no object 'cup'"),
        ({"goal": "mug"}, "goal: 'mug'"),
        ({"containers": "cupboard"}, "containers: 'cupboard'"),
        ({"containers": "cupboard in garden"}, "no room 'garden'"),
        ({"containers": "cupboard in kitchen, cupboard in bedroom"}, "'cupboard' twice"),
        ({"containers": 5}, "5"),
        ({"objects": "mug, a, b, c, d, e"}, "6 objects"),
        ({"objects": ""}, "0 objects"),
        ({"doors": "kitchen - garden"}, "no room 'garden'"),
        ({"doors": "kitchen"}, "doors: 'kitchen'"),
        ({"start": "garden"}, "no room 'garden'"),
        ({"step_cost": float("inf")}, "step_cost = inf"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        Household(**settings)
