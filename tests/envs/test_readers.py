"""Every registered world through every reader: two routes to one number."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from inscape.envs.enumeration import enumerate_dynamics
from inscape.envs.registry import make_world, resolve_task, world_specs
from inscape.errors import MissingLawError, UsageError
from tests.conftest import EXAMPLES

NAMES = [spec.name for spec in world_specs()] + [f"{EXAMPLES / 'elevator.py'}:Elevator"]
ENUMERABLE = [name for name in NAMES if name != "CartPole"]


def some_states(world, count=40, seed=0):
    """States met by acting at random."""
    rng = np.random.default_rng(seed)
    states = world.sample_initial(count, rng)
    for _ in range(6):
        states, _, _ = world.step(states, rng.integers(0, world.num_actions, count), rng)
    return states


@pytest.mark.parametrize("name", NAMES)
def test_plain_python_equals_compiled(name):
    world = resolve_task(name).world
    states = some_states(world)
    actions = np.random.default_rng(1).integers(0, world.num_actions, len(states))
    keys = np.arange(len(states)) * 7919
    plain = world.step_with_keys(states, actions, keys, compiled=False)
    fast = world.step_with_keys(states, actions, keys)
    assert np.array_equal(plain[0].floats, fast[0].floats)
    assert np.array_equal(plain[0].ints, fast[0].ints)
    assert np.array_equal(plain[1], fast[1])
    assert np.array_equal(plain[2], fast[2])
    for reader in ("observe", "terminal_of", "legal_actions"):
        assert np.array_equal(getattr(world, reader)(states, compiled=False), getattr(world, reader)(states))
    for p, q in zip(world.outcomes(states, actions, compiled=False), world.outcomes(states, actions)):
        assert np.array_equal(getattr(p, "ints", p), getattr(q, "ints", q))


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_lives_the_same_life_whatever_the_company(name):
    """Copy i of seed s: alone, among 8, among 8,192 (two threads); and in a single environment for copy 0."""
    world = resolve_task(name).world
    steps, actions = 60, np.random.default_rng(0).integers(0, world.num_actions, (60, 8192))
    lives = {}
    for count in (1, 8, 8192):
        venv = world.vector_env(count, autoreset="same-step", max_episode_steps=25)
        obs, _ = venv.reset(seed=11)
        life = [obs[:1]]
        for t in range(steps):
            obs, rewards, terminated, truncated, _ = venv.step(actions[t, :count])
            life += [obs[:1], rewards[:1], terminated[:1], truncated[:1]]
        lives[count] = np.concatenate([np.ravel(x).astype(float) for x in life])
        last = obs[:8]
        if count == 8:
            eighth = last
    assert np.array_equal(lives[1], lives[8])
    assert np.array_equal(lives[1], lives[8192])
    assert np.array_equal(eighth, last)

    env = world.env(max_episode_steps=25)
    obs, _ = env.reset(seed=11)
    venv = world.vector_env(1, autoreset="disabled", max_episode_steps=25)
    vobs, _ = venv.reset(seed=11)
    for t in range(steps):
        assert np.array_equal(obs, vobs[0])
        obs, reward, terminated, truncated, _ = env.step(actions[t, 0])
        vobs, rewards, ends, cuts, _ = venv.step(actions[t, :1])
        assert (reward, terminated, truncated) == (rewards[0], ends[0], cuts[0])
        if terminated or truncated:
            obs, _ = env.reset()
            vobs, _ = venv.reset(options={"reset_mask": np.array([True])})


@pytest.mark.parametrize("name", NAMES)
def test_autoreset_modes_tell_the_same_story(name):
    """Next-step spends one call on the reset; otherwise both modes give the same transitions and final observations."""
    world = resolve_task(name).world
    actions = np.random.default_rng(0).integers(0, world.num_actions, 400)
    next_step, same_step = (
        world.vector_env(1, autoreset=mode, max_episode_steps=12) for mode in ("next-step", "same-step")
    )
    a, _ = next_step.reset(seed=5)
    b, _ = same_step.reset(seed=5)
    ended = 0
    for t in range(60):
        assert np.array_equal(a, b)
        a, reward_a, term_a, trunc_a, infos_a = next_step.step(actions[t : t + 1])
        b, reward_b, term_b, trunc_b, infos_b = same_step.step(actions[t : t + 1])
        assert reward_a == reward_b
        assert term_a == term_b
        assert trunc_a == trunc_b
        if term_a[0] or trunc_a[0]:
            ended += 1
            assert np.array_equal(a, infos_b["final_obs"])
            assert infos_b["_final_obs"].tolist() == [True]
            assert "final_obs" not in infos_a
            # the reset of next-step mode comes one tick of the clock later: put both lives at one tick
            state = next_step.state_dict()
            state["ints"][-2] -= 1
            next_step.load_state_dict(state)
            a, reward_a, term_a, trunc_a, _ = next_step.step(actions[t : t + 1])
            assert reward_a[0] == 0
            assert not (term_a[0] or trunc_a[0])
    assert ended >= 3


@pytest.mark.parametrize("name", NAMES)
def test_resume_is_exact(name):
    world = resolve_task(name).world
    actions = np.random.default_rng(0).integers(0, world.num_actions, (80, 16))
    one = world.vector_env(16, autoreset="same-step", max_episode_steps=9)
    one.reset(seed=3)
    for t in range(40):
        one.step(actions[t])
    kept = one.state_dict()
    other = world.vector_env(16, autoreset="same-step", max_episode_steps=9)
    other.load_state_dict(kept)
    for t in range(40, 80):
        a, b = one.step(actions[t]), other.step(actions[t])
        for x, y in zip(a[:4], b[:4]):
            assert np.array_equal(x, y)
    with pytest.raises(UsageError, match="16 copies|expected"):
        world.vector_env(4).load_state_dict(kept)


@pytest.mark.parametrize("name", ENUMERABLE)
def test_sampled_frequencies_match_the_enumerated_law(name):
    world = resolve_task(name).world
    law = world.dynamics()
    rng = np.random.default_rng(0)
    assert np.allclose(law.probability.sum(2), 1)
    draws = 4000
    alive = np.flatnonzero(~world.terminal_of(law.states))
    for s in rng.choice(alive, 4, replace=False):
        a = int(rng.integers(world.num_actions))
        after, _, _ = world.step(law.states[np.full(draws, s)], np.full(draws, a), rng)
        counts = np.bincount(law.index_of(after), minlength=len(law))
        expected = np.zeros(len(law))
        np.add.at(expected, law.next_state[s, a], law.probability[s, a] * draws)
        assert (counts[expected == 0] == 0).all()
        kept = expected > 0
        chi_square = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
        assert chi_square < kept.sum() - 1 + 5 * np.sqrt(2 * max(1, kept.sum() - 1)) + 6


def test_enumeration_plain_equals_compiled(elevator_file):
    world = resolve_task(elevator_file, {"floors": 3}).world
    plain, fast = enumerate_dynamics(world, compiled=False), world.dynamics()
    assert np.array_equal(plain.states.ints, fast.states.ints)
    assert np.array_equal(plain.next_state, fast.next_state)
    assert np.array_equal(plain.probability, fast.probability)


def test_enumeration_refuses_what_it_cannot_hold(elevator_file):
    with pytest.raises(MissingLawError, match="can only be sampled"):
        make_world("CartPole").dynamics()
    with pytest.raises(UsageError, match="more than 50 states"):
        resolve_task(elevator_file).world.dynamics(max_states=50)


@pytest.mark.parametrize("name", NAMES)
def test_observations_determine_states(name):
    world = resolve_task(name).world
    states = some_states(world)
    back = world.states_of(world.observe(states))
    assert np.array_equal(back.ints, states.ints)
    assert np.allclose(back.floats, states.floats, atol=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [spec.id for spec in world_specs()])
def test_gymnasiums_checker_is_content(name):
    check_env(gym.make(name, render_mode="rgb_array").unwrapped)
    venv = gym.make_vec(name, num_envs=3, vectorization_mode="vector_entry_point")
    obs, _ = venv.reset(seed=0)
    assert venv.observation_space.contains(np.ascontiguousarray(obs))
    assert venv.spec.max_episode_steps == gym.spec(name).max_episode_steps


@pytest.mark.parametrize(
    ("action", "message"),
    [(4, "from 0 to 3"), (-1, "from 0 to 3"), (1.0, "dtype float64"), (True, "dtype bool"), ([1, 2], "shape")],
)
def test_bad_actions_are_refused(action, message):
    env = make_world("FrozenLake").env()
    env.reset(seed=0)
    with pytest.raises(UsageError, match=message):
        env.step(action)
    venv = make_world("FrozenLake").vector_env(3)
    venv.reset(seed=0)
    with pytest.raises(UsageError, match="copy 2|dtype|shape"):
        venv.step(np.array([0, 1, 9]))


def test_misuse_is_refused():
    env = make_world("FrozenLake").env(max_episode_steps=1)
    with pytest.raises(UsageError, match="before the first reset"):
        env.step(0)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(UsageError, match="after the episode's end"):
        env.step(0)
    with pytest.raises(UsageError, match="without a render mode"):
        env.render()
    with pytest.raises(UsageError, match="render_mode 'video'"):
        make_world("FrozenLake").env(render_mode="video")
    with pytest.raises(UsageError, match="num_envs = 0"):
        make_world("FrozenLake").vector_env(0)
    with pytest.raises(UsageError, match="before the first reset"):
        make_world("FrozenLake").vector_env(2).step(np.array([0, 0]))
