"""Elo ratings: how strong players are, from games among them.

A player rated R_a scores E = 1/(1 + 10^((R_b − R_a)/400)) on average against one rated R_b, where a win scores 1, a
draw ½ and a loss 0. Two ways to ratings: `updated` moves them after each game, `fitted` finds those that make all
games together most probable.

Sources: Elo (1978), "The Rating of Chessplayers, Past and Present", §§1.4–1.6; Bradley & Terry (1952), "Rank analysis
of incomplete block designs: I", Biometrika 39(3/4), the same model with strengths 10^(R/400).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inscape.errors import UsageError

Array = NDArray[np.float64]
SCALE = 400 / np.log(10)
"""Elo points per unit of log-odds."""


def expected_score(rating: ArrayLike, opponent: ArrayLike) -> Array:
    """Returns the mean score E = 1/(1 + 10^((R_b − R_a)/400)) of one rated R_a against one rated R_b."""
    return np.asarray(1 / (1 + 10 ** ((np.asarray(opponent) - np.asarray(rating)) / 400)))


def updated(rating: float, opponents: ArrayLike, scores: ArrayLike, k: float = 32.0) -> float:
    """Returns the rating R + k·Σ(S − E) after games that are rated together.

    Args:
        rating: R, before them.
        opponents: `[n]` the opponents' ratings.
        scores: `[n]` S of each game: 1 won, ½ drawn, 0 lost.
        k: how far one game may move it.

    Raises:
        UsageError: a score outside [0, 1].
    """
    scored = np.asarray(scores, np.float64)
    if not ((scored >= 0) & (scored <= 1)).all():
        raise UsageError(f"scores {scored.tolist()}", expected="1 for a win, 0.5 for a draw, 0 for a loss")
    return float(rating + k * (scored - expected_score(rating, opponents)).sum())


def fitted(scores: ArrayLike, anchor: int = 0, prior_draws: float = 0.0) -> Array:
    """Returns `[N]` Elo ratings that make the scores most probable, those of the `anchor` being 0.

    A draw counts as half a win and half a loss. The log-likelihood Σ S_ij·log E_ij is concave in the ratings; its
    maximum is found by Newton's method, and exists where no group of players lost all points to the rest. With
    `prior_draws` it exists whenever games connect everybody.

    Args:
        scores: `[N, N]` S_ij, what i scored against j, over all their games.
        anchor: whose rating is 0.
        prior_draws: draws added to each pair that met, so that a player who won all games has a finite rating.

    Raises:
        UsageError: the table is not square or has negative entries, or does not determine the ratings.

    Source: Bradley & Terry (1952); existence: Ford (1957), American Mathematical Monthly 64(8), part 2.
    """
    table = np.array(scores, np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not (table >= 0).all() or not np.isfinite(table).all():
        raise UsageError(f"scores of shape {table.shape}", expected="[N, N], none below 0")
    np.fill_diagonal(table, 0.0)
    games = table + table.T
    table += 0.5 * prior_draws * (games > 0)
    games = table + table.T
    _require_determined(table)
    others = np.arange(len(table)) != anchor
    strength, log_odds = np.zeros(len(table)), table.sum(axis=1)
    for _ in range(200):
        expected = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
        slope = log_odds - (games * expected).sum(axis=1)
        weight = games * expected * expected.T
        curvature = np.diag(weight.sum(axis=1)) - weight
        step = np.zeros(len(table))
        step[others] = np.linalg.solve(curvature[np.ix_(others, others)], slope[others])
        # full steps may leap over the maximum where the curvature is small
        strength += step / max(1.0, np.abs(step).max())
        if np.abs(step).max(initial=0.0) < 1e-10:
            break
    return np.asarray(strength * SCALE)


def _require_determined(table: Array) -> None:
    """Refuses scores under which somebody's rating would run off to infinity."""
    count = len(table)
    reached = (table > 0) | np.eye(count, dtype=bool)
    for _ in range(max(1, count.bit_length())):
        reached = reached @ reached
    if not reached.all():
        better, worse = np.argwhere(~reached.T)[0]
        raise UsageError(
            f"player {worse} never scored against player {better}, directly or by way of others: their difference "
            "has no most probable value",
            expected="scores that connect everybody both ways",
            hint="prior_draws=1, a draw added to each pair that met",
        )
