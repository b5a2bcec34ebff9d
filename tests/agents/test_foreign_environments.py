"""What agents make of third-party observations and games: pictures of every layout, composite spaces, whole games."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import inscape
from inscape import resolve_task
from inscape.agents import make_agent
from inscape.agents.random_agent import legal_choices
from inscape.envs.registry import make_world
from inscape.errors import UsageError
from inscape.world_models.networks.encoders.features import picture_layout
from inscape.world_models.networks.modules import PictureRows


class Camera(gym.Env[Any, Any]):
    action_space = spaces.Discrete(2)

    def __init__(self, space: Any) -> None:
        self.observation_space = space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 1.0, False, False, {}


@pytest.fixture
def task():
    def register(space: Any) -> Any:
        gym.register("Camera-v0", lambda: Camera(space), max_episode_steps=5)
        return resolve_task("Camera-v0")

    yield register
    gym.registry.pop("Camera-v0", None)


def pictures(*shape: int, dtype: Any = np.uint8, high: float = 255) -> spaces.Box:
    return spaces.Box(0, high, shape, dtype)


LAYOUTS = {
    (30, 40): (1, 30, 40), (4, 30, 40): (4, 30, 40), (30, 40, 3): (3, 30, 40), (30, 40, 1): (1, 30, 40),
    (1, 30, 40): (1, 30, 40), (30, 40, 12): (12, 30, 40), (12, 30, 40): (12, 30, 40), (4, 30, 40, 1): (4, 30, 40),
    (4, 30, 40, 3): (12, 30, 40), (4, 3, 30, 40): (12, 30, 40), (30, 40, 3, 4): (12, 30, 40),
    (30, 30, 30): (30, 30, 30),
}  # fmt: skip


@pytest.mark.parametrize("shape", LAYOUTS)
@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_pictures_of_every_layout_go_through_filters(task, shape, agent):
    layout = picture_layout(pictures(*shape))
    assert layout is not None
    assert layout[0] == LAYOUTS[shape]
    small = (
        {"num_envs": 2, "num_steps": 8}
        if agent == "ppo"
        else {"num_envs": 2, "buffer_size": 50, "batch_size": 4, "learning_starts": 8}
    )
    camera = task(pictures(*shape))
    made: Any = make_agent(agent, camera, settings={**small, "hidden": (8,)})
    network = made.learner.network if agent == "ppo" else made.network
    assert any(isinstance(part, torch.nn.Conv2d) for part in network.modules())
    seen = np.stack([camera.observation_space.sample() for _ in range(3)])
    assert made.act(seen).shape == (3,)


@pytest.mark.parametrize("shape", LAYOUTS)
def test_rows_hold_each_channel_whole(shape):
    layout = picture_layout(pictures(*shape))
    assert layout is not None
    (channels, height, width), observed, order = layout
    picture = np.random.default_rng(0).integers(0, 256, shape)
    rows = PictureRows(*layout)(torch.as_tensor(picture).reshape(1, -1))[0].numpy()
    expected = picture.transpose(order).reshape(channels, height, width)
    assert np.array_equal(rows, expected)
    assert observed == shape
    if len(shape) == 3 and shape[2] == 3:
        assert np.array_equal(rows[1], picture[:, :, 1])


@pytest.mark.parametrize(
    "space",
    [
        pictures(7, 7, 3), pictures(19, 40), pictures(400), pictures(30, 40, dtype=np.float32, high=1),
        pictures(3, 30, 40, dtype=np.float32, high=9), pictures(3, 30, 40, dtype=np.int16), spaces.Discrete(3),
        spaces.MultiBinary([30, 30]), spaces.Dict(a=pictures(30, 30)), pictures(30, 4, 30),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_picture(space):
    assert picture_layout(space) is None


def test_pictures_scaled_by_a_wrapper_are_pictures():
    layout = picture_layout(pictures(4, 30, 40, dtype=np.float32, high=1))
    assert layout is not None
    assert layout[0] == (4, 30, 40)


def test_pictures_of_five_axes_are_refused(task):
    with pytest.raises(UsageError, match="2 to 4 axes"):
        make_agent("ppo", task(pictures(2, 4, 30, 40, 3)))


@pytest.mark.parametrize("agent", ["reinforce", "recurrent-ppo"])
def test_every_deep_agent_has_filters(task, agent):
    made: Any = make_agent(agent, task(pictures(30, 40, 3)), settings={"hidden": (8,)})
    network = made.learner.network if hasattr(made, "learner") else made.network
    assert any(isinstance(part, torch.nn.Conv2d) for part in network.modules())


@pytest.mark.parametrize(
    "space",
    [
        spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1, (2,)))), spaces.Text(4),
        spaces.Dict(a=spaces.Dict(b=spaces.Discrete(2))), spaces.Dict(a=spaces.Tuple((spaces.Discrete(2),))),
        spaces.Dict(a=spaces.Text(3)), spaces.Sequence(spaces.Discrete(2)), pictures(4, 40, 40, 3), pictures(30, 40, 3),
        spaces.Graph(spaces.Box(0, 1, (2,)), None), spaces.OneOf((spaces.Discrete(2), spaces.Box(0, 1, (2,)))),
    ],
    ids=str,
)  # fmt: skip
def test_what_sb3_does_not_take_is_refused(task, space):
    for algorithm in ("ppo", "dqn"):
        with pytest.raises(UsageError):
            make_agent(f"sb3:{algorithm}", task(space))


@pytest.mark.parametrize(
    "space",
    [
        spaces.Tuple((spaces.Discrete(2), spaces.Box(0, 1, (2,)))), spaces.Text(4), spaces.Dict(a=spaces.Discrete(2)),
        spaces.Sequence(spaces.Discrete(2)), spaces.OneOf((spaces.Discrete(2), spaces.Box(0, 1, (2,)))),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("agent", ["sarsa", "q-learning", "dyna-q"])
def test_composite_observations_are_refused_before_any_traceback(task, space, agent):
    with pytest.raises(UsageError):
        make_agent(agent, task(space))


def test_sb3_reads_pictures_with_filters(task):
    made: Any = make_agent("sb3:ppo", task(pictures(40, 40, 3)), settings={"num_envs": 1, "num_steps": 8})
    assert type(made.model.policy).__name__ == "ActorCriticCnnPolicy"


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3), spaces.MultiDiscrete([[2, 3]])])
def test_random_choices_are_uniform_among_the_legal_ones(space):
    widths = [2] * 3 if isinstance(space, spaces.MultiBinary) else np.ravel(space.nvec).tolist()
    mask = np.concatenate([[0, *[1] * (n - 1)] for n in widths]).astype(bool)
    drawn = legal_choices(space, np.tile(mask, (3000, 1)), np.random.default_rng(0))
    assert drawn.shape == (3000, *space.shape)
    assert all(space.contains(row.astype(space.dtype)) for row in drawn[:50])
    flat = drawn.reshape(3000, -1)
    for part, n in enumerate(widths):
        counts = np.bincount(flat[:, part], minlength=n)
        assert counts[0] == 0
        assert np.abs(counts[1:] / 3000 - 1 / (n - 1)).max() < 0.04


@pytest.mark.parametrize("world", ["TicTacToe", "StagHunt"])
@pytest.mark.parametrize("agent", ["ppo", "dqn", "a2c", "reinforce", "recurrent-ppo"])
def test_a_learner_of_one_refuses_a_whole_game(world, agent):
    whole = resolve_task(world)
    with pytest.raises(UsageError, match="learns as one player"):
        next(iter(make_agent(agent, whole).learn(whole, 100)))  # type: ignore[attr-defined]


def test_a_world_in_hand_is_a_task():
    world = make_world("FrozenLake")
    for given in (world, type(world)):
        made = resolve_task(given)
        assert made.world is not None
        assert type(made.world) is type(world)
    assert make_agent("random", world).act(np.zeros(2, int)).shape == (2,)
    assert make_agent("random", "FrozenLake").act(np.zeros(2, int)).shape == (2,)
    sure = resolve_task(type(world), {"slip": 0.0})
    assert sure.world is not None
    assert sure.world.settings["slip"] == 0


@pytest.mark.parametrize("given", [object(), 3, None, gym.make, [], b"CartPole", dict, 1.5, gym])
def test_what_is_no_world_is_refused(given):
    with pytest.raises(UsageError, match="as a world|cannot be made: .* missing 1 required"):
        resolve_task(given)
    with pytest.raises(UsageError):
        make_agent("random", given)


def test_make_world_wants_a_name_or_a_class():
    lake = type(inscape.make_world("FrozenLake"))
    assert type(make_world(lake, slip=0.0)) is lake
    with pytest.raises(UsageError, match="make_world"):
        make_world(lake())  # type: ignore[arg-type]
