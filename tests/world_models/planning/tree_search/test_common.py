"""The plan that is made from a tree."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.world_models.planning.interface import SearchTree
from inscape.world_models.planning.tree_search.common import plan_from_tree


def tree(visits: list[int], values: list[float]) -> SearchTree:
    count = np.array([sum(visits) + 1])
    return SearchTree(
        states=np.zeros(1, int), visit_counts=count, depth=np.zeros(1, int), values=np.array([0.25]),
        terminal=np.zeros(1, bool), action_visits=np.array([visits]), action_values=np.array([values]),
    )  # fmt: skip


LEGAL = np.array([True, True, True, False])


def test_the_highest_value_is_proposed_then_the_most_visits() -> None:
    plan = plan_from_tree(tree([5, 9, 2, 0], [0.5, 0.1, 0.5, -np.inf]), 16, LEGAL, 0, "Here")
    assert (plan.action, plan.value) == (0, 0.5)
    np.testing.assert_allclose(plan.action_probs, np.array([5, 9, 2, 0]) / 16)


def test_actions_alike_in_both_are_as_likely() -> None:
    alike = tree([4, 4, 4, 0], [0.5, 0.5, 0.5, -np.inf])
    counts = np.bincount([plan_from_tree(alike, 12, LEGAL, key, "Here").action for key in range(3000)], minlength=4)
    assert counts[3] == 0
    assert np.abs(counts[:3] - 1000).max() < 5 * np.sqrt(3000 * 2 / 9)


def test_a_search_that_tried_nothing_proposes_a_legal_action() -> None:
    nothing = tree([0] * 4, [-np.inf] * 4)
    plans = [plan_from_tree(nothing, 1, LEGAL, key, "Here") for key in range(50)]
    assert {plan.action for plan in plans} == {0, 1, 2}
    assert all(plan.value == 0.25 for plan in plans)
    np.testing.assert_allclose(plans[0].action_probs, LEGAL / 3)


def test_a_root_without_legal_actions_is_refused() -> None:
    with pytest.raises(UsageError, match="Here that is not terminal and has no legal action"):
        plan_from_tree(tree([0] * 4, [-np.inf] * 4), 1, np.zeros(4, bool), 0, "Here")
