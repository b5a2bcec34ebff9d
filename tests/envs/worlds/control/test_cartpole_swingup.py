from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import solve_discrete_are

from inscape.envs.registry import make_world
from inscape.envs.worlds.control.cartpole_swingup import CartPoleSwingUp
from inscape.errors import UsageError


def step(params, state, push):
    return CartPoleSwingUp.transition(params, state, (push,), 0)[1]


def test_accelerations_solve_the_equations_of_motion():
    """A uniform rod on a cart with friction: M(q) q̈ = forces, solved as a linear system."""
    rng = np.random.default_rng(0)
    params = CartPoleSwingUp(masscart=0.7, masspole=0.3, length=0.9, friction=0.2).params
    big, small, half = params.masscart + params.masspole, params.masspole, params.length / 2
    for numbers in rng.uniform(-3, 3, (200, 5)):
        state, push = CartPoleSwingUp.State(*numbers[:4]), numbers[4] / 3
        sin, cos = math.sin(state.theta), math.cos(state.theta)
        # the rod's centre is at (x − half·sin θ, half·cos θ); its moment of inertia about the hinge is m l²/3
        matrix = [[big, -small * half * cos], [-small * half * cos, small * params.length**2 / 3]]
        forces = [
            params.force * push - params.friction * state.x_dot - small * half * sin * state.theta_dot**2,
            small * params.gravity * half * sin,
        ]
        after = step(params, state, push)
        found = [(after.x_dot - state.x_dot) / params.tau, (after.theta_dot - state.theta_dot) / params.tau]
        assert np.allclose(found, np.linalg.solve(matrix, forces), rtol=1e-9, atol=1e-9)
        assert after.x == pytest.approx(state.x + params.tau * state.x_dot)
        assert after.theta == pytest.approx(state.theta + params.tau * state.theta_dot)


def energy(params, s):
    small, half = params.masspole, params.length / 2
    return (
        0.5 * (params.masscart + small) * s.x_dot**2
        - small * half * math.cos(s.theta) * s.x_dot * s.theta_dot
        + small * params.length**2 / 6 * s.theta_dot**2
        + small * params.gravity * half * math.cos(s.theta)
    )


def test_energy_is_kept_as_steps_get_shorter():
    def drift(tau):
        params = CartPoleSwingUp(tau=tau, friction=0.0).params
        state = CartPoleSwingUp.State(0.0, 0.3, 2.0, 1.0)
        before = energy(params, state)
        for _ in range(round(1 / tau)):
            state = step(params, state, 0.0)
        return abs(energy(params, state) - before)

    coarse, fine = drift(5e-4), drift(2.5e-4)
    assert coarse < 0.05
    assert coarse / fine == pytest.approx(2, rel=0.05)  # Euler's method is of first order


def test_published_constants_rewards_and_ends():
    world = make_world("CartPoleSwingUp")
    constants = (9.82, 0.5, 0.5, 0.6, 0.1, 10.0, 0.01, 2.4, 0.2)  # Gal et al. (2016); Gaier & Ha (2019)
    assert tuple(world.params) == constants
    assert world.max_episode_steps == 1000
    at = [(0.0, 0.0), (0.0, math.pi), (2.4, 0.0), (1.2, 0.0), (0.0, math.pi / 2)]
    states = world.pack([world.State(x, 0.0, theta, 0.0) for x, theta in at])
    rewards = world.reward_of(states, np.zeros((5, 1)), states)
    assert np.allclose(rewards, [1, 0, 0, math.sqrt(0.5), 0.5], atol=1e-12)
    ends = world.pack([world.State(x, 0.0, 0.0, 0.0) for x in (-2.41, -2.39, 2.39, 2.41)])
    assert world.terminal_of(ends).tolist() == [True, False, False, True]


def test_the_pole_starts_hanging_with_gaussian_noise():
    starts = make_world("CartPoleSwingUp").sample_initial(40_000, np.random.default_rng(0)).floats
    assert np.allclose(starts.mean(1), [0, 0, math.pi, 0], atol=5 * 0.2 / 200)
    assert np.allclose(starts.std(1), 0.2, rtol=0.02)
    assert np.mean(np.abs(starts[0]) < 0.2) == pytest.approx(math.erf(math.sqrt(0.5)), abs=0.015)


def balancing_gain(params):
    """Linear feedback about the upright state: LQR of the law, linearised by differences."""
    origin, h = CartPoleSwingUp.State(0.0, 0.0, 0.0, 0.0), 1e-6
    columns = [np.array(step(params, origin._replace(**{name: h}), 0.0)) / h for name in origin._fields]
    a, b = np.stack(columns, 1), np.array(step(params, origin, h))[:, None] / h
    cost = solve_discrete_are(a, b, np.diag([1.0, 0.1, 10.0, 0.1]), np.eye(1))
    return np.linalg.solve(np.eye(1) + b.T @ cost @ b, b.T @ cost @ a)[0]


def controlled(params, gain, states):
    """Accelerates the cart so that the pole gains the energy it lacks, near the middle; balances once it is up."""
    x, x_dot, theta, theta_dot = states.floats
    sin, cos = np.sin(theta), np.cos(theta)
    angle = np.remainder(theta + math.pi, 2 * math.pi) - math.pi
    small, half = params.masspole, params.length / 2
    lacking = small * params.length**2 / 6 * theta_dot**2 + small * params.gravity * half * (cos - 1)
    wanted = -4 * lacking * theta_dot * cos - 6 * x - 3 * x_dot  # acceleration of the cart
    theta_acc = (wanted * cos + params.gravity * sin) / (params.length * 2 / 3)
    force = (params.masscart + small) * wanted - small * half * (theta_acc * cos - theta_dot**2 * sin)
    pump = (force + params.friction * x_dot) / params.force
    balance = -gain @ np.stack([x, x_dot, angle, theta_dot])
    near = (np.abs(angle) < 0.35) & (np.abs(angle + 0.15 * theta_dot) < 0.35)
    return np.clip(np.where(near, balance, pump), -1, 1)[:, None]


@pytest.mark.slow
def test_a_known_controller_swings_it_up():
    """Pumping energy, then LQR, balances every copy in the middle; doing nothing earns next to nothing."""
    world = make_world("CartPoleSwingUp")
    gain, earned = balancing_gain(world.params), {}
    for name in ("nothing", "control"):
        rng = np.random.default_rng(0)
        states, returns, alive = world.sample_initial(100, rng), np.zeros(100), np.ones(100, np.bool_)
        for _ in range(1000):
            actions = controlled(world.params, gain, states) if name == "control" else np.zeros((100, 1))
            states, rewards, ended = world.step(states, actions, rng)
            returns += np.where(alive, rewards, 0)
            alive &= ~ended
        earned[name] = returns
    assert earned["nothing"].mean() < 50
    assert alive.all()
    assert (np.cos(states.floats[2]) > 0.99).all()
    assert (np.abs(states.floats[0]) < 0.3).all()
    assert earned["control"].min() > 800


def test_bad_input_is_refused():
    with pytest.raises(UsageError, match="track = 0"):
        make_world("CartPoleSwingUp", track=0.0)
    world = make_world("CartPoleSwingUp")
    with pytest.raises(UsageError, match="copy 0"):
        world.step(world.pack([world.State(0.0, 0.0, 0.0, 0.0)]), np.array([[-1.5]]), np.random.default_rng(0))


def test_observations_give_the_state():
    world = make_world("CartPoleSwingUp")
    states = world.sample_initial(50, np.random.default_rng(0))
    assert np.allclose(world.states_of(world.observe(states)).floats, states.floats, atol=1e-6)


def test_words_and_picture_follow_the_state():
    world = make_world("CartPoleSwingUp")
    left = world.pack([world.State(-1.0, 0.5, 0.3, -2.0)])
    assert world.describe_state(left).startswith(
        "cart 1.00 m left of the middle, moving right 0.5 m/s | pole 17° left of upright, turning clockwise 2.0 rad/s"
    )
    assert world.place_of(left) == pytest.approx((2.0 - 1.2 * math.sin(0.3), 1.6 - 1.2 * math.cos(0.3)))
