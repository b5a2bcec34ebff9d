"""Minds: what makes a hypothesis, and what is none."""

import copy
import pickle

import numpy as np
import pytest

from inscape.envs.worlds.gridworld.grid import GridWorld
from inscape.errors import UsageError
from inscape.theory_of_mind import (
    BACKUPS,
    Best,
    InTurn,
    Observer,
    Planning,
    PlanningMind,
    Sees,
    Softmax,
    grid,
    minds_grid,
)
from tests.theory_of_mind.worlds import Corridor, CorridorPurpose


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


ENDS = ("left end", "right end")


def test_a_grid_of_parts_is_their_product_with_a_prior():
    minds = grid(
        wants=[*ENDS, InTurn(ENDS)],
        chooses=[Softmax(1.0), Softmax(4.0, lapse=0.1), Best()],
        plans=Planning("hard"),
        believes=[None, Sees()],
        prior=lambda mind: 2.0 if mind.wants == "left end" else 1.0,
    )
    assert len(minds) == 3 * 3 * 2 == len(set(minds))
    assert [mind.wants for mind in minds[::6]] == [*ENDS, InTurn(ENDS)]
    np.testing.assert_allclose(minds.prior, [2 / 24] * 6 + [1 / 24] * 12)
    watch = Observer(Corridor(), minds)
    assert watch.marginal("wants")["left end"] == pytest.approx(0.5)
    assert watch.marginal("chooses.lapse")[0.1] == pytest.approx(1 / 3)
    assert Observer(Corridor(), minds, prior=np.full(18, 1 / 18)).marginal("wants")["left end"] == pytest.approx(1 / 3)


def test_a_grid_of_the_short_form_is_the_grid_of_parts():
    short = minds_grid(ENDS, [1.0, 2.0], "hard")
    assert short == list(grid(wants=ENDS, chooses=[Softmax(1.0), Softmax(2.0)], plans=[Planning("hard")]))
    assert short[1].beta == 2.0 and short[1].backup == "hard" and short[1].goal == "left end"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"chooses": []}, "no chooses"),
        ({"prior": [1.0]}, "one weight for each of the 2 minds"),
        ({"prior": [-1.0, 2.0]}, "at least 0"),
        ({"prior": lambda mind: 0.0}, "not all 0"),
    ],
)
def test_a_grid_that_is_none_is_refused(changed, said):
    given = {"wants": ENDS, "chooses": Best(), "plans": Planning("hard")} | changed
    with pytest.raises(UsageError, match=said):
        grid(**given)


def test_a_prior_does_not_outlive_a_change_of_its_grid():
    world = Corridor()
    minds = grid(wants=["left end", "right end"], chooses=Best(), plans=Planning("hard"), prior=[1.0, 3.0])
    for same in (minds, copy.copy(minds), pickle.loads(pickle.dumps(minds)), copy.deepcopy(minds)):
        assert Observer(world, same).posterior() == pytest.approx([0.25, 0.75])
    minds.reverse()
    with pytest.raises(UsageError, match="changed since"):
        Observer(world, minds)
    assert Observer(world, minds, prior=[0.75, 0.25]).posterior() == pytest.approx([0.75, 0.25])
    minds.pop()
    with pytest.raises(UsageError, match="changed since"):
        Observer(world, minds)
    assert Observer(world, list(minds)).posterior().tolist() == [1.0]
