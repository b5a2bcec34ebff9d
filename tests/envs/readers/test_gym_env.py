"""One copy of a world as a Gymnasium environment."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from inscape.envs.registry import make_world, world_specs
from inscape.errors import UsageError
from tests.conftest import one_of_each_kind


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", one_of_each_kind(spec.id for spec in world_specs() if spec.players == 1))
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
