"""Foraging: the rules of level-based foraging by hand, and against lbforaging where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.worlds.multi_agent.foraging import Foraging, ForagingState, draw_layout

LEFT, DOWN, RIGHT, UP, STAY, LOAD = range(6)


def by_hand(world, starts, levels, food_cells, food_levels):
    """Returns the world with one layout written out."""
    size = int(world.params.rows.max()) + 1
    food_on, food_by = np.full((1, size * size), -1), np.full((1, size * size), -1)
    for f, cell in enumerate(food_cells):
        food_on[0, cell] = f
        for to in world.params.after[:4, cell]:
            food_by[0, to] = f
    arrays = {"starts": starts, "levels": levels, "food_cells": food_cells, "food_levels": food_levels}
    return world.with_params(
        world.params._replace(
            **{name: np.array([value]) for name, value in arrays.items()},
            food_on=food_on,
            food_by=food_by,
            nothing=np.array([0]),
            totals=np.array([sum(food_levels)]),
        )
    )


def act(world, state, action):
    following = world.transition(world.params, state, action, 0)[1]
    following = ForagingState(tuple(map(int, following.cells)), int(following.gone), int(following.layout))
    return following, world.reward(world.params, world.purpose, state, action, following)


def test_loading_together_and_alone():
    """A food of level 3 in the middle of 5 × 5 cells, one of level 1 in the last row."""
    world = by_hand(Foraging(size=5, penalty=0.5), [11, 7], [1, 2], [12, 21], [3, 1])
    start = world.initial(world.params, 0)[1]
    assert start == ForagingState((11, 7), 0, 0)
    # one is too weak: it loses the penalty, the food stays
    state, rewards = act(world, start, (LOAD, STAY))
    assert (state, rewards) == (start, (-0.5, 0.0))
    # together 1 + 2 reach 3: each gets level · 3 / (3 · 4), the levels of all food being 4
    state, rewards = act(world, start, (LOAD, LOAD))
    assert state.gone == 1
    assert rewards == pytest.approx((0.25, 0.5))
    # what is gone cannot be loaded, and can be walked over
    again, rewards = act(world, state, (LOAD, DOWN))
    assert (again.gone, again.cells, rewards) == (1, (11, 12), (0.0, 0.0))
    # nobody walks into food; loading next to none is to stay, without a penalty
    assert act(world, start, (RIGHT, DOWN))[0].cells == (11, 7)
    away = ForagingState((0, 7), 0, 0)
    assert act(world, away, (LOAD, STAY)) == (away, (0.0, 0.0))
    # the last food ends the task, and the rewards of the episode add up to 1
    last = ForagingState((22, 7), 1, 0)
    state, rewards = act(world, last, (LOAD, STAY))
    assert rewards == pytest.approx((0.25, 0.0))
    assert world.terminal(world.params, world.purpose, state)
    assert not world.terminal(world.params, world.purpose, last)


def test_rewards_without_norm_and_with_care():
    plain = by_hand(Foraging(size=5, normalize=False), [11, 7], [1, 2], [12, 21], [3, 1])
    start = plain.initial(plain.params, 0)[1]
    assert act(plain, start, (LOAD, LOAD))[1] == (3.0, 6.0)
    kind = plain.with_purpose("prosocial")
    assert act(kind, start, (LOAD, LOAD))[1] == (9.0, 9.0)
    rival = plain.with_purpose("competitive")
    assert act(rival, start, (LOAD, LOAD))[1] == (-3.0, 3.0)


def test_episodes_pay_one_in_all():
    """Random play until all food is gone, several sizes: the rewards add up to 1."""
    rng = np.random.default_rng(0)
    finished = 0
    for world in (Foraging(size=5, layouts=6), Foraging(size=5, foragers=3, foods=3, layouts=6, max_food_level=2)):
        for layout in range(6):
            state, total = world.initial(world.params, layout)[1], 0.0
            for _ in range(1500):
                action = tuple(rng.choice(6, world.players, p=[0.15, 0.15, 0.15, 0.15, 0.05, 0.35]).tolist())
                state, rewards = act(world, state, action)
                total += sum(rewards)
                if world.terminal(world.params, world.purpose, state):
                    assert total == pytest.approx(1)
                    finished += 1
                    break
    assert finished >= 8


def test_layouts_keep_the_distances_of_the_rules():
    rng = np.random.default_rng(0)
    levels_seen = set()
    for _ in range(300):
        cells, levels, food_cells, food_levels = draw_layout(rng, 3, 8, 4, 2, 0, False)
        assert len({*cells.tolist(), *food_cells.tolist()}) == 7
        assert ((levels >= 1) & (levels <= 2)).all()
        assert (food_levels <= levels.sum()).all()
        levels_seen |= set(food_levels.tolist())
        rows, columns = np.divmod(food_cells, 8)
        assert (rows % 7 > 0).all() and (columns % 7 > 0).all()  # off the border
        for a in range(4):
            for b in range(a):
                down, right = abs(rows[a] - rows[b]), abs(columns[a] - columns[b])
                assert max(down, right) > 1 and not (min(down, right) == 0 and max(down, right) <= 2)
    assert levels_seen == set(range(1, 7))
    together = draw_layout(rng, 2, 8, 2, 2, 0, True)
    assert (together[3] == together[1].sum()).all()
    crowded = draw_layout(rng, 2, 4, 8, 2, 0, False)  # four cells off the border: one food at most
    assert (crowded[3] > 0).sum() <= 1
    world = Foraging(size=4, foods=3, layouts=5)
    state = world.initial(world.params, 0)[1]
    assert bin(state.gone).count("1") == (world.params.food_levels[0] == 0).sum() >= 2


def test_observations_show_oneself_first():
    world = by_hand(Foraging(size=5), [11, 7], [1, 2], [12, 21], [3, 1])
    state = ForagingState((11, 7), 2, 0)
    for player, people in ((0, [2, 1, 1, 1, 2, 2]), (1, [1, 2, 2, 2, 1, 1])):
        view = world.observation_view(world.params, state, player)
        entries = [world.observation_entry(world.params, view, k) for k in range(12)]
        assert entries == [2, 2, 3, -1, -1, 0, *people]


@pytest.mark.quick("4-2-5-0.2-False")
@pytest.mark.parametrize(
    ("foragers", "foods", "size", "penalty", "normalize"),
    [(2, 2, 5, 0.0, True), (3, 3, 6, 0.1, True), (4, 2, 5, 0.2, False)],
)
def test_steps_equal_lbforagings(foragers, foods, size, penalty, normalize):
    """Random play over 15 layouts: positions, food, rewards and ends, but where two of theirs share a cell."""
    module = pytest.importorskip("lbforaging.foraging.environment")
    theirs_of = [3, 2, 4, 1, 0, 5]  # none north south west east load
    world = Foraging(foragers=foragers, foods=foods, size=size, penalty=penalty, normalize=normalize, layouts=15)
    params = world.params
    theirs = module.ForagingEnv(
        players=foragers, min_player_level=1, max_player_level=2, min_food_level=1, max_food_level=None,
        field_size=(size, size), max_num_food=foods, sight=size, max_episode_steps=10**9, force_coop=False,
        normalize_reward=normalize, penalty=penalty,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    loaded = steps = overlaps = 0
    for layout in range(15):
        theirs.reset(seed=0)
        state = world.initial(params, layout)[1]
        theirs.field[:] = 0
        for f in range(foods):
            if params.food_levels[layout, f]:
                theirs.field[divmod(int(params.food_cells[layout, f]), size)] = params.food_levels[layout, f]
        theirs._food_spawned = theirs.field.sum()
        for k, player in enumerate(theirs.players):
            player.setup(divmod(int(state.cells[k]), size), int(params.levels[layout, k]), (size, size))
        theirs._gen_valid_moves()
        for _ in range(150):
            action = tuple(rng.choice(6, foragers, p=[0.15, 0.15, 0.15, 0.15, 0.05, 0.35]).tolist())
            _, their_rewards, done, _, _ = theirs.step([theirs_of[a] for a in action])
            state, rewards = act(world, state, action)
            assert rewards == pytest.approx(their_rewards)
            assert done == world.terminal(params, world.purpose, state)
            for f in range(foods):
                there = theirs.field[divmod(int(params.food_cells[layout, f]), size)] > 0
                assert there == (not state.gone >> f & 1) or params.food_levels[layout, f] == 0
            cells = tuple(player.position[0] * size + player.position[1] for player in theirs.players)
            if cells != state.cells:
                assert len(set(cells)) < foragers
                overlaps += 1
                for player, cell in zip(theirs.players, state.cells):
                    player.position = divmod(cell, size)
                theirs._gen_valid_moves()
            steps += 1
            loaded += any(r > 0 for r in rewards)
            if done:
                break
    assert loaded >= 10
    assert overlaps < 0.02 * steps
