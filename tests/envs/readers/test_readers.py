"""Every registered world through every reader: two routes to one number."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.envs.law.states import States
from inscape.envs.registry import world_specs
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from tests.conftest import EXAMPLES, one_of_each_kind

NAMES = [spec.name for spec in world_specs()] + [f"{EXAMPLES / 'elevator.py'}:Elevator"]
LIMIT = 12


def some_states(world, count=40, seed=0):
    """States met by acting at random."""
    rng = np.random.default_rng(seed)
    states = world.sample_initial(count, rng)
    for _ in range(6):
        following, _, ended = world.step(states, world.random_actions(states, rng), rng)
        keep = ended | ~world.legal_actions(following).any(-1).reshape(count, -1).all(1)
        states = States(np.where(keep, states.floats, following.floats), np.where(keep, states.ints, following.ints))
    return states


def same(a, b):
    return all(np.array_equal(x, y, equal_nan=True) for x, y in ((a.floats, b.floats), (a.ints, b.ints)))


LONG = "Household"  # some three seconds as plain Python


@pytest.mark.quick(every=8)
@pytest.mark.parametrize(
    "name", [*one_of_each_kind(name for name in NAMES if name != LONG), pytest.param(LONG, marks=pytest.mark.slow)]
)
def test_every_reader_tells_the_same_story(name):
    world = resolve_task(name).world
    the_same_trajectory_whatever_the_company(world)
    autoreset_modes_agree(world)
    resume_is_exact(world)


# Worlds whose batches are compared, compiled, with Gymnasium's, with plain ones and with a search's exact values in
# test_cartpole.py, test_pendulum.py, test_team_spread.py, test_enumeration.py and test_uct.py
COMPILED_ELSEWHERE = {"CartPole", "Pendulum", "Spread", NAMES[-1], "TicTacToe"}
QUICK = [name for name in NAMES if name not in COMPILED_ELSEWHERE]
WIDE = {"Taxi", "Household"}  # some three seconds of compiling each; EmptyRoom is wide, too


@pytest.mark.compiled
@pytest.mark.parametrize(
    "name",
    [
        *one_of_each_kind(name for name in QUICK if name not in WIDE),
        *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(COMPILED_ELSEWHERE | WIDE)),
    ],
)
def test_plain_equals_compiled(name):
    """The law over batches, bit for bit."""
    world = resolve_task(name).world
    states = some_states(world)
    actions = world.random_actions(states, np.random.default_rng(1))
    keys = np.arange(len(states)) * 7919
    plain = world.step_with_keys(states, actions, keys, compiled=False)
    fast = world.step_with_keys(states, actions, keys)
    assert same(plain[0], fast[0])
    assert np.array_equal(plain[1], fast[1])
    assert np.array_equal(plain[2], fast[2])
    readers = ("observe", "terminal_of", "mover_of") if world.continuous else READERS
    for reader in readers:
        assert np.array_equal(getattr(world, reader)(states, compiled=False), getattr(world, reader)(states)), reader
    for player in range(world.players):
        assert np.array_equal(world.observe(states, player, compiled=False), world.observe(states, player)), player
    if not world.noise:
        p, q = world.outcomes(states, actions, compiled=False), world.outcomes(states, actions)
        assert np.array_equal(p[0], q[0])
        assert same(p[1], q[1])


READERS = ("observe", "terminal_of", "legal_actions", "mover_of")


def life(world, count, steps, seed=11):
    """What copies 0 and 7 live through among `count`, acting on what their own state allows."""
    venv = world.vector_env(count, autoreset="same-step", max_episode_steps=LIMIT)
    obs, _ = venv.reset(seed=seed)
    told = [obs[:8]]
    for t in range(steps):
        actions = np.concatenate(
            [
                world.random_actions(venv.states[i], np.random.default_rng(1000 * t + i % 8))
                for i in range(min(count, 8))
            ]
        )
        actions = np.resize(actions, (count, *actions.shape[1:]))
        if count > 8 and world.law_function("legal") is not None:
            actions = world.random_actions(venv.states, np.random.default_rng(t))
            actions[:8] = np.concatenate(
                [world.random_actions(venv.states[i], np.random.default_rng(1000 * t + i)) for i in range(8)]
            )
        obs, rewards, terminated, truncated, _ = venv.step(actions)
        told += [obs[:8], rewards[:8], terminated[:8], truncated[:8]]
    return told


def the_same_trajectory_whatever_the_company(world):
    """Copy i of seed s: alone, among 8, among 600; and in a single environment for copy 0."""
    among_8, among_600 = life(world, 8, 30), life(world, 600, LIMIT + 2)
    for a, b in zip(among_8, among_600):
        assert np.array_equal(a, b)
    for a, b in zip(life(world, 1, 30), among_8):
        assert np.array_equal(a[0], b[0])
    if world.players > 1:
        return
    env = world.env(max_episode_steps=LIMIT)
    obs, _ = env.reset(seed=11)
    venv = world.vector_env(1, autoreset="disabled", max_episode_steps=LIMIT)
    vobs, _ = venv.reset(seed=11)
    rng = np.random.default_rng(0)
    for _ in range(40):
        assert np.array_equal(obs, vobs[0])
        actions = world.random_actions(venv.states, rng)
        obs, reward, terminated, truncated, _ = env.step(actions[0])
        vobs, rewards, ends, cuts, _ = venv.step(actions)
        assert (reward, terminated, truncated) == (rewards[0], ends[0], cuts[0])
        if terminated or truncated:
            obs, _ = env.reset()
            vobs, _ = venv.reset(options={"reset_mask": np.array([True])})


def autoreset_modes_agree(world):
    """Next-step spends one call on the reset; otherwise both modes give the same transitions and final observations."""
    next_step, same_step = (
        world.vector_env(1, autoreset=mode, max_episode_steps=LIMIT) for mode in ("next-step", "same-step")
    )
    a, _ = next_step.reset(seed=5)
    b, _ = same_step.reset(seed=5)
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(60):
        assert np.array_equal(a, b)
        actions = world.random_actions(same_step.states, rng)
        a, reward_a, term_a, trunc_a, infos_a = next_step.step(actions)
        b, reward_b, term_b, trunc_b, infos_b = same_step.step(actions)
        assert np.array_equal(reward_a, reward_b)
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
            a, reward_a, term_a, trunc_a, _ = next_step.step(actions)
            assert (reward_a == 0).all()
            assert not (term_a[0] or trunc_a[0])
    assert ended >= 3


def resume_is_exact(world):
    rng = np.random.default_rng(0)
    one = world.vector_env(16, autoreset="same-step", max_episode_steps=LIMIT)
    one.reset(seed=3)
    for _ in range(20):
        one.step(world.random_actions(one.states, rng))
    kept = one.state_dict()
    other = world.vector_env(16, autoreset="same-step", max_episode_steps=LIMIT)
    other.load_state_dict(kept)
    for _ in range(20):
        actions = world.random_actions(one.states, rng)
        a, b = one.step(actions), other.step(actions)
        for x, y in zip(a[:4], b[:4]):
            assert np.array_equal(x, y)
    with pytest.raises(UsageError, match="16 copies|expected"):
        world.vector_env(4).load_state_dict(kept)


@pytest.mark.parametrize("name", ["CartPole", "FrozenLake8x8", "FourGoals", NAMES[-1]])
def test_observations_determine_states(name):
    world = resolve_task(name).world
    states = some_states(world)
    back = world.states_of(world.observe(states))
    assert np.array_equal(back.ints, states.ints)
    assert np.allclose(back.floats, states.floats, atol=1e-6)
