"""Exact values of games in turn: against minimax in plain Python, and what is known of small boards."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from inscape import MissingLawError, UsageError, make_world
from inscape.world_models import game_values

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


@cache
def minimax(own, other):
    """Returns what who is to move will earn in tic-tac-toe: squares as sets of bits."""
    if any(all(other >> s & 1 for s in line) for line in LINES):
        return -1
    free = [s for s in range(9) if not (own | other) >> s & 1]
    return max((-minimax(other, own | 1 << s) for s in free), default=0)


@pytest.fixture(scope="module")
def tic_tac_toe():
    return game_values("TicTacToe")


def test_every_position_of_tic_tac_toe(tic_tac_toe):
    assert len(tic_tac_toe.states) == 5478  # positions that can be reached
    assert tic_tac_toe.value.tolist() == [0, 0]
    for s in range(0, 5478, 7):
        state = tic_tac_toe.world.unpack(tic_tac_toe.states, s)
        mover = tic_tac_toe.mover[s]
        if mover >= 0:
            assert tic_tac_toe.values[s, mover] == minimax(state.own, state.other)
    assert np.allclose(tic_tac_toe.values.sum(axis=1), 0)


def test_after_a_corner_only_the_centre_holds(tic_tac_toe):
    world = tic_tac_toe.world
    start = world.sample_initial(1, np.random.default_rng(0))
    corner, _, _ = world.step(start, np.array([0]), np.random.default_rng(0))
    (row,) = world.dynamics().index_of(corner)
    assert np.flatnonzero(tic_tac_toe.optimal_actions()[row]).tolist() == [4]
    assert tic_tac_toe.value_of(corner).tolist() == [[0, 0]]


def test_what_is_no_game_of_perfect_information_is_refused():
    with pytest.raises(UsageError, match="does not see everything"):
        game_values("KuhnPoker")
    with pytest.raises(MissingLawError, match="in turn"):
        game_values("RockPaperScissors")
    with pytest.raises(MissingLawError, match="several players"):
        game_values(make_world("FrozenLake"))
    with pytest.raises(UsageError, match="gamma = 2"):
        game_values("TicTacToe", 2)
