from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest

from inscape.envs.registry import make_world
from inscape.envs.worlds.control.acrobot import Acrobot, above_line, accelerations, wrapped
from inscape.errors import UsageError
from tests.envs.worlds.control.agreement import compare


def pumping(states):
    """Torque with the second link's velocity: swings up in some 80 steps."""
    return 2 * (states[3] >= 0)


@pytest.mark.slow
@pytest.mark.compiled
def test_trajectories_equal_gymnasium_bit_for_bit():
    """1,000 episodes, 40 of them random and long. One differing bit would grow: the motion is chaotic."""
    rng = np.random.default_rng(0)
    starts = rng.uniform(-0.1, 0.1, (1000, 4))

    def policy(t, states):
        actions = pumping(states)
        actions[::25] = rng.integers(0, 3, 40)
        return actions

    found = compare(make_world("Acrobot"), "Acrobot-v1", starts, policy, 500)
    assert found.ended >= 960
    assert (found.states, found.observations, found.flags) == (0, 0, 0)
    assert not found.rewards.any()


def test_wild_states_and_the_papers_equations_equal_gymnasiums():
    """Angles wrap, velocities meet their bounds; `nips` is Gymnasium's `book_or_nips = "nips"`."""
    rng = np.random.default_rng(1)
    theirs = gym.make("Acrobot-v1").unwrapped
    theirs.book_or_nips = "nips"
    world = make_world("Acrobot", nips=True)
    fastest = np.array([math.pi, math.pi, 4 * math.pi, 9 * math.pi])
    starts, actions = rng.uniform(-fastest, fastest, (3000, 4)), rng.integers(0, 3, 3000)
    after, rewards, ended = world.step(world.pack([world.State(*s) for s in starts.tolist()]), actions, rng)
    seen = world.observe(after)
    for k in range(3000):
        if above_line(world.params, world.purpose, world.State(*starts[k])):
            continue  # ended before: ours absorbs
        theirs.reset(seed=0)
        theirs.state = starts[k].copy()
        obs, reward, terminated, _, _ = theirs.step(int(actions[k]))
        assert np.array_equal(theirs.state, after.floats[:, k])
        assert np.array_equal(obs, seen[k])
        assert (reward, terminated) == (rewards[k], ended[k])
    assert (np.abs(after.floats) == fastest[:, None]).sum(1)[2:].min() > 20  # velocities at their bounds
    assert world.max_episode_steps == gym.spec("Acrobot-v1").max_episode_steps
    assert world.observation_space == theirs.observation_space
    assert world.action_space == theirs.action_space


def test_two_turns_are_taken_off():
    for turns in (-2, -1, 0, 1, 2):
        assert wrapped(1.0 + 2 * math.pi * turns) == pytest.approx(1.0)
        assert wrapped(-3.0 + 2 * math.pi * turns) == pytest.approx(-3.0)


def energy(params, state):
    """Kinetic and potential energy of two rods, from the velocities of their centres of mass."""
    both, both_dot = state.theta1 + state.theta2, state.theta1_dot + state.theta2_dot
    l1, c1, c2 = params.link_length_1, params.link_com_pos_1, params.link_com_pos_2
    vx = l1 * math.cos(state.theta1) * state.theta1_dot + c2 * math.cos(both) * both_dot
    vy = l1 * math.sin(state.theta1) * state.theta1_dot + c2 * math.sin(both) * both_dot
    kinetic = 0.5 * (
        (params.link_mass_1 * c1 * c1 + params.link_moi) * state.theta1_dot**2
        + params.link_mass_2 * (vx * vx + vy * vy)
        + params.link_moi * both_dot**2
    )
    height1, height2 = -c1 * math.cos(state.theta1), -l1 * math.cos(state.theta1) - c2 * math.cos(both)
    return kinetic + params.gravity * (params.link_mass_1 * height1 + params.link_mass_2 * height2)


def drift(dt, **settings):
    params = Acrobot(dt=dt, link_length_1=1.1, link_mass_2=0.8, link_com_pos_1=0.6, **settings).params
    state = Acrobot.State(1.0, -0.5, 0.3, 0.2)
    before = energy(params, state)
    for _ in range(round(2 / dt)):
        state = Acrobot.transition(params, state, 1, 0)[1]
    return abs(energy(params, state) - before)


def test_energy_is_kept_to_the_order_of_the_method():
    """Without torque, the error over two seconds falls with the fourth power of the step or faster."""
    coarse, fine = drift(0.04), drift(0.02)
    assert coarse < 1e-3
    assert coarse / fine > 2**4 * 0.8
    assert drift(0.02, nips=True) > 100 * fine  # the paper's equations lack a term


def test_a_torque_of_the_motor_does_its_work():
    """dE/dt = torque · theta2's velocity."""
    params = Acrobot().params
    state = Acrobot.State(0.7, 0.4, -1.2, 2.3)
    a1, a2 = accelerations(params, *state, 1.0)
    h = 1e-6
    later = Acrobot.State(
        state.theta1 + h * state.theta1_dot,
        state.theta2 + h * state.theta2_dot,
        state.theta1_dot + h * a1,
        state.theta2_dot + h * a2,
    )
    assert (energy(params, later) - energy(params, state)) / h == pytest.approx(state.theta2_dot, rel=1e-4)


def test_a_noisy_torque_is_uniform_about_the_meant_one():
    """The torque shows in the velocities, which are nearly linear in it over one short step."""
    world = make_world("Acrobot", torque_noise_max=0.5, dt=0.001)
    assert not world.is_enumerable
    assert make_world("Acrobot").is_enumerable
    rng = np.random.default_rng(0)
    states = world.pack([world.State(0.0, 0.0, 0.0, 0.0)] * 5000)
    after, _, _ = world.step(states, np.full(5000, 2), rng)
    per_torque = accelerations(world.params, 0.0, 0.0, 0.0, 0.0, 1.0)[1]
    torques = after.floats[3] / (0.001 * per_torque)
    assert 0.49 < torques.min() < 0.51
    assert 1.49 < torques.max() < 1.51
    assert torques.mean() == pytest.approx(1.0, abs=5 / math.sqrt(12 * 5000))


def test_observations_give_the_state():
    world = make_world("Acrobot")
    rng = np.random.default_rng(0)
    states = world.pack([world.State(*s) for s in rng.uniform(-3, 3, (50, 4))])
    assert np.allclose(world.states_of(world.observe(states)).floats, states.floats, atol=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(UsageError, match="link_mass_1 = -1"):
        make_world("Acrobot", link_mass_1=-1.0)
    with pytest.raises(UsageError, match="nips"):
        make_world("Acrobot", nips="book")


def test_words_and_picture_follow_the_state():
    world = make_world("Acrobot")
    up = world.pack([world.State(math.pi, 0.0, 0.0, 0.0)])
    aside = world.pack([world.State(math.pi / 2, -math.pi / 2, 1.5, 0.0)])
    assert "free end at height 2.00 | wanted: above 1" in world.describe_state(up)
    assert world.describe_state(aside).startswith("first link +90° from hanging, turning +1.5 rad/s")
    assert world.terminal_of(up).tolist() == [True]
    assert world.place_of(up) == pytest.approx((2.25, 0.25))
    assert world.place_of(aside) == pytest.approx((3.25, 3.25))  # to the right, then down
