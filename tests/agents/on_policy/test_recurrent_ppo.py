from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from inscape.agents.on_policy.gru import GRU
from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate, rollout
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments.checks.agents import check_agent_spec
from inscape.experiments.runs.evaluation import exact_value
from inscape.experiments.runs.storage.checkpoints import load_checkpoint
from inscape.world_models.networks.finite_checks import DivergenceError
from tests.agents.exactness import assert_resuming_is_exact, assert_same_seed_same_weights, weights

SMALL = {
    "num_envs": 4, "num_steps": 16, "epochs": 2, "minibatches": 2, "memory": 16, "hidden": (8,),
    "normalize_rewards": False,
}  # fmt: skip
MEMORYLESS = (4 - 0.1) / 2
"""The best sum of rewards in the T-maze without memory: the turn is right half of the time, nothing else pays."""


# ------------------------------------------------------------------------------------------- the unit


def sequence(steps=7, count=3, inputs=5, size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    unit = GRU(inputs, size, generator)
    with torch.no_grad():
        for bias in (unit.input_bias, unit.hidden_bias):
            bias.copy_(torch.randn(3 * size, generator=generator))
    seen = torch.randn(steps, count, inputs, generator=generator)
    first = torch.randn(count, size, generator=generator)
    starts = torch.rand(steps, count, generator=generator) < 0.3
    return unit, seen, first, starts


@pytest.mark.compiled
def test_without_resets_it_is_the_unit_of_torch():
    unit, seen, first, starts = sequence()
    theirs = nn.GRU(5, 6)
    pairs = [
        (theirs.weight_ih_l0, unit.input_weight),
        (theirs.weight_hh_l0, unit.hidden_weight),
        (theirs.bias_ih_l0, unit.input_bias),
        (theirs.bias_hh_l0, unit.hidden_bias),
    ]
    with torch.no_grad():
        for their, mine in pairs:
            their.copy_(mine)
    ours, expected = unit(seen, first, torch.zeros_like(starts)), theirs(seen, first[None])[0]
    assert torch.allclose(ours, expected, atol=1e-6)
    change = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1))
    (ours * change).sum().backward()
    (expected * change).sum().backward()
    for their, mine in pairs:
        assert torch.allclose(mine.grad, their.grad, atol=1e-5)


@pytest.mark.compiled
def test_gradients_against_finite_differences():
    """The compiled backward pass against central differences of the plain equations in float64, resets included."""
    unit, seen, first, starts = sequence(steps=5, count=2, inputs=2, size=3)
    starts[2, 0] = starts[0, 1] = True
    seen.requires_grad_(), first.requires_grad_()
    change = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(1))
    (unit(seen, first, starts) * change).sum().backward()
    double = GRU(2, 3, torch.Generator()).double()
    double.load_state_dict({name: tensor.double() for name, tensor in unit.state_dict().items()})
    plain = {**dict(double.named_parameters()), "seen": seen.detach().double(), "first": first.detach().double()}

    def loss():
        shares = linear(plain["seen"], double.input_weight, double.input_bias)
        return float((double.step_by_step(shares, plain["first"], starts) * change).sum())

    compiled = {**dict(unit.named_parameters()), "seen": seen, "first": first}
    with torch.no_grad():
        for name, tensor in plain.items():
            flat, gradient = tensor.view(-1), compiled[name].grad.view(-1)
            for k in range(len(flat)):
                flat[k] += 1e-5
                above = loss()
                flat[k] -= 2e-5
                below = loss()
                flat[k] += 1e-5
                assert (above - below) / 2e-5 == pytest.approx(float(gradient[k]), abs=2e-5), (name, k)


def test_memory_begins_anew_where_an_episode_does():
    unit, seen, first, starts = sequence()
    starts[:] = False
    starts[3, 1] = True
    together = unit(seen, first, starts)
    fresh = unit(seen[3:], torch.zeros_like(first), torch.zeros_like(starts[3:]))
    straight = unit(seen, first, torch.zeros_like(starts))
    assert torch.allclose(together[3:, 1], fresh[:, 1], atol=1e-6)
    assert torch.allclose(together[:, [0, 2]], straight[:, [0, 2]], atol=1e-6)
    assert not torch.allclose(together[3:, 1], straight[3:, 1], atol=1e-3)


# ------------------------------------------------------------------------------------------- acting


RECALLING = {**SMALL, "previous_reward": True}


@pytest.mark.quick("Pendulum")
@pytest.mark.parametrize("name", ["TMaze", "corridor", "Pendulum"])
def test_what_is_learned_from_is_what_was_done(name, corridor):
    """At the first epoch the whole sequences give the log-probabilities of acting step by step: the ratio is 1."""
    task = corridor if name == "corridor" else resolve_task(name, {"length": 2} if name == "TMaze" else {})
    agent = make_agent("recurrent-ppo", task, settings=RECALLING)
    learning = agent.learn(task, 64 * 40)
    for _ in range(8):
        next(learning)
    ended = 0
    for _ in range(2):  # the second begins with what the first left in memory
        collected = agent.learner.collect()
        ended += int(collected.starts.sum())
        with torch.no_grad():
            remembered = agent.learner.network.remember(collected.features, collected.first, collected.starts)
            outputs = agent.learner.network.outputs(remembered, collected.action_masks)
            again = agent.learner.network.distribution.log_prob(outputs, collected.actions)
        assert (again.exp() / collected.old_log_probs.exp() - 1).abs().max() < (1e-6 if name != "Pendulum" else 5e-6)
    assert ended or name == "Pendulum"
    assert collected.first.abs().max() > 0


def test_acting_step_by_step_is_one_long_sequence():
    """A recorded episode, asked step by step with memory and reward, against the network over the whole of it."""
    task = resolve_task("TMaze", {"length": 3})
    agent = make_agent("recurrent-ppo", task, settings={**RECALLING, "greedy": False})
    (episode,) = rollout(agent, task, 1, seed=0)
    length = len(episode)
    assert length > 5
    memory, rewards = agent.initial_memory(1), np.concatenate([[0.0], episode.rewards])
    stepwise, width = [], agent.settings.memory
    for t in range(length):
        seen, reward = episode.observations[t : t + 1], rewards[t : t + 1]
        stepwise.append(agent.policy_log_probs(seen, None, memory, reward)[0])
        _, memory = agent.act_with_memory(seen, memory, reward)
        memory[:, width:] = np.eye(4, dtype=np.float32)[episode.actions[t]]  # what was done then
    network = agent.learner.network
    with torch.no_grad():
        before = torch.cat([torch.zeros(1, 4), torch.eye(4)[episode.actions[:-1]]])
        inputs = network.inputs(network.encoder(episode.observations[:-1]), before, torch.as_tensor(rewards[:-1]))
        starts = torch.zeros(length, 1, dtype=torch.bool)
        whole = network.outputs(network.remember(inputs[:, None], torch.zeros(1, width), starts), None)
    assert np.allclose(whole[:, 0].log_softmax(dim=-1).numpy(), stepwise, atol=1e-6)


def test_acting_in_copies_is_acting_alone():
    """Greedy episodes of several copies of unequal length are those of each alone; `act` is the first step's."""
    task = resolve_task("CartPole")
    agent = make_agent("recurrent-ppo", task, settings=RECALLING)
    with torch.no_grad():  # far enough from zero that memory decides
        agent.learner.network.actor.weight.mul_(100.0)
    together = rollout(agent, task, 6, seed=0, max_copies=3)
    assert len({len(episode) for episode in together}) > 1
    for episode in together:
        memory, reward = agent.initial_memory(1), np.zeros(1)
        for t in range(len(episode)):
            action, memory = agent.act_with_memory(episode.observations[t : t + 1], memory, reward)
            assert action[0] == episode.actions[t]
            reward = episode.rewards[t : t + 1]
    seen = np.stack([episode.observations[0] for episode in together])
    assert agent.act(seen).tolist() == [episode.actions[0] for episode in together]
    with pytest.raises(UsageError, match="recurrent-ppo remembers"):
        exact_value(make_agent("recurrent-ppo", resolve_task("Tiger")), resolve_task("Tiger"))


@pytest.mark.quick("Pendulum")
@pytest.mark.parametrize("world", ["FrozenLake", "Pendulum"])
def test_it_keeps_the_contract(world):
    report = check_agent_spec("recurrent-ppo", task=resolve_task(world), settings=RECALLING)
    assert [(check.name, check.message) for check in report.failures] == []
    assert "memory" in {check.name for check in report.checks}


def test_multi_discrete_actions():
    name = "inscape-test/Buttons-v0"
    if name not in gymnasium.registry:
        gymnasium.register(name, entry_point=Buttons, max_episode_steps=5)
    task = resolve_task(name)
    agent = make_agent("recurrent-ppo", task, settings=SMALL)
    rows = list(agent.learn(task, 128))
    assert np.isfinite([rows[-1][key] for key in ("policy_loss", "value_loss", "entropy", "kl")]).all()
    assert agent.act(np.zeros((3, 1), np.float32)).shape == (3, 2)


class Buttons(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.MultiDiscrete([2, 3])

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), float(action[1]), False, False, {}


# ------------------------------------------------------------------------------------------- learning


@pytest.mark.compiled(all=False)
def test_time_limits_are_bootstrapped(forever):
    """Reward 1 for ever, cut every 10 steps: V = 1/(1 − γ) = 10, and not the 6.5 of a task that really ended."""
    agent = make_agent("recurrent-ppo", forever, settings={
        "num_envs": 16, "num_steps": 16, "gamma": 0.9, "learning_rate": 1e-2, "memory": 8, "minibatches": 2,
        "epochs": 8,
    })  # fmt: skip
    list(agent.learn(forever, 256 * 40))
    assert np.allclose(agent.state_values(np.array([[0]])), 10.0, atol=0.3)


def test_the_value_at_a_cut_is_of_the_last_observation_with_all_that_was_remembered(forever):
    """One round by hand: the target at step 9 is 1 + γ·V(o_10 | o_0 … o_9), with λ = 0 and nothing of what follows."""
    agent = make_agent("recurrent-ppo", forever, settings={
        "num_envs": 2, "num_steps": 12, "minibatches": 1, "gamma": 0.9, "gae_lambda": 0.0, "memory": 8,
        "previous_action": False, "normalize_rewards": False,
    })  # fmt: skip
    learning = agent.learn(forever, 24)
    next(learning)
    fresh = make_agent("recurrent-ppo", forever, settings=agent.settings)
    torch.nn.init.normal_(fresh.learner.network.critic.weight, generator=torch.Generator().manual_seed(0))  # V is not 0
    fresh.learner.begin(forever, 0)
    collected = fresh.learner.collect()
    network = fresh.learner.network
    for copy in range(2):
        phases = collected.features[:10, copy].argmax(dim=-1)
        last = int(phases[-1]) ^ int(collected.actions[9, copy])
        seen = torch.cat([collected.features[:10, copy], torch.eye(2)[last][None]])[:, None]
        with torch.no_grad():
            values = network.values(network.remember(seen, torch.zeros(1, 8), torch.zeros(11, 1, dtype=torch.bool)))
        assert float(collected.returns[9, copy]) == pytest.approx(1 + 0.9 * float(values[10, 0]), abs=1e-5)
        assert float(collected.returns[8, copy]) == pytest.approx(1 + 0.9 * float(values[9, 0]), abs=1e-5)
        assert collected.starts[:, copy].tolist() == [t == 10 for t in range(12)]


@pytest.mark.slow
@pytest.mark.compiled(all=False)
def test_it_solves_a_toy_with_masks(corridor):
    agent = make_agent("recurrent-ppo", corridor, settings={
        "num_envs": 16, "num_steps": 16, "epochs": 4, "minibatches": 2, "learning_rate": 1e-2, "memory": 16,
    })  # fmt: skip
    list(agent.learn(corridor, 256 * 25))
    assert evaluate(agent, corridor, 5, seed=0).lengths.tolist() == [3] * 5
    mask = np.array([[True, False, False], [False, True, True]])
    log_probs = agent.policy_log_probs(np.array([[1], [2]]), mask)
    assert np.isneginf(log_probs[~mask]).all()
    assert agent.act(np.array([[1], [2]]), mask)[0] == 0


@pytest.mark.slow
@pytest.mark.compiled(all=False)
def test_it_learns_what_needs_memory():
    task = resolve_task("TMaze", {"length": 5})
    agent = make_agent("recurrent-ppo", task)
    list(agent.learn(task, 50_000))
    assert evaluate(agent, task, 100, seed=0).returns.tolist() == [4.0] * 100


@pytest.mark.slow
def test_plain_ppo_learns_what_can_be_had_without_memory():
    task = resolve_task("TMaze", {"length": 5})
    plain = make_agent("ppo", task, settings={"gamma": 0.98, "learning_rate": 3e-3, "num_envs": 32, "num_steps": 64})
    list(plain.learn(task, 50_000))
    found = evaluate(plain, task, 400, seed=0)
    assert set(found.returns.round(6)) == {4.0, -0.1}  # the same turn every time
    assert abs(found.mean - MEMORYLESS) < 4 * 2.05 / np.sqrt(400)


@pytest.mark.slow
def test_it_learns_the_long_corridor_on_every_seed_and_plain_ppo_on_none():
    task = resolve_task("TMaze")
    for seed in range(5):
        agent, plain = (make_agent(name, task, seed=seed) for name in ("recurrent-ppo", "ppo"))
        list(agent.learn(task, 100_000))
        assert evaluate(agent, task, 200, seed=seed).returns.tolist() == [4.0] * 200, seed
        list(plain.learn(task, 100_000))
        assert evaluate(plain, task, 400, seed=seed).mean < MEMORYLESS + 4 * 2.05 / np.sqrt(400), seed


# ------------------------------------------------------------------------------------------- resuming


@pytest.mark.quick("corridor")
@pytest.mark.parametrize("name", ["TMaze", "corridor", "CartPole"])
def test_resuming_is_exact(name, corridor, tmp_path):
    """Saved at a yield, loaded into a fresh agent, continued amid episodes: the same weights bit for bit."""
    task = corridor if name == "corridor" else resolve_task(name)
    settings = {**RECALLING, "normalize_observations": True, "normalize_rewards": True}
    whole, resumed = assert_resuming_is_exact("recurrent-ppo", task, settings, 64 * 6, stop=3, folder=tmp_path)
    assert np.abs(load_checkpoint(tmp_path / "step")[0]["memory"]).max() > 0
    for key in ("memory", "reward"):
        assert np.array_equal(resumed.state_dict()[key], whole.state_dict()[key])


def test_same_seed_same_weights():
    assert_same_seed_same_weights("recurrent-ppo", resolve_task("TMaze"), SMALL, 200)


def test_ordinary_environments_resume_with_new_episodes_and_nothing_remembered():
    task = resolve_task("CartPole-v1")
    agent, resumed = (make_agent("recurrent-ppo", task, settings=SMALL) for _ in range(2))
    next(agent.learn(task, 128))
    resumed.load_state_dict(agent.state_dict())
    resumed.learner.begin(task, resumed.steps)
    assert agent.learner._reward.any()
    assert not resumed.learner._reward.any()
    assert resumed.learner.collect().first.abs().max() == 0
    assert agent.learner.collect().first.abs().max() > 0


# ------------------------------------------------------------------------------------------- refusals


def test_divergence_is_named():
    task = resolve_task("TMaze")
    agent = make_agent("recurrent-ppo", task, settings=SMALL)
    with torch.no_grad():
        agent.learner.network.critic.weight.fill_(float("nan"))
    before = weights(agent)["gru.hidden_weight"]
    with pytest.raises(DivergenceError, match=r"recurrent-ppo diverged at step 0(.|\n)*weights critic.weight"):
        list(agent.learn(task, 64))
    assert np.array_equal(weights(agent)["gru.hidden_weight"], before)


def test_wrong_settings_and_weights_are_refused():
    task = resolve_task("TMaze")
    for settings, message in (
        ({"memory": 0}, "memory = 0"),
        ({"gamma": 1.1}, r"gamma = 1\.1"),
        ({"hidden": (0,)}, "hidden = "),
        ({"target_kl": -0.1}, "target_kl = -0.1"),
        ({"entropy_coef": -1.0}, "entropy_coef = -1"),
        ({"num_envs": 2, "minibatches": 4}, "2 copies in 4 minibatches"),
        ({"num_envs": 1, "num_steps": 1, "minibatches": 1}, "at least 2 steps"),
    ):
        with pytest.raises(UsageError, match=message):
            make_agent("recurrent-ppo", task, settings=settings)
    small, large = (make_agent("recurrent-ppo", task, settings={**SMALL, "memory": width}) for width in (8, 16))
    with pytest.raises(UsageError, match="do not fit"):
        large.load_state_dict(small.state_dict())
    more = make_agent("recurrent-ppo", task, settings={**SMALL, "memory": 8, "num_envs": 2 * SMALL["num_envs"]})
    with pytest.raises(UsageError, match="copies remembered"):
        more.load_state_dict(small.state_dict())
