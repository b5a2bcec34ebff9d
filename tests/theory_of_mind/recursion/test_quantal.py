"""Quantal response equilibria: fixed points, against a one-dimensional search, and against Gambit's printed branch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from inscape.errors import UsageError
from inscape.theory_of_mind import Softmax, as_game, level_k, quantal_response
from tests.theory_of_mind.recursion.test_levels import PILE


@pytest.mark.parametrize("beta", [0.0, 0.3, 3.0, 100.0])
def test_everybody_responds_softly_to_everybody(beta: float) -> None:
    rng = np.random.default_rng(0)
    for shape in ((2, 2, 3), (2, 5, 4), (3, 2, 3, 2)):
        game = as_game(rng.normal(size=shape))
        found = quantal_response(game, beta)
        for player in range(game.players):
            answer = game.respond(found, player, Softmax(beta))
            np.testing.assert_allclose(found[player], answer, atol=1e-9)


def test_matching_pennies_with_a_high_stake_is_found_by_search_too() -> None:
    """Matching pennies with 320 and 40 for 80: Goeree & Holt (2001), American Economic Review 91(5)."""
    rows, columns = np.array([[320.0, 40.0], [40.0, 80.0]]), np.array([[40.0, 80.0], [80.0, 40.0]])

    def gap(p: float, beta: float) -> float:
        q = 1 / (1 + np.exp(-beta * ((columns[0, 0] - columns[0, 1]) * p + (columns[1, 0] - columns[1, 1]) * (1 - p))))
        return float(1 / (1 + np.exp(-beta * ((rows[0] - rows[1]) @ [q, 1 - q]))) - p)

    for beta in (0.001, 0.01, 0.1, 1.0):
        assert quantal_response([rows, columns], beta)[0][0] == pytest.approx(brentq(gap, 0, 1, (beta,)), abs=1e-9)
    assert quantal_response([rows, columns], 1e3)[1][0] == pytest.approx(1 / 8, abs=1e-3)  # the Nash equilibrium


def test_the_principal_branch_selects_an_equilibrium() -> None:
    """It goes around turning points where a game has several equilibria: in the stag hunt, to the hares."""
    stag = np.array([[4.0, 0.0], [3.0, 3.0]])
    path = [quantal_response([stag, stag.T], beta)[0][0] for beta in (0.0, 0.5, 1.0, 2.0, 5.0, 50.0)]
    assert path[0] == 0.5 and path[-1] < 1e-12 and all(b < a for a, b in pairwise(path))
    same = np.eye(2)
    assert quantal_response([same, same], 20.0)[0] == pytest.approx([0.5, 0.5], abs=1e-9)


def test_moves_in_turn_are_solved_from_behind() -> None:
    """Where all see everything, level 4 of logit responses has nothing left to guess about four moves."""
    found, levels = quantal_response(PILE, 1.5), level_k(PILE, 6, chooses=1.5)
    for player in range(2):
        np.testing.assert_allclose(found[player], levels.top[player], atol=1e-9)


def test_poker_players_tremble() -> None:
    game = as_game("KuhnPoker")
    found = quantal_response(game, 1.0)
    for player in range(2):
        own = game.tree.owner == player
        np.testing.assert_allclose(game.respond(found, player, Softmax(1.0))[own], found[player][own], atol=1e-9)
    assert game.nash_conv(found) < game.nash_conv((game.uniform(0), game.uniform(1)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: quantal_response([np.eye(2), np.eye(2)], -1.0), "beta is -1.0"),
        (lambda: quantal_response([np.eye(2), np.eye(2)], np.inf), "beta is inf"),
        (lambda: quantal_response([1.0, 2.0], 1.0), "payoffs of shape"),
    ],
)
def test_what_is_no_game_is_refused(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()
