"""What worlds of several players on one grid share: moving at the same time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from inscape.envs.worlds.multi_agent.foraging import Foraging
from inscape.envs.worlds.multi_agent.grid_moves import (
    MOVES,
    cells_of,
    moves_table,
    neighbours_table,
    own_first,
    per_player,
    placements,
    read_rows,
    settled,
    with_care,
)
from inscape.envs.worlds.multi_agent.kitchen import Kitchen
from inscape.envs.worlds.multi_agent.predator_prey import PredatorPrey
from inscape.envs.worlds.multi_agent.spread import Spread
from inscape.envs.worlds.multi_agent.stag_hunt import StagHunt
from inscape.errors import UsageError

STAR = moves_table(["...", "...", "..."])


def all_meetings(count):
    """Every way in which `count` players on different cells of a 3 × 3 grid set out at once."""
    for cells in itertools.permutations(range(9), count):
        for actions in itertools.product(range(5), repeat=count):
            yield cells, tuple(int(STAR[a, c]) for a, c in zip(actions, cells))


@pytest.mark.quick("True")
@pytest.mark.parametrize("swaps", [False, True])
def test_nobody_shares_a_cell_and_only_they_stay_who_must(swaps):
    """Every meeting of three: no cell shared, none traded; and whoever stays would have met somebody by going."""
    for cells, targets in all_meetings(3):
        ends = settled(cells, targets, swaps)
        assert len(set(ends)) == 3
        for i, j in itertools.permutations(range(3), 2):
            assert swaps or not (ends[i] == cells[j] and ends[j] == cells[i])
        for i in range(3):
            assert ends[i] in (cells[i], targets[i])
            if ends[i] != targets[i]:  # somebody ends there, wanted it too, or comes the other way
                others = [j for j in range(3) if j != i]
                assert any(
                    targets[i] in (ends[j], targets[j]) or (targets[i] == cells[j] and targets[j] == cells[i])
                    for j in others
                )


def test_the_rule_does_not_depend_on_the_order_of_the_players():
    for cells, targets in itertools.islice(all_meetings(3), 0, None, 7):
        ends = settled(cells, targets)
        for order in itertools.permutations(range(3)):
            arranged = settled(tuple(cells[k] for k in order), tuple(targets[k] for k in order))
            assert arranged == tuple(ends[k] for k in order)


def test_trains_rings_and_contested_cells():
    assert settled((0, 1, 2), (1, 2, 5)) == (1, 2, 5)  # a train moves on
    assert settled((0, 1, 4, 3), (1, 4, 3, 0)) == (1, 4, 3, 0)  # so does a ring
    assert settled((0, 1, 2), (1, 2, 2)) == (0, 1, 2)  # and stands when its head stands
    assert settled((0, 2, 3), (1, 1, 0)) == (0, 2, 3)  # two want one cell; the third waits for the first
    assert settled((0, 1), (1, 0)) == (0, 1)
    assert settled((0, 1), (1, 0), True) == (1, 0)


def test_moves_walls_and_torus():
    rows = ["..#", "..."]
    after = moves_table(rows)
    assert after[:, 0].tolist() == [0, 3, 1, 0, 0]
    assert after[MOVES.index("right"), 1] == 1  # a wall
    assert after[:, 2].tolist() == [2] * 5  # nobody moves out of a wall
    torus = moves_table(["...", "...", "..."], torus=True)
    assert torus[:, 0].tolist() == [2, 3, 1, 6, 0]
    near = neighbours_table(torus)
    assert (near == near.T).all()
    assert (near.sum(1) == 4).all()
    assert cells_of(rows, "#") == [2]


def test_own_first_and_care():
    assert [own_first((7, 8, 9), k) for k in range(3)] == [(7, 8, 9), (8, 7, 9), (9, 7, 8)]
    assert with_care((1.0, 2.0, 4.0), (0.0, 1.0, -0.5)) == (1.0, 7.0, 2.5)


def test_placements_are_drawn_by_their_seed():
    drawn = placements(range(9), 3, 200, 1)
    assert (drawn == placements(range(9), 3, 200, 1)).all()
    assert (drawn != placements(range(9), 3, 200, 2)).any()
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    assert set(drawn.ravel().tolist()) == set(range(9))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: read_rows("nowhere", {"meadow": ("S",)}, "S"), "no map named 'nowhere'"),
        (lambda: read_rows("SS/S", {}, "S"), "row 2 of the map has 1 cells"),
        (lambda: read_rows(["Sx"], {}, "S"), "unknown letter 'x' in row 1, column 2"),
        (lambda: read_rows([], {}, "S"), "the map is empty"),
        (lambda: per_player("care", (1.0, 2.0), 3), "care has 2 values"),
        (lambda: per_player("care", float("nan"), 2), "care = nan"),
        (lambda: PredatorPrey(predators=1), "predators = 1"),
        (lambda: PredatorPrey(needed=5), "needed = 5"),
        (lambda: PredatorPrey(rest=1.5), "rest = 1.5"),
        (lambda: StagHunt(map="S.T/..."), "the map has 1 cells S"),
        (lambda: StagHunt(wander="often"), "wander = 'often'"),
        (lambda: Foraging(foods=9), "foods = 9"),
        (lambda: Foraging(cooperative=1), "cooperative = 1"),
        (lambda: Kitchen(soup="pea"), "soup = 'pea'"),
        (lambda: Kitchen(map="XPX/X1X/XXX"), "where the cooks begin"),
        (lambda: Kitchen(map=".PX/X12/XXX"), "open at its edge"),
        (lambda: Spread(agents=2.5), "agents = 2.5"),
        (lambda: Spread(local_ratio=2), "local_ratio = 2"),
        (lambda: Spread(agent=3), "no setting 'agent'"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        make()


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.parametrize(
    "world",
    [
        PredatorPrey(predators=3, size=4),
        pytest.param(Foraging(foragers=3, foods=3, size=6, penalty=0.5), marks=pytest.mark.slow),
    ],
    ids=lambda world: f"{world.name} of {world.players}",
)
def test_other_numbers_of_players_run_the_same_compiled(world):
    """Plain Python and compiled: successors, rewards, ends and observations along random lives."""
    rng = np.random.default_rng(0)
    states = world.sample_initial(40, np.random.default_rng(1))
    for _ in range(6):
        actions = rng.integers(0, world.num_actions, (40, world.players))
        plain = world.step(states, actions, np.random.default_rng(2), compiled=False)
        compiled = world.step(states, actions, np.random.default_rng(2))
        assert np.array_equal(plain[0].ints, compiled[0].ints)
        assert np.array_equal(plain[1], compiled[1])
        assert np.array_equal(plain[2], compiled[2])
        states = compiled[0]
        assert np.array_equal(world.observe(states, compiled=False), world.observe(states))
