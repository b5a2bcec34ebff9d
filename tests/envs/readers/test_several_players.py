"""Several players, wide observations, sizes from settings: what the readers give, against the law by hand."""

from __future__ import annotations

import numpy as np
import pytest

from inscape import World
from inscape.errors import UsageError
from tests.envs.multi_worlds import Picture, Tag, Walkers, WalkState


def test_all_at_once_through_the_vector_environment():
    world = Walkers()
    env = world.vector_env(3, "disabled")
    obs, infos = env.reset(seed=0)
    assert obs.tolist() == [[0, 0]] * 3
    assert infos["action_mask"].tolist() == [[[False, True], [False, True]]] * 3
    assert env.action_space.contains(np.ones((3, 2), np.int64))
    obs, rewards, _, _, infos = env.step(np.ones((3, 2), np.int64))
    assert rewards.shape == (3, 2)
    assert np.array_equal(rewards, obs)  # paid for the place
    assert set(np.unique(obs)) <= {0, 1}
    assert np.array_equal(infos["action_mask"][:, :, 0], obs > 0)
    env.reset(seed=0)
    with pytest.raises(UsageError, match="copy 0: action 'left' of player_1 is illegal"):
        env.step(np.array([[1, 0]] * 3))


def test_joint_actions_are_enumerated():
    world = Walkers()
    law = world.dynamics()
    assert law.next_state.shape[1] == 4 == world.num_choices
    assert world.joint_actions([0, 1, 2, 3]).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert world.choice_name(2) == "right + left"
    start = int(np.argmax(law.initial))
    assert law.legal[start].tolist() == [False, False, False, True]
    after = {world.unpack(law.states, int(s)): p for s, p in zip(law.next_state[start, 3], law.probability[start, 3])}
    assert after == {WalkState((1, 1), 1): 0.8, WalkState((0, 0), 1): pytest.approx(0.2)}


def test_sizes_follow_settings():
    three = Walkers(walkers=3)
    assert three.players == 3
    assert type(three) is type(Walkers(walkers=3))
    assert type(three) is not Walkers
    assert three.observe(three.sample_initial(2, np.random.default_rng(0))).shape == (2, 3)
    states, rewards, _ = three.step(
        three.sample_initial(5, np.random.default_rng(0)), np.ones((5, 3), np.int64), np.random.default_rng(1)
    )
    assert rewards.shape == (5, 3)
    assert np.array_equal(three.observe(states), rewards)


def test_in_turn_through_the_vector_environment():
    world = Tag()
    env = world.vector_env(2, "same-step")
    obs, infos = env.reset(seed=0)
    assert infos["mover"].tolist() == [0, 0]
    assert infos["action_mask"].tolist() == [[False, True, True]] * 2
    obs, rewards, _, _, infos = env.step(np.array([1, 2]))
    assert obs.tolist() == [11, 12]  # of the one who acts now
    assert infos["mover"].tolist() == [1, 1]
    assert world.observe(env.states, 0).tolist() == [1, 2]
    assert rewards.tolist() == [[0, 0], [0, 0]]
    env.step(np.array([2, 2]))
    obs, rewards, terminated, _, infos = env.step(np.array([2, 1]))
    assert terminated.tolist() == [True, True]
    assert rewards.tolist() == [[1, -1], [1, -1]]
    assert infos["final_obs"].tolist() == [15, 15]
    assert infos["mover"].tolist() == [0, 0]
    with pytest.raises(UsageError, match="copy 1: action 'none' is illegal"):
        env.step(np.array([1, 0]))
    with pytest.raises(UsageError, match="several players: world.aec_env"):
        world.env()
    with pytest.raises(UsageError, match="player 2 of Tag"):
        world.observe(env.states, 2)


def test_wide_observations_have_the_declared_shape():
    world = Picture()
    venv, env = world.vector_env(4, "same-step"), world.env()
    obs, _ = venv.reset(seed=0)
    assert obs.shape == (4, 2, 3)
    assert obs.dtype == np.uint8
    obs, *_ = venv.step(np.array([1, 0, 1, 0]))
    assert obs.tolist() == [
        [[10 * s, 10 * s + 1, 10 * s + 2], [10 * s + 3, 10 * s + 4, 10 * s + 5]] for s in (1, 0, 1, 0)
    ]
    assert np.array_equal(world.observe(venv.states), obs)
    first, _ = env.reset(seed=0)
    assert first.shape == (2, 3)
    assert np.array_equal(env.step(1)[0], obs[0])
    assert np.array_equal(env.reset(options={"state": (0, 2)})[0], obs[0] + 10)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"players": 0, "observation": None, "legal": None, "mover": None}, "players = 0"),
        ({"player_names": ("one",)}, "2 players and 1 player_names"),
        ({"observation": staticmethod(lambda params, state: 0)}, "observation takes 2 arguments"),
        ({"simultaneous": True}, "legal takes 3 arguments"),
    ],
)
def test_a_class_that_contradicts_itself_is_refused(attributes, message):
    broken: type[World] = type("Broken", (Tag,), attributes)
    with pytest.raises(UsageError, match=message):
        broken()
