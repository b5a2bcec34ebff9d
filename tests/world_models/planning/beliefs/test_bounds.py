"""Both bounds on values of beliefs: published problems, random problems, and beliefs with traces of classes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from inscape.world_models import BeliefModel, BeliefProblem, TabularModel, alpha_vectors, point_based
from inscape.world_models.planning.beliefs.bounds import Bounds
from inscape.world_models.planning.beliefs.point_based import BeliefSolution
from inscape.world_models.planning.kernels.sawtooth import most_taken_off

FILES = Path(__file__).parents[4] / "examples" / "pomdp"


@pytest.mark.quick("corridor", "tmaze")
@pytest.mark.parametrize("name", ["Tiger", "CheeseMaze", *sorted(FILES.glob("*.pomdp"))], ids=lambda n: Path(n).stem)
def test_problems_from_papers_are_solved(name):
    found = point_based(str(name), tolerance=1e-3)
    assert found.gap <= 1e-3
    assert found.steps < 5_000
    if name == "Tiger":  # printed by Kurniawati, Hsu & Lee (2008), "SARSOP"
        assert found.lower - 0.005 <= 19.37 <= found.upper + 0.005


def test_the_corridor_by_hand():
    """East, east, west leads to the goal after one, two or three moves, from the middle, the left or the right.

    From the goal one step leads back to the start, so x = V(start) = (1 + γ + γ²)/3 · (1 + γ²·x).
    """
    gamma = 0.75
    share = (1 + gamma + gamma**2) / 3
    by_hand = share / (1 - share * gamma**2)
    found = point_based(str(FILES / "corridor.pomdp"), tolerance=1e-6)
    assert found.upper >= by_hand - 1e-7
    assert found.lower >= by_hand - 1e-5  # no other plan is better


def test_vectors_of_a_long_horizon_agree():
    found = point_based(str(FILES / "corridor.pomdp"), tolerance=1e-6)
    exact = alpha_vectors(str(FILES / "corridor.pomdp"), 25)[-1].value
    left = 0.75**25 / 0.25
    assert found.lower - left - 1e-9 <= exact <= found.upper + 1e-9


def random_problem(seed):
    """Returns a random problem; some actions are illegal where their observation says so, some transitions end it."""
    rng = np.random.default_rng(seed)
    states, actions, kinds = 5, 3, 2
    P = rng.dirichlet(np.full(states, 0.4), (actions, states))
    P[P < 0.05] = 0.0
    P /= P.sum(axis=2, keepdims=True)
    table = TabularModel.from_arrays(P, rng.normal(size=(states, actions)), layout="ASS,SA")
    return BeliefModel(table, np.arange(states) % kinds)


@pytest.mark.quick("2", "3")
@pytest.mark.parametrize("seed", range(6))
def test_bounds_hold_everywhere(seed):
    """At random beliefs, not only at the start: what a horizon gives, and what remains, between both bounds."""
    gamma, steps = 0.6, 4
    problem = BeliefProblem.of(random_problem(seed), gamma)
    exact = alpha_vectors(problem.model, steps, gamma)[-1].vectors
    left = gamma**steps / (1 - gamma) * np.abs(problem.reward).max()
    bounds = Bounds(problem, 1e-6)
    rng = np.random.default_rng(seed)
    beliefs = rng.dirichlet(np.full(problem.num_classes, 0.3), 60)
    beliefs[beliefs < 0.02] = 0.0
    beliefs /= beliefs.sum(axis=1, keepdims=True)
    for belief in beliefs[:30]:
        bounds.improve(bounds.node(belief))
    bounds.tidy()
    value = (beliefs @ exact.T).max(axis=1)
    assert (bounds.lower(beliefs) <= value + left + 1e-9).all()
    assert (bounds.upper(beliefs) >= value - left - 1e-9).all()
    # and every backup made the bounds tighter than where they began
    fresh = Bounds(problem)
    assert (bounds.upper(beliefs) <= fresh.upper(beliefs) + 1e-9).all()
    assert (bounds.upper(beliefs[:30]) < fresh.upper(beliefs[:30]) - 1e-6).any()


def test_traces_of_a_class_do_not_keep_the_bounds_apart():
    """Painting again and again makes "not painted" ever less likely and never impossible."""
    bounds = Bounds(BeliefProblem.of(str(FILES / "painting.pomdp")))
    belief = np.array([1e-12, 0.75, 0.25 - 2e-12, 1e-12])
    bounds._add_point(belief, 3.0)
    assert bounds.upper(np.array([[1e-14, 0.75, 0.25 - 2e-14, 1e-14]]))[0] == pytest.approx(3.0, abs=1e-6)


def test_what_is_set_aside_changes_no_bound():
    problem = BeliefProblem.of(random_problem(1), 0.9)
    bounds, rng = Bounds(problem), np.random.default_rng(0)
    for belief in rng.dirichlet(np.ones(problem.num_classes), 80):
        bounds.improve(bounds.node(belief))
    there = rng.dirichlet(np.ones(problem.num_classes), 50)
    lower, upper, counts = bounds.lower(there), bounds.upper(there), (bounds.num_vectors, bounds.num_points)
    bounds.tidy()
    assert bounds.num_vectors < counts[0] and bounds.num_points <= counts[1]
    assert bounds.lower(there) == pytest.approx(lower, abs=1e-12)
    assert bounds.upper(there) == pytest.approx(upper, abs=1e-9)


def test_compiled_interpolation_is_numpys():
    rng = np.random.default_rng(0)
    points = rng.dirichlet(np.full(6, 0.4), 20)
    points[points < 0.05] = 0.0
    beliefs, gains = rng.dirichlet(np.ones(6), 7), -rng.random(20)
    inverse = np.divide(1.0, points, out=np.zeros_like(points), where=points > 0)
    share = (beliefs[:, None] * inverse + (inverse == 0)).min(axis=2)
    assert np.array_equal(most_taken_off(beliefs, inverse, gains), np.minimum(0.0, (share * gains).min(axis=1)))


def test_it_may_be_stopped_at_any_time():
    """Fewer trials: a wider gap, and still both bounds."""
    gaps = [point_based("CheeseMaze", tolerance=1e-6, max_trials=trials).gap for trials in (0, 3, 10, 30)]
    assert all(a > b for a, b in pairwise(gaps))
    quick = point_based("CheeseMaze", max_seconds=1e-9)
    assert isinstance(quick, BeliefSolution) and quick.lower < 35.788 < quick.upper
