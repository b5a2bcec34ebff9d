"""From scores to actions: greedy, by the choice rule, and as an agent's settings say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from inscape.agents.acting import PolicyAgent, choice_log_probs, greedy_log_probs, sample_actions

SCORES = np.array([[1.0, 3.0, 3.0], [2.0, 0.0, -1.0]])
MASK = np.array([[True, False, True], [False, True, True]])


def test_the_first_of_the_best_legal_actions_is_taken() -> None:
    assert greedy_log_probs(SCORES).argmax(1).tolist() == [1, 0]
    log_probs = greedy_log_probs(SCORES, MASK)
    assert log_probs.tolist() == [[-np.inf, -np.inf, 0.0], [-np.inf, 0.0, -np.inf]]


def test_the_choice_rule_is_a_softmax_of_scores_times_beta_over_the_legal() -> None:
    probabilities = np.exp(choice_log_probs(SCORES, 2.0, MASK))
    assert probabilities[0] == pytest.approx([1 / (1 + np.exp(4.0)), 0.0, 1 / (1 + np.exp(-4.0))])
    assert probabilities[1] == pytest.approx([0.0, 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(2.0))])
    assert np.array_equal(choice_log_probs(SCORES, None, MASK), greedy_log_probs(SCORES, MASK))


def test_actions_are_drawn_with_their_probabilities() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0.2, 0.3])
    drawn = sample_actions(np.log(np.tile(shares, (20_000, 1))), rng)
    assert np.bincount(drawn, minlength=3) / 20_000 == pytest.approx(shares, abs=0.015)
    assert set(sample_actions(greedy_log_probs(SCORES[[0] * 50]), rng)) == {1}


class Fixed:
    """A policy of fixed log-probabilities, which notes how it was asked to act."""

    def __init__(self) -> None:
        self.greedy: list[bool] = []

    def act(self, observation, action_mask, greedy):
        self.greedy.append(greedy)
        return np.zeros(len(observation), np.int64)

    def log_probs(self, observation, action_mask):
        return np.log(np.tile([0.2, 0.7, 0.1], (len(observation), 1)))

    def values(self, observation):
        return np.full(len(observation), 4.0)


class Acting(PolicyAgent):
    def __init__(self, greedy: bool) -> None:
        self.settings, self.policy = SimpleNamespace(greedy=greedy), Fixed()


@pytest.mark.parametrize("greedy", [False, True])
def test_an_agent_says_how_it_acts_and_what_its_policy_is(greedy: bool) -> None:
    agent, seen = Acting(greedy), np.zeros((2, 3))
    agent.act(seen)
    assert agent.policy.greedy == [greedy]
    assert np.exp(agent.policy_log_probs(seen))[0] == pytest.approx([0.2, 0.7, 0.1])
    expected = [0.0, 1.0, 0.0] if greedy else [0.2, 0.7, 0.1]
    assert np.exp(agent.action_log_probs(seen))[1] == pytest.approx(expected)
    assert agent.state_values(seen).tolist() == [4.0, 4.0]
