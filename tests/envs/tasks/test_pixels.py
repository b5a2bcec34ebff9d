from __future__ import annotations

import numpy as np
import pytest

from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate, rollout
from inscape.envs.rendering.rasterizer import render_scene
from inscape.envs.tasks import pixels
from inscape.envs.tasks.pixels import LUMINANCE, Pictures
from inscape.envs.tasks.resolve import resolve_task, task_from_json
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError
from inscape.experiments.runs.storage.checkpoints import load_checkpoint, save_checkpoint

SMALL = {"pixels": 24, "frames": 3}


@pytest.fixture(scope="module")
def lake() -> Task:
    return resolve_task("pixels:FrozenLake", SMALL)


def drawn(world, states, size=24):
    """Each state drawn for itself."""
    scenes = [world.scene(states, i) for i in range(len(states))]
    return np.stack([np.rint(render_scene(scene, size, size) @ LUMINANCE) for scene in scenes]).astype(np.uint8)


def test_pictures_are_the_drawings_in_grey_and_kept():
    world = resolve_task("FrozenLake").world
    assert world is not None
    states = world.pack([world.State(cell) for cell in range(16)])
    pictures = Pictures(world, 24)
    once = pictures(states)
    assert once.shape == (16, 24, 24)
    assert once.dtype == np.uint8
    assert np.array_equal(once, drawn(world, states))
    assert len(np.unique(once.reshape(16, -1), axis=0)) == 16
    pictures._draw = None  # whatever it is asked for now it has
    order = np.random.default_rng(0).integers(0, 16, 100)
    assert np.array_equal(pictures(states[order]), once[order])
    assert len(pictures._kept) == 16


def test_keeping_has_an_end(monkeypatch):
    """States that never repeat, more of them than fit, and more at once than fit."""
    task = resolve_task("CartPole")
    world = task.world
    assert world is not None
    monkeypatch.setattr(pixels, "KEPT_BYTES", 10 * 24 * 24)
    pictures = Pictures(world, 24)
    env = task.vector_env(6)
    env.reset(seed=0)
    for _ in range(4):
        env.step(np.zeros(6, np.int64))
        assert np.array_equal(pictures(env.states), drawn(world, env.states))
        assert len(pictures._kept) <= 10
    many = task.vector_env(14)
    many.reset(seed=1)
    assert np.array_equal(pictures(many.states), drawn(world, many.states))


def test_equal_hashes_are_told_apart(monkeypatch):
    world = resolve_task("FrozenLake").world
    assert world is not None
    monkeypatch.setattr(pixels, "_hashes", lambda rows: np.full(len(rows), 7, np.uint64))
    states = world.pack([world.State(cell) for cell in (3, 5, 3, 9)])
    pictures = Pictures(world, 24)
    assert np.array_equal(pictures(states), drawn(world, states))
    assert np.array_equal(pictures(states), drawn(world, states))


@pytest.mark.parametrize("autoreset", ["same-step", "next-step"])
@pytest.mark.parametrize("name", ["FrozenLake", "TMaze"])
def test_copies_live_as_they_would_unseen(name, autoreset):
    """Rewards, flags, masks and states are those of the world's own copies; stacks hold what was seen, and no more."""
    task = resolve_task(f"pixels:{name}", SMALL)
    seen, unseen = task.vector_env(5, autoreset), resolve_task(name).vector_env(5, autoreset)
    picture = task.pictures
    observation, _ = seen.reset(seed=3)
    unseen.reset(seed=3)
    history = [[frame] * 3 for frame in picture(unseen.states)]
    rng = np.random.default_rng(0)
    ended, endings = np.zeros(5, bool), 0
    for _ in range(120):
        for i in range(5):
            assert np.array_equal(observation[i], history[i][-3:])
        actions = rng.integers(0, 4, 5)
        before = observation
        observation, *flags, info = seen.step(actions)
        _, *expected, _ = unseen.step(actions)
        for one, other in zip(flags, expected, strict=True):
            assert np.array_equal(one, other)
        assert np.array_equal(seen.states.ints, unseen.states.ints)
        current, over = picture(unseen.states), flags[1] | flags[2]
        endings += over.sum()
        for i in range(5):
            fresh = over[i] if autoreset == "same-step" else ended[i]
            history[i] = [current[i]] * 3 if fresh else [*history[i], current[i]]
        if autoreset == "same-step" and over.any():
            assert np.array_equal(info["_final_obs"], over)
            assert np.array_equal(info["final_obs"][over][:, :-1], before[over][:, 1:])
        ended = over
    assert endings >= 2


def test_the_last_picture_shows_where_the_episode_ended(lake):
    """The end of an episode on ice is a hole, the goal or, at the limit, wherever it was: not the new start."""
    env, world = lake.vector_env(8), lake.whole.world
    picture = lake.pictures
    terminal = {picture(world.pack([world.State(c)])).tobytes() for c in range(16) if "HG".count(_letter(c))}
    start = picture(world.pack([world.State(0)])).tobytes()
    observation, _ = env.reset(seed=0)
    rng = np.random.default_rng(1)
    ends = 0
    for _ in range(80):
        observation, _, terminated, _, info = env.step(rng.integers(0, 4, 8))
        for i in np.flatnonzero(terminated):
            assert info["final_obs"][i, -1].tobytes() in terminal
            assert observation[i, -1].tobytes() == start
            ends += 1
    assert ends > 10


def _letter(cell):
    return "SFFFFHFHFFFHHFFG"[cell]


def test_a_single_environment_sees_what_a_copy_does(lake):
    single, copies = lake.env(), lake.vector_env(1)
    one, _ = single.reset(seed=5)
    many, _ = copies.reset(seed=5)
    rng = np.random.default_rng(0)
    for _ in range(12):
        assert np.array_equal(one, many[0])
        action = int(rng.integers(4))
        one, reward, terminated, truncated, _ = single.step(action)
        many, rewards, *flags, info = copies.step(np.array([action]))
        assert (reward, terminated, truncated) == (rewards[0], flags[0][0], flags[1][0])
        if terminated or truncated:
            assert np.array_equal(one, info["final_obs"][0])
            break
    assert lake.observation_space.contains(one)
    shown = lake.env(render_mode="rgb_array")
    shown.reset(seed=0)
    assert shown.render().shape == (512, 512, 3)


def test_a_task_is_remembered_by_its_name_and_settings():
    task = resolve_task("pixels:FrozenLake", {**SMALL, "slip": 0.1})
    again = task_from_json(task.to_json())
    assert task.to_json() == {"name": "pixels:FrozenLake", "settings": {**SMALL, "slip": 0.1}}
    assert again.observation_space == task.observation_space
    assert again.whole.world.settings == task.whole.world.settings
    assert again.action_names == task.action_names == ("left", "down", "right", "up")
    assert again.max_episode_steps == 100
    assert resolve_task("pixels:FrozenLake").observation_space.shape == (4, 48, 48)


def test_going_on_is_exact(lake, tmp_path):
    whole, half = EnvRunner(lake, 4, 0), EnvRunner(lake, 4, 0)
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 4, (40, 4))
    for action in actions[:20]:
        whole.step(action)
        half.step(action)
    half.episodes()
    save_checkpoint(tmp_path / "step", half.state_dict())
    resumed = EnvRunner(lake, 4, 0, steps=20, state=load_checkpoint(tmp_path / "step")[0])
    for action in actions[20:]:
        one, other = whole.step(action), resumed.step(action)
        assert np.array_equal(one.next_observation, other.next_observation)
        assert np.array_equal(one.observation, other.observation)
    with pytest.raises(UsageError, match="stored pictures"):
        resolve_task("pixels:FrozenLake", {"pixels": 25}).vector_env(4).load_state_dict(half.env.state_dict())


def test_an_agent_learns_and_resumes_from_pixels(lake, tmp_path):
    """One frame of each stack is stored, and a run cut in two ends with the same weights."""
    settings = {
        "num_envs": 4, "buffer_size": 200, "batch_size": 8, "learning_starts": 40, "train_freq": 4, "hidden": (16,),
        "report_every": 80, "target_update_interval": 64, "n_step": 2,
    }  # fmt: skip
    whole, half, resumed = (make_agent("dqn", lake, seed=2, settings=settings) for _ in range(3))
    assert whole.memory._observation.shape == (50, 4, 24, 24)
    list(whole.learn(lake, 480))
    learning = half.learn(lake, 480)
    for _ in range(3):
        next(learning)
    evaluate(half, lake, 2, seed=0)
    save_checkpoint(tmp_path / "step", half.state_dict())
    resumed.load_state_dict(load_checkpoint(tmp_path / "step")[0])
    list(resumed.learn(lake, 480))
    for name, tensor in whole.network.state_dict().items():
        assert np.array_equal(tensor, resumed.network.state_dict()[name]), name
    seen = rollout(resumed, lake, 2, seed=0)[0]
    assert seen.observations.shape[1:] == (3, 24, 24)
    assert seen.states is not None


@pytest.mark.slow
def test_it_solves_a_grid_from_pixels():
    task = resolve_task("pixels:FrozenLake-firm", {"pixels": 32})
    agent = make_agent("dqn", task)
    list(agent.learn(task, 30_000))
    found = evaluate(agent, task, 10, seed=0)
    assert found.mean == 1.0
    assert found.lengths.max() <= 8  # the shortest way takes 6


def test_what_is_no_picture_is_refused():
    for name, settings, message in (
        ("pixels:CartPole-v1", {}, "expected: an Inscape world"),
        ("pixels:FrozenLake", {"pixels": 4}, "pixels = 4"),
        ("pixels:FrozenLake", {"frames": 0}, "frames = 0"),
        ("pixels:FrozenLake", {"pixels": 24.5}, "pixels = 24.5"),
        ("pixels:FrozenLake", {"slippery": 1}, "slippery"),
        ("pixels:TicTacToe", {}, "2 players"),
        ("pixels:Tiger", {}, "draw_view"),
        ("pixels:FrozenLak", {}, "FrozenLake"),
    ):
        with pytest.raises(UsageError, match=message):
            resolve_task(name, settings)
