"""Particles against the exact observer, and against integrals over minds that cannot be listed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.theory_of_mind import (
    Best,
    ImpossibleEvidenceError,
    Observer,
    ParticleObserver,
    Planning,
    PlanningMind,
    minds_grid,
)
from tests.theory_of_mind.worlds import Corridor, CorridorState, simulate

WORLD = Corridor(slip=0.2)
GRID = minds_grid(["left end", "middle", "right end"], [0.5, 2.0, 8.0], "soft-eval")


def from_grid(rng: np.random.Generator) -> PlanningMind:
    return GRID[rng.integers(len(GRID))]


@pytest.mark.slow
def test_particles_agree_with_the_exact_observer_within_monte_carlo_error() -> None:
    """30 weights of goals in random cases, against their standard errors over 12 independent observers."""
    rng, scores = np.random.default_rng(0), []
    for case in range(10):
        mind = GRID[int(rng.integers(len(GRID)))]
        steps = simulate(WORLD, np.exp(mind.controller(WORLD).log_probs[:, 0]), 6, rng, start=int(rng.integers(5)))
        exact = Observer(WORLD, GRID)
        exact.observe(steps)
        truth = exact.marginal("goal")
        found = []
        for seed in range(12):
            particles = ParticleObserver(WORLD, from_grid, 60, np.random.default_rng([case, seed]))
            particles.observe(steps)
            weights = particles.marginal("goal")
            found.append([weights.get(goal, 0.0) for goal in truth])
        mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(12)
        scores += list((mean - list(truth.values())) / np.maximum(error, 1e-3))
    assert np.mean(np.abs(scores) <= 3) >= 0.9
    assert abs(np.mean(scores)) <= 0.5


def test_a_rationality_on_a_continuous_scale_is_an_integral() -> None:
    """E[β | actions] under a uniform prior on [0, 6], by 400 points."""
    actions = [(2, 1), (3, 1), (2, 0), (2, 1), (3, 1), (3, 1)]

    def minds(beta: float) -> PlanningMind:
        return PlanningMind("right end", beta, "hard")

    def feed(watch: Any) -> Any:
        for cell, action in actions:
            watch.update(CorridorState(cell), action, fresh=True)
        return watch

    betas = (np.arange(400) + 0.5) * 6 / 400
    integral = feed(Observer(WORLD, [minds(beta) for beta in betas]))
    particles = ParticleObserver(
        WORLD, lambda rng: minds(rng.uniform(0, 6)), 300, 1, moves=2,
        propose=lambda mind, rng: minds(abs(mind.beta + rng.normal(0, 0.5))),
        log_prior=lambda mind: 0.0 if mind.beta <= 6 else -np.inf,
    )  # fmt: skip
    feed(particles)
    spread = np.sqrt(integral.expect(lambda m: m.beta**2) - integral.expect(lambda m: m.beta) ** 2)
    assert particles.expect(lambda m: m.beta) == pytest.approx(
        integral.expect(lambda m: m.beta), abs=4 * spread / np.sqrt(300)
    )
    assert particles.log_evidence() == pytest.approx(integral.log_evidence(), abs=0.15)


def test_a_goal_that_died_out_comes_back_after_a_turn() -> None:
    particles = ParticleObserver(WORLD, from_grid, 40, 3, moves=2)
    for _ in range(12):
        particles.update(CorridorState(3), "right", fresh=True)
    assert particles.marginal("goal").get("left end", 0.0) < 0.02
    for _ in range(40):
        particles.update(CorridorState(3), "left", fresh=True)
    exact = Observer(WORLD, GRID)
    for action, times in (("right", 12), ("left", 40)):
        for _ in range(times):
            exact.update(CorridorState(3), action, fresh=True)
    assert particles.resampled > 0
    assert particles.marginal("goal").get("right end", 0.0) == pytest.approx(
        exact.marginal("goal")["right end"], abs=0.2
    )
    assert particles.effective_sample_size() > 1


def test_evidence_that_no_particle_explains_draws_new_ones() -> None:
    def decided(rng: np.random.Generator) -> PlanningMind:
        goal = "left end" if rng.random() < 0.9 else "right end"
        return PlanningMind(goal, plans=Planning("hard"), chooses=Best())

    particles = ParticleObserver(WORLD, decided, 40, 0)
    particles._hold([PlanningMind("left end", plans=Planning("hard"), chooses=Best())] * 40, None)
    assert particles.update(CorridorState(2), "right").tolist() == [1.0]
    assert particles.minds[0].goal == "right end"
    alone = ParticleObserver(WORLD, lambda rng: PlanningMind("left end", plans=Planning("hard"), chooses=Best()), 5, 0)
    with pytest.raises(ImpossibleEvidenceError):
        alone.update(CorridorState(2), "right")
    assert alone.steps == 0 and alone.posterior().tolist() == [1.0]


def test_strata_are_drawn_alike_and_the_same_seed_gives_the_same_particles() -> None:
    strata = [
        lambda rng, goal=goal: PlanningMind(goal, rng.uniform(1, 3), "hard") for goal in ("left end", "right end")
    ]
    first, second = (ParticleObserver(WORLD, strata, 50, 7) for _ in range(2))
    assert first.marginal("goal") == pytest.approx({"left end": 0.5, "right end": 0.5})
    for watch in (first, second):
        for cell in (2, 3, 3):
            watch.update(CorridorState(cell), "right", fresh=True)
    np.testing.assert_array_equal(first.posterior(), second.posterior())
    assert first.minds == second.minds
    first.reset()
    assert first.steps == 0 and first.log_evidence() == 0.0


def test_predictions_are_those_of_the_mixture() -> None:
    particles = ParticleObserver(WORLD, from_grid, 30, 0)
    particles.update(CorridorState(2), "right", CorridorState(3))
    exact = Observer(WORLD, particles.minds, particles.posterior())
    np.testing.assert_allclose(
        particles.predict(CorridorState(3), 2).state_probs, exact.predict(CorridorState(3), 2).state_probs, atol=1e-12
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"particles": 0}, "particles = 0"),
        ({"moves": -1}, "moves = -1"),
        ({"threshold": 0.0}, "threshold"),
        ({"draw_mind": []}, "draw_mind"),
        ({"draw_mind": lambda rng: "goal"}, "draw_mind returned 'goal'"),
        ({"propose": lambda mind, rng: mind}, "both, or none"),
    ],
)
def test_what_makes_no_particles_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ParticleObserver(**{"world": WORLD, "draw_mind": from_grid, "particles": 3, "rng": 0} | arguments)
