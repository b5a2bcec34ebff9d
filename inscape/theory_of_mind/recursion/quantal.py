"""Logit quantal response equilibria: everybody chooses softly, and knows that all others do.

Sources: McKelvey & Palfrey (1995), "Quantal response equilibria for normal form games", Games and Economic Behavior
10(1); of moves in turn (agent quantal response): the same (1998), Experimental Economics 1(1); following the principal
branch: Turocy (2005), "A dynamic homotopy interpretation of the logistic quantal response equilibrium correspondence",
Games and Economic Behavior 51(2).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.parts.choosing import Softmax
from inscape.theory_of_mind.parts.numbers import finite_number
from inscape.theory_of_mind.recursion.games import Game, OneShot, Policies, as_game

CONVERGED = 1e-12
STEPS = 100_000
ROUNDS = 20_000
SMALLEST = 1e-10


def quantal_response(game: Any, beta: float, gamma: float | None = None) -> Policies:
    """Returns the logit equilibrium at rationality β, one array for each player: π_i(a) ∝ exp(β·u_i(a, π_{−i})).

        quantal_response([rows, rows.T], 2.0)                               of the principal branch

    In a game of one choice the branch that begins at β = 0, where all are uniform, is followed to β, around its turning
    points. In games of several moves every decision is a player of its own who responds softly (agent quantal
    response): responses are repeated, from β = 0 in steps, until they are stable.

    Args:
        game: payoffs, a world of several players, its name, a `GameTree` (see `as_game`).
        beta: rationality, at least 0, per unit of payoff.
        gamma: discount; None: the world's own.

    Raises:
        UsageError: beta is negative or no number; the branch cannot be followed that far, or responses do not settle.
        MissingLawError: no game of several players whose law is known.
    """
    rationality = finite_number("beta", beta, "per unit of payoff")
    found = as_game(game, gamma)
    return _branch(found, rationality) if isinstance(found, OneShot) else _responses(found, rationality)


# ------------------------------------------------------------------------------------------- games of one choice


def _branch(game: OneShot, beta: float) -> Policies:
    """Follows the curve (log π, β') from β' = 0 by its tangent, corrected by Newton's method."""
    range_of = max(float(np.ptp(payoff)) for payoff in game.payoffs) or 1.0
    scaled = OneShot(np.array([payoff / range_of for payoff in game.payoffs]), game.name)
    goal = beta * range_of
    sizes = game.payoffs.shape[1:]
    point = np.append(np.concatenate([np.full(size, -math.log(size)) for size in sizes]), 0.0)
    direction = np.zeros(len(point))
    direction[-1] = 1.0
    step = 0.03
    for _ in range(STEPS):
        if point[-1] >= goal:
            break
        direction = _tangent(_jacobian(scaled, point, sizes), direction)
        guess = point + step * direction
        if direction[-1] > 0 and guess[-1] > goal:  # the last step ends at β
            guess = point + (goal - point[-1]) / direction[-1] * direction
            corrected = _corrected(scaled, guess, sizes, fixed=True)
        else:
            corrected = _corrected(scaled, guess, sizes, fixed=False)
        if corrected is None or np.linalg.norm(corrected - guess) > 0.3 * max(step, 0.01):
            step *= 0.5
            if step < SMALLEST:
                raise UsageError(
                    f"the branch of {game.name} ends at beta = {point[-1] / range_of:g}", expected="below it"
                )
            continue
        point, step = corrected, step * 1.2
    else:
        raise UsageError(
            f"the branch of {game.name} is long: beta = {point[-1] / range_of:g}", expected="a smaller beta"
        )
    return tuple(np.exp(part) / np.exp(part).sum() for part in np.split(point[:-1], np.cumsum(sizes)[:-1]))


def _residual(game: OneShot, point: Array, sizes: tuple[int, ...]) -> Array:
    logs = np.split(point[:-1], np.cumsum(sizes)[:-1])
    policies = tuple(np.exp(part) for part in logs)
    parts = []
    for player, part in enumerate(logs):
        values = game.values(policies, player)
        parts.append(part[1:] - part[0] - point[-1] * (values[1:] - values[0]))
        parts.append([policies[player].sum() - 1.0])
    return np.concatenate(parts)


def _jacobian(game: OneShot, point: Array, sizes: tuple[int, ...]) -> Array:
    """Returns `[n, n + 1]`: rows as in `_residual`, columns log π of all players and β."""
    starts = np.concatenate([[0], np.cumsum(sizes)])
    policies = tuple(np.exp(part) for part in np.split(point[:-1], starts[1:-1]))
    found = np.zeros((len(point) - 1, len(point)))
    for player, size in enumerate(sizes):
        rows = slice(starts[player], starts[player] + size - 1)
        values = game.values(policies, player)
        found[rows, -1] = -(values[1:] - values[0])
        found[rows, starts[player]] = -1.0
        found[rows, starts[player] + 1 : starts[player + 1]] = np.eye(size - 1)
        found[starts[player] + size - 1, starts[player] : starts[player + 1]] = policies[player]
        for other in range(len(sizes)):
            if other != player:
                table = game.payoffs[player]
                for third in reversed(range(len(sizes))):
                    if third not in (player, other):
                        table = np.tensordot(table, policies[third], axes=([third], [0]))
                change = (table if player < other else table.T) * policies[other]
                found[rows, starts[other] : starts[other + 1]] = -point[-1] * (change[1:] - change[0])
    return found


def _tangent(jacobian: Array, before: Array) -> Array:
    _, _, rows = np.linalg.svd(jacobian)
    found = rows[-1]
    return np.asarray(found if found @ before >= 0 else -found)


def _corrected(game: OneShot, guess: Array, sizes: tuple[int, ...], fixed: bool) -> Array | None:
    """Returns the nearest point of the curve, at the same β if `fixed`; None if Newton's method does not find it."""
    point = guess.copy()
    for _ in range(30 if fixed else 8):
        residual = _residual(game, point, sizes)
        if not np.isfinite(residual).all():
            return None
        if np.abs(residual).max() < CONVERGED * max(1.0, np.abs(point).max()):
            return point
        jacobian = _jacobian(game, point, sizes)
        if fixed:
            jacobian = jacobian[:, :-1]
        change = np.linalg.lstsq(jacobian, residual, rcond=None)[0]
        point[: len(change)] -= change
    return None


# ----------------------------------------------------------------------------------------- games of several moves


def _responses(game: Game, beta: float) -> Policies:
    policies: Policies = tuple(game.uniform(player) for player in range(game.players))
    for part in np.linspace(0.0, beta, 9)[1:] if beta else []:
        choice, weight, before = Softmax(float(part)), 1.0, np.inf
        for _ in range(ROUNDS):
            answers = tuple(game.respond(policies, player, choice) for player in range(game.players))
            change = max(float(np.abs(a - p).max()) for a, p in zip(answers, policies))
            if change < CONVERGED:
                break
            weight = max(weight * 0.7, 1e-3) if change > before else min(weight * 1.02, 1.0)
            policies, before = tuple(p + weight * (a - p) for a, p in zip(answers, policies)), change
        else:
            raise UsageError(
                f"soft responses in {game.name} at beta = {part:g} still change by {change:.2g}",
                expected="a smaller beta",
            )
        policies = answers
    return policies
