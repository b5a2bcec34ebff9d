from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest

from inscape.envs.registry import make_world
from inscape.envs.worlds.control.pendulum import Pendulum, reduced
from inscape.errors import UsageError
from tests.envs.worlds.control.agreement import compare


@pytest.mark.compiled
def test_trajectories_equal_gymnasium():
    """1,000 episodes of 200 steps: states bit for bit; rewards but for the last bit of a square."""
    rng = np.random.default_rng(0)
    starts = rng.uniform([-math.pi, -1], [math.pi, 1], (1000, 2))

    def policy(t, states):  # a third pumps energy and spins, the others act at random
        torque = rng.uniform(-2, 2, (1000, 1))
        torque[::3, 0] = 2 * np.sign(states[1, ::3])
        return torque.astype(np.float32)

    found = compare(make_world("Pendulum"), "Pendulum-v1", starts, policy, 200)
    assert found.steps == 200_000
    assert (found.states, found.observations, found.flags) == (0, 0, 0)
    # NumPy squares with C's pow, we with a product; the torque's square is single precision: 0.004 · 2⁻²³ = 4.8e-10
    assert np.abs(found.rewards).max() < 5e-10
    assert np.mean(found.rewards != 0) < 0.01


def test_settings_and_limit_are_gymnasiums():
    rng = np.random.default_rng(1)
    theirs = gym.make("Pendulum-v1", g=9.81).unwrapped
    world = make_world("Pendulum", g=9.81)
    start, torque = rng.uniform(-1, 1, (50, 2)), rng.uniform(-2, 2, (50, 1)).astype(np.float32)
    after, _, _ = world.step(world.pack([world.State(*s) for s in start]), torque, rng)
    for k in range(50):
        theirs.reset()
        theirs.state = start[k].copy()
        theirs.step(torque[k])
        assert np.array_equal(theirs.state, after.floats[:, k])
    assert world.max_episode_steps == gym.spec("Pendulum-v1").max_episode_steps
    assert world.observation_space == theirs.observation_space
    assert world.action_space == theirs.action_space


def test_angles_are_reduced_as_the_remainder_does():
    rng = np.random.default_rng(0)
    angles = np.concatenate(
        [rng.uniform(-8, 8, 20_000), rng.uniform(-1e6, 1e6, 20_000), np.arange(-9, 10) * math.pi, [-1e-17, 1e-17]]
    )
    for angle in angles.tolist():
        assert reduced(angle) == (angle + math.pi) % (2 * math.pi) - math.pi


def test_energy_is_kept_as_steps_get_shorter():
    """θ̇²/2 + 3g/(2l) cos θ is constant without torque: the error over one second halves with the step."""

    def drift(dt: float) -> float:
        params = Pendulum(dt=dt, max_speed=100.0, l=0.7).params
        state = Pendulum.State(2.0, 0.5)

        def energy(s):
            return s.theta_dot**2 / 2 + 3 * params.g / (2 * params.l) * math.cos(s.theta)

        before = energy(state)
        for _ in range(round(1 / dt)):
            state = Pendulum.transition(params, state, (0.0,), 0)[1]
        return abs(energy(state) - before)

    coarse, fine = drift(1e-3), drift(5e-4)
    assert coarse < 0.1
    assert coarse / fine == pytest.approx(2, rel=0.05)


def test_start_states_fill_the_box():
    starts = make_world("Pendulum", start_angle=0.5, start_speed=0.25).sample_initial(20_000, np.random.default_rng(0))
    width = np.array([0.5, 0.25])
    assert (np.abs(starts.floats) <= width[:, None]).all()
    assert np.allclose(starts.floats.mean(1), 0, atol=5 * width.max() / math.sqrt(3 * 20_000))
    assert np.allclose(starts.floats.std(1), width / math.sqrt(3), rtol=0.02)


def test_bad_input_is_refused():
    with pytest.raises(UsageError, match=r"Pendulum\.l = 0"):
        make_world("Pendulum", l=0.0)
    world = make_world("Pendulum")
    states = world.pack([world.State(0.0, 0.0)] * 2)
    for bad in ([[0.0], [2.5]], [[0.0], [math.nan]]):
        with pytest.raises(UsageError, match="copy 1"):
            world.step(states, np.array(bad), np.random.default_rng(0))


def test_observations_give_the_state_up_to_turns():
    world = make_world("Pendulum")
    states = world.pack([world.State(theta, 3.0) for theta in np.linspace(-9, 9, 50)])
    back = world.states_of(world.observe(states))
    assert np.allclose(world.observe(back), world.observe(states), atol=1e-6)
    assert np.abs(back.floats[0]).max() <= math.pi + 1e-6


def test_words_and_picture_follow_the_state():
    world = make_world("Pendulum")
    left, right = (world.pack([world.State(angle, speed)]) for angle, speed in ((0.5, 1.0), (-2.0, -7.0)))
    assert "29° left of upright, turning anticlockwise 1.0" in world.describe_state(left)
    assert "115° right of upright, turning clockwise 7.0" in world.describe_state(right)
    assert world.place_of(left)[0] < 2.5 < world.place_of(right)[0]
    assert world.place_of(left)[1] < 2.5 < world.place_of(right)[1]
    still = world.scene(world.pack([world.State(0.0, 0.0)]))
    assert len(still.shapes) < len(world.scene(left).shapes) < len(world.scene(right).shapes)  # the arrow grows
