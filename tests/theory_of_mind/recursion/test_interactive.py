"""Levels of players with private types: against a recursion over histories, types and levels, and against level k."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import pytest

from inscape.envs import enumerated_world
from inscape.errors import MissingLawError, UsageError
from inscape.theory_of_mind import Caring, as_game, interactive_levels, level_k
from inscape.world_models import GameTree
from tests.theory_of_mind.recursion.test_levels import PILE

SHARES, GUILT, BETA, ROUNDS = (0.2, 0.8), (0.0, 0.7), 5.0, 2


def paid(sent: int, back: int) -> tuple[float, float]:
    first, second = SHARES[sent], SHARES[back]
    return 1 - first + 3 * first * second, 3 * first * (1 - second)


def trust() -> Any:
    """The investment game: histories are tuples of moves."""

    def pays(history: Any, action: str, after: Any) -> tuple[float, float]:
        return (0.0, 0.0) if len(history) % 2 == 0 else paid(history[-1], int(action))

    return enumerated_world(
        (), ("0", "1"), lambda h, a: (*h, int(a)), pays, over=lambda h: len(h) == 2 * ROUNDS, mover=lambda h: len(h) % 2
    )


WORLD = trust()
TYPES = {player: [Caring(WORLD.purpose, guilt=guilt) for guilt in GUILT] for player in range(2)}
PRIOR = {0: (0.5, 0.5), 1: (0.3, 0.7)}


@functools.cache
def policy(history: tuple[int, ...], kind: int, level: int) -> tuple[float, float]:
    """P(move) of the one who moves, of a type and a level; level 0 is myopic."""
    values = [value(history, move, kind, level) for move in range(2)]
    first = 1 / (1 + math.exp(-BETA * (values[0] - values[1])))
    return first, 1 - first


def believed(history: tuple[int, ...], level: int) -> list[float]:
    """What the one who moves believes of the other's type, whose level is given."""
    other = 1 - len(history) % 2
    weights = [PRIOR[other][kind] for kind in range(2)]
    for t in range(other, len(history), 2):
        weights = [weight * policy(history[:t], kind, level)[history[t]] for kind, weight in enumerate(weights)]
    return [weight / sum(weights) for weight in weights]


@functools.cache
def value(history: tuple[int, ...], move: int, kind: int, level: int) -> float:
    player, after = len(history) % 2, (*history, move)
    worth = 0.0
    if player == 1:
        second, first = paid(history[-1], move)[1], paid(history[-1], move)[0]
        worth = second - GUILT[kind] * max(second - first, 0.0)
    if len(after) == 2 * ROUNDS:
        return worth
    # the other's next move: by a type one is not sure of, a level below; by level 0, at random
    for reply in range(2):
        if level:
            beliefs = believed(history, level - 1)
            chance = sum(p * policy(after, other, level - 1)[reply] for other, p in enumerate(beliefs))
        else:
            chance = 0.5
        now = 0.0
        if player == 0:
            first, second = paid(move, reply)
            now = first - GUILT[kind] * max(first - second, 0.0)
        later = (*after, reply)
        if level and len(later) < 2 * ROUNDS:
            own = policy(later, kind, level)
            now += sum(own[m] * value(later, m, kind, level) for m in range(2))
        worth += chance * now
    return worth


def test_levels_are_those_of_a_recursion_over_histories_types_and_levels() -> None:
    levels = interactive_levels(WORLD, TYPES, 3, chooses=BETA, base="myopic", priors=PRIOR)
    tree = levels.game.tree
    histories = [WORLD.listed[int(look)] for look in tree.observations.ravel()]
    for level in range(4):
        for player in range(2):
            for kind in range(2):
                expected = np.array([policy(history, kind, level) for history in histories])
                own = tree.owner == player
                np.testing.assert_allclose(levels[level][player][kind][own], expected[own], atol=1e-9)


def test_what_one_takes_another_for_follows_from_its_moves() -> None:
    levels = interactive_levels(WORLD, TYPES, 2, chooses=BETA, base="myopic", priors=PRIOR)
    tree = levels.game.tree
    looks = np.array([WORLD.listed[int(look)] for look in tree.observations.ravel()], object)
    about = levels.about(1, 1)
    for n in np.flatnonzero(tree.mover == 0):
        history = looks[tree.information_set[n]]
        assert about[n] == pytest.approx(believed(history, 1), abs=1e-9)
    assert about[0] == pytest.approx(PRIOR[1])


def test_with_one_type_they_are_level_k() -> None:
    tree = GameTree.from_world("KuhnPoker")
    one, levels = interactive_levels(tree, {}, 4), level_k(as_game(tree), 4)
    for level in range(5):
        for player in range(2):
            np.testing.assert_allclose(one[level][player][0], levels[level][player], atol=1e-12)
    assert one.game.nash_conv(one.population(4)) == pytest.approx(levels.game.nash_conv(levels[4]))
    assert len(one) == 5 and one.top is one[4]


def test_policies_as_level_0() -> None:
    tree = GameTree.from_world("KuhnPoker")
    first = np.eye(2)[np.zeros(tree.num_information_sets, int)]
    given = interactive_levels(tree, {0: [None, Caring(None, envy=0.5)]}, 1, base={0: first, 1: first})
    assert given[0][0].shape == (2, *first.shape)
    by_level_k = level_k(as_game(tree), 1, base={0: first, 1: first})
    np.testing.assert_allclose(given[1][1][0], by_level_k[1][1])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: interactive_levels(WORLD, TYPES, -1), "level -1"),
        (lambda: interactive_levels(WORLD, {2: [None]}, 1), "players 0 to 1"),
        (lambda: interactive_levels(WORLD, {0: []}, 1), "types of player 0"),
        (lambda: interactive_levels(WORLD, {0: ["guilty"]}, 1), "types of player 0"),
        (lambda: interactive_levels(WORLD, {0: [Caring("gold")]}, 1), "the goal 'gold'"),
        (lambda: interactive_levels(WORLD, TYPES, 1, priors={0: [0.5, 0.6]}), "the prior"),
        (lambda: interactive_levels(WORLD, TYPES, 1, base="random"), "base = 'random'"),
        (lambda: interactive_levels(WORLD, TYPES, 1, base={0: np.ones((3, 10, 2))}), "for every player"),
        (lambda: interactive_levels(WORLD, TYPES, 1, chooses="worst"), "chooses = 'worst'"),
        (lambda: interactive_levels(WORLD, TYPES, 1).about(2, 0), "player 2"),
        (lambda: interactive_levels(PILE, {0: [Caring(PILE.purpose, ((0, 1.0),))]}, 1), "cares for player 0"),
    ],
)
def test_what_are_no_levels_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_worlds_of_one_player_are_refused() -> None:
    with pytest.raises(MissingLawError):
        interactive_levels("FrozenLake", {}, 1)
