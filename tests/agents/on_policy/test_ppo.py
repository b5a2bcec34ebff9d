from __future__ import annotations

import math

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO as TheirPPO
from torch.nn.functional import mse_loss

from inscape.agents.on_policy.base import Schedule
from inscape.agents.on_policy.ppo import ppo_loss
from inscape.agents.on_policy.torch_learner import minibatches
from inscape.agents.registry import default_steps, make_agent
from inscape.agents.rollout import evaluate
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models.networks.distributions import CategoricalActions, GaussianActions, MultiCategoricalActions
from inscape.world_models.networks.encoders.encoder import ObservationEncoder
from inscape.world_models.networks.finite_checks import DivergenceError
from tests.agents.exactness import assert_resuming_is_exact, assert_same_seed_same_weights, weights
from tests.agents.theirs import assert_same_layers, trained_on_the_same

SMALL = {
    "num_envs": 4, "num_steps": 16, "epochs": 2, "minibatches": 2, "hidden": (16,), "normalize_rewards": False,
}  # fmt: skip


# ------------------------------------------------------------------------------------------- the loss


def test_loss_against_arithmetic():
    """Ratios 2 (clipped from above with A > 0, not with A < 0) and ½ (clipped from below with A < 0)."""
    ratio = torch.tensor([2.0, 2.0, 0.5, 0.5])
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0])
    values, returns, entropy = torch.zeros(4), torch.tensor([1.0, 0.0, 0.0, 1.0]), torch.full((4,), 0.25)
    loss, parts = ppo_loss(ratio.log(), torch.zeros(4), advantages, values, returns, entropy, 0.2, 0.5, 0.1)
    policy = -np.mean([1.2, -2.0, 0.5, -0.8])
    assert np.isclose(parts["policy_loss"], policy)
    assert np.isclose(loss, policy + 0.5 * 0.5 - 0.1 * 0.25)
    assert parts["clip_fraction"] == 1.0


def test_gradient_step_equals_stable_baselines3():
    """Same weights, same batch: after one update of theirs and one of ours the weights are the same."""
    task = resolve_task("CartPole")
    ours = make_agent("ppo", task, settings={
        "num_envs": 4, "num_steps": 32, "epochs": 1, "minibatches": 1, "learning_rate": 3e-3, "anneal": "constant",
        "hidden": (8,), "entropy_coef": 0.01, "backend": "torch",
    })  # fmt: skip
    theirs = TheirPPO(
        "MlpPolicy", gymnasium.make("CartPole-v1"), n_steps=128, batch_size=128, n_epochs=1, learning_rate=3e-3,
        ent_coef=0.01, policy_kwargs={"net_arch": [8]}, device="cpu",
    )  # fmt: skip
    learner = ours.learner
    learner.begin(task, 0)
    batch = learner.collect()
    pairs = trained_on_the_same(theirs, learner, batch)
    before = pairs[0][0].weight.clone()
    learner.update(batch, ours.schedule(1.0), 0)
    assert not torch.equal(pairs[0][0].weight, before)
    assert_same_layers(pairs)


def test_minibatches_are_all_rows_but_a_last_one_alone():
    """5 minibatches of 64 rows are four of 13 and one of 12; of 21 in parts of 5 the last has no deviation."""
    for rows, count, sizes in ((64, 5, [13] * 4 + [12]), (41, 5, [9] * 4 + [5]), (21, 5, [5] * 4)):
        parts = list(minibatches(torch.arange(rows), count))
        assert [len(part) for part in parts] == sizes
        assert torch.cat(parts).tolist() == list(range(sum(sizes)))


def test_the_schedule_falls_with_what_remains():
    task = resolve_task("CartPole")
    settings = {**SMALL, "learning_rate": 1e-2, "anneal": "linear", "anneal_clip": True, "clip": 0.2, "target_kl": None}
    agent = make_agent("ppo", task, settings=settings)
    assert agent.schedule(0.25) == Schedule(2.5e-3, clip=0.05, epochs=2, minibatches=2, target_kl=math.inf)
    assert [row["learning_rate"] for row in agent.learn(task, 256)] == pytest.approx([1e-2, 7.5e-3, 5e-3, 2.5e-3])
    still = make_agent("ppo", task, settings={**settings, "anneal": "constant", "anneal_clip": False, "target_kl": 0.1})
    assert still.schedule(0.25) == Schedule(1e-2, clip=0.2, epochs=2, minibatches=2, target_kl=0.1)


@pytest.mark.parametrize("name", ["ppo compiled", "ppo torch", "ppo cuda", "recurrent-ppo"])
def test_passes_end_where_the_policy_has_moved_too_far(name):
    spec, *backend = name.split()
    settings = {**SMALL, "epochs": 5, "learning_rate": 1e-2, **({"backend": backend[0]} if backend else {"memory": 8})}
    task = resolve_task("CartPole")
    for target, updates in ((1e-9, 2.0), (1e9, 10.0), (None, 10.0)):
        agent = make_agent(spec, task, settings={**settings, "target_kl": target})
        assert next(agent.learn(task, 64))["updates"] == updates, target


@pytest.mark.parametrize("name", ["ppo compiled", "ppo torch", "recurrent-ppo", "reinforce"])
def test_statistics_are_of_what_was_acted_on(name):
    """Every observation counts once, from the first round on; those of copies that wait for others do not."""
    spec, *backend = name.split()
    task = resolve_task("CartPole")
    settings = {"num_envs": 4} if spec == "reinforce" else {**SMALL, **({"backend": backend[0]} if backend else {})}
    agent = make_agent(spec, task, settings={**settings, "normalize_observations": True})
    before = counted = 0
    for row in agent.learn(task, 128):
        counted += round((row["steps"] - before) * (1.0 - row.get("waiting", 0.0)))
        before = row["steps"]
        assert weights(agent)["encoder.count"] == counted
    assert (weights(agent)["encoder.variance"] != 1.0).all()


# ------------------------------------------------------------------------------------------- learning


@pytest.mark.slow  # quickly: tests/agents/learning/test_returns.py
@pytest.mark.compiled(all=False)
def test_time_limits_are_bootstrapped(forever):
    """Reward 1 for ever, cut every 10 steps: V = 1/(1 − γ) = 10, and not the 6.5 of a task that really ended."""
    agent = make_agent("ppo", forever, settings={
        "num_envs": 16, "num_steps": 16, "gamma": 0.9, "learning_rate": 2e-2, "hidden": (8,), "epochs": 8,
        "minibatches": 2,
    })  # fmt: skip
    list(agent.learn(forever, 256 * 60))
    assert np.allclose(agent.state_values(np.array([[0], [1]])), 10.0, atol=0.4)


def test_it_solves_a_toy_with_masks(corridor):
    agent = make_agent("ppo", corridor, settings={
        "num_envs": 16, "num_steps": 16, "epochs": 4, "minibatches": 2, "learning_rate": 1e-2, "hidden": (16,),
    })  # fmt: skip
    rows = list(agent.learn(corridor, 256 * 16))
    assert evaluate(agent, corridor, 5, seed=0).lengths.tolist() == [3] * 5
    assert rows[-1]["episode_length"] < 8
    mask = np.array([[True, False, False], [False, True, True]])
    log_probs = agent.policy_log_probs(np.array([[1], [2]]), mask)
    assert np.isneginf(log_probs[~mask]).all()
    assert np.allclose(np.exp(log_probs).sum(axis=1), 1.0)
    assert agent.act(np.array([[1], [2]]), mask)[0] == 0


@pytest.mark.compiled(all=False)
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 10))])
def test_it_solves_cartpole_on_every_seed(seed):
    task = resolve_task("CartPole")
    agent = make_agent("ppo", task, seed=seed)
    list(agent.learn(task, default_steps("ppo", task)))
    assert evaluate(agent, task, 100, seed=1000 + seed).mean >= 475


def test_continuous_and_multi_discrete_actions():
    task = resolve_task("Pendulum-v1")
    agent = make_agent("ppo", task, settings={**SMALL, "normalize_observations": True})
    rows = list(agent.learn(task, 128))
    assert np.isfinite([rows[-1][name] for name in ("policy_loss", "value_loss", "entropy", "kl")]).all()
    actions = agent.act(np.array([[1.0, 0.0, 0.5], [0.0, 1.0, -8.0]]))
    assert actions.shape == (2, 1)
    assert (np.abs(actions) <= 2).all()
    with pytest.raises(UsageError, match="Discrete actions"):
        agent.action_log_probs(np.zeros((1, 3)))


def test_acting_is_what_it_says():
    task = resolve_task("FrozenLake")
    greedy = make_agent("ppo", task)
    sampled = make_agent("ppo", task, settings={"greedy": False})
    seen = np.zeros(4000, np.int64)
    assert np.array_equal(np.exp(greedy.action_log_probs(seen[:1])).max(axis=1), [1.0])
    assert len(set(greedy.act(seen))) == 1
    frequency = np.bincount(sampled.act(seen), minlength=4) / len(seen)
    assert np.abs(frequency - np.exp(sampled.action_log_probs(seen[:1])[0])).max() < 0.04


# ------------------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize(("backend", "normalize"), [("compiled", False), ("torch", True)])
@pytest.mark.parametrize("name", ["CartPole", "corridor"])
def test_resuming_is_exact(name, backend, normalize, corridor, tmp_path):
    """Saved at a yield, loaded into a fresh agent, continued: the same weights bit for bit."""
    task = corridor if name == "corridor" else resolve_task(name)
    settings = {**SMALL, "backend": backend, "normalize_observations": normalize, "normalize_rewards": normalize}
    whole, resumed = assert_resuming_is_exact("ppo", task, settings, 64 * 6, stop=3, folder=tmp_path)
    assert np.array_equal(resumed.state_dict()["copies"]["env"]["ints"], whole.state_dict()["copies"]["env"]["ints"])


def test_same_seed_same_weights():
    assert_same_seed_same_weights("ppo", resolve_task("CartPole"), SMALL, 200)


def test_ordinary_environments_resume_with_new_episodes():
    task = resolve_task("CartPole-v1")
    agent, resumed = (make_agent("ppo", task, settings=SMALL) for _ in range(2))
    next(agent.learn(task, 128))
    resumed.load_state_dict(agent.state_dict())
    assert [row["steps"] for row in resumed.learn(task, 128)] == [128]


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("backend", ["compiled", "torch"])
def test_divergence_is_named(backend):
    task = resolve_task("CartPole")
    agent = make_agent("ppo", task, settings={**SMALL, "backend": backend})
    state = agent.state_dict()
    state["network"]["critic.0.weight"][:] = np.nan
    agent.load_state_dict(state)
    before = weights(agent)["actor.0.weight"]
    with pytest.raises(DivergenceError, match=r"diverged at step 0(.|\n)*weights critic.0.weight"):
        list(agent.learn(task, 64))
    assert np.array_equal(weights(agent)["actor.0.weight"], before)


class NaNReward(gymnasium.Wrapper):
    def step(self, action):
        observation, _, terminated, truncated, info = self.env.step(action)
        self.taken = getattr(self, "taken", 0) + 1
        return observation, float("nan") if self.taken == 3 else 1.0, terminated, truncated, info


def test_a_reward_that_is_no_number_is_named():
    name = "inscape-test/NaNReward-v0"
    if name not in gymnasium.registry:
        gymnasium.register(name, entry_point=lambda **kw: NaNReward(gymnasium.make("CartPole-v1").unwrapped))
    task = resolve_task(name)
    with pytest.raises(UsageError, match=r"the reward of .* is nan in copy 0 at step 2"):
        list(make_agent("ppo", task, settings=SMALL).learn(task, 64))


def test_wrong_settings_and_weights_are_refused():
    task = resolve_task("CartPole")
    for settings, message in (
        ({"num_envs": 0}, "num_envs = 0"),
        ({"gamma": 1.1}, "gamma = 1.1"),
        ({"learning_rate": -1.0}, "learning_rate = -1"),
        ({"num_envs": 1, "num_steps": 4, "minibatches": 4}, "minibatches"),
    ):
        with pytest.raises(UsageError, match=message):
            make_agent("ppo", task, settings=settings)
    small, large = (make_agent("ppo", task, settings={**SMALL, "hidden": (width,)}) for width in (8, 16))
    with pytest.raises(UsageError, match="do not fit"):
        large.load_state_dict(small.state_dict())


# ------------------------------------------------------------------------------------------- parts


def test_encoder_makes_one_hots_side_by_side():
    encoder = ObservationEncoder(gymnasium.spaces.MultiDiscrete([2, 3]))
    assert encoder(np.array([[1, 0], [0, 2]])).tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]
    shifted = ObservationEncoder(gymnasium.spaces.Discrete(3, start=4))
    assert shifted(np.array([4, 6])).tolist() == [[1, 0, 0], [0, 0, 1]]
    picture = ObservationEncoder(gymnasium.spaces.Box(0, 255, (2, 2), np.uint8))
    assert np.allclose(picture(np.full((1, 2, 2), 51, np.uint8)), 0.2)
    with pytest.raises(UsageError, match="FlattenObservation"):
        ObservationEncoder(gymnasium.spaces.Dict({}))


def test_encoder_statistics_are_those_of_all_it_saw():
    rng = np.random.default_rng(0)
    encoder = ObservationEncoder(gymnasium.spaces.Box(-np.inf, np.inf, (3,)), normalize=True)
    parts = [rng.normal(5.0, 2.0, (size, 3)).astype(np.float32) for size in (4, 50, 7)]
    for part in parts:
        encoder.update(part)
    everything = np.concatenate(parts)
    assert np.allclose(encoder.mean, everything.mean(axis=0))
    assert np.allclose(encoder.variance, everything.var(axis=0))
    assert np.allclose(encoder(everything).mean(dim=0), 0.0, atol=1e-5)


@pytest.mark.parametrize("kind", ["discrete", "multi", "box"])
def test_distributions_against_torch(kind):
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(6, 5 if kind != "box" else 4, generator=generator)
    if kind == "discrete":
        ours, theirs = CategoricalActions(gymnasium.spaces.Discrete(5)), torch.distributions.Categorical(logits=outputs)
        actions = ours.sample(outputs, generator)
        expected, entropy = theirs.log_prob(actions), theirs.entropy()
    elif kind == "multi":
        ours = MultiCategoricalActions(gymnasium.spaces.MultiDiscrete([2, 3]))
        both = [torch.distributions.Categorical(logits=part) for part in outputs.split([2, 3], dim=-1)]
        actions = ours.sample(outputs, generator)
        expected = both[0].log_prob(actions[:, 0]) + both[1].log_prob(actions[:, 1])
        entropy = both[0].entropy() + both[1].entropy()
    else:
        ours = GaussianActions(gymnasium.spaces.Box(-2, 2, (2,)))
        mean, log_std = outputs.chunk(2, dim=-1)
        theirs = torch.distributions.Normal(mean, log_std.exp())
        actions = ours.sample(outputs, generator)
        expected, entropy = theirs.log_prob(actions).sum(dim=-1), theirs.entropy().sum(dim=-1)
    assert torch.allclose(ours.log_prob(outputs, actions), expected, atol=1e-6)
    assert torch.allclose(ours.entropy(outputs), entropy, atol=1e-6)


def test_samples_of_numbers_follow_their_normals():
    """20,000 draws: means within 4 standard errors, deviations within 2 % (4 of theirs)."""
    mean, deviation = torch.tensor([0.5, -1.0]), torch.tensor([0.1, 2.0])
    outputs = torch.cat([mean, deviation.log()]).repeat(20_000, 1)
    family = GaussianActions(gymnasium.spaces.Box(-2, 2, (2,)))
    drawn = family.sample(outputs, torch.Generator().manual_seed(0))
    assert ((drawn.mean(dim=0) - mean).abs() < 4 * deviation / math.sqrt(20_000)).all()
    assert torch.allclose(drawn.std(dim=0), deviation, rtol=0.02)


def test_samples_follow_the_distribution_and_illegal_actions_give_no_gradient_trouble():
    logits = torch.tensor([[0.0, 1.0, -torch.inf, 2.0]]).repeat(20_000, 1)
    family = CategoricalActions(gymnasium.spaces.Discrete(4))
    drawn = family.sample(logits, torch.Generator().manual_seed(0))
    frequency = torch.bincount(drawn, minlength=4) / len(drawn)
    assert torch.allclose(frequency, logits[0].softmax(dim=0), atol=0.015)
    assert frequency[2] == 0
    leaf = torch.zeros(1, 4, requires_grad=True)
    masked = leaf.masked_fill(torch.tensor([[False, False, True, False]]), -torch.inf)
    family.entropy(masked).sum().backward()
    assert torch.isfinite(leaf.grad).all()
    assert mse_loss(family.entropy(masked), torch.log(torch.tensor([3.0]))) < 1e-12
