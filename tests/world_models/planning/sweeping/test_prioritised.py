"""Prioritised sweeping: the values of value iteration, where there is something to change first."""

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.world_models import TabularModel, prioritized_sweeping, solve, value_iteration
from tests.world_models.helpers import random_model


@pytest.mark.quick(every=5)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gamma", [0.0, 0.9, 0.99])
def test_values_are_those_of_value_iteration(seed, gamma):
    model = random_model(seed, states=20)
    found = prioritized_sweeping(model, gamma, 1e-7)
    assert found.error_bound <= 1e-7
    np.testing.assert_allclose(found.values, value_iteration(model, gamma, 1e-9).values, atol=1.1e-7)


def test_a_corridor_takes_one_backup_a_state():
    """From the goal outwards, each state once; sweeps in the order of states would take 200."""
    steps = np.minimum(np.arange(200) + 1, 199)
    P = np.zeros((1, 200, 200))
    P[0, np.arange(200), steps] = 1.0
    model = TabularModel.from_arrays(P, (np.arange(200) == 198).astype(float), terminal=[199], layout="ASS")
    found = prioritized_sweeping(model, 0.99)
    assert found.iterations == 1
    np.testing.assert_allclose(found.values[:199], 0.99 ** np.arange(198, -1, -1))


def test_it_says_how_far_it_got_and_is_a_method_of_solve():
    model = random_model(0, states=20)
    cut = prioritized_sweeping(model, 0.99, 1e-9, max_iterations=1)
    exact = value_iteration(model, 0.99, 1e-10).values
    assert 1e-9 < np.abs(cut.values - exact).max() <= cut.error_bound
    by_name = solve(model, 0.99, method="prioritized-sweeping")
    np.testing.assert_allclose(by_name.values, exact, atol=1.1e-6)


def test_bad_input():
    with pytest.raises(UsageError, match="tolerance = 0"):
        prioritized_sweeping(random_model(0), 0.9, 0.0)
    loop = TabularModel.from_arrays(np.eye(2)[None], np.zeros(2), layout="ASS")
    with pytest.raises(UsageError, match="goes on for ever"):
        prioritized_sweeping(loop, 1.0)
