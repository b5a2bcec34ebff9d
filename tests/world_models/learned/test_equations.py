"""Equations of motion: those of the worlds, to the digits that single precision leaves, and worlds again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from inscape import rollout
from inscape.envs import Trajectory, resolve_task
from inscape.errors import UsageError
from inscape.world_models import bits, fit_model, make_model
from inscape.world_models.learned.equations.model import EquationModel, EquationSettings
from inscape.world_models.learned.equations.selection import select


def learned(world: str, episodes: int, seed: int = 1) -> EquationModel:
    model = make_model("equations", world)
    fit_model(model, rollout("random", world, episodes=episodes, seed=seed))
    assert isinstance(model, EquationModel)
    return model


def coefficients(model: EquationModel) -> dict[str, dict[str, float]]:
    names, codes = [v.name for v in model._system()[0].variables], model._codes()
    return {
        names[e.variable]: {term.text(names, codes): float(c) for term, c in zip(e.terms, e.coefficients, strict=True)}
        for e in model.system.equations
    }


def test_pendulum_has_the_printed_law() -> None:
    model = learned("Pendulum", 1)
    found = coefficients(model)
    assert found["theta_dot"] == pytest.approx({"u": 0.15, "sin_theta": 0.75}, rel=1e-5)  # 3/(m l²)·dt, 3g/(2l)·dt
    assert found["theta"] == pytest.approx({"next_theta_dot": 0.05}, rel=1e-5)
    (speed,) = (e for e in model.system.equations if len(e.terms) == 2)
    assert (speed.low, speed.high) == (-np.inf, 8.0)  # the bound that these 200 steps have met
    assert sorted(model.system.reward_coefficients) == pytest.approx([-1.0, -0.1, -0.001], rel=1e-3)


@pytest.mark.parametrize("world", ["MountainCar", "MountainCarContinuous"])
def test_multiples_of_an_angle(world: str) -> None:
    speed = coefficients(learned(world, 1))["x_dot"]
    assert speed["cos3_x"] == pytest.approx(-0.0025, rel=1e-4)


@pytest.mark.slow
def test_cartpole_far_from_where_it_was_seen() -> None:
    """An equation that only fits near the upright pole would be off by orders at the other angles."""
    model = learned("CartPole", 9)
    assert len(model._system()[0]) == pytest.approx(200, abs=20)
    rng = np.random.default_rng(0)
    states = rng.uniform(-1, 1, (200, 4)) * [2.0, 3.0, np.pi, 6.0]
    law = resolve_task("CartPole").world
    assert law is not None
    packed = law.pack([tuple(row) for row in states.tolist()])
    actions = rng.integers(0, 2, 200)
    truth = law.observe(law.outcomes(packed, actions)[1])
    np.testing.assert_allclose(model.predict_next(law.observe(packed), actions), truth, rtol=1e-4, atol=1e-5)


def test_the_recovered_world_lives_the_life_of_the_true_one(tmp_path: Path) -> None:
    model = learned("Pendulum", 1)
    found, true = resolve_task(f"{model.write(tmp_path / 'law.py')}:Recovered").env(), resolve_task("Pendulum").env()
    rng = np.random.default_rng(0)
    for _ in range(3):
        start, _ = true.reset(seed=int(rng.integers(100)))
        angle = np.arctan2(start[1], start[0])
        found.reset(options={"state": (float(angle), float(start[2]))})
        for _ in range(40):
            action = rng.uniform(-1, 1, 1).astype(np.float32)
            a, b = found.step(action), true.step(action)
            np.testing.assert_allclose(a[0], b[0], atol=1e-4)
            assert a[1] == pytest.approx(b[1], abs=1e-3)


def test_it_plans_saves_and_gives_code_lengths() -> None:
    model = learned("Pendulum", 1)
    again = make_model("equations", "Pendulum")
    again.load_state_dict(model.state_dict())
    assert str(again) == str(model) != "equations: nothing learned"
    judged = rollout("random", "Pendulum", episodes=2, seed=7)
    assert bits(model, judged).per_step < -40  # of densities: three numbers to some 16 binary digits each
    rng = np.random.default_rng(0)
    step = model.step(model.init(np.asarray(judged[0].observations)[:5]), np.zeros((5, 1)), rng)
    assert step.reward.shape == (5,) and (step.continuation == 1).all()


def test_what_has_no_equation_is_named() -> None:
    rng = np.random.default_rng(0)
    box = gym.spaces.Box(-10, 10, (2,), np.float64)
    seen = np.cumsum(rng.normal(size=(81, 2)) * [1.0, 0.0], axis=0)
    walk = Trajectory(seen, rng.integers(0, 2, 80), np.zeros(80), False, True)
    model = EquationModel(gym.spaces.Box(-99, 99, (2,), np.float64), gym.spaces.Discrete(2), names=("walk", "still"))
    with pytest.raises(UsageError, match="explains walk"):
        fit_model(model, [walk])
    with pytest.raises(UsageError, match="no episodes"):
        _ = model.system
    model.settings = replace(model.settings, unexplained="keep")
    fit_model(model, [walk])
    assert "d_still = 0.0" in str(model)
    for given, message in (
        ([], "no episodes"),
        ([Trajectory(seen[:11], walk.actions[:10], np.zeros(10), False, True)], "10 transitions"),
        ([Trajectory(np.where(seen > 1, np.nan, seen), walk.actions, np.zeros(80), False, True)], "nan in episode 0"),
    ):
        with pytest.raises(UsageError, match=message):
            fit_model(EquationModel(box, gym.spaces.Discrete(2)), given)
    for space, actions in ((gym.spaces.Discrete(4), gym.spaces.Discrete(2)), (box, gym.spaces.MultiDiscrete([2, 2]))):
        with pytest.raises(UsageError, match="space"):
            EquationModel(space, actions)


def test_noise_that_is_stated_is_allowed_for() -> None:
    (episode,) = rollout("random", "MountainCarContinuous", episodes=1, seed=1)
    rng = np.random.default_rng(0)
    seen = np.asarray(episode.observations, np.float64)
    noisy = Trajectory(seen + rng.normal(size=seen.shape) * 1e-6, episode.actions, episode.rewards, False, True)
    task = resolve_task("MountainCarContinuous")
    box = gym.spaces.Box(-2, 2, (2,), np.float64)
    model = EquationModel(box, task.action_space, EquationSettings(noise=1e-6), names=("x", "x_dot"))
    fit_model(model, [noisy])
    assert coefficients(model)["x_dot"] == pytest.approx({"u": 0.0015, "cos3_x": -0.0025}, rel=0.01)


def test_select_takes_the_fewest_columns() -> None:
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(50, 20))
    columns[:, 5] = columns[:, 3] + 1e-6 * rng.normal(size=50)  # nearly another one
    target = 2.0 * columns[:, 3] - columns[:, 11]
    found = select(columns, target, 1e-12, 4, [1.0] * 20)
    assert found is not None and found.terms == (3, 11)
    np.testing.assert_allclose(found.coefficients, [2.0, -1.0])
    assert select(columns, rng.normal(size=50), 1e-6, 4, [1.0] * 20) is None


def test_plans_are_made_in_it() -> None:
    import inscape

    model = learned("Pendulum", 1)
    found = inscape.plan("Pendulum", model=model, planner="cem", horizon=5, population=20)
    assert np.shape(found.action) == (1,) and np.isfinite(found.action).all()
