from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from inscape.agents.registry import make_agent
from inscape.agents.rollout import rollout
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import MissingLawError, UsageError
from inscape.world_models import UCT, BeliefModel, ImpossiblePerceptError, TabularModel, WorldModel, value_iteration
from inscape.world_models.interface import HasKeys, HasLegal, HasLogProb, HasOutcomes, HasTerminal
from tests.world_models.helpers import random_model

LISTEN, LEFT, RIGHT = 0, 1, 2


@pytest.fixture(scope="module")
def tiger() -> BeliefModel:
    return BeliefModel.from_world(resolve_task("Tiger").world)


def test_it_is_a_model(tiger: BeliefModel) -> None:
    assert isinstance(tiger, WorldModel)
    for strength in (HasOutcomes, HasLegal, HasTerminal, HasKeys, HasLogProb):
        assert isinstance(tiger, strength)
    assert tiger.state_dict() == {}


def test_two_sounds_from_the_left_make_the_belief_of_the_literature(tiger: BeliefModel) -> None:
    belief = tiger.init(np.array([2]))
    for expected in (0.85, 0.85**2 / (0.85**2 + 0.15**2)):  # Kaelbling, Littman & Cassandra 1998, section 5.1
        belief = tiger.update(belief, np.array([LISTEN]), np.array([0]))
        assert tiger.filter.marginal(belief, "tiger")[0][0] == pytest.approx(expected)


def test_rewards_are_expected_ones(tiger: BeliefModel) -> None:
    belief = tiger.update(tiger.init(np.array([2])), np.array([LISTEN]), np.array([0]))
    for action, expected in ((LISTEN, -1.0), (LEFT, 0.85 * -100 + 0.15 * 10), (RIGHT, 0.85 * 10 - 0.15 * 100)):
        probability, _, reward, continuation = tiger.outcomes(belief, np.array([action]))
        assert (probability * reward).sum() == pytest.approx(expected)
        assert (continuation[probability > 0] == 1).all()


@cache
def tigers_value(left: float, horizon: int) -> float:
    """The best expected return of `horizon` steps from P(tiger left), in plain numbers, γ = 1."""
    if horizon == 0:
        return 0.0
    listened, ahead = -1.0, tigers_value(0.5, horizon - 1)
    for hit, p in ((0.85, 0.85 * left + 0.15 * (1 - left)), (0.15, 0.15 * left + 0.85 * (1 - left))):
        listened += p * tigers_value(round(hit * left / p, 12), horizon - 1)
    return max(listened, -100 * left + 10 * (1 - left) + ahead, 10 * left - 100 * (1 - left) + ahead)


def look_ahead(model: BeliefModel, belief: np.ndarray, horizon: int) -> float:
    """The same through `outcomes`."""
    if horizon == 0:
        return 0.0
    values = []
    for action in range(3):
        probability, after, reward, _ = model.outcomes(belief, np.array([action]))
        ahead = [look_ahead(model, after[[k]], horizon - 1) if p > 0 else 0.0 for k, p in enumerate(probability[0])]
        values.append(float(probability[0] @ (reward[0] + ahead)))
    return max(values)


def test_looking_ahead_through_its_outcomes_solves_tiger(tiger: BeliefModel) -> None:
    for horizon in range(1, 5):
        assert look_ahead(tiger, tiger.init(np.array([2])), horizon) == pytest.approx(tigers_value(0.5, horizon))


@pytest.mark.slow
def test_search_listens_first_and_opens_when_sure(tiger: BeliefModel) -> None:
    belief, search = tiger.init(np.array([2])), UCT(400, gamma=0.95, rollout="none", averaging_visits=0.0)
    listened = tiger.update(belief, np.array([LISTEN]), np.array([0]))
    sure = tiger.update(listened, np.array([LISTEN]), np.array([0]))
    plans = search.plan(tiger, np.concatenate([belief, listened, sure]), np.random.default_rng(0))
    assert plans.actions.tolist() == [LISTEN, LISTEN, RIGHT]


def test_samples_follow_the_outcomes(tiger: BeliefModel) -> None:
    belief = tiger.update(tiger.init(np.array([2])), np.array([LISTEN]), np.array([0]))
    probability, after, _, _ = tiger.outcomes(belief, np.array([LISTEN]))
    step = tiger.step(np.repeat(belief, 20_000, axis=0), np.zeros(20_000, np.int64), np.random.default_rng(0))
    keys, drawn = tiger.keys(after), tiger.keys(step.states)
    for p, key in zip(probability[0], keys, strict=True):
        assert np.mean([one == key for one in drawn]) == pytest.approx(p, abs=0.01)
    assert step.legal is not None and step.legal.all()


def test_where_the_state_is_seen_beliefs_are_states() -> None:
    world = resolve_task("FrozenLake").world
    model, tables = BeliefModel.from_world(world), TabularModel.from_world(world)
    cells = np.arange(16)
    beliefs = np.eye(16)[tables.init(cells)]
    np.testing.assert_array_equal(model.terminal_of(beliefs), tables.terminal[tables.init(cells)])
    for action in range(4):
        actions = np.full(16, action)
        ours, theirs = model.outcomes(beliefs, actions), tables.outcomes(tables.init(cells), actions)
        for weight in (2, 3):
            np.testing.assert_allclose((ours[0] * ours[weight]).sum(1), (theirs[0] * theirs[weight]).sum(1), atol=1e-12)
        assert ((ours[1] == 0) | (ours[1] == 1)).all()
    exact = value_iteration(tables, 0.9).values[tables.init(np.array([0]))[0]]
    plan = UCT(1500, gamma=0.9).plan(model, model.init(np.array([0])), np.random.default_rng(0))[0]
    assert plan.value == pytest.approx(exact, abs=0.02)


def test_endings_of_fractions_are_evidence() -> None:
    tables = random_model(3, ending=0.6)
    with pytest.raises(UsageError, match="look the same and differ in what is legal"):
        BeliefModel(tables, np.zeros(7, np.int64))
    tables = replace(tables, legal=np.ones((7, 3), bool))
    model = BeliefModel(tables, np.zeros(7, np.int64))
    belief, actions = np.array([[0, 0.5, 0.5, 0, 0, 0, 0]]), np.array([1])
    probability, after, reward, continuation = model.outcomes(belief, actions)
    assert probability.tolist() == [[pytest.approx(1.0)]]
    flow = 0.5 * tables.probability[[1, 2], 1]
    assert reward[0, 0] == pytest.approx((flow * tables.reward[[1, 2], 1]).sum())
    alive = flow * tables.continuation[[1, 2], 1]
    assert continuation[0, 0] == pytest.approx(alive.sum())
    expected = np.bincount(tables.next_state[[1, 2], 1].ravel(), alive.ravel(), minlength=7) / alive.sum()
    np.testing.assert_allclose(after[0], expected)
    np.testing.assert_allclose(model.update(belief, actions, np.zeros(1, np.int64))[0], expected)
    for ended, p in ((False, continuation[0, 0]), (True, 1 - continuation[0, 0])):
        step = Trajectory(np.zeros(2, np.int64), actions, np.zeros(1), ended, not ended)
        from_the_same = replace(tables, initial=belief[0])
        assert BeliefModel(from_the_same, np.zeros(7, np.int64)).log_prob(step) == pytest.approx(np.log(p))
    never = BeliefModel(replace(tables, continuation=np.zeros((7, 3, 3))), np.zeros(7, np.int64))
    with pytest.raises(ImpossiblePerceptError, match="always ends after action 1"):
        never.update(belief, actions, np.zeros(1, np.int64))


def test_log_prob_is_the_filters_evidence(tiger: BeliefModel) -> None:
    task = resolve_task("Tiger")
    episode = rollout(make_agent("random", task), task, 1, seed=0)[0]
    evidence = tiger.filter.filter(episode.observations, episode.actions, False).log_likelihood
    assert tiger.log_prob(episode) == pytest.approx(evidence[1:].sum())
    deaf = Trajectory(np.array([2, 2]), np.array([LISTEN]), np.zeros(1), False, True)
    assert tiger.log_prob(deaf) == -np.inf


def test_what_cannot_be_is_refused(tiger: BeliefModel) -> None:
    belief = tiger.init(np.array([2]))
    with pytest.raises(ImpossiblePerceptError, match="observation 2"):
        tiger.update(belief, np.array([LISTEN]), np.array([2]))
    with pytest.raises(UsageError, match="0 observations for 1 states"):
        tiger.update(belief, np.array([LISTEN]), np.zeros(0, np.int64))
    with pytest.raises(UsageError, match="sums to"):
        tiger.step(0.5 * belief, np.array([LISTEN]), np.random.default_rng(0))
    for name, error in (("KuhnPoker", MissingLawError), ("CartPole", UsageError)):
        world: Any = resolve_task(name).world
        with pytest.raises(error):
            BeliefModel.from_world(world)
