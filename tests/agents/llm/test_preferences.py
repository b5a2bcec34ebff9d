"""Comparisons of actions: what DPO settles at, best of n, and bad input."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from inscape import resolve_task
from inscape.agents import LanguageModelSettings, Preferences, best_of_n, bradley_terry
from inscape.agents.llm import LanguageModelAgent
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError

torch.set_num_threads(1)
pytest.importorskip("transformers")

QUICK = LanguageModelSettings(hidden_size=16, layers=1, heads=2, clone_steps=0, kl_reference="uniform", dpo_steps=150)


@pytest.fixture(scope="module")
def lake() -> Task:
    return resolve_task("FrozenLake")


def made(task: Task, **settings: Any) -> LanguageModelAgent:
    return LanguageModelAgent(task, 0, "cpu", replace(QUICK, **settings))


def test_labels_are_drawn_as_bradley_and_terry_have_it() -> None:
    q = np.array([[0.0, 1.0, 0.3]])
    found = bradley_terry(np.zeros((1, 1)), q, 60_000, np.random.default_rng(0), sharpness=2.0)
    for a, b in itertools.combinations(range(3), 2):
        first = ((found.chosen == a) & (found.rejected == b)).sum()
        both = first + ((found.chosen == b) & (found.rejected == a)).sum()
        assert both == pytest.approx(20_000, abs=500)
        assert first / both == pytest.approx(1 / (1 + np.exp(-2.0 * (q[0, a] - q[0, b]))), abs=0.015)


def test_only_legal_actions_are_compared() -> None:
    mask = np.array([[True, False, True], [False, True, False]])
    found = bradley_terry(np.arange(2)[:, None], np.zeros((2, 3)), 200, np.random.default_rng(0), action_masks=mask)
    assert set(found.chosen) | set(found.rejected) == {0, 2}
    assert (found.observations == 0).all()
    with pytest.raises(UsageError, match="two legal"):
        bradley_terry(np.zeros((1, 1)), np.zeros((1, 3)), 5, np.random.default_rng(0), action_masks=mask[1:])


def test_it_settles_at_the_reference_tilted_by_the_values(lake: Task) -> None:
    """π ∝ π₀·exp(k·Q/β), in every state that was compared."""
    agent = made(lake, dpo_learning_rate=5e-3, dpo_beta=2.0)
    q = np.random.default_rng(1).normal(size=(3, 4))
    states = np.array([0, 4, 9])
    agent.prefer(bradley_terry(states, q, 300_000, np.random.default_rng(2)))
    list(agent.learn(lake, 0))
    expected = np.exp(q / 2.0) / np.exp(q / 2.0).sum(1, keepdims=True)
    np.testing.assert_allclose(np.exp(agent.policy_log_probs(states)), expected, atol=0.02)


def test_a_resumed_training_ends_with_the_same_weights(lake: Task) -> None:
    comparisons = bradley_terry(np.arange(5), np.eye(5, 4), 500, np.random.default_rng(3))
    whole, resumed = (made(lake, dpo_steps=75, kl_reference="start", prompts_per_batch=2) for _ in range(2))
    for agent in (whole, resumed):
        agent.prefer(comparisons)
    states = [whole.state_dict() for _ in whole.learn(lake, 0)]
    resumed.load_state_dict(states[0])
    list(resumed.learn(lake, 0))
    for name, weights in whole.learner.policy.weights().items():
        assert weights.tobytes() == resumed.learner.policy.weights()[name].tobytes()


def test_best_of_n_is_what_drawing_gives() -> None:
    p, scores, n = np.array([0.5, 0.2, 0.2, 0.1]), np.array([0.0, 1.0, 1.0, 2.0]), 3
    expected = np.zeros(4)
    for drawn in itertools.product(range(4), repeat=n):
        best = [a for a in drawn if scores[a] == scores[list(drawn)].max()]
        for a in best:
            expected[a] += np.prod(p[list(drawn)]) / len(best)
    np.testing.assert_allclose(best_of_n(np.log(p), scores, n), expected, atol=1e-15)
    np.testing.assert_allclose(best_of_n(np.log(p), scores, 1), p)


def test_its_divergence_is_bounded_and_reaches_the_bound_without_ties() -> None:
    rng, n = np.random.default_rng(4), 8
    for count in (2, 5, 20_000):
        p = rng.dirichlet(np.ones(count))
        found = best_of_n(np.log(p), rng.permutation(count).astype(float), n)
        kl = float((found * np.log(np.maximum(found, 1e-300) / p)).sum())
        bound = np.log(n) - (n - 1) / n
        assert kl <= bound + 1e-12
        if count > 100:
            assert kl == pytest.approx(bound, abs=2e-3)


def test_bad_input_is_named(lake: Task) -> None:
    with pytest.raises(UsageError, match="itself"):
        Preferences(np.zeros(2), np.array([0, 1]), np.array([1, 1]))
    with pytest.raises(UsageError, match="rows"):
        Preferences(np.zeros(3), np.array([0, 1]), np.array([1, 0]))
    with pytest.raises(UsageError, match="0 to 3"):
        made(lake).prefer(Preferences(np.zeros(1, np.int64), np.array([4]), np.array([1])))
    with pytest.raises(UsageError, match="no comparisons"):
        made(lake).prefer(Preferences(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64)))
    with pytest.raises(UsageError, match="best of 0"):
        best_of_n(np.log([0.5, 0.5]), np.array([0.0, 1.0]), 0)
    with pytest.raises(UsageError, match="NaN"):
        best_of_n(np.log([0.5, 0.5]), np.array([0.0, np.nan]), 2)
