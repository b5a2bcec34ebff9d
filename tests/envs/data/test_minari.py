from __future__ import annotations

import dataclasses
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from inscape.agents.registry import make_agent
from inscape.agents.rollout import rollout
from inscape.envs.data import minari as datasets
from inscape.envs.data.minari import trajectories_from_minari, trajectories_to_minari
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError

ABOUT = {"author": "nobody", "author_email": "no", "code_permalink": "none", "description": "a test"}
WORLDS = Path(__file__).parents[2] / "agents" / "worlds.py"
pytestmark = [
    pytest.mark.filterwarnings("ignore:`eval_env` is set to None"),
    pytest.mark.filterwarnings("ignore:env_spec is None"),
]


@pytest.fixture
def minari(tmp_path, monkeypatch):
    """The real Minari, with a folder of its own."""
    import minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    return minari


def episodes(name, count=3, settings=None):
    task = resolve_task(name, settings)
    return rollout(make_agent("random", task, seed=1), task, count, seed=2)


def assert_same(found, expected):
    for field in dataclasses.fields(expected):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if field.name == "states" and other is not None:
            assert np.array_equal(one.floats, other.floats) and np.array_equal(one.ints, other.ints)
            assert (one.floats.dtype, one.ints.dtype) == (other.floats.dtype, other.ints.dtype)
        elif isinstance(other, np.ndarray):
            assert np.array_equal(one, other) and one.dtype == other.dtype, field.name
        else:
            assert one == other, field.name


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("FrozenLake", {"slip": 0.25}),  # states of integers alone
        ("CartPole", {}),  # of floats alone
        ("Pendulum", {}),  # continuous actions
        (f"{WORLDS}:Corridor", {}),  # masks, and no Gymnasium id
        ("MountainCar-v0", {}),  # not ours: no states
    ],
)
def test_what_comes_back_is_what_was_stored(minari, name, settings):
    stored = episodes(name, settings=settings)
    dataset = trajectories_to_minari(stored, "ours/test-v0", **ABOUT)
    assert len(dataset) == 3
    assert dataset.total_steps == sum(map(len, stored))
    for found in (trajectories_from_minari(dataset), trajectories_from_minari("ours/test-v0")):
        assert len(found) == len(stored)
        for one, other in zip(found, stored, strict=True):
            assert_same(one, other)


def test_others_read_it_by_minaris_own_conventions(minari):
    stored = episodes("FrozenLake", 4, {"slip": 0.25, "goal_reward": 3.0})
    trajectories_to_minari(stored, "test-v0", **ABOUT)
    dataset = minari.load_dataset("test-v0")
    assert dataset.storage.metadata["algorithm_name"] == "random"
    for theirs, ours in zip(dataset.iterate_episodes(), stored, strict=True):
        assert theirs.rewards.sum() == ours.total_reward
        assert theirs.observations.shape == (len(ours) + 1,)
        assert theirs.terminations.tolist() == [False] * (len(ours) - 1) + [ours.terminated]
        assert theirs.truncations.tolist() == [False] * (len(ours) - 1) + [ours.truncated]
    env = dataset.recover_environment()
    assert env.unwrapped.world.settings["slip"] == 0.25
    assert env.unwrapped.world.settings["goal_reward"] == 3.0
    assert env.spec.id == "inscape/FrozenLake-v0"


def test_a_data_set_of_others_becomes_trajectories(minari):
    """Made with Minari's own means from Gymnasium's environment; the last episode is cut without a mark."""
    from minari.data_collector import EpisodeBuffer

    env, rng = gymnasium.make("CartPole-v1"), np.random.default_rng(0)
    buffers, returns = [], []
    for number in range(3):
        observation, _ = env.reset(seed=number)
        seen, actions, rewards, flags = [observation], [], [], []
        for _ in range(5 if number == 2 else 500):
            actions.append(int(rng.integers(2)))
            observation, reward, terminated, truncated, _ = env.step(actions[-1])
            seen.append(observation)
            rewards.append(reward)
            flags.append((terminated, truncated))
            if terminated or truncated:
                break
        ends, cuts = zip(*flags, strict=True)
        buffers.append(EpisodeBuffer(None, number, None, seen, actions, rewards, list(ends), list(cuts), None))
        returns.append(sum(rewards))
    minari.create_dataset_from_buffers("theirs-v0", buffers, env=env, algorithm_name="coin", **ABOUT)
    found = trajectories_from_minari("theirs-v0")
    assert [one.total_reward for one in found] == returns
    assert [(one.terminated, one.truncated) for one in found] == [(True, False), (True, False), (False, True)]
    assert [one.seed for one in found] == [0, 1, 2]
    assert found[0].agent == "coin"
    assert found[0].task == {"name": "CartPole-v1", "settings": {}}
    assert found[0].observations.shape == (len(found[0]) + 1, 4)
    assert found[0].states is None


def test_what_does_not_fit_is_refused(minari):
    lake, pole = episodes("FrozenLake", 1), episodes("CartPole", 1)
    with pytest.raises(UsageError, match="2 episodes of 2 tasks"):
        trajectories_to_minari(lake + pole, "test-v0", **ABOUT)
    with pytest.raises(UsageError, match="0 episodes"):
        trajectories_to_minari([], "test-v0", **ABOUT)
    with pytest.raises(UsageError, match="all of one task that is recorded"):
        trajectories_to_minari([dataclasses.replace(lake[0], task={})], "test-v0", **ABOUT)
    with pytest.raises(UsageError, match="2 players"):
        trajectories_to_minari([dataclasses.replace(lake[0], task={"name": "TicTacToe"})], "test-v0", **ABOUT)
    trajectories_to_minari(lake, "test-v0", **ABOUT)
    with pytest.raises(UsageError, match="already exists"):
        trajectories_to_minari(lake, "test-v0", **ABOUT)
    with pytest.raises(UsageError, match="no Minari data set 'absent-v0'"):
        trajectories_from_minari("absent-v0")
    space = gymnasium.spaces.Dict({"x": gymnasium.spaces.Discrete(2)})
    spaces = {"observation_space": space, "action_space": gymnasium.spaces.Discrete(2)}
    minari.create_dataset_from_buffers("dict-v0", [], algorithm_name="none", **spaces, **ABOUT)
    with pytest.raises(UsageError, match="observations of dict-v0 are Dict"):
        trajectories_from_minari("dict-v0")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(UsageError, match=r"h5py(.|\n)*inscape\[data\]"):
        datasets.trajectories_from_minari("any-v0")


def test_the_command_line_writes_and_reads_them(minari, capsys, recwarn):
    from inscape.experiments.cli import main

    assert main(["evaluate", "random", "FourGoals", "--episodes", "3", "--save-episodes", "minari:grid/random-v0"]) == 0
    assert "inscape observe minari:grid/random-v0" in capsys.readouterr().out
    assert len(minari.load_dataset("grid/random-v0")) == 3
    assert not [one for one in recwarn if "author" in str(one.message)]
    assert main(["observe", "minari:grid/random-v0", "--episodes", "1"]) == 0
    assert main(["observe", "minari:grid/absent-v0"]) == 2
    assert "no Minari data set 'grid/absent-v0'" in capsys.readouterr().err


# ------------------------------------------------------------------------------------- environments in hand, any space

BOX = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
TWO = gymnasium.spaces.Discrete(2)


class Sampled(gymnasium.Env):
    """Four steps, samples of its space."""

    def __init__(self, observed=BOX, taken=TWO):
        self.observation_space, self.action_space = observed, taken

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t == 4, False, {}


@pytest.mark.parametrize(
    ("observed", "taken", "shape"),
    [
        (gymnasium.spaces.Dict(here=BOX, there=gymnasium.spaces.Discrete(3)), TWO, (5,)),
        (gymnasium.spaces.Tuple([BOX, gymnasium.spaces.MultiBinary(3)]), TWO, (5,)),
        (gymnasium.spaces.Dict(here=BOX, words=gymnasium.spaces.Text(5)), TWO, None),
        (gymnasium.spaces.Box(0, 255, (4, 16, 16, 3), np.uint8), TWO, (4, 16, 16, 3)),  # stacked frames
        (gymnasium.spaces.Box(0, 255, (2, 16, 16), np.uint8), TWO, (2, 16, 16)),
        (gymnasium.spaces.Discrete(5, start=3), gymnasium.spaces.Discrete(2, start=-1), ()),
        (gymnasium.spaces.Box(0, 1, (3,), np.bool_), gymnasium.spaces.MultiBinary(3), (3,)),
        (BOX, gymnasium.spaces.Dict(one=TWO, two=BOX), (2,)),
        (gymnasium.spaces.Box(-1, 1, ()), gymnasium.spaces.Box(-1, 1, (2, 2)), ()),
    ],
    ids=repr,
)
@pytest.mark.parametrize("registered", [False, True])
def test_every_space_of_an_environment_in_hand(minari, observed, taken, shape, registered, request):
    """Given as an object, or registered as a function, which no file can hold."""

    def make():
        return Sampled(observed, taken)

    name = "SampledInHand-v0"
    if registered:
        gymnasium.register(name, make)
        request.addfinalizer(lambda: gymnasium.registry.pop(name))
    recorded = rollout("random", name if registered else make, 2, seed=0)
    stored = trajectories_to_minari(recorded, "hand/any-v0", world=None if registered else make)
    assert shape is None or stored.observation_space.shape == shape
    for one, other in zip(trajectories_from_minari("hand/any-v0"), recorded, strict=True):
        assert np.array_equal(one.observations, other.observations) and np.array_equal(one.actions, other.actions)
        assert np.array_equal(one.rewards, other.rewards) and one.agent == "random"


def test_an_environment_in_hand_has_to_be_given(minari):
    with pytest.raises(UsageError, match="in hand"):
        trajectories_to_minari(rollout("random", Sampled(), 1, seed=0), "hand/none-v0")
