"""Every registered world of several players through PettingZoo's own tests, and through our readers' promises."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pettingzoo
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, render_test, seed_test
from pettingzoo.test.state_test import test_state as state_dtype_test
from pettingzoo.test.state_test import test_state_space as state_space_test

from inscape.envs.readers.pettingzoo_env import WorldAECEnv, WorldParallelEnv
from inscape.envs.registry import aec_env, make_world, parallel_env, world_specs
from inscape.envs.world import World
from inscape.errors import UsageError
from tests.conftest import one_of_each_kind

for imported in (state_dtype_test, state_space_test):
    imported.__test__ = False  # functions for us to call, not tests of ours

SEVERAL = [spec.name for spec in world_specs() if spec.players > 1]
AT_ONCE = [name for name in SEVERAL if make_world(name).simultaneous]


def test_the_catalogue_has_both_kinds():
    assert {"TicTacToe", "ConnectFour", "KuhnPoker"} <= set(SEVERAL) - set(AT_ONCE)
    assert {"RockPaperScissors", "GuessTwoThirds", "MoneyRequest"} <= set(AT_ONCE)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", one_of_each_kind(SEVERAL))
def test_pettingzoos_own_tests_of_aec(name):
    api_test(aec_env(name), num_cycles=60)
    seed_test(lambda: aec_env(name), num_cycles=20)
    render_test(lambda render_mode: aec_env(name, render_mode=render_mode))
    env = aec_env(name)
    env.reset(seed=0)
    state_space_test(env)
    assert env.state_space.contains(env.state())
    if make_world(name).law_function("legal") is None:  # that test acts without looking at masks
        state_dtype_test(env, num_cycles=3)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", one_of_each_kind(AT_ONCE))
def test_pettingzoos_own_tests_of_parallel(name):
    parallel_api_test(parallel_env(name), num_cycles=60)
    parallel_seed_test(lambda: parallel_env(name), num_cycles=20)


def play_choices(name, seed=3, steps=40):
    """Legal actions of one life in the vector environment, and what it saw."""
    world = make_world(name)
    venv = world.vector_env(1, autoreset="disabled")
    rng = np.random.default_rng(seed)
    obs, infos = venv.reset(seed=seed)
    story = []
    for _ in range(steps):
        mask = infos.get("action_mask", world.legal_actions(venv.states))[0]
        mover = int(infos["mover"][0]) if "mover" in infos else None
        if world.simultaneous:
            actions = [int(rng.choice(np.flatnonzero(row))) for row in mask]
        else:
            actions = int(rng.choice(np.flatnonzero(mask)))
        seen, states = np.array(obs[0]), venv.states
        obs, rewards, terminated, truncated, infos = venv.step(np.array([actions]))
        over = (bool(terminated[0]), bool(truncated[0]))
        story.append((states, seen, mask, mover, actions, rewards[0].tolist(), over))
        if any(over):
            obs, infos = venv.reset(options={"reset_mask": np.array([True])})
    return world, story


def plain(observation):
    return observation["observation"] if isinstance(observation, dict) else observation


@pytest.mark.parametrize("name", ["ConnectFour", "KuhnPoker"])
def test_in_turn_a_copy_lives_the_life_of_the_vector_environments(name):
    world, story = play_choices(name)
    env = world.aec_env()
    env.reset(seed=3)
    for states, seen, mask, mover, action, rewards, over in story:
        assert np.array_equal(env.states.ints, states.ints)
        assert env.agent_selection == world.agents[mover]
        for player, agent in enumerate(world.agents):
            observed = env.observe(agent)
            assert np.array_equal(plain(observed), world.observe(states, player)[0])
            if isinstance(observed, dict):
                assert np.array_equal(observed["action_mask"], mask if player == mover else np.zeros(len(mask)))
                assert observed["action_mask"] is env.infos[agent]["action_mask"]
        assert np.array_equal(plain(env.last()[0]), seen)
        kept = {agent: np.array(plain(env.observe(agent))) for agent in world.agents}
        given = {agent: plain(env.observe(agent)) for agent in world.agents}
        env.step(action)
        for agent in world.agents:  # what was given out stays as it was
            assert np.array_equal(given[agent], kept[agent])
        assert list(env.rewards.values()) == rewards
        assert set(env.terminations.values()) == {over[0]}
        assert set(env.truncations.values()) == {over[1]}
        if any(over):
            for _ in world.agents:
                env.step(None)
            assert env.agents == []
            env.reset()


@pytest.mark.parametrize("name", ["PrisonersDilemma", "Spread"])
def test_at_once_both_readers_live_the_life_of_the_vector_environments(name):
    world, story = play_choices(name)
    aec, parallel = world.aec_env(), world.parallel_env()
    aec.reset(seed=3)
    observations, _ = parallel.reset(seed=3)
    for states, seen, _, _, actions, rewards, over in story:
        assert np.array_equal(parallel.states.ints, states.ints)
        assert np.array_equal(parallel.states.floats, states.floats)
        for player, agent in enumerate(world.agents):
            assert np.array_equal(observations[agent], seen[player])
            assert aec.agent_selection == agent
            assert np.array_equal(aec.observe(agent), seen[player])  # whatever the others before it have chosen
            aec.step(actions[player])
        observations, gained, terminated, truncated, _ = parallel.step(dict(zip(world.agents, actions)))
        assert list(gained.values()) == list(aec.rewards.values()) == rewards
        assert (set(terminated.values()), set(truncated.values())) == ({over[0]}, {over[1]})
        assert set(aec.terminations.values()) == {over[0]}
        if any(over):
            assert parallel.agents == []
            observations, _ = parallel.reset()
            for _ in world.agents:
                aec.step(None)
            aec.reset()


def test_the_time_limit_truncates_all_players_at_once():
    env = make_world("ConnectFour").aec_env(max_episode_steps=2)
    env.reset(seed=0)
    env.step(0)
    assert set(env.truncations.values()) == {False}
    env.step(0)
    assert env.truncations == {"player_0": True, "player_1": True}
    assert env.terminations == {"player_0": False, "player_1": False}


def test_an_episode_may_start_from_a_given_state():
    world = make_world("TicTacToe")
    env = world.aec_env()
    env.reset(seed=0, options={"state": (0b11, 0b11000, 0)})
    assert np.flatnonzero(env.observe("player_0")["action_mask"]).tolist() == [2, 5, 6, 7, 8]
    env.step(2)
    assert env.rewards == {"player_0": 1.0, "player_1": -1.0}
    assert env.last()[1:4] == (-1.0, True, False)


class Count(NamedTuple):
    total: int


class Rationed(World):
    """Two take sweets at once; player 1 may never take three."""

    State = Count
    players, simultaneous = 2, True
    player_names = ("ann_0", "ben_0")
    actions = ("none", "one", "two", "three")

    @staticmethod
    def initial(params, branch):
        return 1.0, Count(0)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Count(state.total + action[0] + action[1])

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return action[0], action[1]  # ints: readers give floats all the same

    @staticmethod
    def terminal(params, purpose, state):
        return state.total >= 5

    @staticmethod
    def legal(params, state, player, action):
        return player == 0 or action < 3


def test_masks_of_players_who_act_at_once():
    env = Rationed().parallel_env()
    observations, infos = env.reset(seed=0)
    assert env.possible_agents == ["ann_0", "ben_0"]
    assert observations["ann_0"]["action_mask"].tolist() == [1, 1, 1, 1]
    assert infos["ben_0"]["action_mask"].tolist() == [1, 1, 1, 0]
    with pytest.raises(UsageError, match=r"action 'three' of ben_0 is illegal in Rationed\n.*'none', 'one', 'two'"):
        env.step({"ann_0": 3, "ben_0": 3})
    assert env.states.ints.tolist() == [[0]]  # nothing happened
    _, rewards, *_ = env.step({"ben_0": 2, "ann_0": 3})
    assert rewards == {"ann_0": 3.0, "ben_0": 2.0}
    assert env.agents == []
    aec = Rationed().aec_env()
    aec.reset(seed=0)
    aec.step(0)
    with pytest.raises(UsageError, match="'three' of ben_0"):
        aec.step(3)
    aec.step(1)
    assert aec.rewards == {"ann_0": 0.0, "ben_0": 1.0}


def test_misuse_is_refused_in_words():
    env = make_world("ConnectFour").aec_env()
    with pytest.raises(UsageError, match="before the first reset"):
        env.step(0)
    env.reset(seed=0)
    for _ in range(6):
        env.step(0)
    with pytest.raises(UsageError, match=r"action 'column 1' of player_0 is illegal in ConnectFour\n.*'column 2'"):
        env.step(0)
    for wrong in (7, -1, 1.0, np.nan, "3", [1, 2], True):
        with pytest.raises(UsageError, match="of player_0 in ConnectFour\n.*from 0 to 6: 'column 1'"):
            env.step(wrong)
    env.step(np.int32(1))  # what PettingZoo's own tests ask for
    env.reset(options={"state": (0, 0b1111, 0)})
    for _ in range(2):
        with pytest.raises(UsageError, match="without a render mode"):
            env.render()
    with pytest.raises(UsageError, match="render_mode 'video'"):
        make_world("ConnectFour").aec_env(render_mode="video")
    with pytest.raises(UsageError, match=r"act in turn(.|\n)*aec_env"):
        parallel_env("ConnectFour")
    for reader in (WorldAECEnv, WorldParallelEnv):
        with pytest.raises(UsageError, match=r"one player(.|\n)*world.env"):
            reader(make_world("FrozenLake"))
    with pytest.raises(UsageError, match="did you mean 'ConnectFour'"):
        aec_env("ConectFour")


def test_the_episodes_end_is_kept():
    env = make_world("RockPaperScissors").aec_env()
    env.reset(seed=0)
    env.step(0)
    env.step(1)
    with pytest.raises(UsageError, match="after the end(.|\n)*None"):
        env.step(0)
    env.step(None)
    env.step(None)
    with pytest.raises(UsageError, match="after the episode's end"):
        env.step(None)
    par = parallel_env("RockPaperScissors")
    par.reset(seed=0)
    for actions in ({"player_0": 0}, {"player_0": 0, "player_1": 0, "player_2": 0}, {"player_0": 0, "someone": 1}, {}):
        with pytest.raises(UsageError, match="one action for each of player_0, player_1"):
            par.step(actions)
    par.step({"player_0": 0, "player_1": 0})
    with pytest.raises(UsageError, match="after the episode's end"):
        par.step({"player_0": 0, "player_1": 0})


@pytest.mark.skipif(not hasattr(pettingzoo, "register"), reason="this PettingZoo has no registry")
def test_pettingzoos_registry_has_our_worlds():
    assert {f"inscape/{name}-v0" for name in SEVERAL} <= set(pettingzoo.aec_registry)
    assert {f"inscape/{name}-v0" for name in AT_ONCE} == {i for i in pettingzoo.parallel_registry if "inscape/" in i}
    env = pettingzoo.make("aec", "inscape/TicTacToe-v0", max_cycles=1, rows=4, columns=4)
    env.reset(seed=0)
    env.step(15)
    assert env.last()[2:4] == (False, True)


def test_texts_and_pictures():
    env = aec_env("TicTacToe", render_mode="ansi")
    env.reset(seed=0)
    assert "you are X" in env.render()
    env = aec_env("TicTacToe", render_mode="rgb_array", rows=4, columns=4)
    env.reset(seed=0)
    empty = env.render()
    env.step(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not np.array_equal(env.render(), empty)
    env.close()
