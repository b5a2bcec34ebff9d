"""Deep agents on observations of several parts: Dict, Tuple, nested; vectors, pictures, choices, texts; and masks."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from inscape.agents import make_agent
from inscape.agents.batches import batch_of
from inscape.agents.rollout import evaluate, rollout
from inscape.envs import resolve_task
from inscape.errors import UsageError
from inscape.experiments.runs.storage.checkpoints import load_checkpoint, save_checkpoint
from inscape.world_models.networks.encoders.encoder import ObservationEncoder
from inscape.world_models.networks.encoders.packing import ObservationPacking, packing_of, tokens
from inscape.world_models.networks.part_networks import PartNetworks, learns_parts
from tests.conftest import slow_but

PICTURE = spaces.Box(0, 255, (24, 24, 3), np.uint8)
VECTOR = spaces.Box(-1, 1, (3,), np.float32)
COMPOSITE = {
    "vectors": spaces.Dict(a=VECTOR, b=spaces.Box(-5, 5, (2, 2), np.float64)),
    "picture and vector": spaces.Dict(camera=PICTURE, speed=VECTOR),
    "tuple": spaces.Tuple((spaces.Discrete(3), VECTOR)),
    "nested": spaces.Dict(arm=spaces.Dict(at=VECTOR, grip=spaces.Tuple((spaces.Discrete(2), spaces.MultiBinary(3))))),
    "tuple of dicts": spaces.Tuple((spaces.Dict(x=VECTOR), spaces.Dict(x=spaces.MultiDiscrete([2, 3])))),
    "starts": spaces.Dict(
        a=spaces.Discrete(4, start=-2), b=spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[1, 1], [0, 5]])
    ),
    "scalars": spaces.Dict(t=spaces.Box(0, 9, (), np.float64), n=spaces.Box(0, 9, (), np.int64), k=spaces.Discrete(2)),
    "every dtype": spaces.Tuple(
        [spaces.Box(0, 1, (2,), kind) for kind in (np.float16, np.float32, np.float64, np.int8, np.int16, np.int32)]
        + [spaces.Box(0, 100, (2,), kind) for kind in (np.int64, np.uint8, np.uint16, np.uint32, np.uint64)]
    ),
    "text": spaces.Dict(mission=spaces.Text(20), at=VECTOR),
    "text alone": spaces.Text(12),
    "many choices": spaces.Dict(word=spaces.Discrete(2_000, start=7), pair=spaces.MultiDiscrete([300, 400])),
    "two pictures": spaces.Tuple((PICTURE, spaces.Box(0, 255, (2, 20, 30), np.uint8))),
    "grid and direction": spaces.Dict(image=spaces.Box(0, 255, (7, 7, 3), np.uint8), direction=spaces.Discrete(4)),
    "odd keys": spaces.Dict({"x.y": VECTOR, "with space": spaces.Discrete(2), "0": spaces.Discrete(3)}),
}  # fmt: skip
ON_POLICY = {"num_envs": 2, "num_steps": 8, "hidden": (8,)}
OFF_POLICY = {
    "num_envs": 2,
    "buffer_size": 64,
    "batch_size": 4,
    "learning_starts": 8,
    "hidden": (8,),
    "report_every": 8,
}
AGENTS: dict[str, dict[str, Any]] = {
    "ppo": {**ON_POLICY, "epochs": 2, "minibatches": 2}, "a2c": ON_POLICY,
    "recurrent-ppo": {**ON_POLICY, "minibatches": 2, "memory": 8},
    "reinforce": {"num_envs": 2, "hidden": (8,)}, "dqn": OFF_POLICY, "sac": OFF_POLICY,
}  # fmt: skip


class Sensors(gym.Env[Any, Any]):
    """Observes samples of a space; `legal` is a mask that lies among them."""

    def __init__(self, space: Any, actions: Any) -> None:
        self.observation_space, self.action_space = space, actions

    def _look(self) -> Any:
        seen = self.observation_space.sample()
        if isinstance(seen, dict) and "action_mask" in seen:
            seen["action_mask"] = np.array([0, 1, 1], np.int8)
        return seen

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.count = 0
        return self._look(), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return self._look(), float(self.count), self.count % 7 == 0, False, {}


@pytest.fixture
def task():
    def register(space: Any, agent: str = "ppo", n: int = 3) -> Any:
        actions = spaces.Box(-1, 2, (2,), np.float32) if agent == "sac" else spaces.Discrete(n)
        gym.register("Sensors-v0", lambda: Sensors(space, actions), max_episode_steps=5)
        return resolve_task("Sensors-v0")

    yield register
    gym.registry.pop("Sensors-v0", None)


def seen_in(space: Any, count: int, seed: int = 0) -> Any:
    space.seed(seed)
    return batch_of(space, [space.sample() for _ in range(count)])


@pytest.mark.quick(every=3)
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("name", slow_but(("nested", "text", "two pictures", "every dtype"), COMPOSITE))
def test_deep_agents_learn_act_and_are_evaluated(task, agent, name):
    space = COMPOSITE[name]
    sensors = task(space, agent)
    made: Any = make_agent(agent, sensors, settings=AGENTS[agent])
    rows = list(made.learn(sensors, 48))
    assert rows[-1]["steps"] >= 48
    assert all(np.isfinite(value) for row in rows for value in row.values())
    assert evaluate(made, sensors, 3, seed=1).lengths.tolist() == [5, 5, 5]
    assert made.act(seen_in(space, 3)).shape[0] == 3


@pytest.mark.quick(every=5)
@pytest.mark.parametrize("agent", ["ppo", "recurrent-ppo", "dqn", "sac", "reinforce"])
@pytest.mark.parametrize("name", ["picture and vector", "nested", "text", "many choices"])
def test_a_checkpoint_holds_everything_bit_for_bit(task, tmp_path, agent, name):
    space = COMPOSITE[name]
    sensors = task(space, agent)
    settings = {**AGENTS[agent], **({} if agent == "dqn" else {"normalize_observations": True})}
    first: Any = make_agent(agent, sensors, settings=settings)
    _ = list(first.learn(sensors, 32))
    save_checkpoint(tmp_path / "step-32", first.state_dict(), {"steps": 32, "finished": False})
    again: list[Any] = []
    for _ in range(2):
        other: Any = make_agent(agent, sensors, seed=5, settings=settings)
        other.load_state_dict(load_checkpoint(tmp_path / "step-32")[0])
        assert_same(first.state_dict(), other.state_dict())
        rows = list(other.learn(sensors, 64))
        again.append((rows[-1], other.state_dict()))
    assert_same(again[0], again[1])


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
    else:
        assert one == other or (one != one and other != other)


@pytest.mark.parametrize("agent", ["ppo", "a2c", "reinforce", "recurrent-ppo", "dqn"])
@pytest.mark.parametrize("name", ["nested", "tuple", "text", "scalars", "odd keys", "every dtype"])
def test_log_probs_of_recorded_episodes_are_those_of_what_was_observed(task, agent, name):
    sensors = task(COMPOSITE[name], agent)
    made: Any = make_agent(agent, sensors, settings=AGENTS[agent])
    recorded = rollout(made, sensors, 2, seed=3)[0]
    env = sensors.env()
    observation, _ = env.reset(seed=None)
    batch = batch_of(env.observation_space, [observation] * 2)
    log_probs = made.action_log_probs(batch)
    assert log_probs.shape == (2, 3)
    assert np.allclose(np.exp(log_probs).sum(axis=1), 1)
    flat = np.stack([gym.spaces.flatten(env.observation_space, observation)] * 2)
    assert np.array_equal(made.action_log_probs(flat), log_probs)
    assert made.action_log_probs(recorded.observations).shape == (len(recorded) + 1, 3)


@pytest.mark.parametrize("agent", ["ppo", "a2c", "reinforce", "recurrent-ppo", "dqn"])
def test_a_mask_among_the_observations_is_obeyed_and_not_observed(task, agent):
    space = spaces.Dict(at=VECTOR, action_mask=spaces.MultiBinary(3))
    masked = task(space, agent)
    made: Any = make_agent(agent, masked, settings=AGENTS[agent])
    _ = list(made.learn(masked, 32))
    for trajectory in rollout(made, masked, 3, seed=0):
        assert (trajectory.actions != 0).all()
    network = made.learner.network if hasattr(made, "learner") else made.network
    assert network.encoder.width == 3
    seen = seen_in(space, 4)
    other = {**seen, "action_mask": 1 - seen["action_mask"]}
    assert np.array_equal(made.action_log_probs(seen), made.action_log_probs(other))


def test_a_mask_alone_is_nothing_to_observe(task):
    with pytest.raises(UsageError, match="nothing to observe"):
        make_agent("ppo", task(spaces.Dict(action_mask=spaces.MultiBinary(3))))


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (spaces.Dict(a=VECTOR, b=spaces.Sequence(spaces.Discrete(2))), "'b': Sequence"),
        (spaces.Tuple((VECTOR, spaces.Dict(c=spaces.Graph(VECTOR, None)))), r"\[1\].'c': Graph"),
        (spaces.OneOf((VECTOR, spaces.Discrete(2))), "OneOf"),
        (spaces.Dict(a=spaces.Dict(b=spaces.Discrete(2**40))), r"'a'.'b' of 1,099,511,627,776 choices"),
        (spaces.Tuple((spaces.MultiDiscrete([2**19, 2**20]),)), r"\[0\] of 1,572,864 choices"),
        (spaces.Dict(a=spaces.Box(0, 255, (2, 4, 30, 40, 3), np.uint8)), "2 to 4 axes"),
    ],
)
@pytest.mark.parametrize("agent", ["ppo", "dqn", "recurrent-ppo"])
def test_what_no_network_takes_is_refused_naming_the_part(task, agent, space, named):
    with pytest.raises(UsageError, match=named):
        make_agent(agent, task(space))


@pytest.mark.parametrize(
    ("agent", "backend"), [("ppo", "compiled"), ("a2c", "cuda"), ("dqn", "compiled"), ("sac", "compiled")]
)
def test_compiled_learners_say_why_they_cannot(task, agent, backend):
    with pytest.raises(UsageError, match="several parts|no law"):
        make_agent(agent, task(COMPOSITE["tuple"], agent), settings={"backend": backend})


@pytest.mark.parametrize("space", COMPOSITE.values(), ids=COMPOSITE)
def test_packed_rows_give_back_every_number(space):
    packing = packing_of(space)
    assert packing is not None
    batch = seen_in(space, 5)
    rows = packing(batch)
    assert rows.shape == (5, packing.size)
    assert packing(rows) is rows
    for part, array in zip(packing.parts, packing.unpacked(rows), strict=True):
        if not part.text:
            assert array.dtype == part.dtype
            assert np.array_equal(array, part.of(batch))
    flat = np.stack([gym.spaces.flatten(space, row) for row in _elements(batch, space)])
    assert np.array_equal(packing(flat), rows)


def _elements(batch: Any, space: Any) -> list[Any]:
    from inscape.agents.batches import rows_of

    return [rows_of(batch, k) for k in range(5)]


def test_a_missing_part_is_named():
    packing = ObservationPacking(COMPOSITE["nested"])
    with pytest.raises(UsageError, match=r"'arm'.'grip'\[0\]"):
        packing({"arm": {"at": np.zeros((2, 3))}})
    with pytest.raises(UsageError, match=r"'arm'.'at' of shape \(2, 4\)"):
        packing({"arm": {"at": np.zeros((2, 4)), "grip": (np.zeros(2), np.zeros((2, 3)))}})
    with pytest.raises(UsageError, match=r"shape \(2, 99\)"):
        packing(np.zeros((2, 99)))


def test_words_and_their_order_are_told_apart():
    one, other = tokens("put the red ball next to the blue box"), tokens("put the blue ball next to the red box")
    assert one != other
    assert tokens("") == bytes(512)
    assert tokens("go") == tokens(" go ")


@pytest.mark.parametrize("name", ["picture and vector", "two pictures", "many choices", "vectors", "text"])
def test_each_part_goes_through_its_own_network(name):
    encoder = ObservationEncoder(COMPOSITE[name])
    networks = PartNetworks(encoder, torch.Generator().manual_seed(0))
    features = encoder(seen_in(COMPOSITE[name], 4))
    kinds = {type(module).__name__ for module in networks.modules()}
    assert ("Conv2d" in kinds) == ("picture" in name)
    assert ("_Embedded" in kinds) == (name == "many choices")
    assert learns_parts(encoder) == (kinds != {"PartNetworks", "ModuleDict"})
    assert networks(features).shape == (4, networks.width)
    assert torch.equal(networks(features.reshape(2, 2, -1)).reshape(4, -1), networks(features))


def test_vectors_are_normalised_each_by_its_own_moments_and_pictures_are_not():
    space = spaces.Dict(
        camera=PICTURE, far=spaces.Box(-1e6, 1e6, (2,), np.float64), near=VECTOR, kind=spaces.Discrete(2)
    )
    encoder = ObservationEncoder(space, normalize=True)
    batch = seen_in(space, 400)
    encoder.update(batch)
    features = encoder(batch)
    camera, far, near, kind = features.split([24 * 24 * 3, 2, 3, 2], dim=1)
    assert torch.allclose(far.std(dim=0), torch.ones(2), atol=0.01)
    assert torch.allclose(near.mean(dim=0), torch.zeros(3), atol=0.01)
    assert torch.allclose(camera, torch.as_tensor(batch["camera"]).reshape(400, -1) / 255)
    assert set(kind.unique().tolist()) == {0.0, 1.0}


class Told(gym.Env[Any, Any]):
    """Which action is right is told by one part of the observation: a word, a picture's brightness, a nested number."""

    action_space = spaces.Discrete(2)

    def __init__(self, by: str) -> None:
        self.by = by
        self.observation_space = spaces.Dict(
            noise=spaces.Box(-1, 1, (4,)),
            mission=spaces.Text(16, charset="efghilort "),
            camera=spaces.Box(0, 255, (20, 20), np.uint8),
            more=spaces.Tuple((spaces.Discrete(600), spaces.Dict(n=spaces.Box(-1, 1, ())))),
        )

    def _look(self) -> Any:
        self.right = int(self.np_random.integers(2))
        told = {
            by: self.right if by == self.by else int(self.np_random.integers(2))
            for by in ("text", "camera", "word", "n")
        }
        return {
            "noise": self.np_random.uniform(-1, 1, 4).astype(np.float32),
            "mission": ("go left", "go right")[told["text"]],
            "camera": np.full((20, 20), 200 * told["camera"], np.uint8),
            "more": (np.int64(17 + 500 * told["word"]), {"n": np.array(2 * told["n"] - 1, np.float32)}),
        }

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self._look(), {}

    def step(self, action: Any) -> Any:
        reward = float(action == self.right)
        return self._look(), reward, False, False, {}


@pytest.mark.quick("camera")
@pytest.mark.parametrize("by", ["text", "camera", "word", "n"])
def test_ppo_learns_from_whichever_part_tells(by):
    gym.register("Told-v0", lambda: Told(by), max_episode_steps=10)
    try:
        told = resolve_task("Told-v0")
        settings = {
            "num_envs": 8, "num_steps": 16, "learning_rate": 1e-2, "hidden": (16,), "gamma": 0.0,
            "epochs": 4, "minibatches": 4,
        }  # fmt: skip
        made: Any = make_agent("ppo", told, settings=settings)
        _ = list(made.learn(told, 1280))
        assert evaluate(made, told, 10, seed=3).mean > 8
    finally:
        gym.registry.pop("Told-v0", None)


class Mission(gym.Space[str]):
    """Texts of a package's own space, as MiniGrid's: Gymnasium does not know how to flatten it."""

    def __init__(self) -> None:
        super().__init__(dtype=str)  # type: ignore[arg-type]

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        return ("go to the red ball", "pick up the key")[int(self.np_random.integers(2))]

    def contains(self, x: Any) -> bool:
        return isinstance(x, str)


@pytest.mark.parametrize(
    "space",
    [spaces.Dict(mission=Mission(), at=VECTOR), spaces.Tuple((Mission(), spaces.Discrete(3))), Mission(),
     spaces.Dict(more=spaces.Dict(mission=Mission()), camera=PICTURE)],
    ids=["dict", "tuple", "alone", "nested"],
)  # fmt: skip
def test_texts_of_spaces_that_a_package_has_made(task, space):
    sensors = task(space)
    made: Any = make_agent("ppo", sensors, settings=AGENTS["ppo"])
    _ = list(made.learn(sensors, 32))
    recorded = rollout(made, sensors, 2, seed=3)[0]
    assert recorded.observations.shape[0] == len(recorded) + 1
    assert recorded.observations.shape[1] >= 512


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (spaces.Dict(a=VECTOR, b=spaces.Dict(c=VECTOR)), "'b'"), (spaces.Dict(a=VECTOR, t=spaces.Text(3)), "'t'"),
        (spaces.Dict(a=VECTOR, image=spaces.Box(0, 255, (7, 7, 3), np.uint8)), "'image'"),
        (spaces.Dict(a=VECTOR, grey=spaces.Box(0, 255, (84, 84), np.uint8)), "'grey'"),
        (spaces.Dict(a=VECTOR, stack=spaces.Box(0, 255, (4, 40, 40, 3), np.uint8)), "'stack'"),
        (spaces.Dict(a=VECTOR, u=spaces.Tuple((VECTOR,))), "'u'"), (COMPOSITE["tuple"], "Tuple"),
        (COMPOSITE["text alone"], "Text"), (spaces.Dict(action_mask=spaces.MultiBinary(3)), "mask alone"),
        (spaces.Sequence(VECTOR), "Sequence"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("agent", ["sb3:ppo", "sb3:dqn"])
def test_what_sb3_does_not_take_is_named_with_a_way_out(task, agent, space, named):
    with pytest.raises(UsageError, match=named) as caught:
        make_agent(agent, task(space))
    assert "mask alone" in named or "--wrap" in str(caught.value) or "take it as it is" in str(caught.value)


@pytest.mark.parametrize("agent", ["sb3:ppo", "sb3:dqn", "sb3:maskable-ppo"])
def test_sb3_reads_dictionaries_without_their_masks(task, agent):
    pytest.importorskip("sb3_contrib" if "maskable" in agent else "stable_baselines3")
    space = spaces.Dict(at=VECTOR, kind=spaces.Discrete(3, start=1), action_mask=spaces.MultiBinary(3))
    sensors = task(space, n=3)
    small = {"num_envs": 1, "num_steps": 8} if "ppo" in agent else {"num_envs": 1, "learning_starts": 8}
    made: Any = make_agent(agent, sensors, settings=small)
    assert set(made.model.observation_space.spaces) == {"at", "kind"}
    assert "MultiInput" in type(made.model.policy).__name__ or "MultiInput" in str(made.model.policy_class)
    _ = list(made.learn(sensors, 16))
    assert made.act(seen_in(space, 3), np.ones((3, 3), bool)).shape == (3,)
