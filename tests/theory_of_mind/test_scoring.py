"""Scores of predictions in bits, and calibration."""

import math

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.theory_of_mind import (
    Observer,
    ParticleObserver,
    PlanningMind,
    calibration,
    minds_grid,
    score_predictions,
)
from tests.theory_of_mind.worlds import Corridor, simulate


def test_scores_by_hand_on_one_action():
    world = Corridor()
    observer = Observer(world, [PlanningMind("left end", 2.0, "hard"), PlanningMind("right end", 2.0, "hard")])
    towards = 1 / (1 + math.exp(-2.0 * (0.9 - 0.9**3)))
    policy = np.tile([0.0, 1.0], (5, 1))
    score = score_predictions(observer, [simulate(world, policy, 1, np.random.default_rng(0))])
    assert score.bits_per_action == pytest.approx(1.0)  # the two goals mirror each other
    assert score.uniform_bits_per_action == 1.0
    assert score.frequency_bits_per_action == 1.0
    assert score.best_mind == observer.minds[1]
    assert score.best_mind_bits_per_action == pytest.approx(-math.log2(towards))


def test_the_observer_pays_at_most_its_prior_for_not_knowing_the_mind():
    world = Corridor(length=7, slip=0.1, goal=6)
    minds = minds_grid(world.goals, [1.0, 4.0], ["soft-eval", "hard"])
    observer = Observer(world, minds)
    policy = np.exp(observer.policies.log_probs[-1])
    rng = np.random.default_rng(2)
    episodes = [simulate(world, policy, 20, rng, start=1) for _ in range(12)]
    for episode in episodes:
        score = score_predictions(observer, [episode])
        assert score.bits.sum() <= score.mind_bits.sum(axis=0).min() + math.log2(len(minds)) + 1e-9
    together = score_predictions(observer, episodes)
    assert len(together.bits) == sum(map(len, episodes))
    assert together.best_mind.goal == "right end"
    assert together.best_mind_bits_per_action < together.bits_per_action < together.uniform_bits_per_action
    assert observer.steps == 0


def test_the_uniform_guess_knows_which_actions_are_legal():
    world = Corridor(gate=True, goal=0)
    observer = Observer(world, [PlanningMind("left end", 1.0, "hard")])
    episode = simulate(world, np.tile([0.0, 1.0], (5, 1)), 4, np.random.default_rng(0))
    score = score_predictions(observer, [episode])  # cells 2, 3, 4, 4: only right is legal in cell 4
    assert score.uniform_bits.tolist() == [1.0, 1.0, 0.0, 0.0]
    assert score.bits[2:] == pytest.approx([0.0, 0.0], abs=1e-12)


def test_calibration_by_hand():
    given = [[0.25, 0.75], [0.25, 0.75], [0.25, 0.75], [0.05, 0.95]]
    found = calibration(given, [1, 1, 0, 1], bins=4)
    assert found.count.tolist() == [1, 3, 0, 4]
    assert found.confidence[[0, 1, 3]] == pytest.approx([0.05, 0.25, 0.8])
    assert found.frequency[[0, 1, 3]] == pytest.approx([0.0, 1 / 3, 0.75])
    assert np.isnan(found.frequency[2])
    assert found.error == pytest.approx((0.05 + 3 * (1 / 3 - 0.25) + 4 * 0.05) / 8)


def test_predicted_actions_are_calibrated_when_the_agent_is_one_of_the_minds():
    world = Corridor(length=7, slip=0.2, goal=6)
    minds = minds_grid(world.goals, [1.0, 8.0], "soft-eval")
    observer = Observer(world, minds)
    rng = np.random.default_rng(4)
    given, taken = [], []
    for _ in range(250):
        g = int(rng.integers(len(minds)))
        policy = np.exp(observer.policies.log_probs[g])
        episode = simulate(world.with_purpose(minds[g].goal), policy, 10, rng, start=int(rng.choice([1, 2, 4, 5])))
        observer.reset()
        for s, a in zip(world.dynamics().index_of(episode.states), episode.actions):
            given.append(np.exp(observer.action_log_probs(int(s))))
            taken.append(int(a))
            observer.update(int(s), int(a))
    earned = calibration(given, taken)
    full = earned.count > 0
    spread = np.sqrt(earned.confidence * (1 - earned.confidence) / np.maximum(earned.count, 1))
    assert (np.abs(earned.frequency - earned.confidence)[full] < 4 * spread[full]).all()
    assert earned.error < 0.04
    # somebody twice as sure is found out
    sharp = np.array(given) ** 4
    assert calibration(sharp / sharp.sum(axis=1, keepdims=True), taken).error > 0.08


@pytest.mark.parametrize(
    ("probabilities", "outcomes", "bins", "match"),
    [
        ([[0.5, 0.5]], [0, 1], 10, "outcomes"),
        ([0.5, 0.5], [0, 1], 10, "probabilities"),
        (np.zeros((0, 2)), [], 10, "probabilities"),
        ([[0.5, 0.6]], [0], 10, "a distribution"),
        ([[1.5, -0.5]], [0], 10, "a distribution"),
        ([[0.5, 0.5]], [2], 10, "0 to 1"),
        ([[0.5, 0.5]], [0.0], 10, "0 to 1"),
        ([[0.5, 0.5]], [0], 0, "bins"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(probabilities, outcomes, bins, match):
    with pytest.raises(UsageError, match=match):
        calibration(probabilities, outcomes, bins)


def test_no_actions_no_score():
    observer = Observer(Corridor(), [PlanningMind("left end", 1.0, "hard")])
    with pytest.raises(UsageError, match="without a single action"):
        score_predictions(observer, [])


def test_frequencies_are_counted_as_they_come_and_particles_are_scored_too():
    world = Corridor()
    minds = minds_grid(["left end", "right end"], [2.0], "hard")
    episode = simulate(world, np.tile([0.0, 1.0], (5, 1)), 2, np.random.default_rng(0))
    score = score_predictions(Observer(world, minds), [episode, episode])
    # right, right, right, right: (1/2)/1, (3/2)/2, (5/2)/3, (7/2)/4
    np.testing.assert_allclose(score.frequency_bits, -np.log2([1 / 2, 3 / 4, 5 / 6, 7 / 8]))
    particles = ParticleObserver(world, lambda rng: minds[rng.integers(2)], 400, 0)
    found = score_predictions(particles, [episode, episode])
    assert found.bits_per_action == pytest.approx(score.bits_per_action, abs=0.05)
    assert found.best_mind_bits_per_action == pytest.approx(score.best_mind_bits_per_action)
