"""Equilibria of matrix games that are printed in textbooks."""

from __future__ import annotations

import numpy as np
import pytest

from inscape import MissingLawError, UsageError, make_world
from inscape.world_models import correlated_equilibrium, nash_equilibria, payoffs_of, zero_sum_equilibrium


@pytest.mark.parametrize(
    ("payoffs", "value", "first"),
    [
        ([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], 0.0, [1 / 3, 1 / 3, 1 / 3]),
        ([[1, -1], [-1, 1]], 0.0, [0.5, 0.5]),  # matching pennies
        ([[-2, 3], [3, -4]], 1 / 12, [7 / 12, 5 / 12]),  # two-finger Morra: Ferguson, "Game Theory" II, section 1.2
        ([[4, 1, -3], [3, 2, 5], [0, 1, 6]], 2.0, [0, 1, 0]),  # a saddle point: Ferguson II, section 2.1
        ([[2, 3, 1, 5], [4, 1, 6, 0]], 17 / 7, None),  # Ferguson II, section 2.4
        ([[5.0]], 5.0, [1.0]),
    ],
)
def test_zero_sum_games(payoffs, value, first):
    found = zero_sum_equilibrium(payoffs)
    assert found.values == pytest.approx([value, -value], abs=1e-9)
    if first is not None:
        assert found.strategies[0] == pytest.approx(first, abs=1e-9)
    x, y = found.strategies
    assert (x @ np.array(payoffs)).min() == pytest.approx(value, abs=1e-9)
    assert (np.array(payoffs) @ y).max() == pytest.approx(value, abs=1e-9)


def test_the_battle_of_the_sexes():
    """Osborne & Rubinstein (1994), example 15.3 and 34.1: two pure equilibria and (2/3, 1/3), (1/3, 2/3)."""
    found = nash_equilibria([[2, 0], [0, 1]], [[1, 0], [0, 2]])
    assert [e.values.tolist() for e in found[:2]] == [[2, 1], [1, 2]]
    assert found[2].strategies[0] == pytest.approx([2 / 3, 1 / 3])
    assert found[2].strategies[1] == pytest.approx([1 / 3, 2 / 3])
    assert found[2].values == pytest.approx([2 / 3, 2 / 3])
    assert len(found) == 3


def test_a_game_with_one_mixed_equilibrium():
    """Nisan, Roughgarden, Tardos & Vazirani (2007), "Algorithmic Game Theory", example 3.3: three equilibria."""
    found = nash_equilibria([[3, 3], [2, 5], [0, 6]], [[3, 2], [2, 6], [3, 1]])
    expected = [([1, 0, 0], [1, 0]), ([4 / 5, 1 / 5, 0], [2 / 3, 1 / 3]), ([0, 1 / 3, 2 / 3], [1 / 3, 2 / 3])]
    assert len(found) == 3
    for e, (x, y) in zip(found, expected, strict=True):
        assert e.strategies[0] == pytest.approx(x, abs=1e-12)
        assert e.strategies[1] == pytest.approx(y, abs=1e-12)


def test_random_games_have_equilibria_nobody_gains_from_leaving():
    rng = np.random.default_rng(0)
    for _ in range(20):
        A, B = rng.normal(size=(2, 4, 4))
        found = nash_equilibria(A, B)
        assert len(found) % 2 == 1  # Wilson (1971): almost all games have an odd number
        for (x, y), values in found:
            assert (A @ y).max() <= values[0] + 1e-9
            assert (x @ B).max() <= values[1] + 1e-9


def test_aumanns_game_of_chicken():
    """Aumann (1974), section 9: 1/3 each on three outcomes is correlated; the best of all earns 5.25 each."""
    chicken = np.array([[[6, 2], [7, 0]], [[6, 7], [2, 0]]])
    joint, values = correlated_equilibrium(chicken)
    assert values == pytest.approx([5.25, 5.25])
    assert joint == pytest.approx(np.array([[0.5, 0.25], [0.25, 0.0]]))
    _, fair = correlated_equilibrium(chicken, "fairness")
    assert fair.min() == pytest.approx(5.25)
    _, for_the_first = correlated_equilibrium(chicken, [1.0, 0.0])
    assert for_the_first[0] == pytest.approx(7.0)


def test_worlds_as_matrices():
    dilemma = payoffs_of(make_world("PrisonersDilemma", rounds=1))
    (only,) = nash_equilibria(*dilemma)
    assert only.strategies[0].tolist() == [0, 1]
    assert len(nash_equilibria(*payoffs_of("MatrixStagHunt"))) == 3
    assert len(nash_equilibria(*payoffs_of("Schelling"))) == 3
    with pytest.raises(UsageError, match="goes on after a choice"):
        payoffs_of("PrisonersDilemma")
    with pytest.raises(MissingLawError, match="act at once"):
        payoffs_of("TicTacToe")


def test_what_is_no_game_is_refused():
    with pytest.raises(UsageError, match=r"payoffs of shape \[2\]"):
        zero_sum_equilibrium([1, 2])
    with pytest.raises(UsageError, match="finite"):
        zero_sum_equilibrium([[np.nan]])
    with pytest.raises(UsageError, match="the same shape"):
        nash_equilibria([[1, 2]], [[1], [2]])
    with pytest.raises(UsageError, match="13 actions"):
        nash_equilibria(np.zeros((13, 2)), np.zeros((13, 2)))
    with pytest.raises(UsageError, match=r"\[M, A_1"):
        correlated_equilibrium(np.zeros((2, 2)))
    with pytest.raises(UsageError, match="objective = 'best'"):
        correlated_equilibrium(np.zeros((2, 2, 2)), "best")


@pytest.mark.parametrize(("unit", "shift"), [(1e-9, 0.0), (1e-300, 0.0), (1e12, 0.0), (1.0, 1e9)])
def test_units_and_zero_of_payoffs_do_not_matter(unit, shift):
    # with payoffs of 1e-9 tolerances that are absolute let everything pass, and the linear programme gave 0
    first, second = np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])
    found = nash_equilibria(first * unit + shift, second / unit + shift)
    assert [e.strategies[0].tolist() for e in found] == [
        [1, 0], [0, 1], pytest.approx([2 / 3, 1 / 3], abs=1e-6),
    ]  # fmt: skip
    value = zero_sum_equilibrium(np.array([[3.0, -1.0], [-1.0, 1.0]]) * unit + shift).values[0]
    assert value == pytest.approx(unit / 3 + shift, rel=1e-9, abs=0)
    _, earned = correlated_equilibrium(np.array([[[6, 2], [7, 0]], [[6, 7], [2, 0]]]) * unit + shift)
    assert earned == pytest.approx([5.25 * unit + shift] * 2, rel=1e-9, abs=0)


def test_a_range_that_overflows_is_refused():
    with pytest.raises(UsageError, match=r"payoffs from -1.7e\+308 to 1.7e\+308"):
        zero_sum_equilibrium([[1.7e308, -1.7e308]])
