"""Sequence form against printed values, linear programmes of matrices, and counterfactual regret minimisation."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.worlds.multi_agent.matrix_game import MatrixGame
from inscape.errors import UsageError
from inscape.world_models import GameTree, cfr, sequence_form_equilibrium, zero_sum_equilibrium


def test_kuhn_and_leduc_are_worth_what_is_printed() -> None:
    """−1/18: Kuhn (1950); −0.085606424078: OpenSpiel's sequence form."""
    for name, value in (("KuhnPoker", -1 / 18), ("LeducPoker", -0.085606424078)):
        found = sequence_form_equilibrium(name)
        assert found.returns == pytest.approx([value, -value], abs=1e-9)
        assert found.exploitability < 1e-9 and found.iterations > 0
        assert found.table(0)


def test_the_equilibria_of_kuhn_poker_are_of_the_known_family() -> None:
    found = sequence_form_equilibrium("KuhnPoker")
    tree = found.tree
    bet = {(int(o), *map(int, look)): p[1] for o, look, p in zip(tree.owner, tree.observations, found.policy)}
    alpha = bet[0, 0, 0]
    assert -1e-9 <= alpha <= 1 / 3 + 1e-9
    assert bet[0, 2, 0] == pytest.approx(3 * alpha, abs=1e-9) and bet[0, 1, 0] == pytest.approx(0.0, abs=1e-9)
    assert bet[0, 1, 3] == pytest.approx(alpha + 1 / 3, abs=1e-9)
    assert [bet[1, 0, 1], bet[1, 1, 2]] == pytest.approx([1 / 3, 1 / 3], abs=1e-9)


def test_choosing_at_once_is_a_matrix_game() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 3))
    found = sequence_form_equilibrium(MatrixGame(payoffs=np.stack([rows, -rows])))
    assert found.returns == pytest.approx(zero_sum_equilibrium(rows).values, abs=1e-9)


def test_regret_minimisation_comes_to_the_same_value() -> None:
    tree = GameTree.from_world("KuhnPoker")
    assert cfr(tree, 500).returns == pytest.approx(sequence_form_equilibrium(tree).returns, abs=5e-3)


def test_games_of_another_sum_are_refused() -> None:
    with pytest.raises(UsageError, match="does not add up to 0"):
        sequence_form_equilibrium(MatrixGame(payoffs="stag-hunt"))
