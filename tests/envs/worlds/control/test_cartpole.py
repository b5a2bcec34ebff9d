from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from inscape.envs.registry import make_world


@pytest.mark.compiled
def test_trajectories_equal_gymnasium_bit_for_bit():
    """1,000 episodes from the same start states under the same actions: states, observations, rewards, endings."""
    world, theirs = make_world("CartPole"), gym.make("CartPole-v1").unwrapped
    rng = np.random.default_rng(0)
    episodes = 1000
    starts = rng.uniform(-0.05, 0.05, (episodes, 4))
    venv = world.vector_env(episodes, autoreset="disabled")
    venv.reset(seed=0)
    states = venv.states
    states.floats[:] = starts.T
    venv.states = states
    # half the episodes balance (long ones), half act at random
    length = 200
    actions = rng.integers(0, 2, (length, episodes))
    history, flags = [venv.states.floats], []
    balancing = np.arange(episodes) % 2 == 0
    for t in range(length):
        theta, theta_dot = history[-1][2], history[-1][3]
        actions[t, balancing] = (theta + 0.5 * theta_dot > 0)[balancing]
        following, _, ended = world.step(venv.states, actions[t], rng)
        venv.states = following
        history.append(following.floats.copy())
        flags.append(ended)
    for e in range(episodes):
        theirs.reset()
        theirs.state = starts[e].copy()
        for t in range(length):
            _obs, reward, terminated, _, _ = theirs.step(int(actions[t, e]))
            assert np.array_equal(history[t + 1][:, e], np.asarray(theirs.state)), (e, t)
            assert terminated == flags[t][e]
            assert reward == 1.0
            if terminated:
                break


def test_environment_observes_and_ends_as_gymnasium_does():
    ours, theirs = gym.make("inscape/CartPole-v0"), gym.make("CartPole-v1")
    rng = np.random.default_rng(1)
    for episode in range(30):
        start = rng.uniform(-0.05, 0.05, 4)
        ours.reset(seed=episode, options={"state": start})
        theirs.reset(seed=episode)
        theirs.unwrapped.state = start.copy()
        obs, over = None, False
        while not over:
            action = int(rng.integers(2)) if episode % 3 else int(obs is not None and obs[2] + 0.5 * obs[3] > 0)
            mine, their = ours.step(action), theirs.step(action)
            obs = mine[0]
            assert np.array_equal(mine[0], their[0])
            assert mine[0].dtype == their[0].dtype
            assert mine[1:4] == their[1:4]
            over = mine[2] or mine[3]


def test_start_states_fill_the_box():
    world = make_world("CartPole")
    starts = world.sample_initial(20_000, np.random.default_rng(0)).floats
    assert np.abs(starts).max() <= 0.05
    assert np.allclose(starts.mean(1), 0, atol=5 * 0.05 / np.sqrt(3 * 20_000))
    assert np.allclose(starts.std(1), 0.05 / np.sqrt(3), rtol=0.02)


def test_constants_are_derived_from_the_settings():
    heavy = make_world("CartPole", masscart=2.0)
    light = make_world("CartPole")
    states = light.pack([light.State(0.0, 0.0, 0.1, 0.0)])
    push = np.array([1])
    after = [w.step(states, push, np.random.default_rng(0))[0].floats[1, 0] for w in (heavy, light)]
    assert after[0] < after[1]  # the same push moves a heavier cart less
