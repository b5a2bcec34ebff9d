"""What an observer refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.theory_of_mind import PlanningMind
from inscape.theory_of_mind.observers.checks import check_fresh, check_gamma, check_prior

MINDS = (PlanningMind("A", 1.0, "hard"), PlanningMind("B", 1.0, "hard"))


def test_a_prior_is_a_distribution_over_the_minds() -> None:
    assert check_prior(None, MINDS).tolist() == [0.5, 0.5]
    assert check_prior([1, 0], MINDS).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ([1.0], r"a prior of shape \(1,\)(.|\n)*the 2 minds"),
        ([[0.5, 0.5]], r"a prior of shape \(1, 2\)"),
        ([1.5, -0.5], r"the prior of the mind \(.*B.*\) is -0\.5"),
        ([np.nan, 1.0], r"the prior of the mind \(.*A.*\) is nan"),
        ([0.5, 0.4], r"the prior sums to 0\.9"),
    ],
)
def test_what_is_no_distribution_is_refused(prior: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_prior(prior, MINDS)


def test_episodes_begin_where_it_is_said() -> None:
    assert check_fresh(True, 3).tolist() == [True, False, False]
    assert check_fresh(False, 2).tolist() == [False, False]
    given = np.array([True, False, True])
    assert check_fresh(given, 3).tolist() == given.tolist()
    for wrong in (1, [True], "yes"):
        with pytest.raises(UsageError, match="fresh = "):
            check_fresh(wrong, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("gamma", [-0.1, 1.1, np.nan, "much", None])
def test_a_discount_lies_between_zero_and_one(gamma: Any) -> None:
    with pytest.raises(UsageError, match="gamma = "):
        check_gamma(gamma)
