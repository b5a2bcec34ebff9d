from __future__ import annotations

from types import SimpleNamespace

import gymnasium
import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from stable_baselines3 import DQN as TheirDQN
from stable_baselines3.common.logger import Logger

from inscape.agents.off_policy.dqn import DQN, DQNSettings, QNetwork, dqn_loss, dqn_target, picture_layout
from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models.networks.blas import _controller
from inscape.world_models.networks.finite_checks import DivergenceError
from inscape.world_models.networks.modules import pixel_network
from inscape.world_models.networks.replay import ReplayBatch
from tests.agents.exactness import assert_resuming_is_exact, assert_same_seed_same_weights, assert_same_weights, weights

SMALL = {
    "num_envs": 4, "buffer_size": 400, "batch_size": 8, "learning_starts": 16, "train_freq": 2, "gradient_steps": 3,
    "target_update_interval": 24, "n_step": 1, "hidden": (16,), "report_every": 40,
}  # fmt: skip
EVERYTHING = {"double": True, "dueling": True, "n_step": 3, "prioritized": True}
BACKENDS = ("torch", "compiled")


def a_batch(observations, actions, size=32, masks=False, seed=0):
    """A batch with terminations, cuts, large errors and unequal weights."""
    rng = np.random.default_rng(seed)
    mask = rng.random((size, actions)) < 0.6
    mask[:, 0] |= ~mask.any(axis=1)
    return ReplayBatch(
        rng.normal(size=(size, observations)).astype(np.float32),
        rng.integers(0, actions, size),
        (3 * rng.normal(size=size)).astype(np.float32),
        rng.normal(size=(size, observations)).astype(np.float32),
        np.where(rng.random(size) < 0.3, 0.0, 0.97).astype(np.float32),
        mask if masks else None,
        rng.random(size).astype(np.float32),
        np.arange(size),
    )


# ------------------------------------------------------------------------------------------- target and loss


def test_target_against_arithmetic():
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 6.0, 5.0], [7.0, 8.0, 9.0], [1.0, 1.0, 1.0]])
    choosing = torch.tensor([[0.0, 5.0, 1.0], [9.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    mask = torch.tensor([[True, True, False], [False, True, True], [True, True, True], [False, False, False]])
    reward, discount = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.5, 0.5, 0.0, 0.0])
    assert dqn_target(reward, discount, values).tolist() == [2.5, 5.0, 3.0, 4.0]
    assert dqn_target(reward, discount, values, mask).tolist() == [2.0, 5.0, 3.0, 4.0]
    assert dqn_target(reward, discount, values, None, choosing).tolist() == [2.0, 4.0, 3.0, 4.0]
    assert dqn_target(reward, discount, values, mask, choosing).tolist() == [2.0, 4.5, 3.0, 4.0]


def test_loss_against_arithmetic():
    values = torch.tensor([[1.0, 9.0], [9.0, 2.0], [3.0, 9.0]], requires_grad=True)
    action, target = torch.tensor([0, 1, 0]), torch.tensor([0.5, 5.0, 3.0])
    weight = torch.tensor([1.0, 0.5, 1.0])
    loss, errors = dqn_loss(values, action, target, weight)
    assert errors.tolist() == [0.5, -3.0, 0.0]
    assert loss.item() == pytest.approx((0.125 + 0.5 * 2.5 + 0.0) / 3)
    loss.backward()
    assert values.grad.numpy() == pytest.approx(np.array([[0.5, 0], [0, -0.5], [0, 0]]) / 3)
    assert dqn_loss(values, action, target, weight, huber=False)[0].item() == pytest.approx((0.125 + 0.5 * 4.5) / 3)
    assert dqn_loss(values, action, target)[0].item() == pytest.approx((0.125 + 2.5) / 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_step_equals_stable_baselines3(backend):
    """Same weights, same batch: target, loss, errors and, after one update of theirs and one of ours, the weights."""
    size, gamma = 32, 0.97
    ours = make_agent("dqn", resolve_task("CartPole"), settings={
        "hidden": (8, 12), "batch_size": size, "learning_rate": 2e-3, "gamma": gamma, "backend": backend,
        "max_grad_norm": 0.5,
    })  # fmt: skip
    theirs = TheirDQN(
        "MlpPolicy", gymnasium.make("CartPole-v1"), batch_size=size, learning_rate=2e-3, gamma=gamma,
        buffer_size=size, max_grad_norm=0.5, policy_kwargs={"net_arch": [8, 12]}, device="cpu",
    )  # fmt: skip
    with torch.no_grad():
        for mine, their, value in ((ours.network, theirs.q_net, 0.0), (ours.target, theirs.q_net_target, 0.1)):
            for own, other in zip(mine.body.parameters(), their.q_net.parameters(), strict=True):
                own += value
                other.copy_(own)
    batch = a_batch(4, 2, size)
    batch = ReplayBatch(*[getattr(batch, name) for name in ("observation", "action", "reward", "next_observation")],
                        batch.discount, None, np.ones(size, np.float32), batch.index)  # fmt: skip
    buffer = theirs.replay_buffer
    for i in range(size):
        buffer.add(batch.observation[i], batch.next_observation[i], batch.action[i : i + 1], batch.reward[i : i + 1],
                   batch.discount[i : i + 1] == 0, [{}])  # fmt: skip
    order = np.random.default_rng(3).permutation(size)
    buffer.sample = lambda size, env=None: buffer._get_samples(order, env=env)
    losses = {}
    theirs.set_logger(Logger(None, []))
    theirs.logger.record = lambda name, value, exclude=None: losses.update({name: value})
    theirs.train(gradient_steps=1, batch_size=size)
    errors, loss, _ = ours._gradient_steps(batch, None, 2e-3)
    assert loss == pytest.approx(losses["train/loss"], abs=1e-6)
    assert (np.abs(errors) > 1).any()
    assert (np.abs(errors) < 1).any()
    for mine, their in zip(ours.network.body.parameters(), theirs.q_net.q_net.parameters(), strict=True):
        assert torch.allclose(mine, their, atol=1e-6)
    # the target each of these errors is the distance from
    with torch.no_grad():
        samples = buffer._get_samples(np.arange(size))
        values = theirs.q_net_target(samples.next_observations).max(dim=1).values
        target = samples.rewards[:, 0] + (1 - samples.dones[:, 0]) * gamma * values
        mine = dqn_target(
            torch.as_tensor(batch.reward), torch.as_tensor(batch.discount),
            ours.target(torch.as_tensor(batch.next_observation)),
        )  # fmt: skip
        assert torch.allclose(mine, target, atol=1e-6)


@pytest.mark.compiled
@pytest.mark.parametrize("huber", [True, False])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("dueling", [False, True])
def test_compiled_update_equals_torch(double, dueling, activation, huber):
    """Four gradient steps on the same batches, with masks, weights and clipped gradients, from the same weights."""
    task = resolve_task("Taxi")
    made = [
        make_agent("dqn", task, seed=1, settings={
            "hidden": (24, 16), "batch_size": 16, "double": double, "dueling": dueling, "activation": activation,
            "huber": huber, "backend": backend, "max_grad_norm": 1.0, "normalize_rewards": False,
        })
        for backend in BACKENDS
    ]  # fmt: skip
    whole = a_batch(1, 6, 64, masks=True)
    rng = np.random.default_rng(5)
    columns = {name: getattr(whole, name) for name in vars(whole)}
    columns["observation"], columns["next_observation"] = rng.integers(0, 500, 64), rng.integers(0, 500, 64)
    for agent in made:
        agent._target_vector += 0.05 * torch.randn(
            len(agent._target_vector), generator=torch.Generator().manual_seed(2)
        )
    with_torch, compiled = made
    places = rng.permutation(64)
    parts = []
    for k in range(4):
        rows = places[16 * k : 16 * k + 16]
        parts.append(with_torch._gradient_steps(
            ReplayBatch(**{name: column[rows] for name, column in columns.items()}), None, 1e-3
        ))  # fmt: skip
    errors, loss, value = compiled._gradient_steps(ReplayBatch(**columns), places, 1e-3)
    assert np.allclose(errors, np.concatenate([part[0] for part in parts]), atol=1e-6 * np.abs(errors).max())
    assert loss == pytest.approx(np.mean([part[1] for part in parts]), rel=1e-5)
    assert value == pytest.approx(np.mean([part[2] for part in parts]), abs=1e-5)
    assert_same_weights(with_torch, compiled, atol=1e-6)
    assert np.allclose(with_torch._moments, compiled._moments, atol=1e-6)
    assert int(compiled._adam_steps) == int(with_torch._adam_steps) == 4
    assert np.allclose(compiled._values(np.arange(500)), with_torch.action_values(np.arange(500)), atol=1e-5)


@pytest.mark.compiled
@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
@hypothesis.given(
    st.integers(1, 9), st.integers(1, 6), st.lists(st.integers(1, 12), max_size=3), st.integers(1, 20),
    st.fixed_dictionaries({"double": st.booleans(), "dueling": st.booleans(), "huber": st.booleans()}),
    st.sampled_from(["relu", "tanh"]), st.booleans(), st.integers(0, 2**31),
)  # fmt: skip
def test_updates_agree_whatever_the_shapes(width, actions, hidden, rows, chosen, activation, masks, seed):
    task = SimpleNamespace(
        name="numbers", world=None, observation_space=gymnasium.spaces.Box(-9, 9, (width,)),
        action_space=gymnasium.spaces.Discrete(actions),
    )  # fmt: skip
    made = [
        DQN(task, seed=1, settings=DQNSettings(
            hidden=tuple(hidden), batch_size=rows, activation=activation, backend=backend, max_grad_norm=1.0, **chosen
        ))
        for backend in BACKENDS
    ]  # fmt: skip
    batch = a_batch(width, actions, rows, masks, seed)
    for agent in made:
        agent._target_vector += 0.05
    (errors, *parts), (other_errors, *other_parts) = (agent._gradient_steps(batch, None, 1e-3) for agent in made)
    assert np.allclose(errors, other_errors, atol=1e-5)
    assert np.allclose(parts, other_parts, atol=1e-5, rtol=1e-5)
    assert_same_weights(*made, atol=1e-5)


def test_products_of_a_minibatch_take_one_thread_whatever_is_set(monkeypatch):
    """Those of the target network's values, of many rows, as many as `threads` says."""
    agent = make_agent("dqn", resolve_task("CartPole"), settings={**SMALL, "threads": 2})
    kernels, seen = agent._compiled._kernels, {}

    def spied(name):
        def call(*args):
            seen.setdefault(name, set()).update(entry["num_threads"] for entry in _controller().info())
            return getattr(kernels, name)(*args)

        return call

    spies = SimpleNamespace(train=spied("train"), action_values=spied("action_values"))
    monkeypatch.setattr(agent._compiled, "_kernels", spies)
    list(agent.learn(resolve_task("CartPole"), 80))
    assert seen["train"] == {1}
    assert 2 in seen["action_values"]


# ------------------------------------------------------------------------------------------- learning


@pytest.mark.compiled(all=False)
@pytest.mark.parametrize("settings", [{}, {"n_step": 3}, {"prioritized": True, "double": True, "dueling": True}])
def test_time_limits_are_bootstrapped(forever, settings):
    """Reward 1 for ever, cut every 10 steps: Q = 1/(1 − γ) = 10 (5 at γ = 0.8), less than that if cuts were ends."""
    agent = make_agent("dqn", forever, settings={
        "num_envs": 8, "gamma": 0.8, "learning_rate": 1e-2, "hidden": (8,), "batch_size": 32, "learning_starts": 100,
        "train_freq": 1, "gradient_steps": 4, "target_update_interval": 64, "anneal": "linear", **settings,
    })  # fmt: skip
    list(agent.learn(forever, 8_000))
    assert np.allclose(agent.action_values(np.array([[0], [1]])), 5.0, atol=0.1)


@pytest.mark.quick("compiled")
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_solves_a_toy_with_masks(corridor, backend):
    agent = make_agent("dqn", corridor, settings={
        "num_envs": 8, "learning_rate": 1e-2, "hidden": (16,), "learning_starts": 200, "train_freq": 1,
        "gradient_steps": 1, "target_update_interval": 100, "batch_size": 32, "gamma": 0.9, "epsilon_fraction": 0.5,
        "backend": backend, "double": True,
    })  # fmt: skip
    rows = list(agent.learn(corridor, 6_000))
    assert evaluate(agent, corridor, 5, seed=0).lengths.tolist() == [3] * 5
    assert rows[-1]["episode_length"] < 6
    # exact values: γ² from place 1, γ from 2, 1 from 3
    assert agent.action_values(np.arange(1, 4)[:, None])[:, 1] == pytest.approx([0.81, 0.9, 1.0], abs=0.05)
    mask = np.array([[True, False, False], [False, True, True]])
    assert np.isneginf(agent.action_log_probs(np.array([[1], [2]]), mask)[~mask]).all()
    assert agent.act(np.array([[1], [2]]), mask)[0] == 0


def test_illegal_actions_are_never_explored_nor_in_a_target(corridor):
    """With "left" illegal in even places and worth a fortune everywhere, targets must not know of it."""
    agent = make_agent("dqn", corridor, settings={**SMALL, "learning_starts": 10_000})
    list(agent.learn(corridor, 400))
    batch = agent.memory.take(agent.memory.draw(2_000))
    place, action = batch.observation[:, 0], batch.action
    assert not ((action == 0) & (place % 2 == 0)).any()
    assert {0, 1, 2} == set(action)
    following = batch.next_observation[:, 0]
    left = batch.next_mask[:, 0]
    assert np.array_equal(left, following % 2 == 1)  # the ends of cut and of terminated episodes included
    assert (batch.weight == 1).all()


def test_acting_is_what_it_says():
    task = resolve_task("FrozenLake")
    greedy, mild = make_agent("dqn", task), make_agent("dqn", task, settings={"beta": 2.0})
    seen = np.zeros(4000, np.int64)
    assert len(set(greedy.act(seen))) == 1
    assert np.array_equal(np.exp(greedy.action_log_probs(seen[:1])).max(axis=1), [1.0])
    q = mild.action_values(seen[:1])[0]
    assert np.exp(mild.action_log_probs(seen[:1])[0]) == pytest.approx(np.exp(2 * q) / np.exp(2 * q).sum())
    frequency = np.bincount(mild.act(seen), minlength=4) / len(seen)
    assert np.abs(frequency - np.exp(mild.action_log_probs(seen[:1])[0])).max() < 0.04


def test_gradient_steps_and_target_updates_keep_their_count():
    """Stable-Baselines3's meaning: train_freq counts steps of every copy, −1 is one step per transition."""
    task = resolve_task("CartPole")
    agent = make_agent("dqn", task, settings={**SMALL, "gradient_steps": -1, "tau": 0.5})
    list(agent.learn(task, 80))
    assert agent.steps == 80
    assert int(agent._adam_steps) == 80 - 16  # rounds of 8 that end after the 16 steps of learning_starts
    few = make_agent("dqn", task, settings={**SMALL, "learning_starts": 72, "tau": 0.25, "target_update_interval": 84})
    start, updates, vectors = few._target_vector.clone(), [], []
    for row in few.learn(task, 120):
        updates.append(row["updates"])
        vectors.append((few._vector.clone(), few._target_vector.clone()))
    assert updates == [0, 3, 15]  # since the report before: after 40, 80 and 120 steps
    # the target takes its share at step 84, after the round at step 80 and before that at step 88
    assert torch.equal(vectors[1][1], start)
    assert torch.allclose(vectors[2][1], 0.75 * start + 0.25 * vectors[1][0])


def test_learning_nothing_is_said(caplog):
    """Rounds of 8: a training of 97 steps goes on to 104."""
    task = resolve_task("CartPole")
    for steps, said in ((96, True), (97, False)):
        caplog.clear()
        agent = make_agent("dqn", task, settings={**SMALL, "learning_starts": 96})
        *_, row = agent.learn(task, steps)
        assert (row["updates"] == 0) == said == bool(caplog.messages)
        assert not said or caplog.messages == [
            "dqn learns nothing in 96 steps: learning starts after 96 (--learning-starts)."
        ]


@pytest.mark.slow
def test_it_solves_cartpole_on_every_seed():
    task = resolve_task("CartPole")
    for seed in range(10):
        agent = make_agent("dqn", task, seed=seed)
        list(agent.learn(task, 100_000))
        assert evaluate(agent, task, 100, seed=1000 + seed).mean >= 475, seed


# ------------------------------------------------------------------------------------------- resuming


@pytest.mark.quick("settings0-CartPole", "settings0-corridor")
@pytest.mark.parametrize("name", ["CartPole", "corridor"])
@pytest.mark.parametrize("settings", [{}, EVERYTHING, {"backend": "torch", "anneal": "linear"}])
def test_resuming_is_exact(name, settings, corridor, tmp_path):
    """Saved at a yield, loaded into a fresh agent, continued: the same weights bit for bit."""
    task = corridor if name == "corridor" else resolve_task(name)
    whole, resumed = assert_resuming_is_exact("dqn", task, {**SMALL, **settings}, 640, stop=5, folder=tmp_path)
    assert torch.equal(resumed._target_vector, whole._target_vector)
    assert torch.equal(resumed._moments, whole._moments)
    assert np.array_equal(resumed.state_dict()["copies"]["env"]["ints"], whole.state_dict()["copies"]["env"]["ints"])


def test_what_one_backend_learned_the_other_goes_on_with():
    task = resolve_task("CartPole")
    one = make_agent("dqn", task, settings={**SMALL, "backend": "torch"})
    other = make_agent("dqn", task, settings={**SMALL, "backend": "compiled"})
    list(one.learn(task, 200))
    other.load_state_dict(one.state_dict())
    for agent in (one, other):
        list(agent.learn(task, 208))
    assert not np.array_equal(
        weights(one)["body.0.weight"], weights(make_agent("dqn", task, settings=SMALL))["body.0.weight"]
    )
    assert_same_weights(one, other, atol=1e-5)


def test_same_seed_same_weights():
    assert_same_seed_same_weights("dqn", resolve_task("CartPole"), SMALL, 200)


def test_ordinary_environments_resume_with_new_episodes():
    task = resolve_task("CartPole-v1")
    agent, resumed = (make_agent("dqn", task, settings=SMALL) for _ in range(2))
    next(agent.learn(task, 120))
    resumed.load_state_dict(agent.state_dict())
    assert [row["steps"] for row in resumed.learn(task, 120)] == [80, 120]
    # where the stream broke off no transition leads into the new episodes
    memory = resumed.memory
    row = np.arange(4) + 9 * 4
    assert np.array_equal(memory.take(row).next_observation, agent.state_dict()["memory"]["head"])


# ------------------------------------------------------------------------------------------- pictures


def test_pixel_network_is_the_classic_one():
    """Mnih et al. (2013): 84 × 84 × 4; 16 of 8 × 8 by 4 → 20 × 20; 32 of 4 × 4 by 2 → 9 × 9; 256; one per action."""
    network = pixel_network(4, 84, 84, (256,), 6, torch.Generator().manual_seed(0))
    shapes = [tuple(p.shape) for name, p in network.named_parameters() if name.endswith("weight")]
    assert shapes == [(16, 4, 8, 8), (32, 16, 4, 4), (256, 32 * 9 * 9), (6, 256)]
    assert network[:4](torch.zeros(1, 4, 84, 84)).shape == (1, 32, 9, 9)
    assert sum(isinstance(layer, torch.nn.ReLU) for layer in network) == 3
    assert network(torch.rand(5, 4, 84, 84)).shape == (5, 6)
    with pytest.raises(UsageError, match="at least 20 × 20"):
        pixel_network(4, 19, 84, (256,), 6, torch.Generator())


def test_pictures_are_read_whichever_way_they_lie():
    box = gymnasium.spaces.Box
    assert picture_layout(box(0, 255, (30, 40), np.uint8)) == ((1, 30, 40), (30, 40), (0, 1))
    assert picture_layout(box(0, 255, (4, 30, 40), np.uint8)) == ((4, 30, 40), (4, 30, 40), (0, 1, 2))
    assert picture_layout(box(0, 255, (30, 40, 3), np.uint8)) == ((3, 30, 40), (30, 40, 3), (2, 0, 1))
    assert picture_layout(box(0, 1, (30, 40), np.float32)) is None
    assert picture_layout(gymnasium.spaces.Discrete(3)) is None
    # too small for the filters: bytes that say what lies where, as views of grids have them
    assert picture_layout(box(0, 255, (7, 7, 3), np.uint8)) is None
    picture = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), np.uint8)
    first, last = (
        QNetwork(box(0, 255, shape, np.uint8), 2, DQNSettings(), torch.Generator().manual_seed(0))
        for shape in ((3, 30, 40), (30, 40, 3))
    )
    channels_first = np.ascontiguousarray(picture.transpose(0, 3, 1, 2))
    assert torch.equal(first.features(channels_first), last.features(picture))
    assert torch.allclose(first.features(channels_first), torch.as_tensor(channels_first) / 255)
    assert torch.allclose(first(first.features(channels_first)), last(last.features(picture)), atol=1e-6)


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("backend", BACKENDS)
def test_divergence_is_named(backend):
    task = resolve_task("CartPole")
    agent = make_agent("dqn", task, settings={**SMALL, "backend": backend})
    learning = agent.learn(task, 200)
    next(learning)
    with torch.no_grad():
        agent.network.body[0].weight[3, 1] = float("nan")
    before = weights(agent)["body.2.weight"]
    with pytest.raises(DivergenceError, match=r"diverged at step \d+: loss nan(.|\n)*weights body.0.weight"):
        list(learning)
    assert np.array_equal(weights(agent)["body.2.weight"], before)


def test_wrong_settings_and_weights_are_refused():
    task = resolve_task("CartPole")
    for settings, message in (
        ({"num_envs": 0}, "num_envs = 0"),
        ({"gradient_steps": 0}, "gradient_steps = 0"),
        ({"learning_starts": -1}, "learning_starts = -1"),
        ({"gamma": 1.1}, "gamma = 1.1"),
        ({"epsilon_end": -0.1}, "epsilon_end = -0.1"),
        ({"tau": 0.0}, "tau = 0"),
        ({"learning_rate": -1.0}, "learning_rate = -1"),
        ({"beta": -1.0}, "beta = -1"),
        ({"hidden": (0,)}, "hidden = "),
        ({"buffer_size": 63, "batch_size": 64}, "batch_size = 64"),
        ({"buffer_size": 3, "n_step": 3, "batch_size": 3}, "replay memory of 3"),
    ):
        with pytest.raises(UsageError, match=message):
            make_agent("dqn", task, settings=settings)
    with pytest.raises(UsageError, match=r"Discrete actions for dqn(.|\n)*sac"):
        make_agent("dqn", resolve_task("Pendulum"))
    small, large = (make_agent("dqn", task, settings={**SMALL, "hidden": (width,)}) for width in (8, 16))
    with pytest.raises(UsageError, match="do not fit"):
        large.load_state_dict(small.state_dict())


def test_learning_goes_on_in_the_task_it_began_in():
    agent = make_agent("dqn", resolve_task("FrozenLake"), settings=SMALL)
    next(agent.learn(resolve_task("FrozenLake"), 80))
    next(agent.learn(resolve_task("FrozenLake"), 80))
    with pytest.raises(UsageError, match=r"dqn learns in FrozenLake(.|\n)*slip"):
        next(agent.learn(resolve_task("FrozenLake", {"slip": 0.2}), 120))


def test_compiled_updates_of_pictures_are_refused():
    class Pictured:
        name = "pictures"
        world = None
        observation_space = gymnasium.spaces.Box(0, 255, (4, 24, 24), np.uint8)
        action_space = gymnasium.spaces.Discrete(2)

    assert DQN(Pictured())._compiled is None
    with pytest.raises(UsageError, match="numbers on the cpu"):
        DQN(Pictured(), settings=DQNSettings(backend="compiled"))


# ------------------------------------------------------------------------------------------- priorities


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_priority_alpha_says_how_much_errors_count_for_what_is_drawn(alpha):
    """Transitions with errors 1 and 16 (α = 0: alike; 0.5: 1 to 4; 1: 1 to 16)."""
    agent = make_agent("dqn", resolve_task("CartPole"), settings={
        **SMALL, "prioritized": True, "priority_alpha": alpha, "learning_starts": 10**6, "backend": "torch",
    })  # fmt: skip
    list(agent.learn(resolve_task("CartPole"), 40))
    index = np.unique(agent.memory.draw_by_priority(2000, 0.0)[0])
    agent.memory.update_priorities(index, np.where(index % 2, 16.0, 1.0))
    drawn, _ = agent.memory.draw_by_priority(20_000, 0.0)
    odd, even = (drawn % 2 == 1).mean(), (drawn % 2 == 0).mean()
    share = (index % 2 == 1).sum() / (index % 2 == 0).sum()
    assert odd / even == pytest.approx(share * 16**alpha, rel=0.02)


@pytest.mark.parametrize(
    ("start", "expected"), [(0.4, [0.4, 0.7, 1.0]), (1.0, [1.0, 1.0, 1.0]), (0.0, [0.0, 0.5, 1.0])]
)
def test_priority_beta_rises_to_one_over_the_training(start, expected, monkeypatch):
    """At β = 1 the weights undo the drawing altogether: (N·P)^−β over their largest."""
    task = resolve_task("CartPole")
    agent = make_agent("dqn", task, settings={
        **SMALL, "prioritized": True, "priority_beta": start, "learning_starts": 10**6, "backend": "torch",
    })  # fmt: skip
    list(agent.learn(task, 40))
    index = np.unique(agent.memory.draw_by_priority(2000, 0.0)[0])
    agent.memory.update_priorities(index, np.where(index % 2, 16.0, 1.0))
    take, batches = agent.memory.take, []

    def noted(index, weight):
        batches.append((index, weight))
        return take(index, weight)

    monkeypatch.setattr(agent.memory, "take", noted)
    ratio = 16**0.6  # of the probabilities, α being 0.6
    for progress, beta in zip((0.0, 0.5, 1.0), expected, strict=True):
        drawn = np.zeros(0, np.int64)
        while len(set(drawn % 2)) < 2:  # both kinds in one batch
            agent.memory.update_priorities(index, np.where(index % 2, 16.0, 1.0))
            agent._update(1, progress)
            drawn, weight = batches[-1]
        assert weight[drawn % 2 == 0] == pytest.approx(1.0)
        assert weight[drawn % 2 == 1] == pytest.approx(ratio**-beta, rel=1e-4)
