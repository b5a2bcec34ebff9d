"""Bounds by percept: published values, the same as of vectors over all states, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.world_models import BeliefModel, mixed_point_based, point_based
from inscape.world_models.belief.exact import ImpossiblePerceptError


def test_the_tiger_is_worth_what_is_published() -> None:
    found = mixed_point_based(BeliefModel.from_world("Tiger"), 0.95, 1e-3)
    assert found.lower <= 19.3714 <= found.upper + 1e-3 and found.gap <= 1e-3  # Cassandra's tiger.95: 19.3714


@pytest.mark.parametrize("name", ["CheeseMaze", "TMaze"])
def test_both_ways_of_bounding_agree(name: str) -> None:
    model = BeliefModel.from_world(name)
    mixed, plain = mixed_point_based(model, 0.9, 1e-3), point_based(model, 0.9, 1e-3)
    assert mixed.gap <= 1e-3 and mixed.lower <= plain.upper + 1e-9 and plain.lower <= mixed.upper + 1e-9


def test_acting_by_the_bounds_listens_first_and_beliefs_follow_bayes() -> None:
    found = mixed_point_based(BeliefModel.from_world("Tiger"), 0.95, 0.1)
    problem = found.problem
    [(percept, probability, belief)] = problem.starts
    assert probability == 1.0 and found.action_values(percept, belief).argmax() == 0
    model = problem.model
    whole = model.update(model.init(np.array([2])), np.array([0]), np.array([0]))[0]
    heard = int(model.filter.percepts_of(np.array([0]))[0])
    after = problem.update(percept, belief, 0, heard)
    np.testing.assert_allclose(after, whole[problem.order[problem.members(heard)]], atol=1e-12)
    with pytest.raises(ImpossiblePerceptError, match="Tiger"):
        problem.start(heard)
    with pytest.raises(ImpossiblePerceptError, match="Tiger"):
        problem.update(percept, belief, 0, percept)


def test_what_has_no_bounds_is_refused() -> None:
    model = BeliefModel.from_world("Tiger")
    with pytest.raises(UsageError, match="gamma = 1"):
        mixed_point_based(model, 1.0)
    with pytest.raises(UsageError, match="tolerance"):
        mixed_point_based(model, 0.9, 0.0)
