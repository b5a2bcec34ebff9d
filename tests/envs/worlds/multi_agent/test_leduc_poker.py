"""Leduc poker: what is dealt, what is legal, and who gets what. (Published values: tests of game trees.)"""

from __future__ import annotations

import numpy as np
import pytest

from inscape import make_world
from inscape.envs.worlds.multi_agent.leduc_poker import BETTING, CALL, FOLD, NOT_DEALT, RAISE, LeducState


def after(world, cards, moves):
    """Returns the last state and the sum of rewards after `moves`, with the table's card dealt as `cards` say."""
    first, second, table = cards
    state, total = LeducState(first, second, NOT_DEALT, 0, 0), np.zeros(2)
    for move in moves:
        assert world.legal(world.params, state, move)
        outcomes = [world.transition(world.params, state, move, branch) for branch in range(3)]
        assert sum(p for p, _ in outcomes) == pytest.approx(1.0)
        possible = [s for p, s in outcomes if p > 0]
        following = next((s for s in possible if s.table == table), possible[0])
        total += world.reward(world.params, world.purpose, state, move, following)
        state = following
    return state, total


@pytest.mark.parametrize(
    ("cards", "moves", "earned"),
    [
        ((2, 1, 0), [CALL, CALL, CALL, CALL], 1),  # the higher card
        ((0, 1, 0), [CALL, CALL, CALL, CALL], 1),  # a pair beats it
        ((2, 1, 1), [RAISE, CALL, CALL, RAISE, CALL], -1 - 2 - 4),
        ((1, 1, 0), [RAISE, RAISE, CALL, CALL, CALL], 0),
        ((0, 2, 1), [RAISE, FOLD], 1),  # nobody called: the ante
        ((2, 0, 1), [CALL, RAISE, FOLD], -1),
        ((2, 0, 1), [RAISE, RAISE, FOLD], -1 - 2),
        ((2, 0, 1), [RAISE, RAISE, CALL, RAISE, RAISE, FOLD], -1 - 4 - 4),
        ((2, 0, 1), [CALL, CALL, RAISE, RAISE, CALL], 1 + 8),
    ],
)
def test_who_gets_what(cards, moves, earned):
    world = make_world("LeducPoker")
    state, total = after(world, cards, moves)
    assert world.terminal(world.params, world.purpose, state)
    assert total.tolist() == [earned, -earned]


def test_what_is_legal():
    world = make_world("LeducPoker")
    legal = {
        done: {a for a in range(3) if world.legal(world.params, LeducState(0, 1, NOT_DEALT, index, 0), a)}
        for index, done in enumerate(BETTING[:6])
    }
    assert legal == {
        "": {CALL, RAISE}, "c": {CALL, RAISE}, "r": {FOLD, CALL, RAISE},
        "cr": {FOLD, CALL, RAISE}, "rr": {FOLD, CALL}, "crr": {FOLD, CALL},
    }  # fmt: skip


def test_cards_are_drawn_without_replacement():
    world = make_world("LeducPoker")
    starts = [world.initial(world.params, branch) for branch in range(9)]
    assert sum(p for p, _ in starts) == pytest.approx(1.0)
    assert sum(p for p, s in starts if s.first == s.second) == pytest.approx(1 / 5)
    outcomes = [world.transition(world.params, LeducState(1, 1, NOT_DEALT, 1, 0), CALL, branch) for branch in range(3)]
    assert [p for p, _ in outcomes] == [0.5, 0.0, 0.5]  # both queens are out


def test_stakes_are_settings():
    world = make_world("LeducPoker", ante=3.0, bet_one=1.0, bet_two=10.0)
    assert after(world, (2, 1, 0), [RAISE, CALL, RAISE, CALL])[1][0] == 14
