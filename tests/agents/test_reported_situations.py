"""Situations from public trackers of other libraries, with composite observations, wrappers and arguments; tests name
the reports."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from inscape.agents import make_agent
from inscape.agents.batches import batch_of
from inscape.agents.rollout import evaluate, rollout
from inscape.envs import resolve_task
from inscape.envs.tasks.environments import settings_from_text
from inscape.errors import UsageError

G = "gymnasium.wrappers"
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"num_envs": 2, "num_steps": 8, "minibatches": 2, "hidden": (8,)},
    "a2c": {"num_envs": 2, "num_steps": 8, "hidden": (8,)},
    "recurrent-ppo": {"num_envs": 2, "num_steps": 8, "minibatches": 2, "memory": 8},
    "dqn": {"num_envs": 2, "learning_starts": 8, "batch_size": 4, "buffer_size": 64, "hidden": (8,)},
    "sac": {"num_envs": 2, "learning_starts": 8, "batch_size": 4, "buffer_size": 64, "hidden": (8,)},
    "sb3:ppo": {"num_envs": 1, "num_steps": 8},
    "sb3:sac": {"num_envs": 1, "learning_starts": 8, "buffer_size": 64},
}


class Any_(gym.Env[Any, Any]):
    """Observes whatever `make` returns at each step."""

    def __init__(self, space: Any, actions: Any, make: Any = None) -> None:
        self.observation_space, self.action_space, self._make = space, actions, make

    def _look(self) -> Any:
        return self.observation_space.sample() if self._make is None else self._make(self.count)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count = 0
        return self._look(), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return self._look(), 1.0, self.count >= 6, False, {}


@pytest.fixture
def task():
    def register(space: Any, actions: Any = None, make: Any = None, **options: Any) -> Any:
        taken = spaces.Discrete(3) if actions is None else actions
        gym.register("Reported-v0", lambda: Any_(space, taken, make))
        return resolve_task("Reported-v0", **options)

    yield register
    gym.registry.pop("Reported-v0", None)


def learns(agent: str, task: Any) -> Any:
    made: Any = make_agent(agent, task, settings=SMALL[agent])
    _ = list(made.learn(task, 32))
    assert evaluate(made, task, 2, seed=1).lengths.min() >= 1
    return made


@pytest.mark.parametrize("agent", ["ppo", "a2c", "recurrent-ppo", "dqn"])
def test_blackjack_observes_a_tuple_of_discrete_numbers(agent):
    """DLR-RM/stable-baselines3#1140."""
    made = learns(agent, resolve_task("Blackjack-v1"))
    hands = (np.array([14, 20]), np.array([10, 6]), np.array([0, 1]))
    assert made.action_log_probs(hands).shape == (2, 2)


def test_blackjack_for_sb3_by_a_wrapper_that_the_error_names():
    """The same: what to do is in the error, and works."""
    with pytest.raises(UsageError, match=f"Tuple.*[\\s\\S]*--wrap {G}:FlattenObservation"):
        make_agent("sb3:ppo", resolve_task("Blackjack-v1"))
    learns("sb3:ppo", resolve_task("Blackjack-v1", wrappers=[f"{G}:FlattenObservation"]))


@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_dictionaries_inside_dictionaries(task, agent):
    """DLR-RM/stable-baselines3#1003."""
    box = spaces.Box(-1, 1, (2,))
    learns(agent, task(spaces.Dict(own=spaces.Dict(at=box, arm=spaces.Dict(angle=box)), other=spaces.Dict(at=box))))


def test_colour_depth_and_compass_together(task):
    """hill-a/stable-baselines#1045: pictures of two depths beside a column of numbers."""
    space = spaces.Dict(
        rgb=spaces.Box(0, 255, (48, 48, 3), np.uint8),
        depth=spaces.Box(0, 255, (48, 48, 1), np.uint8),
        compass=spaces.Box(-np.pi, np.pi, (3, 1), np.float32),
    )
    learns("ppo", task(space))


@pytest.mark.parametrize("agent", ["ppo", "sb3:ppo"])
def test_a_history_of_numbers_beside_a_choice(task, agent):
    """DLR-RM/stable-baselines3#1549: a matrix that is no picture."""
    learns(agent, task(spaces.Dict(history=spaces.Box(-1, 1, (3, 9)), here=spaces.Discrete(2))))


def test_one_discrete_observation_is_acted_on_after_training(task):
    """ray-project/ray#12483: a Discrete(20) observation was refused once trained."""
    made = learns("ppo", task(spaces.Discrete(20)))
    assert made.act(np.array([0, 19])).shape == (2,)


@pytest.mark.parametrize("agent", ["ppo", "dqn", "recurrent-ppo"])
def test_acting_on_a_dictionary_with_a_mask_after_training(task, agent):
    """ray-project/ray#12516 and #47853: the mask is a Box of int8, and comes first."""
    space = spaces.Dict({"action_mask": spaces.Box(0, 1, (3,), np.int8), "observations": spaces.Box(0, 1, (12,))})
    seen = {"action_mask": np.array([0, 1, 0], np.int8), "observations": np.zeros(12, np.float32)}
    masked = task(space, make=lambda count: seen)
    made = learns(agent, masked)
    assert all((episode.actions == 1).all() for episode in rollout(made, masked, 2, seed=0))
    batch = batch_of(space, [seen, seen])
    assert (np.asarray(made.action_log_probs(batch, batch["action_mask"].astype(bool))).argmax(axis=1) == 1).all()


class Knapsack(gym.Env[Any, Any]):
    """Takes one dictionary of settings, as RLlib's environments do, and anything else."""

    def __init__(self, *args: Any, env_config: dict[str, Any] | None = None, **kwargs: Any) -> None:
        config = env_config or {}
        self.observation_space = spaces.Box(0, 1, (int(config.get("N", 2)),))
        self.action_space, self.more = spaces.Discrete(2), kwargs

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(self.observation_space.shape, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(self.observation_space.shape, np.float32), 0.0, True, False, {}


def test_a_dictionary_of_settings_from_a_line():
    """ray-project/ray#12516: env_config as one argument; others go to **kwargs."""
    name = f"{__name__}:Knapsack"
    settings = settings_from_text(name, {"env-config": '{"N": 5, "mask": true}', "verbose": None, "level": "3"})
    assert settings == {"env_config": {"N": 5, "mask": True}, "verbose": True, "level": 3}
    made = resolve_task(name, settings)
    assert made.observation_space.shape == (5,)
    assert made.vector_env(2).reset(seed=0)[0].shape == (2, 5)


def test_stacked_frames_begin_as_the_wrapper_is_asked():
    """Farama-Foundation/Gymnasium#829."""
    for padding, first in (("reset", True), ("zero", False)):
        stacked = resolve_task(
            "CartPole-v1", wrappers=[f"{G}:FrameStackObservation:stack_size=3,padding_type={padding}"]
        )
        observation = stacked.env().reset(seed=0)[0]
        assert bool((observation[0] == observation[2]).all()) is first


@pytest.mark.parametrize("agent", ["ppo", "dqn"])
def test_stacks_of_a_dictionary_s_parts(task, agent):
    """Farama-Foundation/SuperSuit#268: each key is stacked as it would be alone."""
    space = spaces.Dict(
        at=spaces.Box(-1, 1, (2,)), kind=spaces.Discrete(3), camera=spaces.Box(0, 255, (24, 24), np.uint8)
    )
    stacked = task(space, wrappers=[f"{G}:FrameStackObservation:stack_size=4"])
    assert stacked.observation_space["at"].shape == (4, 2)
    learns(agent, stacked)


def test_stacked_frames_go_on_in_copies(task):
    """thu-ml/tianshou#1272: stacks in vector environments stayed as they were at the start."""
    counted = task(
        spaces.Box(0, 9, (1,), np.int32),
        make=lambda n: np.array([n], np.int32),
        wrappers=[f"{G}:FrameStackObservation:stack_size=3"],
    )
    copies = counted.vector_env(2)
    rows = [copies.reset(seed=0)[0], *(copies.step(np.zeros(2, int))[0] for _ in range(3))]
    assert [row[1, :, 0].tolist() for row in rows] == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3]]


def test_spaces_are_those_inside_the_wrappers():
    """MushroomRL/mushroom-rl#52: spaces were read before the wrappers were on; and wrappers without arguments."""
    flat = resolve_task("Blackjack-v1", wrappers=[f"{G}:FlattenObservation"])
    assert flat.observation_space.shape == (45,)
    assert flat.vector_env(3).reset(seed=0)[0].shape == (3, 45)


def test_arguments_reach_every_copy():
    """x35f/unstable_baselines#41: arguments were forgotten in one of two places."""
    lake = resolve_task("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False})
    assert lake.env().observation_space.n == 64
    assert [copy.unwrapped.nS if hasattr(copy.unwrapped, "nS") else copy.unwrapped.observation_space.n
            for copy in lake.vector_env(2).envs] == [64, 64]  # type: ignore[attr-defined]  # fmt: skip


@pytest.mark.parametrize("agent", ["sac", "ppo", "sb3:sac"])
def test_goal_environments(task, agent):
    """Observation, achieved and desired goal, as in Fetch: float64, unbounded."""
    point = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    space = spaces.Dict(
        observation=spaces.Box(-np.inf, np.inf, (10,), np.float64), achieved_goal=point, desired_goal=point
    )
    learns(agent, task(space, spaces.Box(-1, 1, (4,), np.float32)))


def test_keys_in_any_order_are_the_same_observation(task):
    """Environments fill their dictionaries in an order that changes; some return an OrderedDict."""
    space = spaces.Dict(b=spaces.Box(0, 9, (1,)), a=spaces.Discrete(3))

    def look(count: int) -> Any:
        pairs = [("a", np.int64(1)), ("b", np.array([4.0], np.float32))]
        return OrderedDict(pairs[:: -1 if count % 2 else 1])

    mixed = task(space, make=look)
    made = learns("ppo", mixed)
    rows = made.learner.network.encoder(mixed.vector_env(2).reset(seed=0)[0]).numpy()
    for values in ({"a": np.array([1]), "b": np.array([[4.0]])}, {"b": np.array([[4.0]]), "a": np.array([1])}):
        assert np.array_equal(made.learner.network.encoder(values).numpy()[0], rows[0])


@pytest.mark.quick(every=2)
@pytest.mark.parametrize(
    ("space", "value"),
    [
        (spaces.Dict(n=spaces.Discrete(3), x=spaces.Box(0, 1, ())), {"n": 2, "x": 0.5}),
        (spaces.Dict(n=spaces.Discrete(3), x=spaces.Box(0, 1, ())), {"n": np.array(2), "x": np.array(0.5)}),
        (spaces.Dict(n=spaces.Discrete(3), x=spaces.Box(0, 1, (1,))), {"n": np.array([2]), "x": [0.5]}),
        (spaces.Tuple((spaces.Discrete(3), spaces.Box(0, 1, (2,)))), [1, [0.0, 1.0]]),
        (spaces.Dict({1: spaces.Discrete(2), 2: spaces.Box(0, 1, (2,))}), {1: 1, 2: np.zeros(2)}),
        (spaces.Dict(none=spaces.Box(0, 1, (0,)), x=spaces.Box(0, 1, (2,))), {"none": np.zeros(0), "x": np.ones(2)}),
        (spaces.Tuple((spaces.Discrete(1), spaces.MultiDiscrete([1, 2]))), (0, np.array([0, 1]))),
        (spaces.Dict(say=spaces.Text(9, min_length=0, charset="aé 漢")), {"say": ""}),
        (spaces.Dict(say=spaces.Text(9, min_length=0, charset="aé 漢")), {"say": "漢 é"}),
        (spaces.Dict(bits=spaces.MultiBinary((2, 2))), {"bits": [[True, False], [False, True]]}),
        (spaces.Dict(far=spaces.Box(-1e30, 1e30, (2,), np.float64)), {"far": np.array([1e29, -1e29])}),
        (spaces.Dict(old=spaces.Discrete(4, start=-2)), {"old": -2}),
        (spaces.Dict(flag=spaces.Box(0, 1, (2,), np.bool_)), {"flag": np.array([True, False])}),
        (spaces.Dict(half=spaces.Box(-1, 1, (2,), np.float16)), {"half": np.zeros(2, np.float16)}),
    ],
    ids=lambda value: str(value)[:50],
)
def test_whatever_people_hand_over_for_a_space(task, space, value):
    """Python numbers, arrays without axes, lists, integer keys, empty parts, parts of one choice, odd letters."""
    made = learns("ppo", task(space, make=lambda count: value))
    assert np.isfinite(made.state_values(batch_of(space, [value, value]))).all()


def test_a_missing_or_an_unknown_key_is_named_with_copy_and_step(task):
    space = spaces.Dict(a=spaces.Discrete(2), b=spaces.Discrete(2))
    for wrong in ({"a": 0}, {"a": 0, "b": 0, "c": 0}):
        broken = task(space, make=lambda count, wrong=wrong: {"a": 0, "b": 1} if count < 2 else wrong)
        with pytest.raises(UsageError, match="keys.*copy 0 at step 1"):
            learns("ppo", broken)


WRAPPERS = {
    "CartPole-v1": [
        "NormalizeObservation",
        "NormalizeReward",
        "RecordEpisodeStatistics",
        "TimeAwareObservation",
        "TimeAwareObservation:flatten=false",
        "FlattenObservation",
        "DelayObservation:delay=2",
        "StickyAction:repeat_action_probability=0.3",
        "RepeatAction:num_repeats=2",
        "MaxAndSkipObservation:skip=2",
        "ClipReward:min_reward=0",
        "ReshapeObservation:shape=2,2",
        "DtypeObservation:dtype=float64",
        "TimeLimit:max_episode_steps=9",
        "OrderEnforcing",
        "PassiveEnvChecker",
        "FrameStackObservation:stack_size=2,padding_type=zero",
    ],
    "Pendulum-v1": [
        "ClipAction",
        "RescaleAction:min_action=-0.5,max_action=0.5",
        "RescaleObservation:min_obs=0,max_obs=1",
    ],
    "Blackjack-v1": ["FilterObservation:filter_keys=0,2"],
}


@pytest.mark.quick(every=2)
@pytest.mark.parametrize(("name", "wrapper"), [(name, wrapper) for name, some in WRAPPERS.items() for wrapper in some])
def test_every_wrapper_of_gymnasium_that_a_line_can_name(name, wrapper):
    wrapped = resolve_task(name, wrappers=[f"{G}:{wrapper}"], max_episode_steps=12)
    learns("ppo", wrapped)


@pytest.mark.parametrize(
    ("wrapper", "said"),
    [
        ("RecordVideo:video_folder=videos", "render mode|render_mode"),
        ("TransformAction:func=f,action_space=s", "text can stand"),
        ("GrayscaleObservation", "cannot be put around"),
        ("AtariPreprocessing", "cannot be put around|ale"),
        ("DiscretizeObservation:bins=x", "a number"),
        ("FilterObservation:filter_keys=a", "cannot be put around"),
    ],
)
def test_wrappers_that_do_not_fit_are_refused(wrapper, said):
    with pytest.raises(UsageError, match=said):
        resolve_task("CartPole-v1", wrappers=[f"{G}:{wrapper}"])
