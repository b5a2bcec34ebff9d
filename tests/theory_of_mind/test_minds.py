"""Minds: what makes a hypothesis, and what is none."""

import numpy as np
import pytest

from inscape.envs.worlds.gridworld.grid import GridWorld
from inscape.errors import UsageError
from inscape.theory_of_mind import BACKUPS, PlanningMind, minds_grid
from tests.theory_of_mind.worlds import CorridorPurpose


@pytest.mark.parametrize("beta", [-1.0, -1e-300, float("nan"), float("inf"), "2", None, True])
def test_a_beta_that_is_no_rationality_is_refused(beta):
    with pytest.raises(UsageError, match="beta"):
        PlanningMind("A", beta, "hard")


def test_the_backup_has_no_default_and_must_be_known():
    with pytest.raises(TypeError):
        PlanningMind("A", 1.0)
    with pytest.raises(UsageError, match=r"(?s)backup is 'maxnet'.*did you mean 'maxent'"):
        PlanningMind("A", 1.0, "maxnet")


def test_the_grid_is_the_product_of_its_axes_first_axis_slowest():
    grid = minds_grid({"A": 0, "B": 1}, [0.5, 2], BACKUPS)
    assert len(grid) == 2 * 2 * 3 == len(set(grid))
    assert [mind.goal for mind in grid[::6]] == ["A", "B"]
    assert [mind.beta for mind in grid[:6:3]] == [0.5, 2.0]
    assert [mind.backup for mind in grid[:3]] == list(BACKUPS)


def test_a_bare_entry_is_an_axis_of_one():
    assert minds_grid("AB", 1.0, "hard") == [PlanningMind("AB", 1.0, "hard")]
    purpose = CorridorPurpose(goal=3)
    assert minds_grid(purpose, [1], ["hard"]) == [PlanningMind(purpose, 1.0, "hard")]


@pytest.mark.parametrize("axes", [([], [1], ["hard"]), (["A"], [], ["hard"]), (["A"], [1], [])])
def test_an_empty_axis_is_refused(axes):
    with pytest.raises(UsageError, match="the grid of minds has no"):
        minds_grid(*axes)


def test_minds_with_tables_in_them_compare_by_value():
    one, same, other = (GridWorld(map=rows).params for rows in ("S.G\n...", "S.G\n...", "S>G\n..."))
    assert PlanningMind("G", 1, "hard", one) == PlanningMind("G", 1, "hard", same)
    assert hash(PlanningMind("G", 1, "hard", one)) == hash(PlanningMind("G", 1, "hard", same))
    assert PlanningMind("G", 1, "hard", one) != PlanningMind("G", 1, "hard", other)
    assert PlanningMind("G", 1, "hard", one) != PlanningMind("G", np.float64(2), "hard", one)
