"""The ensemble: its likelihood and gradient, what it knows and does not, and how it is stored."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from inscape import rollout
from inscape.envs.data.trajectory import Trajectory
from inscape.errors import UsageError
from inscape.world_models import CEM, EnsembleModel, EnsembleSettings, bits, fit_model, make_model
from inscape.world_models.learned.ensemble.evidence import regress
from inscape.world_models.learned.ensemble.training import Likelihood, Rows
from inscape.world_models.networks.kernels import features as kernels

PLANE = spaces.Box(-np.inf, np.inf, (2,), np.float64)
PUSH = spaces.Box(-1.0, 1.0, (1,), np.float64)
A, B = np.array([[0.9, 0.1], [-0.1, 0.9]]), np.array([0.0, 0.5])
NOISE = np.array([0.1, 0.2])
SMALL = EnsembleSettings(members=3, features=16, updates=40)


def linear_gaussian(steps: int, seed: int, wide: float = 1.0) -> Trajectory:
    """An episode of x' = A·x + B·u + noise, whose entropy is known in closed form."""
    rng = np.random.default_rng(seed)
    states, actions = [rng.standard_normal(2) * wide], rng.uniform(-1.0, 1.0, (steps, 1))
    for u in actions:
        states.append(A @ states[-1] + B * u + NOISE * rng.standard_normal(2))
    return Trajectory(np.array(states), actions, np.array(states)[1:, 0] ** 2, False, True)


def test_gradient_is_the_derivative_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    sizes, width, inputs, features = np.array([3, 2]), 2, 3, 5
    count = 2 * width + 5
    W = rng.standard_normal(kernels.parameter_count(inputs, features, count)) * 0.5
    classes = np.stack([rng.integers(3, size=7), rng.integers(2, size=7)], axis=1)
    rows = Rows(rng.standard_normal((7, inputs)), rng.standard_normal((7, width)), classes)
    likelihood = Likelihood(features, sizes, -5.0, 5.0)
    G = np.empty_like(W)
    likelihood.gradient(W, rows, G)
    for at in range(len(W)):
        step = np.zeros_like(W)
        step[at] = 1e-6
        slope = (likelihood.loss(W + step, rows) - likelihood.loss(W - step, rows)) / 2e-6
        assert G[at] == pytest.approx(slope, abs=1e-6)


def test_kernel_gives_what_arrays_give() -> None:
    rng = np.random.default_rng(1)
    W = rng.standard_normal((3, kernels.parameter_count(4, 6, 5)))
    X, member = rng.standard_normal((9, 4)) * 5.0, rng.integers(3, size=9)
    found, expected = np.empty((9, 5)), np.empty((9, 5))
    getattr(kernels.outputs, "kernel", kernels.outputs)(W, member, X, 6, found)
    kernels._outputs_of_arrays(W, member, X, 6, expected)  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_regression_is_the_posterior_mean_and_leaves_a_line_alone() -> None:
    rng = np.random.default_rng(2)
    x, H = rng.standard_normal((40, 2)), rng.standard_normal((40, 5))
    line = x @ np.array([[1.0], [-2.0]]) + 3.0
    found = regress(H, x, line, 1e-10)
    np.testing.assert_allclose(found.of_inputs[:, 0], [1.0, -2.0], atol=1e-8)
    assert np.abs(found.of_features).max() < 1e-8 and found.constants[0] == pytest.approx(3.0)
    noisy = line + H[:, :1] + 0.1 * rng.standard_normal((40, 1))
    found = regress(H, x, noisy, 1e-10)
    assert found.variance[0] == pytest.approx(0.01, rel=0.6)
    np.testing.assert_allclose(found.of_features[:, 0], [1, 0, 0, 0, 0], atol=0.1)


def test_bits_approach_the_entropy_of_a_linear_gaussian_world_from_above() -> None:
    entropy = float(np.log2(np.sqrt(2.0 * np.pi * np.e) * NOISE).sum())
    judged = [linear_gaussian(2000, 99)]
    excess = []
    for steps in (60, 800):
        model = EnsembleModel(PLANE, PUSH, SMALL, termination=lambda seen: np.zeros(len(seen), bool))
        report = fit_model(model, [linear_gaussian(steps, 1)])
        excess.append(bits(model, judged).per_step - entropy)
        assert np.isfinite(report.held_out_bits_per_step)
    error = 4.5 * np.sqrt(1.0 / 2000) / np.log(2)  # of −log₂ p of two normals, a step: variance 1 nat²
    assert -error < excess[1] < 0.06 < excess[0] + 0.06 and excess[1] < excess[0]


def test_intervals_hold_what_they_say() -> None:
    model = EnsembleModel(PLANE, PUSH, SMALL)
    fit_model(model, [linear_gaussian(600, 3)])
    seen = linear_gaussian(1000, 4)
    found = model.uncertainty(model.init(seen.observations[:-1]), seen.actions)
    spread = np.sqrt(found.epistemic + found.noise)
    missed = model.mean(model.init(seen.observations[:-1]), seen.actions) - seen.observations[1:]
    inside = (np.abs(missed) < 1.6449 * spread).mean()
    assert 0.86 < inside < 0.94
    np.testing.assert_allclose(np.sqrt(found.noise.mean(axis=0)), NOISE, rtol=0.1)


def test_inputs_that_change_nothing_are_left_out_of_the_sines() -> None:
    rng = np.random.default_rng(0)
    x, u = rng.standard_normal((80, 2)), rng.uniform(-1.0, 1.0, (80, 1))
    after = x + np.stack([0.1 * x[:, 1], np.sin(x[:, 1]) + u[:, 0]], axis=1)  # the first of them moves nothing
    model = EnsembleModel(PLANE, PUSH, EnsembleSettings(members=3, features=32, updates=0))
    for row in range(80):
        model.memory.append(x[row : row + 1], u[row : row + 1], after[row : row + 1], np.zeros(1), np.zeros(1, bool))
    model.refit()
    far, near = np.array([[40.0, 0.5]]), np.array([[0.0, 0.5]])
    moved = [model.mean(model.init(one), np.zeros((1, 1)))[0] - one[0] for one in (far, near)]
    np.testing.assert_allclose(moved[0], moved[1], atol=0.05)


def test_members_agree_where_data_is() -> None:
    model = EnsembleModel(PLANE, PUSH, SMALL)
    fit_model(model, [linear_gaussian(60, 5)])
    near, far = np.zeros((4, 2)), np.full((4, 2), 30.0)
    none = np.zeros((4, 1))
    few = model.disagreement(model.init(near), none)
    assert (few * 10 < model.disagreement(model.init(far), none)).all()
    fit_model(model, [linear_gaussian(1000, 6)])
    assert (model.disagreement(model.init(near), none) < few).all()


@pytest.mark.parametrize("propagation", ["ts-inf", "ts1", "mean"])
def test_steps_are_sampled_from_members(propagation: Any) -> None:
    model = EnsembleModel(PLANE, PUSH, EnsembleSettings(members=3, features=8, updates=0, propagation=propagation))
    fit_model(model, [linear_gaussian(200, 7)])
    states = model.init(np.zeros((3000, 2)))
    step = model.step(states, np.ones((3000, 1)), np.random.default_rng(0))
    reached = model.observe(step.states)
    assert len(step.states[:2]) == 2 and step.reward.shape == (3000,) and (step.continuation > 0.9).all()
    np.testing.assert_allclose(reached.mean(axis=0), model.mean(states[:1], np.ones((1, 1)))[0], atol=0.02)
    if propagation == "mean":
        assert np.ptp(reached, axis=0).max() == 0.0
    else:
        found = model.uncertainty(states[:1], np.ones((1, 1)))
        np.testing.assert_allclose(reached.var(axis=0), (found.epistemic + found.noise)[0], rtol=0.15)
    assert (step.states.member < 0).all() == (propagation != "ts-inf")


@pytest.mark.parametrize("propagation", ["ts-inf", "ts1", "mean"])
def test_rolls_as_it_steps(propagation: Any) -> None:
    model = EnsembleModel(PLANE, PUSH, EnsembleSettings(members=3, features=8, updates=0, propagation=propagation))
    fit_model(model, [linear_gaussian(200, 7)])
    states, actions = model.init(np.zeros((1500, 2))), np.full((1500, 3, 1), 0.5)
    rolled = model.roll(states, actions, np.random.default_rng(0))
    assert rolled is not None
    reward, going_on, last = rolled
    rng = np.random.default_rng(1)
    for t in range(3):
        step = model.step(states, actions[:, t], rng)
        states = step.states
        np.testing.assert_allclose(reward[t].mean(), np.asarray(step.reward).mean(), atol=0.02)
        np.testing.assert_allclose(going_on[t].mean(), np.asarray(step.continuation).mean(), atol=1e-3)
    np.testing.assert_allclose(last.flat.mean(axis=0), states.flat.mean(axis=0), atol=0.04)
    np.testing.assert_allclose(last.flat.std(axis=0), states.flat.std(axis=0), atol=0.03)


def test_kernel_rolls_as_arrays_do() -> None:
    rng = np.random.default_rng(1)
    W, scales = rng.standard_normal((2, kernels.parameter_count(3, 4, 4))) * 0.3, (np.zeros(3), np.ones(3))
    given = (
        rng.standard_normal((6, 2)), rng.standard_normal((6, 4, 1)), rng.standard_normal((6, 4, 2)),
        (*scales, np.zeros(2), np.ones(2)), (np.full(2, -3.0), np.full(2, 3.0)), 4, -5.0, 5.0,
    )  # fmt: skip
    for member in (rng.integers(2, size=(6, 4)), np.full((6, 4), -1)):
        found, expected = np.empty((4, 6, 2)), np.empty((4, 6, 2))
        getattr(kernels.roll, "kernel", kernels.roll)(W, member, *given, found)
        kernels._roll_of_arrays(W, member, *given, expected)  # type: ignore[no-untyped-call]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_classes_are_learned_with_rewards_and_ends() -> None:
    episodes = rollout("random", "FrozenLake", episodes=60, seed=0)
    model = make_model("ensemble", "FrozenLake", members=2, features=32, updates=150)
    untrained = EnsembleModel.for_task("FrozenLake", EnsembleSettings(members=2, features=4, updates=0))
    fit_model(untrained, episodes)
    fit_model(model, episodes)
    judged = rollout("random", "FrozenLake", episodes=20, seed=1)
    assert bits(model, judged).per_step < bits(untrained, judged).per_step - 1.0
    states = model.init(np.array([14, 14, 5]))
    step = model.step(states[np.zeros(500, int)], np.full(500, 2), np.random.default_rng(0))
    reached = model.observe(step.states)
    assert set(np.unique(reached)) <= set(range(16)) and step.continuation[reached == 15].max(initial=0.0) < 0.5


def test_constant_features_and_one_step_make_no_nan() -> None:
    for steps in (1, 2, 50):
        observations = np.tile([0.0, 3.0], (steps + 1, 1))
        model = EnsembleModel(PLANE, spaces.Discrete(2), SMALL)
        fit_model(model, [Trajectory(observations, np.zeros(steps, np.int64), np.ones(steps), False, True)])
        step = model.step(model.init(observations[:1]), np.array([1]), np.random.default_rng(0))
        assert np.isfinite(model.observe(step.states)).all() and step.reward[0] == pytest.approx(1.0)


def test_members_that_all_stop_at_once_keep_what_was_solved_for() -> None:
    model = EnsembleModel(PLANE, PUSH, EnsembleSettings(members=2, features=8, learning_rate=1.0, patience=1))
    report = fit_model(model, [linear_gaussian(100, 8)])
    assert report.metrics["stopped_at_once"] == 2.0 and report.metrics["updates_kept"] == 0.0
    assert np.isfinite(report.held_out_bits_per_step) and report.held_out_bits_per_step < 3.0


def test_resumes_bit_for_bit_and_names_what_does_not_fit() -> None:
    first, other = (EnsembleModel(PLANE, PUSH, SMALL, seed=3) for _ in range(2))
    fit_model(first, [linear_gaussian(30, 9)])
    other.load_state_dict(first.state_dict())
    reports = [fit_model(model, [linear_gaussian(30, 10)]) for model in (first, other)]
    assert reports[0] == reports[1]
    np.testing.assert_array_equal(first.dynamics.parameters, other.dynamics.parameters)
    with pytest.raises(UsageError, match="dynamics.parameters"):
        EnsembleModel(PLANE, spaces.Discrete(3), SMALL).load_state_dict(first.state_dict())


def test_the_oldest_transitions_go() -> None:
    model = EnsembleModel(PLANE, PUSH, EnsembleSettings(members=1, features=4, updates=0, capacity=50))
    for seed in range(9):
        fit_model(model, [linear_gaussian(20, seed)])
    assert len(model.memory.arrays()[0]) == 50
    np.testing.assert_array_equal(model.memory.arrays()[2][-1], linear_gaussian(20, 8).observations[-1])


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_foreign_environments_are_planned_in(name: str) -> None:
    episodes = rollout("random", gymnasium.make(name), episodes=1, seed=0)
    model = EnsembleModel.for_task(gymnasium.make(name), EnsembleSettings(members=2, features=8, updates=0))
    fit_model(model, episodes)
    plans = CEM(horizon=3, population=8, particles=2).plan(
        model, model.init(episodes[0].observations[:2]), np.random.default_rng(0)
    )
    assert len(plans.actions) == 2 and np.isfinite(plans.values).all()


def test_bad_input_is_named() -> None:
    with pytest.raises(UsageError, match="Dict"):
        EnsembleModel(spaces.Dict({"x": PLANE}), PUSH)
    with pytest.raises(UsageError, match="actions"):
        EnsembleModel(PLANE, spaces.MultiDiscrete([2, 2]))
    model = EnsembleModel(PLANE, PUSH, SMALL)
    for call in (
        lambda: fit_model(model, []),
        lambda: model.log_prob(linear_gaussian(3, 0)),
        lambda: model.step(model.init(np.zeros((1, 2))), np.zeros((1, 1)), np.random.default_rng(0)),
        lambda: model.init(np.zeros((1, 3))),
        lambda: EnsembleSettings(members=0),
        lambda: EnsembleSettings(length_scales=()),
    ):
        with pytest.raises(UsageError):
            call()
    broken = linear_gaussian(5, 0)
    broken.observations[3, 1] = np.nan
    with pytest.raises(UsageError, match="episode 1 at step 3"):
        fit_model(model, [linear_gaussian(5, 1), broken])
    lake = EnsembleModel.for_task("FrozenLake", SMALL)
    with pytest.raises(UsageError, match="0 to 15"):
        lake.init(np.array([16]))
