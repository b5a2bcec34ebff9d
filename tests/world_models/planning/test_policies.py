"""What a policy does, against closed forms, linear systems and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from inscape import UsageError, make_world, solve
from inscape.world_models import TabularModel, hitting, occupancy, policy_evaluation, return_distribution
from tests.world_models.planning.test_finite_horizon import random_model


def gamblers_ruin(top=5, p=0.4):
    """Returns a chain from 0 to `top`, both the end, up with probability p: closed forms are known."""
    P = np.zeros((1, top + 1, top + 1))
    for s in range(1, top):
        P[0, s, s + 1], P[0, s, s - 1] = p, 1 - p
    return TabularModel.from_arrays(P, np.eye(top + 1)[0] * 0, terminal=[0, top], initial=2)


def test_the_gamblers_ruin():
    """Feller (1968), "An Introduction to Probability Theory" I, chapter XIV, (2.4) and (3.4)."""
    top, p, start = 5, 0.4, 2
    model = gamblers_ruin(top, p)
    ratio = (1 - p) / p
    wins = (ratio**start - 1) / (ratio**top - 1)
    duration = start / (1 - 2 * p) - top / (1 - 2 * p) * (1 - ratio**start) / (1 - ratio**top)
    policy = np.zeros(top + 1, int)
    found = hitting(model, policy, [top])
    assert found.probability[start] == pytest.approx(wins, abs=1e-14)
    assert np.isinf(found.steps[start])
    either = hitting(model, policy, model.terminal)
    assert either.probability[start] == pytest.approx(1.0)
    assert either.steps[start] == pytest.approx(duration, abs=1e-12)
    visits = occupancy(model, policy, 1.0)
    assert visits[1:top].sum() == pytest.approx(duration, abs=1e-12)
    assert visits[[0, top]] == pytest.approx([1 - wins, wins], abs=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_occupancy_times_reward_is_the_value(seed):
    model = random_model(8, 3, seed, terminal=(2,) if seed % 2 else ())
    policy = np.random.default_rng(seed).dirichlet(np.ones(3), 8)
    visits = occupancy(model, policy, 0.9)
    reward = (policy * model.expected_reward()).sum(axis=1)
    values = policy_evaluation(model, policy, 0.9)
    assert visits @ reward == pytest.approx(model.initial @ values, abs=1e-8)
    if not model.terminal.any():
        assert visits.sum() == pytest.approx(10.0)
    staged = occupancy(model, policy, 0.9, horizon=400)
    assert staged == pytest.approx(visits, abs=1e-10)


def test_a_large_world_of_one_way():
    model = TabularModel.from_world(make_world("FrozenLake8x8"))
    policy = solve("FrozenLake8x8", 1.0).policy
    found = hitting(model, policy, [63])
    assert found.probability[0] == pytest.approx(1.0, abs=1e-9)  # the largest lake can be crossed for certain
    assert found.steps[0] == pytest.approx(occupancy(model, policy, 1.0)[~model.terminal].sum(), rel=1e-9)


def test_staying_for_ever():
    model = TabularModel.from_arrays([[1.0, 0.0], [0.5, 0.5]], 0.0)
    policy = np.zeros(2, int)
    with pytest.raises(UsageError, match="visits state 0 of the model without end"):
        occupancy(model, policy, 1.0)
    assert occupancy(model, policy, 1.0, np.array([0.0, 1.0]), horizon=1) == pytest.approx([0.5, 1.5])
    found = hitting(model, policy, [1])
    assert found.probability.tolist() == [0.0, 1.0]
    assert found.steps.tolist() == [np.inf, 0.0]
    assert hitting(model, policy, 0).steps == pytest.approx([0, 2])


def test_arriving_with_the_last_step_counts_but_nothing_goes_on_from_there():
    outcomes = {
        0: {0: [(0.5, 1, 1.0, True), (0.5, 2, 0.0, False)]},  # state 1, at the end
        1: {0: [(1.0, 3, 0.0, False)]},
        2: {0: [(1.0, 2, 0.0, True)]},
        3: {0: [(1.0, 3, 0.0, True)]},
    }
    model = TabularModel.from_arrays(outcomes, initial=0)
    assert hitting(model, np.zeros(4, int), 1).probability[0] == 0.5
    assert hitting(model, np.zeros(4, int), 3).probability[0] == 0.0


def test_returns_of_a_world_of_two_ends():
    model = TabularModel.from_world(make_world("FrozenLake"))
    policy = solve("FrozenLake", 1.0).policy
    found = return_distribution(model, policy)
    assert found.values.tolist() == [0.0, 1.0]
    assert found.mean == pytest.approx(14 / 17, abs=1e-9)
    assert found.variance == pytest.approx(14 / 17 * 3 / 17, abs=1e-9)
    assert found.probability_above(0.5) == pytest.approx(14 / 17)
    assert (found.quantile(0.1), found.quantile(0.9)) == (0.0, 1.0)


def test_the_moments_are_those_of_simulated_episodes():
    model, rng = random_model(4, 2, 3, terminal=(3,)), np.random.default_rng(0)
    policy = rng.dirichlet(np.ones(2), 4)
    found = return_distribution(model, policy, 0.5, horizon=6)
    values = np.zeros(200_000)
    states, going = rng.choice(4, len(values), p=model.initial), np.ones(len(values), bool)
    for t in range(6):
        actions = (rng.random(len(values)) > policy[states, 0]).astype(int)
        step = model.step(states, actions, rng)
        values += np.where(going, 0.5**t * step.reward, 0.0)
        states, going = step.states, going & (step.continuation > 0)
    assert found.mean == pytest.approx(values.mean(), abs=5 * values.std() / len(values) ** 0.5)
    assert found.variance == pytest.approx(values.var(), rel=0.02)
    assert found.unfinished > 0
    assert found.quantile(0.25) == pytest.approx(np.quantile(values, 0.25), abs=0.02)


def test_what_is_wrong_is_named():
    model = random_model()
    with pytest.raises(UsageError, match="more than 10 pairs"):
        return_distribution(model, np.full((4, 2), 0.5), 0.9, horizon=10, most_atoms=10)
    with pytest.raises(UsageError, match="a policy with action 5"):
        occupancy(model, np.full(4, 5), 0.9)
    with pytest.raises(UsageError, match="sum to one"):
        occupancy(model, np.full((4, 2), 0.6), 0.9)
    with pytest.raises(UsageError, match="gamma = 1.5"):
        return_distribution(model, np.zeros(4, int), 1.5)
    with pytest.raises(UsageError, match="targets = 9"):
        hitting(model, np.zeros(4, int), 9)
    with pytest.raises(UsageError, match="horizon = -1"):
        occupancy(model, np.zeros(4, int), 0.9, horizon=-1)
    with pytest.raises(UsageError, match="initial of shape"):
        occupancy(model, np.zeros(4, int), 0.9, np.ones(4))
