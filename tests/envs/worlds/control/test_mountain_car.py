from __future__ import annotations

import math

import gymnasium as gym
import numpy as np
import pytest

from inscape.envs.registry import make_world
from inscape.errors import UsageError
from tests.envs.worlds.control.agreement import compare


def pushes(states, rng):
    """Half the episodes push the way the car rolls, half act at random."""
    actions = rng.integers(0, 3, states.shape[1])
    actions[::2] = 2 * (states[1, ::2] >= 0)
    return actions


@pytest.mark.slow
@pytest.mark.compiled
def test_trajectories_equal_gymnasium_bit_for_bit():
    rng = np.random.default_rng(0)
    starts = np.stack([rng.uniform(-0.6, -0.4, 1000), np.zeros(1000)], 1)
    found = compare(make_world("MountainCar"), "MountainCar-v0", starts, lambda t, s: pushes(s, rng), 200)
    assert found.ended >= 500
    assert (found.states, found.observations, found.flags) == (0, 0, 0)
    assert not found.rewards.any()


@pytest.mark.compiled
def test_continuous_trajectories_equal_gymnasium_bit_for_bit():
    rng = np.random.default_rng(0)
    starts = np.stack([rng.uniform(-0.6, -0.4, 1000), np.zeros(1000)], 1).astype(np.float32)

    def policy(t, states):
        pedal = rng.uniform(-1, 1, (1000, 1))
        pedal[::2, 0] = np.where(states[1, ::2] >= 0, 1, -1) * rng.uniform(0.6, 1, 500)
        return pedal.astype(np.float32)

    found = compare(make_world("MountainCarContinuous"), "MountainCarContinuous-v0", starts, policy, 200)
    assert found.ended >= 450
    assert (found.states, found.observations, found.flags) == (0, 0, 0)
    assert not found.rewards.any()


@pytest.mark.parametrize("name", ["MountainCar", "MountainCarContinuous"])
def test_the_ends_of_the_world_equal_gymnasiums(name):
    """The stop on the left, the end on the right, the greatest velocity, and a flag that asks for velocity."""
    rng = np.random.default_rng(2)
    theirs = gym.make(f"{name}-v0", goal_velocity=0.02).unwrapped
    world = make_world(name, goal_velocity=0.02)
    starts = rng.uniform([-1.2, -0.07], [0.6, 0.07], (3000, 2))
    starts[:300, 0] = -1.2
    actions = rng.integers(0, 3, 3000)
    if world.continuous:
        starts, actions = starts.astype(np.float32), (actions[:, None] - 1).astype(np.float32)
    after, rewards, ended = world.step(world.pack([world.State(*s) for s in starts.tolist()]), actions, rng)
    going_on = ~world.terminal_of(world.pack([world.State(*s) for s in starts.tolist()]))  # ours absorb at the end
    for k in np.flatnonzero(going_on):
        theirs.reset(seed=0)
        theirs.state = starts[k].copy()
        _, reward, terminated, _, _ = theirs.step(actions[k] if world.continuous else int(actions[k]))
        assert np.array_equal(np.asarray(theirs.state, np.float64), after.floats[:, k])
        assert (reward, terminated) == (rewards[k], ended[k])
    stopped = (after.floats[0] == world.observation_space.low[0]) | (after.floats[0] == -1.2)
    assert stopped.sum() > 50
    assert (after.floats[1, stopped] >= 0).all()
    assert 20 < ended[going_on].sum() < (after.floats[0, going_on] >= world.purpose.goal_position).sum()
    assert world.max_episode_steps == gym.spec(f"{name}-v0").max_episode_steps
    assert world.observation_space == theirs.observation_space
    assert world.action_space == theirs.action_space


@pytest.mark.quick("MountainCar")
@pytest.mark.parametrize("name", ["MountainCar", "MountainCarContinuous"])
def test_momentum_beats_force(name):
    """Pushing right never gets there; pushing the way the car rolls does, from every start.

    Discrete: in some 120 steps. Continuous, with 0.7 of the pedal: at a mean return above Gymnasium's threshold.
    """
    world = make_world(name)
    rng = np.random.default_rng(0)
    for clever in (False, True):
        states, returns, alive = world.sample_initial(400, rng), np.zeros(400), np.ones(400, np.bool_)
        for _ in range(200):
            way = np.where(states.floats[1] >= 0, 1, -1) if clever else np.ones(400)
            actions = 0.7 * way[:, None] if world.continuous else (way + 1).astype(np.int64)
            states, rewards, ended = world.step(states, actions, rng)
            returns += np.where(alive, rewards, 0)
            alive &= ~ended
        if not clever:
            assert alive.all()
    assert not alive.any()
    if world.continuous:
        assert returns.mean() > gym.spec("MountainCarContinuous-v0").reward_threshold
    else:
        assert -130 < returns.mean() < -100


def test_start_states_fill_the_interval():
    for name in ("MountainCar", "MountainCarContinuous"):
        starts = make_world(name, start_low=-0.9, start_high=-0.5).sample_initial(20_000, np.random.default_rng(0))
        x, x_dot = starts.floats
        assert -0.9 <= x.min() < -0.899
        assert -0.501 < x.max() <= -0.5
        assert x.mean() == pytest.approx(-0.7, abs=5 * 0.4 / math.sqrt(12 * 20_000))
        assert not x_dot.any()
        if name == "MountainCarContinuous":
            assert np.array_equal(x, x.astype(np.float32))


def test_bad_input_is_refused():
    with pytest.raises(UsageError, match="ascending order"):
        make_world("MountainCar", start_low=-1.5)
    with pytest.raises(UsageError, match="max_speed = 0"):
        make_world("MountainCarContinuous", max_speed=0.0)
    world = make_world("MountainCarContinuous")
    with pytest.raises(UsageError, match="copy 0"):
        world.step(world.pack([world.State(-0.5, 0.0)]), np.array([[1.01]]), np.random.default_rng(0))


def test_words_and_picture_follow_the_state():
    world = make_world("MountainCar", goal_position=0.4)
    climbing = world.pack([world.State(0.2, 0.03)])
    assert world.describe_state(climbing) == (
        "car at 0.20 on the right slope, rolling right 0.030 per step | wanted: the flag at 0.4, on the right"
    )
    resting = world.pack([world.State(-math.pi / 6, 0.0)])
    assert "on the valley floor, at rest" in world.describe_state(resting)
    (high_x, high_y), (low_x, low_y) = world.place_of(climbing), world.place_of(resting)
    assert high_x > low_x
    assert high_y < low_y
    scene = world.scene(climbing)
    assert 0 < high_x < scene.width
    assert 0 < high_y < scene.height
    assert len(scene.layer("moving")) == 3
