"""Agents as hypotheses: the same numbers as the minds they were made from."""

from __future__ import annotations

import numpy as np
import pytest

from inscape import make_world, rollout
from inscape.agents import make_agent
from inscape.errors import UsageError
from inscape.theory_of_mind import Observer, PlanningMind, PolicyMind, none_of_these
from tests.theory_of_mind.worlds import Corridor

GOALS = "ABCD"
ROOMS = {goal: make_world("FourGoals", goal=goal) for goal in GOALS}


def agent_for(goal: str, **settings: object) -> object:
    return make_agent("value-iteration", ROOMS[goal], settings=settings or {"beta": 20.0})


def test_which_of_these_agents_is_this() -> None:
    agents = [agent_for(goal) for goal in GOALS]
    watch = Observer(ROOMS["A"], [PolicyMind(a, name=g, purpose=g) for a, g in zip(agents, GOALS)])
    planned = Observer(ROOMS["A"], [PlanningMind(goal, 20.0, "hard") for goal in GOALS])
    episode = rollout(agents[2], ROOMS["C"], episodes=1, seed=3)[0]
    np.testing.assert_allclose(watch.observe(episode), planned.observe(episode), atol=1e-6)
    assert watch.marginal("name")["C"] > 0.9
    prediction, other = watch.predict(40, horizon=4), planned.predict(40, horizon=4)
    np.testing.assert_allclose(prediction.state_probs, other.state_probs, atol=1e-6)


def test_a_lapse_keeps_a_greedy_agent_possible() -> None:
    world = ROOMS["A"]
    strict = PolicyMind(agent_for("A", beta=None), purpose="A")
    careless = PolicyMind(agent_for("A", beta=None), "careless", lapse=0.2, purpose="A")
    probs = np.exp(careless.controller(world).log_probs[:, 0])
    greedy = np.exp(strict.controller(world).log_probs[:, 0])
    np.testing.assert_allclose(probs, 0.8 * greedy + 0.2 / 4)
    other = rollout(agent_for("D", beta=None), ROOMS["D"], episodes=1, seed=0)[0]
    with pytest.raises(UsageError, match="none of the 1 minds"):
        Observer(world, [strict]).observe(other)
    watch = Observer(world, [careless])
    assert watch.observe(other).shape[1] == 1
    assert none_of_these(watch, other)[-1] > 0.5


def test_an_agent_that_only_acts_is_asked_several_times() -> None:
    world = Corridor()
    mind = PolicyMind(lambda observation: 1, "rightwards", samples=20)
    probs = np.exp(mind.controller(world).log_probs[:, 0])
    np.testing.assert_allclose(probs[1], [0.5 / 21, 20.5 / 21])
    np.testing.assert_allclose(probs[4], 0.5)  # over there: not asked
    states = world.dynamics().states
    np.testing.assert_allclose(mind.action_log_probs(world, states), np.log(probs))


def test_one_of_several_players() -> None:
    world = make_world("TicTacToe")
    mind = PolicyMind(make_agent("random", world, seed=1))
    start = world.sample_initial(1, np.random.default_rng(0))
    np.testing.assert_allclose(np.exp(mind.action_log_probs(world, start, player=0)), np.full((1, 9), 1 / 9))


class Numbered:
    """Says what it is given to say."""

    name = "numbered"

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def act(self, observation: np.ndarray, action_mask: object = None) -> np.ndarray:
        return np.full(len(observation), 7)

    def action_log_probs(self, observation: np.ndarray, action_mask: object = None) -> object:
        return np.tile(self.answer, (len(observation), 1))


def test_what_is_no_agent_and_what_is_no_answer() -> None:
    world = Corridor()
    for answer, words in (([0.0, 0.0], "a distribution over the legal actions"), ([0.0], "of shape")):
        with pytest.raises(UsageError, match=words):
            PolicyMind(Numbered(answer)).controller(world)
    for given, words in (
        ({"agent": 3}, "no method act"),
        ({"agent": lambda observation: 1}, "how probable its actions are"),
        ({"agent": agent_for("A"), "lapse": 1.5}, "lapse = 1.5"),
        ({"agent": agent_for("A"), "samples": -1}, "samples = -1"),
        ({"agent": agent_for("A"), "name": 3}, "name = 3"),
        ({"agent": make_agent("recurrent-ppo", ROOMS["A"])}, "remembers"),
    ):
        with pytest.raises(UsageError, match=words):
            PolicyMind(**given)
    with pytest.raises(UsageError, match="purpose 'Z'"):
        PolicyMind(agent_for("A"), purpose="Z").controller(ROOMS["A"])
    with pytest.raises(UsageError, match="took"):
        PolicyMind(lambda observation: 7, samples=1).controller(world)
