"""Retrograde analysis: games of two players with opposite rewards that may go on for ever, which is worth nothing.

From the ends backwards: a player can force a payoff where one of its moves leads to states from which it can, or where
every move of the other does. What neither can force is a draw, by going on for ever.

Sources: Ströhlein (1970), "Untersuchungen über kombinatorische Spiele"; Thompson (1986), "Retrograde analysis of
certain endgames", ICCA Journal 9(3); as attractors: Zielonka (1998), Theoretical Computer Science 200.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inscape.errors import UsageError

Array = np.ndarray[Any, Any]


def retrograde(
    name: str, next_state: Array, probability: Array, legal: Array, paid: Array, terminal: Array, mover: Array
) -> tuple[Array, Array]:
    """Returns `[S]` what the first player earns under best play, and `[S]` moves that bring a forced end nearer.

    Args:
        name: of the game, for messages.
        next_state, probability: `[S, A, K]`; 0 where illegal or over.
        legal: `[S, A]`.
        paid: `[S, A, 2]` rewards.
        terminal: `[S]`.
        mover: `[S]`, −1 where it is over.

    Returns:
        Values, and actions: −1 where nothing is forced. Any best move keeps the value; these also end the game.

    Raises:
        UsageError: chance decides, rewards come before the end, or the players do not earn opposite amounts.
    """
    going = legal & ~terminal[:, None]
    if ((probability > 0).sum(axis=2) > 1)[going].any():
        raise _endless(name, "and chance decides in it")
    if (np.abs(paid.sum(axis=2)) > 1e-9)[going].any():
        raise _endless(name, "and its players do not earn opposite amounts")
    following = np.take_along_axis(next_state, probability.argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
    ends = terminal[following]
    if (paid[:, :, 0] != 0)[going & ~ends].any():
        raise _endless(name, "and it pays before its end")
    payoff = np.where(going & ends, paid[:, :, 0], 0.0)
    values, moves = np.zeros(len(terminal)), np.full(len(terminal), -1)
    settled = terminal.copy()
    for player, sign in ((0, 1.0), (1, -1.0)):
        amounts = np.unique(sign * payoff[going & ends])[::-1]
        for amount in amounts[amounts > 0]:  # the highest first
            enough = going & ends & (sign * payoff >= amount)
            _force(following, going, enough, mover == player, settled, values, moves, sign * amount)
    return values, moves


def _force(
    following: Array, going: Array, enough: Array, own: Array, settled: Array, values: Array, moves: Array, worth: float
) -> None:
    """Settles the states from which the player can force an end that pays `worth` or more, layer by layer."""
    forced = np.zeros(len(own), bool)
    better = settled & (values * worth > 0) & (np.abs(values) >= abs(worth))  # more was forced there before
    while True:
        good = enough | (going & (forced | better)[following])
        can = np.where(own, good.any(axis=1), (good | ~going).all(axis=1))
        new = can & ~settled & going.any(axis=1)
        if not new.any():
            return
        values[new] = worth
        mine = new & own
        moves[mine] = good[mine].argmax(axis=1)
        settled |= new
        forced |= new


def _endless(name: str, why: str) -> UsageError:
    return UsageError(
        f"{name} may go on for ever, {why}",
        expected="gamma < 1, or a game without chance that pays at its end alone, where going on for ever is a draw",
    )
