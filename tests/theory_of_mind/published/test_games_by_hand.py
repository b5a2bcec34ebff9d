"""Games whose source prints no number, or fewer: recomputed without Inscape's planners, to six digits."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from tests.theory_of_mind.published.programs import run
from tests.theory_of_mind.published.recursions import softmax


def rows(weights: np.ndarray) -> np.ndarray:
    """Returns weights divided by the sum of their row."""
    return weights / weights.sum(axis=-1, keepdims=True)


def test_levels_in_kuhn_poker_are_best_responses_by_hand() -> None:
    """By all 64 plans of each player; against uniform play, both gain 11/12."""
    cards = list(itertools.permutations(range(3), 2))

    def played(first: Any, second: Any) -> float:
        """What the first player wins: functions of (card, what was done before) → probability of betting."""
        total = 0.0
        for mine, yours in cards:
            sign = 1.0 if mine > yours else -1.0
            bet, after_pass, after_bet = first(mine, 0), second(yours, 1), second(yours, 2)
            call = first(mine, 3)
            total += bet * (after_bet * 2 * sign + (1 - after_bet))
            total += (1 - bet) * ((1 - after_pass) * sign + after_pass * (call * 2 * sign - (1 - call)))
        return total / 6

    def best(other: Any, first: bool) -> float:
        found = -np.inf
        places = [(card, stage) for card in range(3) for stage in ((0, 3) if first else (1, 2))]
        for plan in itertools.product((0.0, 1.0), repeat=6):
            own = dict(zip(places, plan))
            mine = lambda card, stage, own=own: own[card, stage]  # noqa: E731
            found = max(found, played(mine, other) if first else -played(other, mine))
        return found

    half = lambda card, stage: 0.5  # noqa: E731
    assert best(half, True) + best(half, False) == pytest.approx(run("kuhn_poker")["convs"][0], abs=1e-6)
    levels = run("kuhn_poker")["levels"]
    look = {
        (int(o), *map(int, s)): i for i, (o, s) in enumerate(zip(levels.game.tree.owner, levels.game.tree.observations))
    }
    for level in range(1, 6):
        policies = levels[level]
        first, second = (
            lambda card, stage, p=policies[player], player=player: p[look[player, card, stage], 1]
            for player in range(2)
        )
        gain = best(second, True) + best(first, False)  # a zero-sum game: what both earn cancels
        assert gain == pytest.approx(run("kuhn_poker")["convs"][level], abs=1e-6)


def test_stag_hunt() -> None:
    """Mixed: 4 p = 3."""
    found = sorted((float(policy[0]), float(worth)) for policy, worth in run("stag_hunt")["equilibria"])
    assert found == [(0.0, 3.0), pytest.approx((0.75, 3.0)), (1.0, 4.0)]


def test_noisy_hawks() -> None:
    def gap(p: float) -> float:
        return 1 / (1 + math.exp(0.1 * (15 * (1 - p) - (-25 * p + 50 * (1 - p))))) - p

    assert run("hawks_and_doves")["noisy"] == pytest.approx(brentq(gap, 0, 1), abs=1e-6)


def test_second_level_of_a_beauty_contest() -> None:
    assert run("beauty_contest")["second"] == pytest.approx(2 / 3 * (0.4 * 50 + 0.6 * 100 / 3), abs=1e-6)


def test_newspaper() -> None:
    mean, guesses = 50.0, np.arange(101)
    for level in range(11):
        weights = np.exp(-np.abs(guesses - 2 / 3 * mean))
        mean = float(guesses @ weights / weights.sum())
        assert run("newspaper")["means"][level] == pytest.approx(mean, abs=1e-6)
    assert run("newspaper")["modes"] == [33, 22, 15, 10, 7]


def test_centipede() -> None:
    """Backwards through the four nodes; the larger pile is with who may take it."""
    ends = [(0.4, 0.1), (0.2, 0.8), (1.6, 0.4), (0.8, 3.2), (6.4, 1.6)]

    def value(node: int, player: int, takes: list[float]) -> float:
        if node == 4:
            return ends[4][player]
        return takes[node] * ends[node][player] + (1 - takes[node]) * value(node + 1, player, takes)

    takes = [0.5] * 4
    for level in range(1, 7):
        before, takes = takes, list(takes)
        for player in range(2):
            mine = list(before)
            for node in reversed(range(player, 4, 2)):
                mine[node] = float(ends[node][player] > value(node + 1, player, mine))
                takes[node] = mine[node]
        assert run("centipede")["takes"][level] == pytest.approx(takes, abs=1e-6)
    noisy = [0.0] * 4
    for node in reversed(range(4)):
        gain = ends[node][node % 2] - value(node + 1, node % 2, noisy)
        noisy[node] = 1 / (1 + math.exp(-2.0 * gain))
    assert run("centipede")["noisy_takes"] == pytest.approx(noisy, abs=1e-6)
    assert run("centipede")["conv"] == pytest.approx(0.0, abs=1e-9)  # level 4 and above take at once, as all equilibria


def test_takeaway() -> None:
    @functools.cache
    def worth(n: int) -> float:
        return -1.0 if n == 0 else sum(-p * worth(n - m) for m, p in chosen(n).items())

    @functools.cache
    def chosen(n: int) -> dict[int, float]:
        return softmax({m: -worth(n - m) for m in (1, 2) if m <= n}, 10.0)

    assert run("takeaway")["ones"] == pytest.approx([chosen(n)[1] for n in range(1, 11)], abs=1e-6)
    likelihood, expected = 1.0, []
    for n, m in ((10, 1), (9, 1), (8, 2)):
        likelihood *= chosen(n)[m] / 0.5
        expected.append(likelihood / (1 + likelihood))
    assert run("takeaway")["trick"] == pytest.approx(expected, abs=1e-6)


def test_tic_tac_toe() -> None:
    lines = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))

    def won(board: str, player: str) -> bool:
        return any(all(board[i] == player for i in line) for line in lines)

    def put(board: str, at: int, player: str) -> str:
        return board[:at] + player + board[at + 1 :]

    @functools.cache
    def outcome(board: str, mover: str, judge: str) -> float:
        """Utility of the judge once `mover` is to move, everybody planning."""
        if won(board, "x") or won(board, "o") or "?" not in board:
            return 10.0 * won(board, judge) - 10.0 * (not won(board, judge) and (won(board, "x") or won(board, "o")))
        return sum(p * outcome(put(board, m, mover), "xo"[mover == "x"], judge) for m, p in act(board, mover).items())

    @functools.cache
    def act(board: str, mover: str) -> dict[int, float]:
        other = "xo"[mover == "x"]
        worth = {m: outcome(put(board, m, mover), other, mover) for m in range(9) if board[m] == "?"}
        return softmax(worth, 1.0)

    planning = act("o????x???", "o")
    assert run("tic_tac_toe")["planning"] == pytest.approx([planning.get(m, 0.0) for m in range(9)], abs=1e-6)
    # one move ahead: 10 for the row, 0 for each of the four other squares
    win = math.exp(10) / (math.exp(10) + 4)
    expected = [0, 0, (1 - win) / 4, win, 0, 0, *[(1 - win) / 4] * 3]
    assert run("tic_tac_toe")["one_ahead"] == pytest.approx(expected, abs=1e-6)


def test_ultimatum() -> None:
    offers = np.linspace(0, 1, 100)
    accepts = 1 / (1 + np.exp(-50 * offers))
    weights = np.exp(50 * (1 - offers) * accepts)
    assert run("ultimatum")["accepted"] == pytest.approx(accepts, abs=1e-6)
    assert run("ultimatum")["offered"] == pytest.approx(weights / weights.sum(), abs=1e-6)


def test_travelers() -> None:
    claims = np.arange(2, 101)
    paid = np.array([[min(a, b) + (2 if a < b else -2 if a > b else 0) for b in claims] for a in claims], float)
    assert run("travelers")["random"] == claims[paid.mean(axis=1).argmax()]
    assert run("travelers")["ladder"][:5] == [100, 99, 98, 50, 2]
    soft = np.full(99, 1 / 99)
    for _ in range(1_500):
        weights = np.exp(0.5 * (paid @ soft - (paid @ soft).max()))
        soft = 0.9 * soft + 0.1 * weights / weights.sum()
    assert run("travelers")["soft"] == pytest.approx(claims @ soft, abs=1e-6)


def test_wits() -> None:
    assert run("wits")["picks"] == ["near Westley", "near Vizzini"] * 2 + ["near Westley"]
    assert run("wits")["settled"] == pytest.approx([0.5, 0.5], abs=1e-6)
