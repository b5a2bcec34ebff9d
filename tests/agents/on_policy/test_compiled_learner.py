"""The compiled learner with continuous actions, with normalised observations and rewards, and with several players:
torch's numbers."""

from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from inscape.agents.kernels import policy_gradient
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.learning.normalization import ReturnNormalizer
from inscape.agents.learning.returns import generalized_advantages
from inscape.agents.on_policy.a2c import A2C, A2CSettings
from inscape.agents.on_policy.base import Schedule
from inscape.agents.on_policy.compiled_learner import COLLECTING, CompiledLearner
from inscape.agents.on_policy.ppo import PPO, PPOSettings
from inscape.agents.on_policy.torch_learner import RolloutBatch
from inscape.agents.registry import default_steps, make_agent
from inscape.agents.rollout import evaluate, evaluate_players
from inscape.envs.law.streams import uniform
from inscape.envs.law.tools import gaussian
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.shared_policy import one_player
from inscape.errors import UsageError
from inscape.experiments.runs.storage.checkpoints import load_checkpoint, save_checkpoint
from inscape.world_models.networks.distributions import GaussianActions
from inscape.world_models.networks.encoders.encoder import ObservationEncoder
from inscape.world_models.networks.encoders.features import FeatureReader
from inscape.world_models.networks.finite_checks import DivergenceError
from inscape.world_models.networks.kernels import perceptron
from inscape.world_models.networks.numpy_distributions import NumpyGaussian
from tests.agents.exactness import assert_resuming_is_exact

WORLDS = Path(__file__).parents[1] / "continuous_worlds.py"
NORMALISED = {"normalize_observations": True, "normalize_rewards": True}
SMALL = {"num_envs": 4, "num_steps": 16, "hidden": (16, 8), "entropy_coef": 0.02, "normalize_rewards": False}
RAGGED = {"payoffs": [[[1, 2, 3], [4, 5, 6]], [[6, 5, 4], [3, 2, 1]]], "rounds": 5}
"""Player 0 has two actions of three, so that there are masks, one for each player."""
PLACES = np.array([[-0.9], [0.01], [0.4]], np.float32)


@pytest.fixture(scope="module")
def homing():
    return resolve_task(f"{WORLDS}:Homing")


def make(task, backend="compiled", spec="ppo", seed=3, **settings):
    return make_agent(spec, task, seed=seed, settings={**SMALL, **settings, "backend": backend})


def as_tensors(batch, width=0):
    """Returns a batch of the compiled learner as torch's has it; one-hot features of so many columns."""
    features, masks, actions, log_probs, advantages, returns = (torch.from_numpy(np.array(part)) for part in batch)
    masks = masks if masks.numel() else None
    features = torch.nn.functional.one_hot(features, width).sum(1).float() if width else features
    return RolloutBatch(features, masks, actions, log_probs.float(), advantages.float(), returns.float(), {})


def assert_equal_states(one, other, tolerance=0.0):
    """Networks, statistics and moments."""
    pairs = [(one["network"], other["network"])]
    pairs += [(one["optimizer"][name], other["optimizer"][name]) for name in set(one["optimizer"]) - {"steps"}]
    for mine, theirs in pairs:
        assert mine.keys() == theirs.keys()
        for name, array in mine.items():
            assert_allclose(array, theirs[name], atol=tolerance, rtol=tolerance, err_msg=name)
    assert one["optimizer"]["steps"] == other["optimizer"]["steps"]


# ------------------------------------------------------------------------------------------- the update


def test_gradient_by_hand():
    """μ = 1/2, σ = 2, a = 7/2, so z = 3/2; A = 3, ratio 1. By μ: −A·z/σ; by log σ: −A·(z² − 1) − c_e."""
    log_std = np.array([math.log(2.0)], np.float32)
    log_prob = -0.5 * 1.5**2 - math.log(2.0) - 0.5 * math.log(2 * math.pi)
    actions = np.array([[3.5]], np.float32)
    batch = (np.zeros((1, 1), np.float32), np.zeros((1, 0), np.bool_), actions, np.array([log_prob]), np.zeros(1),
             np.zeros(1))  # fmt: skip
    by_means, by_log_std, parts = np.zeros((1, 1), np.float32), np.zeros(1, np.float32), np.zeros(policy_gradient.PARTS)
    policy_gradient.head_gradient(
        actions, np.array([[0.5]], np.float32), log_std, batch, np.arange(1), np.array([3.0]), 0.2, 0.1, by_means,
        by_log_std, parts,
    )  # fmt: skip
    assert by_means[0, 0] == pytest.approx(-3 * 1.5 / 2)
    assert by_log_std[0] == pytest.approx(-3 * (1.5**2 - 1) - 0.1)
    assert parts[policy_gradient.ENTROPY] == pytest.approx(math.log(2.0) + 0.5 * math.log(2 * math.pi * math.e))
    assert parts[policy_gradient.POLICY_LOSS] == pytest.approx(-3)


@pytest.mark.compiled
@pytest.mark.parametrize("spec", ["ppo", "a2c"])
@pytest.mark.parametrize("dimensions", [1, 3])
def test_updates_agree(spec, dimensions):
    """On one batch of chance numbers: weights, deviations, moments and losses, some ratios clipped."""
    rng = np.random.default_rng(dimensions)
    task = SimpleNamespace(
        name="numbers", world=None, observation_space=gymnasium.spaces.Box(-9, 9, (4,)),
        action_space=gymnasium.spaces.Box(-1, 1, (dimensions,)),
    )  # fmt: skip
    cls, of_class = {"ppo": (PPO, PPOSettings), "a2c": (A2C, A2CSettings)}[spec]
    agent = cls(task, seed=1, settings=of_class(backend="torch", hidden=(16, 8), entropy_coef=0.05))
    state = agent.state_dict()
    state["network"]["log_std"] = rng.normal(0.0, 0.3, dimensions).astype(np.float32)
    agent.load_state_dict(state)
    compiled = CompiledLearner(agent, task)
    compiled.load_state_dict({**state, "acting": None, "exploring": None})
    actions = rng.normal(size=(60, dimensions)).astype(np.float32)
    features = rng.normal(size=(60, 4)).astype(np.float32)
    with torch.inference_mode():
        outputs = agent.learner.network.outputs(torch.from_numpy(features), None)
        log_probs = GaussianActions(task.action_space).log_prob(outputs, torch.from_numpy(actions)).numpy()
    batch = (
        features, np.zeros((60, 0), np.bool_), actions, log_probs + np.linspace(-0.4, 0.4, 60), rng.normal(size=60),
        rng.normal(size=60),
    )  # fmt: skip
    schedule = Schedule(1e-3, 0.2, epochs=3) if spec == "ppo" else Schedule(1e-3)
    ours = compiled.update(batch, schedule, 0)
    theirs = agent.learner.update(as_tensors(batch), schedule, 0)
    assert spec == "a2c" or 0.1 < ours["clip_fraction"] < 0.9
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert_allclose(ours[name], value, atol=2e-6, err_msg=name)
    assert_equal_states(compiled.state_dict(), agent.learner.state_dict(), 2e-6)


# ------------------------------------------------------------------------------------------- acting


@pytest.mark.compiled(all=False)
def test_it_lives_as_in_the_vector_environment(homing):
    """The actions it drew, taken in the environment everybody sees, as torch's distribution has them taken: the same
    observations, rewards and ends; and torch's log-probabilities, statistics, normalised rewards and advantages."""
    agent = make(homing, num_steps=25, **NORMALISED)
    other = make(homing, "torch", num_steps=25, **NORMALISED)
    learner, copies = agent.learner, EnvRunner(homing, 4, seed=3)
    network, rewards_normalised = other.learner.network, ReturnNormalizer(4, 0.99)
    learner.begin(homing, 0)
    clipped = 0
    for turn in range(3):
        assert_equal_states(agent.state_dict(), other.state_dict(), 1e-12)
        batch, metrics = learner.collect(0)
        before = network.encoder, other.learner
        _, _, _, actions, log_probs, rewards, terminated, truncated, _ = learner._arrays["rows"]
        seen, values, next_values = [], np.empty((25, 4)), np.empty((25, 4))
        for t in range(25):
            seen.append(copies.observation)
            assert_allclose(before[0](copies.observation), batch[0].reshape(25, 4, 1)[t], atol=1e-6)
            values[t] = before[1].values(copies.observation)
            drawn = torch.from_numpy(actions[t])
            with torch.inference_mode():
                outputs = network.outputs(network.encoder(copies.observation), None)
                expected = network.distribution.log_prob(outputs, drawn)
            assert_allclose(log_probs[t], expected, atol=2e-6)
            taken = network.distribution.to_environment(drawn)
            clipped += int((np.abs(taken - 1.0) == 2.0).sum())
            happened = copies.step(taken)
            next_values[t] = before[1].values(happened.next_observation)
            assert_array_equal(rewards[t], happened.reward)
            assert_array_equal(truncated[t], happened.truncated)
        assert truncated.any()
        scaled = rewards_normalised(rewards, terminated | truncated)
        flags = terminated.T, truncated.T
        advantages = generalized_advantages(scaled.T, values.T, next_values.T, *flags, 0.99, 0.95).T
        assert_allclose(batch[4].reshape(25, 4), advantages, atol=1e-5)
        assert_allclose(batch[5].reshape(25, 4), advantages + values, atol=1e-5)
        assert {**metrics, **copies.episodes()} == pytest.approx(metrics, rel=1e-12)
        network.encoder.update(np.concatenate(seen))
        if turn == 0:  # so that not all means are near the middle
            learner._actor[-1] = network.actor[-1].bias.data[:] = 0.5
    assert clipped
    state = agent.state_dict()["reward_scale"]
    for name, value in rewards_normalised.state_dict().items():
        assert_allclose(state[name], value, rtol=1e-12)


def test_it_draws_from_its_policy(homing):
    agent = make(homing, num_envs=256, num_steps=16, **NORMALISED)
    agent.learner._log_std[:] = math.log(0.5)
    agent.learner.begin(homing, 0)
    network = make(homing, "torch", **NORMALISED).learner.network
    draws = []
    for _ in range(2):
        batch, _ = agent.learner.collect(0)
        network.load_state_dict(
            {name: torch.from_numpy(np.array(part)) for name, part in agent.state_dict()["network"].items()}
        )
        draws.append((batch[2] - network.actor(torch.from_numpy(batch[0])).detach().numpy())[:, 0] / 0.5)
    noise = np.sort(np.concatenate(draws))
    assert len(np.unique(noise)) > 0.99 * len(noise)
    normal = torch.distributions.Normal(0.0, 1.0).cdf(torch.from_numpy(noise)).numpy()
    # Kolmogorov's test: 1.95/√n is exceeded once in a thousand times
    assert np.abs(normal - (np.arange(len(noise)) + 0.5) / len(noise)).max() < 1.95 / math.sqrt(len(noise))
    agent.settings.__dict__["greedy"] = False
    acted = agent.act(np.repeat(PLACES[1:2], 10_000, axis=0))
    assert acted.dtype == np.float32
    assert acted.shape == (10_000, 1)
    assert acted.min() == -1
    assert acted.max() == 3
    assert np.median(acted) == pytest.approx(1.0, abs=0.05)
    assert ((acted > 0) & (acted < 2)).mean() == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.02)  # one deviation


def test_every_dimension_has_noise_of_its_own(homing):
    """The kernel's source run as plain Python: number `clock · D + d` of the copy's stream, as a normal quantile."""
    kernels = homing.world.kernel(COLLECTING, compiled=False, constants={"GAUSSIAN": True})
    mean, log_std = np.array([0.3, -1.0, 2.0], np.float32), np.log([0.5, 1.0, 2.0]).astype(np.float32)
    actions, taken, wide = np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32), np.float32(9)
    scaling = np.array([[2, 2, 2], [1, 1, 1], [-wide] * 3, [wide, wide, 1]], np.float32)
    wrong, log_prob, _ = kernels.choose_point(mean, log_std, scaling, taken, 77, 5, actions, 1)
    noise = np.array([gaussian(uniform(77, 15 + d)) for d in range(3)])
    assert not wrong
    assert_allclose(actions, [[0] * 3, mean + np.exp(log_std) * noise], rtol=1e-6)
    assert_allclose(taken[1], np.clip(2 * actions[1] + 1, scaling[2], scaling[3]), rtol=1e-6)
    assert log_prob == pytest.approx(float(np.sum(-0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi))), rel=1e-5)


def test_ranges_are_torchs():
    """Unequal, unbounded and clipped."""
    space = gymnasium.spaces.Box(np.array([-1, 0, -np.inf], np.float32), np.array([3, 10, 1], np.float32))
    outputs = np.random.default_rng(0).normal(0.0, 2.0, (50, 3)).astype(np.float32)
    found = NumpyGaussian(space).act(outputs, np.zeros(3, np.float32), None, True, np.random.default_rng(0))
    assert_array_equal(found, GaussianActions(space).to_environment(torch.from_numpy(outputs)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bounds_as_large_as_numbers_get_are_none(dtype):
    """Their range would be infinite, and every action at its end."""
    largest, outputs = np.finfo(dtype).max, np.array([[0.5, -0.25, 3.0, 3.0]], np.float32)
    ends = np.array([[-largest, 0, -1e18, -2], [largest, largest, 1e18, 2]], dtype)
    space = gymnasium.spaces.Box(*ends, dtype=dtype)
    found = NumpyGaussian(space).act(outputs, np.zeros(4, np.float32), None, True, np.random.default_rng(0))
    assert_allclose(found, [[0.5, 0.0, 1e18, 2.0]], rtol=1e-6)
    assert_allclose(GaussianActions(space).to_environment(torch.from_numpy(outputs)), found, rtol=1e-6)


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Box(-9, 9, (3,)), gymnasium.spaces.Box(0, 255, (2, 2), np.uint8),
        gymnasium.spaces.MultiBinary(3), gymnasium.spaces.Discrete(3),
    ],
)  # fmt: skip
def test_statistics_are_the_encoders(space):
    space.seed(0)
    reader, encoder = FeatureReader(space, True), ObservationEncoder(space, True)
    for _ in range(3):
        rows = np.array([space.sample() for _ in range(7)])
        assert_allclose(reader(rows), encoder(rows).numpy(), atol=1e-6)
        reader.update(rows)
        encoder.update(rows)
    assert len(reader.statistics) == len(encoder.state_dict())
    for name, array in encoder.state_dict().items():
        assert_allclose(reader.statistics[name], array, rtol=1e-12)


# ------------------------------------------------------------------------------------------- several players


def players_task(name="RockPaperScissors", settings=RAGGED, limit=None):
    task = one_player(resolve_task(name, settings))
    if limit is None:
        return task
    return dataclasses.replace(
        task, max_episode_steps=limit, whole=dataclasses.replace(task.whole, max_episode_steps=limit)
    )


def forward(learner, network, features):
    """Returns what one of the learner's networks says of features, one-hot ones as such."""
    parts = [part for name, part in learner.state_dict()["network"].items() if name.startswith(network)]
    sizes = getattr(learner, f"{network}_sizes")
    memory = np.empty(perceptron.space(sizes, len(features)), np.float32)
    parameters = np.concatenate([part.reshape(-1) for part in parts])
    return perceptron.forward(parameters, sizes, perceptron.TANH, features, memory).copy()


# the learner's kernels are compiled either way; what they are compared with need not be
COMPILED = pytest.mark.compiled(all=False)


@pytest.mark.parametrize(
    ("name", "settings", "limit", "normalised", "compiled"),
    [
        pytest.param("RockPaperScissors", RAGGED, None, {}, True, marks=[COMPILED, pytest.mark.slow]),
        pytest.param("RockPaperScissors", RAGGED, 4, {}, True, marks=[COMPILED, pytest.mark.slow]),
        ("Spread", {}, 7, NORMALISED, False),  # the kernel's source, as plain Python
        *(
            pytest.param(name, {}, None, {}, True, marks=[COMPILED, pytest.mark.slow])
            for name in ("Spread", "StagHunt", "Foraging", "Kitchen", "HelperHinderer")
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_player_of_a_copy_is_a_row(name, settings, limit, normalised, compiled):
    """The actions it drew, taken in the environment whose rows are players: the same observations, masks, rewards, ends
    and metrics, and in the end the same state, bit for bit."""
    task = players_task(name, settings, limit)
    count, steps = 5 * task.whole.players, 12 if limit or settings else 70
    learner = make(task, num_envs=count, num_steps=steps, **normalised).learner
    copies, rewards_normalised = EnvRunner(task, count, seed=3), ReturnNormalizer(count, 0.99)
    learner.begin(task, 0)
    if not compiled:
        constants = {"GAUSSIAN": False, "STANDARDISED": bool(normalised), "ONE_HOT": False}
        learner._arrays["kernels"] = task.whole.world.kernel(COLLECTING, compiled=False, constants=constants)
    ended = 0
    for _ in range(2):
        reader = copy.deepcopy(learner.reader)
        batch, metrics = learner.collect(0)
        X, seen, masks, actions, log_probs, rewards, terminated, truncated, _ = learner._arrays["rows"]
        values, next_values = np.empty((steps, count)), np.empty((steps, count))
        for t in range(steps):
            features = reader(copies.observation)
            if len(reader.places):
                assert_array_equal(X[t], reader.columns(copies.observation))
            else:
                assert_allclose(X[t], features, atol=1e-6)
            if normalised:
                assert_array_equal(seen[t], copies.observation)
            mask = copies.action_mask
            assert masks.shape[2] == (0 if mask is None else mask.shape[1])
            if mask is not None:
                assert_array_equal(masks[t], mask)
            logits = forward(learner, "actor", features)
            chosen = learner.head.log_probs(logits, mask)[np.arange(count), actions[t]]
            assert_allclose(log_probs[t], chosen, atol=1e-5)
            values[t] = forward(learner, "critic", features)[:, 0]
            happened = copies.step(actions[t])
            following = reader(happened.next_observation)
            next_values[t] = forward(learner, "critic", following)[:, 0]
            assert_array_equal(rewards[t], happened.reward)
            assert_array_equal(terminated[t], happened.terminated)
            assert_array_equal(truncated[t], happened.truncated)
            ended += len(happened.ended)
        taken = actions.reshape(steps, -1, task.whole.players)
        assert (taken[:, :, 0] != taken[:, :, 1]).any()  # each player draws its own actions
        scaled = rewards_normalised(rewards, terminated | truncated) if normalised else rewards
        flags = terminated.T, truncated.T
        advantages = generalized_advantages(scaled.T, values.T, next_values.T, *flags, 0.99, 0.95).T
        assert_allclose(batch[4].reshape(steps, count), advantages, atol=1e-5)
        assert {**metrics, **copies.episodes()} == pytest.approx(metrics, rel=1e-12)
    assert ended >= count or name == "Kitchen"
    ours, theirs = learner.state_dict()["copies"], copies.state_dict()
    assert ours.keys() == theirs.keys()
    for part, array in {**theirs, **theirs["env"]}.items():
        if isinstance(array, np.ndarray):
            found = ours["env"][part] if part in theirs["env"] else ours[part]
            assert found.dtype == array.dtype
            assert_array_equal(found, array)
    assert (ours["action_mask"] is None) == (theirs["action_mask"] is None)


def test_players_update_as_in_torch_and_runs_go_over():
    """One whole batch of rows with masks; then a run goes to torch, on there, and back."""
    task = players_task()
    one, other, back = (
        make(task, backend, num_envs=10, epochs=1, minibatches=1) for backend in ("compiled", "torch", "compiled")
    )
    one.learner.begin(task, 0)
    batch, _ = one.learner.collect(0)
    ours = one.learner.update(batch, Schedule(1e-3, 0.2), 0)
    theirs = other.learner.update(as_tensors(batch, one.learner.reader.width), Schedule(1e-3, 0.2), 0)
    for name, value in theirs.items():
        assert_allclose(ours[name], value, rtol=1e-6, atol=2e-6, err_msg=name)  # in single precision
    assert_equal_states(one.state_dict(), other.state_dict(), 2e-6)
    for source, target in ((one, other), (other, back)):
        target.load_state_dict(source.state_dict())
        reached = source.state_dict()["copies"]
        steps = target.steps + 160
        assert [row["steps"] for row in target.learn(task, steps)] == [steps]
        lived = target.state_dict()["copies"]["env"]["ints"]
        assert_array_equal(lived[-2], reached["env"]["ints"][-2] + 16)  # the copies' clocks went on


@pytest.mark.slow
def test_resuming_with_players_is_exact(tmp_path):
    task = players_task()
    whole, half, resumed = (make(task) for _ in range(3))
    expected = list(whole.learn(task, 256))
    learning = half.learn(task, 256)
    next(learning), next(learning)
    evaluate_players(half, task.whole, 2, seed=0)  # looking at it changes nothing
    save_checkpoint(tmp_path / "step", half.state_dict())
    resumed.load_state_dict(load_checkpoint(tmp_path / "step")[0])
    assert list(resumed.learn(task, 256)) == expected[2:]
    assert_equal_states(resumed.state_dict(), whole.state_dict())
    for part, array in whole.state_dict()["copies"]["env"].items():
        assert_array_equal(resumed.state_dict()["copies"]["env"][part], array)


def test_auto_compiles_players_and_what_does_not_fit_is_refused():
    task = players_task()
    spread = players_task("Spread", {})
    assert make(task, "auto").learner.backend == "compiled"
    assert make(task, "auto", "a2c").learner.backend == "compiled"
    with pytest.raises(UsageError, match=r"5 rows for the 2 players[\s\S]*num_envs = 4"):
        next(make(task, num_envs=5).learn(task, 100))
    with pytest.raises(UsageError, match=r"it has 3 players[\s\S]*cuda: one player"):
        make(spread, "cuda", num_envs=6)
    with pytest.raises(UsageError, match="it has 3 players"):
        make(spread.whole, num_envs=6)
    agent = make(task, num_envs=4)
    agent.learner.begin(task, 0)
    agent.learner._arrays["kernels"] = SimpleNamespace(collect=lambda *given: (1, 2, 3))
    with pytest.raises(UsageError, match="the reward of player 1 of copy 1 at step 27 in RockPaperScissors"):
        agent.learner.collect(100)


# ------------------------------------------------------------------------------------------- its life


def test_a_run_goes_on_in_the_other_backend(homing, tmp_path):
    """Weights, deviations, statistics, moments, environments and counters mean the same to both."""
    for first, second in (("compiled", "torch"), ("torch", "compiled")):
        one, other = (make(homing, backend, **NORMALISED) for backend in (first, second))
        list(one.learn(homing, 128))
        save_checkpoint(tmp_path / first, one.state_dict())
        other.load_state_dict(load_checkpoint(tmp_path / first)[0])
        assert_equal_states(one.state_dict(), other.state_dict())
        assert_allclose(one.act(PLACES), other.act(PLACES), atol=1e-6)
        assert_allclose(one.state_values(PLACES), other.state_values(PLACES), atol=1e-5)
        for name, value in one.state_dict()["reward_scale"].items():
            assert_array_equal(other.state_dict()["reward_scale"][name], value)
        assert [row["steps"] for row in other.learn(homing, 192)] == [192]


def test_resuming_is_exact(homing, tmp_path):
    settings = {**SMALL, **NORMALISED}
    whole, resumed = assert_resuming_is_exact("ppo", homing, settings, 64 * 6, 3, tmp_path)
    assert whole.learner.backend == "compiled"
    for name, value in whole.state_dict()["reward_scale"].items():
        assert_array_equal(resumed.state_dict()["reward_scale"][name], value)


def test_a_policy_that_is_not_finite_raises(homing):
    """Before the world is given actions that are no numbers, and would be blamed."""
    for name in ("log_std", "actor.0.weight", "critic.2.bias"):
        agent = make(homing, **NORMALISED)
        state = agent.state_dict()
        state["network"][name][:] = np.nan
        agent.load_state_dict(state)
        with pytest.raises(DivergenceError, match=f"ppo diverged at step 0.*weights {name}"):
            next(agent.learn(homing, 100))


def test_states_that_do_not_fit_are_refused(homing):
    plain, normalised = make(homing), make(homing, **NORMALISED)
    with pytest.raises(UsageError, match=r"encoder\.mean"):
        plain.load_state_dict(normalised.state_dict())
    with pytest.raises(UsageError, match="Discrete actions"):
        plain.policy_log_probs(PLACES)


@pytest.mark.compiled(all=False)
def test_ppo_solves_a_toy(homing):
    """Nearly as good as the best action, clip(1/2 − 4·x, −1, 3); to stand still costs 10/3."""
    agent = make(homing, num_envs=32, num_steps=32, learning_rate=1e-2, hidden=(16,), entropy_coef=0.0, **NORMALISED)
    list(agent.learn(homing, 60_000))

    def cost(act):
        x, total = np.linspace(-1, 1, 501, dtype=np.float32)[:, None], 0.0
        for _ in range(10):
            x = np.clip(x + act(x) / 4 - 1 / 8, -1, 1)
            total += float(np.square(x).mean())
        return total

    assert cost(lambda x: np.full_like(x, 0.5)) == pytest.approx(10 / 3, rel=0.01)
    assert cost(lambda x: np.clip(0.5 - 4 * x, -1, 3)) < cost(agent.act) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "bar"), [("Pendulum", -200), ("MountainCarContinuous", 90), ("CartPoleSwingUp", 850)]
)
def test_presets_solve_control_on_every_seed(world, bar):
    task = resolve_task(world)
    for seed in range(5):
        agent = make_agent("ppo", task, seed=seed)
        assert agent.learner.backend == "compiled"
        list(agent.learn(task, default_steps("ppo", task)))
        assert evaluate(agent, task, 100, seed=1000 + seed).mean >= bar, seed
