from __future__ import annotations

import numpy as np
import pytest

from inscape.agents.multi_agent.ratings import expected_score, fitted, updated
from inscape.errors import UsageError

# Games won by row against column, American League East, 1987 (13 games each pair): Milwaukee, Detroit, Toronto,
# New York, Boston, Cleveland, Baltimore. Agresti (1990), Categorical Data Analysis, table 10.10 (§10.6).
BASEBALL = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]


def test_expected_scores_by_hand():
    """400 points are odds of ten to one."""
    assert np.isclose(expected_score(400.0, 0.0), 10 / 11)
    assert np.isclose(expected_score(100.0, 300.0) + expected_score(300.0, 100.0), 1.0)
    assert expected_score(50.0, 50.0) == 0.5


def test_the_update_of_a_tournament():
    """The worked example of Wikipedia's "Elo rating system": 1613, five games, 2.5 points where 2.88 were expected."""
    opponents = [1609, 1477, 1388, 1586, 1720]
    assert np.allclose(np.round(expected_score(1613, opponents), 2), [0.51, 0.69, 0.79, 0.54, 0.35])
    after = updated(1613, opponents, [0, 0.5, 1, 1, 0], k=32)
    assert round(after) == 1601
    with pytest.raises(UsageError, match="0.5 for a draw"):
        updated(0.0, [0.0], [2.0])


def test_two_players_by_hand():
    """Three points of four: odds of 3, 400·log10(3) points; how many games gave them does not matter."""
    assert np.allclose(fitted([[0, 1], [3, 0]]), [0, 400 * np.log10(3)])
    assert np.allclose(fitted([[0, 1.0], [2.0, 0]]), fitted([[0, 2.0], [4.0, 0]]))
    # 4 of 4, and a prior draw: 4.5 to 0.5
    assert np.allclose(fitted([[0, 0], [4, 0]], prior_draws=1), [0, 400 * np.log10(9)])


def test_published_strengths_of_seven_teams():
    """Bradley–Terry log-odds against Baltimore: Turner & Firth (2012), J. Statistical Software 48(9)."""
    published = [1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0]
    strength = fitted(BASEBALL, anchor=6) / 400 * np.log(10)
    assert np.allclose(strength, published, atol=5e-5)


def test_the_maximum_is_one():
    """At the fitted ratings everybody's expected points are those scored."""
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 9, (6, 6)) / 2 + np.eye(6, k=1) + np.eye(6, k=-1)
    np.fill_diagonal(scores, 0)
    ratings = fitted(scores, anchor=2)
    expected = (scores + scores.T) * expected_score(ratings[:, None], ratings[None, :])
    assert ratings[2] == 0
    assert np.allclose(expected.sum(axis=1), scores.sum(axis=1))


def test_games_replayed_recover_ratings():
    rng = np.random.default_rng(1)
    true = np.array([0.0, 150.0, -80.0, 320.0])
    games = 4000
    scores = np.zeros((4, 4))
    for i in range(4):
        for j in range(i):
            won = rng.binomial(games, expected_score(true[i], true[j]))
            scores[i, j], scores[j, i] = won, games - won
    assert np.abs(fitted(scores) - true).max() < 15


def test_ratings_that_nothing_determines_are_refused():
    with pytest.raises(UsageError, match="player 0 never scored against player 1"):
        fitted([[0, 0], [4, 0]])
    with pytest.raises(UsageError, match="never scored"):
        fitted([[0, 1, 0], [1, 0, 0], [0, 0, 0]], prior_draws=1)
    with pytest.raises(UsageError, match=r"\[N, N\]"):
        fitted([[0, 1, 2], [1, 0, 2]])
