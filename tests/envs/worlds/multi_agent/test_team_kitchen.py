"""Kitchen: a delivery step by step, what each tile does, and that nothing is made or lost on the way."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.worlds.multi_agent.kitchen import (
    FULL,
    MAPS,
    NOTHING,
    ONION,
    ONION_SOUP,
    PLATE,
    POT,
    TOMATO,
    TOMATO_SOUP,
    UP,
    USE,
    Kitchen,
    KitchenState,
)

LEFT, DOWN, RIGHT, _, STAY = range(5)
LETTERS = {"l": LEFT, "d": DOWN, "r": RIGHT, "u": UP, ".": STAY, "U": USE}


def plain(state):
    return KitchenState(*(tuple(map(int, f)) if isinstance(f, tuple) else int(f) for f in state))


def act(world, state, action):
    following = plain(world.transition(world.params, state, action, 0)[1])
    return following, world.reward(world.params, world.purpose, state, action, following)


def first(world):
    return plain(world.initial(world.params, 0)[1])


def run(world, state, *moves):
    """Plays one text of moves per cook; returns the last state and all rewards."""
    rewards = []
    for letters in zip(*moves):
        state, reward = act(world, state, tuple(LETTERS[letter] for letter in letters))
        rewards.append(reward)
    return state, rewards


def test_a_soup_takes_forty_steps_alone_in_the_cramped_room():
    """The plan was also played in Overcooked-AI (old dynamics), which delivers at the same step for the same reward."""
    world = Kitchen(map="cramped-room", pot_reward=3.0, plate_reward=5.0)
    fill = "ulU" + "ruU" + "lUruU" + "lUruU"  # three onions
    fetch = "lddU" + "uru"  # a plate, and back
    wait = "." * (35 - len(fill) - len(fetch))
    deliver = "U" + "drd" + "U"
    moves = fill + fetch + wait + deliver
    assert len(fill) == 16 and len(moves) == 40
    state, _ = run(world, first(world), fill, "r" * len(fill))
    assert state.pots == (FULL + 1,)  # cooks in the step that fills it
    early, _ = run(world, state, fetch + "." * 11 + "U", "r" * 19)
    assert early.held == (PLATE, NOTHING)  # 19 steps later, one too early
    assert early.pots == (FULL + 20,)
    state, rewards = run(world, first(world), moves, "r" * 40)
    assert state.held == (NOTHING, NOTHING)
    assert state.pots == (0,)
    paid = {t: reward for t, reward in enumerate(rewards, 1) if any(reward)}
    assert paid == {6: (3, 0), 11: (3, 0), 16: (3, 0), 36: (5, 0), 40: (20, 20)}


def test_one_counter_takes_two_cooks():
    """The left cook hands onions and a plate over the counter; the right one cooks and delivers."""
    world = Kitchen(cook_time=2)
    # left: an onion from above, laid on the counter to the right, three times; then a plate from below
    state, rewards = first(world), []
    for _ in range(3):
        state, more = run(world, state, "uUrU.....", "....lUuU.")
        rewards += more
    assert state.pots == (FULL + 2,)
    assert state.counters == 0
    state, more = run(world, state, "ddUurU......", "......lUuUdr")
    rewards += more
    assert state.held == (NOTHING, ONION_SOUP)
    state, more = run(world, state, ".", "U")
    assert more == [(20.0, 20.0)]
    assert not any(any(r) for r in rewards)
    assert state.held == (NOTHING, NOTHING)


def test_which_soup_is_wanted():
    world = Kitchen(soup="tomato", shares=(1.0, 0.5))
    at_hatch = first(world)._replace(cells=(6, 13), facing=(UP, RIGHT))
    for held, wanted in ((ONION_SOUP, ("onion soup", "any soup")), (TOMATO_SOUP, ("tomato soup", "any soup"))):
        for name, purpose in world.goals.items():
            other = world.with_purpose(purpose)
            state, reward = act(other, at_hatch._replace(held=(NOTHING, held)), (STAY, USE))
            assert state.held == (NOTHING, NOTHING)  # taken in either case
            assert reward == ((20.0, 10.0) if name in wanted else (0.0, 0.0))
    for held in (NOTHING, ONION, TOMATO, PLATE):
        state, reward = act(world, at_hatch._replace(held=(NOTHING, held)), (STAY, USE))
        assert (state.held[1], reward) == (held, (0.0, 0.0))


@pytest.mark.parametrize(
    ("pot", "kind", "held", "then"),
    [
        (0, 0, ONION, (1, 0, NOTHING)),
        (0, 0, TOMATO, (1, 1, NOTHING)),
        (2, 1, TOMATO, (FULL + 1, 1, NOTHING)),
        (2, 1, ONION, (2, 1, ONION)),  # another kind
        (FULL + 5, 0, ONION, (FULL + 6, 0, ONION)),  # full
        (FULL + 5, 0, PLATE, (FULL + 6, 0, PLATE)),  # not done
        (2, 0, PLATE, (2, 0, PLATE)),
        (FULL + 20, 1, PLATE, (0, 0, TOMATO_SOUP)),
        (FULL + 20, 0, NOTHING, (FULL + 20, 0, NOTHING)),  # done soup waits for a plate
        (1, 0, ONION_SOUP, (1, 0, ONION_SOUP)),
    ],
)
def test_pots(pot, kind, held, then):
    world = Kitchen()
    state = first(world)._replace(cells=(6, 8), facing=(UP, UP), held=(NOTHING, held), pots=(pot,), kinds=(kind,))
    state, _ = act(world, state, (STAY, USE))
    assert (state.pots[0], state.kinds[0], state.held[1]) == then


def test_counters_hold_one_thing():
    world = Kitchen()
    facing = first(world)._replace(facing=(RIGHT, LEFT), held=(ONION, NOTHING))  # both at the counter's upper cell
    down, _ = act(world, facing, (USE, STAY))
    assert down.held == (NOTHING, NOTHING)
    assert down.counters != 0
    assert act(world, down, (STAY, USE))[0] == down._replace(counters=0, held=(NOTHING, ONION))
    full = down._replace(held=(PLATE, NOTHING))
    assert act(world, full, (USE, STAY))[0] == full  # taken already
    # the first cook's use comes first: the onion passes over the counter in one step
    assert act(world, facing, (USE, USE))[0] == facing._replace(held=(NOTHING, ONION))
    stores = first(world)._replace(facing=(LEFT, UP))
    assert act(world, stores, (USE, STAY))[0].held == (TOMATO, NOTHING)
    assert act(world, stores._replace(held=(PLATE, NOTHING)), (USE, STAY))[0].held == (PLATE, NOTHING)


def test_cooks_do_not_walk_through_each_other():
    world = Kitchen(map="cramped-room")
    side = first(world)._replace(cells=(6, 7), facing=(UP, UP))
    state, _ = act(world, side, (RIGHT, LEFT))
    assert state == side._replace(facing=(RIGHT, LEFT))  # they turn, and stay
    assert act(world, side, (RIGHT, RIGHT))[0].cells == (7, 8)  # one after the other
    assert act(world, side._replace(cells=(6, 8)), (RIGHT, LEFT))[0].cells == (6, 8)


def things(world, state):
    """Returns how much of each there is: ingredients (in hands, on counters, in pots, in soups), and plates."""
    lying = [(state.counters >> (3 * k)) & 7 for k in range(world.params.num_counters)]
    items = [*state.held, *lying]
    onions = items.count(ONION) + 3 * items.count(ONION_SOUP)
    tomatoes = items.count(TOMATO) + 3 * items.count(TOMATO_SOUP)
    for content, kind in zip(state.pots, state.kinds):
        onions += min(content, FULL) * (kind == 0)
        tomatoes += min(content, FULL) * (kind == 1)
    plates = items.count(PLATE) + items.count(ONION_SOUP) + items.count(TOMATO_SOUP)
    return np.array([onions, tomatoes, plates])


@pytest.mark.slow
def test_things_come_from_stores_and_leave_by_the_hatch():
    """Random play in every kitchen: amounts change by one at a store and by a soup at the hatch, which pays."""
    delivered = 0
    for name in MAPS:
        world = Kitchen(map=name, cook_time=3, soup="any")
        rng = np.random.default_rng(0)
        state = first(world)
        for _ in range(4000):
            action = tuple(rng.choice(6, 2, p=[0.15, 0.15, 0.15, 0.15, 0.05, 0.35]).tolist())
            following, rewards = act(world, state, action)
            change = things(world, following) - things(world, state)
            taken = soups = 0
            for k in range(2):
                tile = world.params.tiles[world.params.ahead[state.facing[k], state.cells[k]]]
                uses = action[k] == USE
                taken += uses and state.held[k] == NOTHING and 2 <= tile <= 4
                soups += uses and state.held[k] >= ONION_SOUP and tile == 6
            assert change.sum() == taken - 4 * soups
            assert rewards == (20.0 * soups, 20.0 * soups)
            assert len(set(following.cells)) == 2
            assert all(world.params.tiles[c] == 0 for c in following.cells)
            delivered += soups
            state = following
    assert delivered > 0


def test_observations():
    world = Kitchen(map="forced-coordination")
    state = first(world)._replace(held=(ONION, PLATE), pots=(2, FULL + 4), kinds=(0, 1), counters=ONION << 3)
    size = world.observation_space.shape[0]
    rows = [
        [world.observation_entry(world.params, world.observation_view(world.params, state, k), i) for i in range(size)]
        for k in (0, 1)
    ]
    assert rows[0][:8] == [1, 3, UP, ONION, 2, 1, UP, PLATE]
    assert rows[1][:8] == rows[0][4:8] + rows[0][:4]
    assert rows[0][8:] == rows[1][8:]
    assert rows[0][8:12] == [2, 0, FULL + 4, 1]
    assert rows[0][12:14] == [0, ONION]
    assert sum(rows[0][12:]) == ONION
    assert world.observation_space.contains(np.array(rows[0], np.float32))


def test_words_name_what_is_needed_to_act():
    world = Kitchen()
    state = first(world)._replace(held=(ONION, NOTHING), pots=(FULL + 5,), counters=PLATE)
    text = world.describe(world.params, world.purpose, state)
    for part in (
        "cook 0 row 1 column 1 facing up onions holding an onion",
        "onion soup, 15 steps to go",
        "a plate row",
    ):
        assert part in text
    assert (world.params.tiles == POT).sum() == 1
