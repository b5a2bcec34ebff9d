from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inscape import make_world, solve
from inscape.errors import MissingLawError, UsageError
from inscape.world_models import (
    CEM,
    MPPI,
    POMCP,
    PUCT,
    UCT,
    ActiveInference,
    AlphaBeta,
    BeliefModel,
    Gumbel,
    ParticleModel,
    Plan,
    Plans,
    TabularModel,
    game_values,
    joint_plan,
    shaped,
)
from inscape.world_models.planning.interface import SearchTree, evaluated


def tree_of(root: int) -> SearchTree:
    one = np.ones(1)
    return SearchTree(np.array([root]), one, one, one, np.zeros(1, bool), np.ones((1, 2)), np.ones((1, 2)))


def test_single_plans_become_a_batch_and_come_out_again() -> None:
    rows = [
        Plan(k, np.array([0.5, k]), np.array([1, 2]), float(k), tree_of(k), 3, np.array([1 / 3, 2 / 3]), {"depth": k})
        for k in range(2)
    ]
    plans = Plans.of(rows)
    assert len(plans) == 2
    assert plans.actions.tolist() == [0, 1]
    assert plans.actions.dtype.kind == "i"
    for row, plan in zip(rows, plans, strict=True):
        assert type(plan.action) is int
        assert (plan.action, plan.value, plan.simulations, plan.tree) == (row.action, row.value, 3, row.tree)
        assert plan.metrics == {"depth": float(row.action)}
        np.testing.assert_array_equal(plan.action_values, row.action_values)
        np.testing.assert_array_equal(plan.action_probs, row.action_probs)
    last = plans[1:]
    assert isinstance(last, Plans)
    assert last[0].tree is rows[1].tree
    assert plans[-1].action == 1
    with pytest.raises(IndexError):
        plans[2]


def test_a_planner_of_continuous_actions_fills_in_what_it_has() -> None:
    plans = Plans(np.array([[0.1, -0.2], [0.3, 0.4]]), np.array([1.0, 2.0]), metrics={"elite": np.array([3.0, 4.0])})
    np.testing.assert_array_equal(plans[1].action, [0.3, 0.4])
    assert plans[1].metrics == {"elite": 4.0}
    assert plans.action_values.shape == plans.visit_counts.shape == (2, 0)
    assert plans[0].tree is None
    assert list(zip(plans[0].visit_counts, plans[0].action_values, strict=True)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": np.zeros(3)},
        {"action_values": np.zeros((3, 2))},
        {"metrics": {"elite": np.zeros(3)}},
        {"trees": (tree_of(0),)},
    ],
)
def test_rows_that_disagree_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="plans with"):
        Plans(**{"actions": np.zeros(2, np.int64), "values": np.zeros(2), **wrong})
    with pytest.raises(UsageError, match="no plan"):
        Plans.of([])


def test_evaluations_are_checked_whole_batches_at_a_time() -> None:
    states = np.arange(3)
    values, prior = evaluated(lambda s: (s, np.array([[0.0, -np.inf]] * 3)), states, 1, 2)
    np.testing.assert_array_equal(values, [[0.0], [1.0], [2.0]])
    assert prior is not None
    assert evaluated(lambda s: (np.zeros((3, 2)), None), states, 2, 4)[0].shape == (3, 2)
    with pytest.raises(UsageError, match=r"expected: \[3, 2\] finite values"):
        evaluated(lambda s: (np.zeros(3), None), states, 2, 4)
    with pytest.raises(UsageError, match="prior logits"):
        evaluated(lambda s: (s, np.full((3, 2), -np.inf)), states, 1, 2)


def test_the_only_plan_is_read_without_an_index():
    one = Plans(np.array([2]), np.array([0.5]))
    assert (one.action, one.value, one.tree) == (2, 0.5, None)
    two = Plans(np.array([2, 1]), np.array([0.5, 0.1]))
    with pytest.raises(UsageError, match="2 plans"):
        _ = two.action


WORLD = make_world("FrozenLake")
HIDDEN = BeliefModel.from_world("Tiger")


@pytest.mark.parametrize("rng", [None, 0, np.random.RandomState(0), "0"])
@pytest.mark.parametrize(
    "planner",
    [UCT(8), PUCT(8), Gumbel(8), CEM(horizon=2), MPPI(horizon=2), POMCP(8), ActiveInference(1)],
    ids=lambda planner: type(planner).__name__,
)
def test_a_seed_is_no_generator(planner: Any, rng: Any) -> None:
    model = HIDDEN if isinstance(planner, POMCP | ActiveInference) else WORLD
    states = HIDDEN.init(np.array([2])) if model is HIDDEN else WORLD.pack([WORLD.State(cell=0)])
    with pytest.raises(UsageError, match="expected: a numpy.random.Generator"):
        planner.plan(model, states, rng)


@pytest.mark.parametrize(
    "asked",
    [
        lambda gamma: solve("FrozenLake", gamma),
        lambda gamma: solve("Tiger", gamma),
        lambda gamma: solve("Tiger", gamma, horizon=2),
        lambda gamma: UCT(gamma=gamma),
        lambda gamma: PUCT(gamma=gamma),
        lambda gamma: POMCP(gamma=gamma),
        lambda gamma: AlphaBeta(gamma=gamma),
        lambda gamma: ActiveInference(gamma=gamma),
        lambda gamma: game_values("TicTacToe", gamma),
        lambda gamma: joint_plan("DecTiger", 1, gamma),
        lambda gamma: shaped(TabularModel.from_world("FrozenLake"), np.zeros(16), gamma),
    ],
)
def test_a_discount_is_a_number(asked: Any) -> None:
    for gamma in ("0.9", [0.9], 0.9j, np.array([0.9]), np.nan, 1.5):
        with pytest.raises(UsageError, match="gamma = "):
            asked(gamma)


def test_tables_and_beliefs_are_made_from_names_and_classes() -> None:
    swim = make_world("RiverSwim")
    for given in ("RiverSwim", type(swim), swim.env()):
        assert TabularModel.from_world(given).num_states == 6
    assert ParticleModel("Tiger").world.name == "Tiger"
    with pytest.raises(MissingLawError, match="CartPole-v1 has no law to tabulate"):
        TabularModel.from_world("CartPole-v1")
    with pytest.raises(UsageError, match="tolerance = 'x'"):
        solve("FrozenLake", 0.9, tolerance="x")  # type: ignore[arg-type]
