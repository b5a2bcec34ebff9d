"""The two learners of PPO and A2C are one algorithm: the same numbers from the same batch."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from stable_baselines3 import A2C as TheirA2C

from inscape.agents.kernels import policy_gradient
from inscape.agents.learning.env_runner import EnvRunner
from inscape.agents.learning.returns import generalized_advantages
from inscape.agents.on_policy.a2c import A2C, A2CSettings
from inscape.agents.on_policy.base import Schedule
from inscape.agents.on_policy.compiled_learner import CompiledLearner
from inscape.agents.on_policy.distributed_learner import DistributedLearner
from inscape.agents.on_policy.ppo import PPO, PPOSettings
from inscape.agents.on_policy.torch_learner import RolloutBatch, load_moments
from inscape.agents.registry import default_steps, make_agent
from inscape.agents.rollout import evaluate
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models.networks.blas import blas_threads
from inscape.world_models.networks.encoders.encoder import ObservationEncoder
from inscape.world_models.networks.encoders.features import FeatureReader
from inscape.world_models.networks.initialization import orthogonal, perceptron_weights
from inscape.world_models.networks.kernels import perceptron
from tests.agents.exactness import assert_resuming_is_exact, assert_same_weights, weights
from tests.agents.theirs import assert_same_layers, trained_on_the_same

WORLDS = Path(__file__).parents[1] / "worlds.py"
SMALL = {"num_envs": 4, "num_steps": 16, "hidden": (16, 8), "normalize_rewards": False}


def pair(spec, task, **settings):
    """Returns the same agent twice, compiled and through torch."""
    return [make_agent(spec, task, seed=3, settings={**SMALL, **settings, "backend": b}) for b in ("compiled", "torch")]


def as_tensors(batch, width=0):
    """Returns a batch of the compiled learner as the other one has it; one-hot features of so many columns."""
    features, masks, actions, log_probs, advantages, returns = (torch.from_numpy(np.array(part)) for part in batch)
    return RolloutBatch(
        torch.nn.functional.one_hot(features, width).sum(1).float() if width else features,
        masks if masks.shape[1] else None,
        actions,
        log_probs.float(),
        advantages.float(),
        returns.float(),
        {},
    )


# ------------------------------------------------------------------------------------------- masks now and then


@pytest.mark.parametrize(("told", "hushed"), [(2, 4), (0, 2)])
def test_what_is_legal_may_be_said_at_some_steps_only(gates, told, hushed):
    """What was drawn under masks is learned from under the same ones: in the first pass the policies are the same."""
    task = resolve_task("Gate-v0", {"told": told, "hushed": hushed})
    once = {"num_envs": 2, "num_steps": 8, "epochs": 1, "minibatches": 1, "hidden": (8,)}
    for spec, settings in (("ppo", {**once, "backend": "torch"}), ("recurrent-ppo", once)):
        row = next(make_agent(spec, task, settings=settings).learn(task, 16))
        assert abs(row["kl"]) < 1e-6
        assert row["clip_fraction"] == 0
    assert next(make_agent("reinforce", task, settings={"num_envs": 2}).learn(task, 8))["steps"] == 8


def test_a_process_that_was_told_no_mask_shares_those_of_the_others(gates):
    task, b, steps = resolve_task("Gate-v0"), 2, 3
    others = SimpleNamespace(
        number=0, count=2, device="cpu", copies=lambda count: count // 2, broadcast=lambda order: None,
        joined=lambda part: torch.cat([part, part], dim=1), joined_array=lambda part: np.concatenate([part, part], 1),
        gathered=lambda message: [message, {**message, "masked": True}],
    )  # fmt: skip
    agent = make_agent(
        "ppo", task, settings={"num_envs": 2 * b, "num_steps": steps, "minibatches": 2, "backend": "torch"}
    )
    learner = DistributedLearner(agent, agent.learner.network, torch.device("cpu"), others)
    learner.begin(task, 0)
    assert learner._act().action_masks.shape == (steps, 2 * b, 4)
    assert learner._act().action_masks.all()


# ------------------------------------------------------------------------------------------- one algorithm


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("world", ["CartPole", "corridor", "FrozenLake"])
def test_ppo_updates_agree(world, activation, corridor):
    """Two gradient steps on one batch, masks and entropy included: weights, moments and losses."""
    task = corridor if world == "corridor" else resolve_task(world)
    compiled, tensors = pair("ppo", task, entropy_coef=0.02, activation=activation)
    assert_array_equal(compiled.state_dict()["network"]["actor.2.weight"], weights(tensors)["actor.2.weight"])
    compiled.learner.begin(task, 0)
    batch, _ = compiled.learner.collect(0)
    batch = (
        *batch[:3],
        batch[3] + np.linspace(-0.4, 0.4, len(batch[3])),
        *batch[4:],
    )  # so that some ratios are clipped
    schedule = Schedule(1e-3, clip=0.2, epochs=2)
    ours = compiled.learner.update(batch, schedule, 0)
    width = 0 if world == "CartPole" else compiled.learner.reader.width
    theirs = tensors.learner.update(as_tensors(batch, width), schedule, 0)
    assert 0.1 < ours["clip_fraction"] < 0.9
    for name in ("policy_loss", "value_loss", "entropy", "kl", "clip_fraction", "updates"):
        assert_allclose(ours[name], theirs[name], atol=2e-6, err_msg=name)
    assert_same(compiled, tensors, 1e-6)


def test_a2c_updates_agree(corridor):
    compiled, tensors = pair("a2c", corridor, entropy_coef=0.01)
    compiled.learner.begin(corridor, 0)
    for _ in range(3):
        batch, _ = compiled.learner.collect(0)
        compiled.learner.update(batch, compiled.schedule(1.0), 0)
        tensors.learner.update(as_tensors(batch, 5), tensors.schedule(1.0), 0)
        assert_same(compiled, tensors, 3e-6)


def assert_same(one, other, tolerance):
    first, second = one.state_dict(), other.state_dict()
    for name, array in first["network"].items():
        assert_allclose(array, second["network"][name], atol=tolerance, err_msg=name)
    for moment in set(first["optimizer"]) - {"steps"}:
        for name, array in first["optimizer"][moment].items():
            assert_allclose(array, second["optimizer"][moment][name], atol=tolerance, err_msg=f"{moment} {name}")
    assert first["optimizer"]["steps"] == second["optimizer"]["steps"]


@pytest.mark.quick("forever")
@pytest.mark.parametrize("world", ["corridor", "forever"])
def test_compiled_copies_live_as_in_the_vector_environment(world, request):
    """The actions it took, taken again in the environment everybody sees: same observations, rewards and ends; and the
    advantages are those of `returns`."""
    task = request.getfixturevalue(world)
    agent, _ = pair("ppo", task, num_steps=70)
    learner, copies = agent.learner, EnvRunner(task, 4, seed=3)
    learner.begin(task, 0)
    for _ in range(2):
        batch, metrics = learner.collect(0)
        X, _, masks, actions, _, rewards, terminated, truncated, _ = learner._arrays["rows"]
        values, next_values = np.empty((70, 4)), np.empty((70, 4))
        for t in range(70):
            assert_array_equal(learner.reader.columns(copies.observation), X[t])
            assert copies.action_mask is None or (copies.action_mask == masks[t]).all()
            values[t] = agent.state_values(copies.observation)
            happened = copies.step(actions[t])
            next_values[t] = agent.state_values(happened.next_observation)
            for ours, theirs in ((rewards, happened.reward), (terminated, happened.terminated)):
                assert_array_equal(ours[t], theirs)
            assert_array_equal(truncated[t], happened.truncated)
        assert (truncated if world == "forever" else terminated).any()
        expected = generalized_advantages(
            rewards.T, values.T, next_values.T, terminated.T, truncated.T, 0.99, 0.95
        ).T  # fmt: skip
        assert_allclose(batch[4].reshape(70, 4), expected, atol=1e-5)
        assert metrics.items() >= copies.episodes().items()
        learner.update(batch, agent.schedule(1.0), 0)


def test_it_draws_from_its_policy(corridor):
    """Frequencies of the actions taken in one place against the probabilities the agent states."""
    agent, _ = pair("ppo", corridor, num_envs=256, num_steps=40)
    agent.learner.begin(corridor, 0)
    batch, _ = agent.learner.collect(0)
    log_probs = agent.policy_log_probs(np.array([[1], [2]]), np.array([[True, True, True], [False, True, True]]))
    for row, place in enumerate((1, 2)):
        there = batch[0][:, 0] == place
        frequency = np.bincount(batch[2][there], minlength=3) / there.sum()
        assert_allclose(frequency, np.exp(log_probs[row]), atol=4 * math.sqrt(0.25 / there.sum()))
        assert_allclose(batch[3][there], log_probs[row][batch[2][there]], atol=1e-6)


def test_a_run_goes_on_in_the_other_backend(corridor):
    """Weights, moments, environments and counters mean the same to both."""
    for first, second in ((0, 1), (1, 0)):
        agents = pair("ppo", corridor)
        list(agents[first].learn(corridor, 128))
        agents[second].load_state_dict(agents[first].state_dict())
        seen = np.arange(5)[:, None]
        assert_allclose(
            agents[first].policy_log_probs(seen), agents[second].policy_log_probs(seen), atol=1e-6
        )  # fmt: skip
        assert_same(*agents, 0.0)
        assert [row["steps"] for row in agents[second].learn(corridor, 192)] == [192]


def test_a2c_gradient_step_equals_stable_baselines3():
    task = resolve_task("CartPole")
    ours = make_agent("a2c", task, settings={
        "num_envs": 4, "num_steps": 8, "hidden": (8,), "learning_rate": 7e-4, "anneal": "constant", "backend": "torch",
    })  # fmt: skip
    theirs = TheirA2C(
        "MlpPolicy", gymnasium.make("CartPole-v1"), n_steps=32, policy_kwargs={
            "net_arch": [8], "optimizer_class": torch.optim.RMSprop, "optimizer_kwargs": {"alpha": 0.99, "eps": 1e-5},
        }, device="cpu",
    )  # fmt: skip
    learner = ours.learner
    learner.begin(task, 0)
    batch = learner.collect()
    pairs = trained_on_the_same(theirs, learner, batch)
    before = pairs[0][0].weight.clone()
    learner.update(batch, ours.schedule(1.0), 0)
    assert not torch.equal(pairs[0][0].weight, before)
    assert_same_layers(pairs)


# ------------------------------------------------------------------------------------------- learning


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [
        # quickly: tests/agents/learning/test_returns.py
        pytest.param("compiled", marks=[pytest.mark.compiled(all=False), pytest.mark.slow]),
        "torch",
    ],
)
def test_time_limits_are_bootstrapped(forever, backend):
    """Reward 1 for ever, cut every 10 steps: V = 1/(1 − γ) = 10, and not the 6.5 of a task that really ended."""
    agent = make_agent("a2c", forever, settings={
        "num_envs": 16, "num_steps": 16, "gamma": 0.9, "learning_rate": 2e-2, "hidden": (8,), "gae_lambda": 0.95,
        "backend": backend,
    })  # fmt: skip
    list(agent.learn(forever, 256 * 150))
    assert_allclose(agent.state_values(np.array([[0], [1]])), 10.0, atol=0.4)


@pytest.mark.slow
def test_a2c_solves_a_toy_with_masks(corridor):
    agent = make_agent("a2c", corridor, settings={"num_envs": 16, "learning_rate": 1e-2, "hidden": (16,)})
    rows = list(agent.learn(corridor, 12_000))
    assert evaluate(agent, corridor, 5, seed=0).lengths.tolist() == [3] * 5
    assert "clip_fraction" not in rows[-1]


def test_a2c_resumes_exactly(corridor, tmp_path):
    assert_resuming_is_exact("a2c", corridor, {}, 128 * 6, stop=3, folder=tmp_path)


@pytest.mark.slow
def test_a2c_solves_cartpole_on_every_seed():
    task = resolve_task("CartPole")
    for seed in range(10):
        agent = make_agent("a2c", task, seed=seed)
        list(agent.learn(task, default_steps("a2c", task)))
        assert evaluate(agent, task, 100, seed=1000 + seed).mean >= 475, seed


# ------------------------------------------------------------------------------------------- parts


def test_perceptron_against_torch():
    rng = np.random.default_rng(0)
    for number, activation in ((perceptron.TANH, torch.nn.Tanh), (perceptron.RELU, torch.nn.ReLU)):
        sizes = (5, 33, 17, 3)
        layers = [(weight, rng.standard_normal(len(bias))) for weight, bias in perceptron_weights(sizes, 1.0, rng)]
        flat = np.concatenate([part.reshape(-1) for layer in layers for part in layer]).astype(np.float32)
        X, delta = (rng.standard_normal((40, width)).astype(np.float32) for width in (5, 3))
        modules: list[torch.nn.Module] = []
        for k, (weight, bias) in enumerate(layers):
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
            linear.weight.data, linear.bias.data = torch.from_numpy(weight), torch.from_numpy(bias.astype(np.float32))
            modules += [linear, activation()] if k < 2 else [linear]
        network = torch.nn.Sequential(*modules)
        widths = np.array(sizes)
        assert len(flat) == perceptron.parameter_count(widths)
        H, G = np.empty(perceptron.space(widths, 40), np.float32), np.empty_like(flat)
        with blas_threads(1):
            found = perceptron.forward(flat, widths, number, X, H)
            perceptron.backward(flat, widths, number, X, H, delta, G, np.empty((2, 40 * 33), np.float32))
        expected = network(torch.from_numpy(X))
        expected.backward(torch.from_numpy(delta))
        gradient = torch.cat([p.grad.reshape(-1) for p in network.parameters()])
        assert_allclose(found, expected.detach(), atol=1e-6)
        assert_allclose(G, gradient, atol=1e-5)


def test_tanh_is_tanh_everywhere():
    x = np.concatenate([np.linspace(-12, 12, 100_001), [0.0, 1e-30, 100.0, -np.inf, np.inf]]).astype(np.float32)
    found = x.reshape(-1, 1).copy()
    perceptron.activate(found, np.zeros(1, np.float32), perceptron.TANH, False)
    assert np.abs(found[:, 0] - np.tanh(x.astype(float))).max() < 3e-7
    found[:] = np.nan
    perceptron.activate(found, np.zeros(1, np.float32), perceptron.TANH, False)
    assert np.isnan(found).all()


def test_minibatches_are_every_row_once():
    order = np.arange(1000)
    policy_gradient.shuffle(order, 7, 0)
    assert_array_equal(np.sort(order), np.arange(1000))
    firsts = []
    for clock in range(0, 30_000, 3):
        few = np.arange(3)
        policy_gradient.shuffle(few, 5, clock)
        firsts.append(tuple(few))
    _, counts = np.unique(firsts, axis=0, return_counts=True)
    assert len(counts) == 6
    assert np.abs(counts / 10_000 - 1 / 6).max() < 0.015


def test_orthogonal_weights_are():
    rng = np.random.default_rng(0)
    for shape in ((6, 4), (4, 6), (5, 5)):
        weight = orthogonal(*shape, 1.5, rng)
        product = weight.T @ weight if shape[0] >= shape[1] else weight @ weight.T
        assert weight.shape == shape
        assert_allclose(product, 2.25 * np.eye(min(shape)), atol=1e-5)


@pytest.mark.parametrize(
    ("space", "observations"),
    [
        (gymnasium.spaces.Discrete(3, start=4), np.array([4, 6])),
        (gymnasium.spaces.MultiDiscrete([2, 3]), np.array([[1, 0], [0, 2]])),
        (gymnasium.spaces.MultiBinary(3), np.array([[1, 0, 1]], np.int8)),
        (gymnasium.spaces.Box(-1, 1, (2, 2)), np.random.default_rng(0).random((4, 2, 2)).astype(np.float32)),
        (gymnasium.spaces.Box(0, 255, (3,), np.uint8), np.array([[0, 51, 255]], np.uint8)),
    ],
)
def test_features_are_those_of_the_encoder(space, observations):
    reader, encoder = FeatureReader(space), ObservationEncoder(space)
    assert reader.width == encoder.width
    assert_allclose(reader(observations), encoder(observations).numpy(), atol=1e-7)


def test_what_cannot_be_compiled_is_refused():
    for backend, name, settings, message in (
        ("compiled", "CartPole-v1", {}, "it has no law"),
        ("compiled", "Spread", {}, "it has 3 players"),
        ("cuda", "CartPole", {"normalize_observations": True}, "normalised"),
        ("cuda", "Spread", {}, "it has 3 players"),
    ):
        with pytest.raises(UsageError, match=message):
            make_agent("ppo", resolve_task(name), settings={"backend": backend, **settings})


@st.composite
def batches(draw):
    """A batch as the compiled learner has it, with masks or without, of any small shape."""
    rows, width, actions = draw(st.integers(2, 40)), draw(st.integers(1, 9)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    masks = rng.random((rows, actions)) < 0.5
    masks[np.arange(rows), rng.integers(0, actions, rows)] = True
    if not draw(st.booleans()):
        masks = masks[:, :0]
    taken = rng.random((rows, actions)) * (masks if masks.size else 1)
    return (
        rng.normal(size=(rows, width)).astype(np.float32), masks, taken.argmax(axis=1), -3.0 * rng.random(rows),
        rng.normal(size=rows), rng.normal(size=rows),
    )  # fmt: skip


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
@hypothesis.given(
    batches(), st.sampled_from(["ppo", "a2c"]), st.lists(st.integers(1, 12), max_size=3), st.booleans(),
    st.sampled_from(["tanh", "relu"]), st.integers(1, 3),
)  # fmt: skip
def test_updates_agree_whatever_the_shapes(batch, spec, hidden, normalize, activation, epochs):
    """Whole batches, so that the order of rows does not matter; A2C's has a single pass."""
    width, actions = batch[0].shape[1], int(batch[2].max()) + 1 if not batch[1].size else batch[1].shape[1]
    task = SimpleNamespace(
        name="numbers", world=None, observation_space=gymnasium.spaces.Box(-9, 9, (width,)),
        action_space=gymnasium.spaces.Discrete(actions),
    )  # fmt: skip
    chosen = {
        "backend": "torch", "hidden": tuple(hidden), "activation": activation, "entropy_coef": 0.05,
        "normalize_advantages": normalize,
    }  # fmt: skip
    cls, of_class = {"ppo": (PPO, PPOSettings), "a2c": (A2C, A2CSettings)}[spec]
    agent = cls(task, seed=1, settings=of_class(**chosen))
    compiled = CompiledLearner(agent, task)
    schedule = Schedule(1e-3, 0.2, epochs) if spec == "ppo" else Schedule(1e-3)
    ours = compiled.update(batch, schedule, 0)
    theirs = agent.learner.update(as_tensors(batch), schedule, 0)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert_allclose(ours[name], value, atol=1e-5, rtol=1e-5, err_msg=name)
    first, second = compiled.state_dict(), agent.learner.state_dict()
    for name, array in first["network"].items():
        assert_allclose(array, second["network"][name], atol=1e-5, err_msg=name)


def test_reports_are_over_every_minibatch(corridor, monkeypatch):
    """All parts of a pass count alike, whoever computes: 64 rows are four of 13 and one of 12, 41 four of 9 and one of
    5, and of 21 in parts of 5 the last row is left out."""
    agent, _ = pair("ppo", corridor)
    agent.learner.begin(corridor, 0)
    batch, _ = agent.learner.collect(0)
    tables, real = [], policy_gradient.update
    monkeypatch.setattr(policy_gradient, "update", lambda *a: (tables.append(a[6]), real(*a))[1])
    for rows, parts, steps in ((64, 5, 5), (41, 5, 5), (21, 5, 4)):
        agent.learner._arrays.pop("memories", None)
        found = agent.learner.update(tuple(column[:rows] for column in batch), Schedule(1e-3, 0.2, 1, parts), 0)
        losses = tables[-1][:, policy_gradient.VALUE_LOSS]
        assert found["updates"] == steps == np.count_nonzero(losses)
        assert found["value_loss"] == pytest.approx(losses[:steps].mean())


@pytest.mark.parametrize("backend", ["compiled", "torch", "cuda"])
def test_worlds_in_which_nothing_is_legal_raise(backend):
    task = resolve_task(f"{WORLDS}:Stuck")
    agent = make_agent("ppo", task, settings={**SMALL, "backend": backend})
    with pytest.raises(UsageError, match=r"legal"):
        next(agent.learn(task, 1000))


@pytest.mark.parametrize("backend", ["compiled", "torch", "cuda"])
def test_first_observations_must_be_numbers_too(backend):
    task = resolve_task(f"{WORLDS}:Mist")
    agent = make_agent("ppo", task, settings={**SMALL, "backend": backend})
    with pytest.raises(UsageError, match=r"the (first )?observation of copy 0 at step 0"):
        next(agent.learn(task, 1000))


@pytest.mark.parametrize("backend", ["compiled", "torch", "cuda"])
def test_states_that_do_not_fit_are_refused(backend, corridor):
    """Of another number of copies: compiled code would write beyond its arrays. Of another algorithm. Of another kind
    of agent."""

    def made(spec, **chosen):
        return make_agent(spec, corridor, settings={**SMALL, "backend": backend, **chosen})

    few, many, other = made("ppo"), made("ppo", num_envs=8), made("a2c")
    next(many.learn(corridor, 1))
    next(other.learn(corridor, 1))
    few.load_state_dict(many.state_dict())  # to act with, copies play no part
    with pytest.raises(UsageError, match="an environment state of shapes"):
        next(few.learn(corridor, 1000))
    with pytest.raises(UsageError, match=r"square.*(\n|.)*first"):
        made("ppo").load_state_dict(other.state_dict())
    with pytest.raises(UsageError, match="a state of ppo"):
        made("ppo").load_state_dict({"network": {}, "steps": 0})


@pytest.mark.quick("compiled")
@pytest.mark.parametrize("backend", ["compiled", "torch", "cuda"])
def test_an_agent_can_go_back_to_an_earlier_state(backend, corridor):
    agent = make_agent("ppo", corridor, settings={**SMALL, "backend": backend})
    learning = agent.learn(corridor, 300)
    next(learning)
    early = agent.state_dict()
    next(learning)
    late = weights(agent)
    agent.load_state_dict(early)
    next(agent.learn(corridor, 300))
    for name, weight in weights(agent).items():
        assert_array_equal(weight, late[name])


def test_wrong_settings_are_refused():
    task = resolve_task("CartPole")
    for spec, chosen, message in (
        ("ppo", {"entropy_coef": -0.1}, "entropy_coef = -0.1"),
        ("ppo", {"value_coef": math.inf}, "value_coef = inf"),
        ("a2c", {"value_coef": math.nan}, "value_coef = nan"),
        ("ppo", {"target_kl": -1.0}, "target_kl = -1"),
        ("ppo", {"target_kl": math.nan}, "target_kl = nan"),
        ("ppo", {"hidden": [1.5]}, r"hidden = 1.5"),
        ("ppo", {"num_envs": 1, "num_steps": 3, "minibatches": 2}, "at least 2 steps"),
        ("a2c", {"num_envs": 1, "num_steps": 1, "normalize_advantages": True}, "at least 2"),
    ):
        with pytest.raises(UsageError, match=message):
            make_agent(spec, task, settings=chosen)
    make_agent("a2c", task, settings={"num_envs": 1, "num_steps": 1})


def test_pictures_go_through_filters_and_views_of_grids_do_not():
    """Pixels from 20 on, to torch; a grid's 7 × 7 view is numbers, and compiled."""
    task = resolve_task("pixels:FrozenLake-firm", {"pixels": 24, "frames": 2})
    settings = {"num_envs": 2, "num_steps": 8, "minibatches": 2, "epochs": 1, "hidden": (8,)}
    agents = [make_agent("ppo", task, seed=1, settings=settings) for _ in range(3)]
    network = agents[0].learner.network
    assert [type(layer).__name__ for layer in network.actor[:2]] == ["PictureRows", "Conv2d"]
    list(agents[0].learn(task, 48))
    learning = agents[1].learn(task, 48)
    next(learning)
    agents[2].load_state_dict(agents[1].state_dict())
    list(agents[2].learn(task, 48))
    assert_same_weights(agents[0], agents[2])
    assert make_agent("ppo", resolve_task("EmptyRoom")).learner.backend == "compiled"


@pytest.mark.parametrize("backend", ["compiled", "torch", "cuda"])
def test_what_several_processes_saved_acts_in_one(backend, corridor):
    """It cannot go on in one: each had copies of its own."""
    agent, other = (make_agent("ppo", corridor, settings={**SMALL, "backend": backend}) for _ in range(2))
    next(agent.learn(corridor, 1000))
    state = agent.state_dict()
    other.load_state_dict({**state, "copies": {"parts": [state["copies"], state["copies"]]}})
    places = np.arange(5)[:, None]
    assert_array_equal(other.policy_log_probs(places), agent.policy_log_probs(places))
    with pytest.raises(UsageError, match=r"2 processes(.|\n)*torchrun"):
        next(other.learn(corridor, 1000))


def test_the_count_of_steps_lies_where_a_card_reads_it():
    """Fused and capturable optimisers read it on the device of the weights. A device without memory stands for it."""
    network = torch.nn.Linear(2, 1, device="meta")
    optimizer = torch.optim.Adam(network.parameters(), capturable=True)
    moments = {name: np.ones(tuple(p.shape), np.float32) for name, p in network.named_parameters()}
    load_moments(optimizer, network, {"steps": 3, "first": moments, "second": moments})
    assert [state["step"].device.type for state in optimizer.state.values()] == ["meta", "meta"]


def test_episodes_begun_anew_are_not_scaled_by_returns_of_old_ones():
    """On ordinary environments a resumed run begins new episodes: returns so far count from there."""
    task = resolve_task("CartPole-v1")
    agent, other = (make_agent("ppo", task, settings={**SMALL, "normalize_rewards": True}) for _ in range(2))
    next(agent.learn(task, 100))
    other.load_state_dict(agent.state_dict())
    other.learner.begin(task, other.steps)
    assert agent.learner._rewards.running.all()
    assert not other.learner._rewards.running.any()
    assert other.learner._rewards.variance == agent.learner._rewards.variance
