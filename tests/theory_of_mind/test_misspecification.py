"""Hypotheses that are all wrong announce themselves; true ones do not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.theory_of_mind import (
    Best,
    NumberedTrajectory,
    Observer,
    Planning,
    PlanningMind,
    minds_grid,
    none_of_these,
    predictive_check,
)
from tests.theory_of_mind.worlds import Corridor, simulate

WORLD = Corridor(slip=0.2)
MINDS = minds_grid(["left end", "right end"], [1.0, 4.0], "hard")


def acting(policy: np.ndarray, steps: int, seed: int):
    return simulate(
        WORLD, policy, steps, np.random.default_rng(seed), start=int(np.random.default_rng(seed).integers(4))
    )


def test_z_is_standard_where_a_mind_is_true_and_p_values_are_uniform() -> None:
    rng, scores, shares = np.random.default_rng(0), [], []
    for seed in range(120):
        mind = MINDS[int(rng.integers(len(MINDS)))]
        steps = acting(np.exp(mind.controller(WORLD).log_probs[:, 0]), 15, seed)
        check = predictive_check(Observer(WORLD, MINDS), [steps], simulations=200, seed=seed)
        scores.append(check.z)
        shares.append(check.p_value)
    assert abs(np.mean(scores)) < 4 / math.sqrt(120)
    assert 0.7 < np.std(scores) < 1.3
    assert 0.4 < np.mean(shares) < 0.6


def test_the_numbers_are_those_of_the_predictions() -> None:
    watch = Observer(WORLD, MINDS)
    steps = acting(np.full((5, 2), 0.5), 6, 3)
    check = predictive_check(watch, [steps], simulations=100_000)
    assert check.bits == pytest.approx(watch.bits_per_action(steps).sum())
    predicted = watch.predicted_over(steps)
    entropy = -(predicted * np.log2(predicted)).sum()
    assert check.expected_bits == pytest.approx(entropy)
    assert watch.steps == 0


def test_minds_that_are_all_wrong_are_found_out() -> None:
    certain = minds_grid(["left end", "right end"], [25.0], "hard")
    pacing = [simulate(WORLD, np.full((5, 2), 0.5), 40, np.random.default_rng(seed), start=2) for seed in range(5)]
    check = predictive_check(Observer(WORLD, certain), pacing, simulations=1000)
    assert check.z > 5 and check.p_value < 0.01
    longest = max(pacing, key=len)
    assert none_of_these(Observer(WORLD, certain), longest)[-1] > 0.95
    true = PlanningMind("right end", 4.0, "hard")
    path = acting(np.exp(true.controller(WORLD).log_probs[:, 0]), 30, 1)
    assert none_of_these(Observer(WORLD, MINDS), path)[-1] < 0.1


def test_the_alternative_is_krichevsky_and_trofimovs() -> None:
    watch = Observer(WORLD, [PlanningMind("middle", 0.0, "hard")])  # every action 1/2
    steps = simulate(WORLD, np.tile([0.0, 1.0], (5, 1)), 6, np.random.default_rng(0), start=0)
    counts, odds = np.zeros((5, 2)), math.log(0.2 / 0.8)
    numbered = watch.state_indices(steps)
    for s, a in zip(numbered.states, numbered.actions):
        odds += math.log((counts[s, a] + 0.5) / (counts[s].sum() + 1.0)) - math.log(0.5)
        counts[s, a] += 1
    assert none_of_these(watch, steps, prior=0.2)[-1] == pytest.approx(1 / (1 + math.exp(-odds)))
    assert none_of_these(watch, steps, prior=0.2)[0] == pytest.approx(0.2)
    # two episodes are one longer one, but for where it begins: minds here remember nothing
    twice = none_of_these(watch, [steps, steps], prior=0.2)
    assert len(twice) == 2 * len(steps) + 1
    np.testing.assert_allclose(twice[: len(steps) + 1], none_of_these(watch, steps, prior=0.2))
    theirs = Observer(watch.world, watch.minds)
    theirs.observe(steps)
    theirs.observe(steps)
    counts = {}
    own = 0.0
    for s, a in [*zip(*theirs.state_indices(steps))] * 2:
        n = counts.setdefault(int(s), np.zeros(2))
        own += math.log((n[a] + 0.5) / (n.sum() + 1.0))
        n[a] += 1
    odds = math.log(0.2 / 0.8) + own - theirs.log_evidence()
    assert twice[-1] == pytest.approx(1 / (1 + math.exp(-odds)))


def test_numbers_out_of_range_are_refused() -> None:
    watch, steps = Observer(WORLD, MINDS), acting(np.full((5, 2), 0.5), 3, 0)
    for prior in (0.0, 1.0):
        with pytest.raises(UsageError, match="prior"):
            none_of_these(watch, steps, prior=prior)
    with pytest.raises(UsageError, match="weight"):
        none_of_these(watch, steps, weight=0.0)
    with pytest.raises(UsageError, match="simulations"):
        predictive_check(watch, [steps], simulations=0)
    with pytest.raises(UsageError, match="without a single action"):
        predictive_check(watch, [])


def test_what_every_mind_rules_out_is_done_by_none_of_them() -> None:
    world = Corridor()
    watch = Observer(world, [PlanningMind("right end", chooses=Best(), plans=Planning("hard"))])
    right_then_left = NumberedTrajectory(np.array([1, 2, 1, 2]), np.array([1, 0, 1]))
    found = none_of_these(watch, right_then_left, prior=0.1)
    # 1/2 under the alternative, 1 under the mind; then certain, and for good
    np.testing.assert_allclose(found, [0.1, 0.05 / 0.95, 1.0, 1.0], atol=1e-12)
