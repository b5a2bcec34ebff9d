from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC as TheirSAC
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from inscape.agents.kernels.soft_actor_critic import lesser
from inscape.agents.off_policy.sac import (
    SAC,
    SACSettings,
    actor_loss,
    critic_loss,
    entropy_coef_loss,
    soft_targets,
    squashed_gaussian,
)
from inscape.agents.presets import PRESETS
from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models.networks.finite_checks import DivergenceError
from inscape.world_models.networks.replay import ReplayBatch
from tests.agents.exactness import assert_resuming_is_exact, assert_same_seed_same_weights, assert_same_weights, weights

BACKENDS = ("torch", "compiled")
WORLDS = Path(__file__).parents[1] / "continuous_worlds.py"
SMALL = {"hidden": (16,), "batch_size": 16, "learning_starts": 40, "buffer_size": 500, "report_every": 50}


def continuous(name):
    return resolve_task(f"{WORLDS}:{name}")


# ------------------------------------------------------------------------------------------- mathematics


def test_squashed_density_sums_to_one():
    """∫ π(a) da over a ∈ (−1, 1), each a = tanh(μ + σ·ε) on a fine grid of ε, is the integral of a density: 1."""
    outputs = torch.tensor([[0.4, -0.7]], dtype=torch.float64)
    noise = torch.linspace(-8, 8, 20_001, dtype=torch.float64)[:, None]
    actions, log_probs = squashed_gaussian(outputs.expand(len(noise), 2), noise)
    mass = torch.trapezoid(log_probs.exp(), actions[:, 0])
    assert abs(float(mass) - 1.0) < 1e-6


def test_squashed_log_probabilities_where_tanh_rounds_to_one():
    """u = 20 and −20 in single precision: log(1 − tanh² u) = log 4 − 2·20 − 2·log(1 + e⁻⁴⁰), not log 0."""
    outputs = torch.tensor([[20.0, 0.0], [-20.0, 0.0]], requires_grad=True)
    actions, log_probs = squashed_gaussian(outputs, torch.zeros(2, 1))
    assert actions.abs().tolist() == [[1.0], [1.0]]
    expected = -0.5 * math.log(2 * math.pi) - (math.log(4) - 40)
    assert np.allclose(log_probs.detach(), expected, rtol=1e-6)
    log_probs.sum().backward()
    assert torch.isfinite(outputs.grad).all()


def test_losses_against_arithmetic():
    """Two transitions, the second one terminated; min Q′ = 2 and 5, α = ½, log π′ = −1 and 3."""
    targets = soft_targets(
        torch.tensor([1.0, 1.0]), torch.tensor([0.9, 0.0]), torch.tensor([[2.0, 6.0], [3.0, 5.0]]),
        torch.tensor([-1.0, 3.0]), 0.5,
    )  # fmt: skip
    assert np.allclose(targets, [1 + 0.9 * (2 + 0.5), 1.0])
    values = torch.tensor([[3.25, 0.0], [1.25, 2.0]])  # errors 0 and −1; −2 and 1
    assert np.isclose(critic_loss(values, targets), 0.5 * ((0 + 1) / 2 + (4 + 1) / 2))
    log_probs = torch.tensor([-1.0, 3.0], requires_grad=True)
    assert np.isclose(actor_loss(log_probs, values, 0.5).detach(), np.mean([-0.5 - 1.25, 1.5 - 0.0]))
    log_coefficient = torch.tensor(math.log(0.5), requires_grad=True)
    loss = entropy_coef_loss(log_coefficient, log_probs, -2.0)
    assert np.isclose(loss.detach(), -math.log(0.5) * (1.0 - 2.0))
    loss.backward()
    # entropy is −1, above the target of −2: a step down the gradient makes α smaller
    assert np.isclose(log_coefficient.grad, 1.0)
    assert log_probs.grad is None


@pytest.mark.parametrize("coefficient", [None, 0.3])
def test_gradient_steps_equal_stable_baselines3(coefficient):
    """Same weights, batch and noise: the same losses, and after each of three steps the same weights and targets."""
    size = 32
    task = resolve_task("Pendulum")
    ours = make_agent("sac", task, seed=1, settings={
        "hidden": (16, 8), "learning_rate": 1e-3, "tau": 0.02, "entropy_coef": coefficient,
        "initial_entropy_coef": 0.7,
    })  # fmt: skip
    theirs = TheirSAC(
        "MlpPolicy", gymnasium.make("Pendulum-v1"), learning_rate=1e-3, tau=0.02, device="cpu",
        ent_coef="auto_0.7" if coefficient is None else coefficient, policy_kwargs={"net_arch": [16, 8]},
    )  # fmt: skip
    theirs.set_logger(Logger(None, []))
    theirs.actor.action_dist.epsilon = 0.0  # theirs only keeps the logarithm from 0; ours is exact there
    pairs = copy_weights(ours, theirs)
    rng = np.random.default_rng(0)
    for step in range(3):
        observation, following = (
            torch.as_tensor(rng.normal(0, 1, (size, 3)), dtype=torch.float32) for _ in range(2)
        )  # fmt: skip
        actions = torch.as_tensor(rng.uniform(-1, 1, (size, 1)), dtype=torch.float32)
        reward = torch.as_tensor(rng.normal(-3, 1, size), dtype=torch.float32)
        done = torch.as_tensor(rng.random(size) < 0.3, dtype=torch.float32)
        batch = ReplayBufferSamples(
            observation, actions, following, done[:, None], reward[:, None], torch.full((size, 1), 0.97)
        )
        theirs.replay_buffer.sample = lambda *_, batch=batch, **__: batch
        torch.manual_seed(step)
        noise = [torch.normal(torch.zeros(size, 1), torch.ones(size, 1)) for _ in range(2)]
        torch.manual_seed(step)
        log_coefficient, before = ours.network.log_entropy_coef.detach().clone(), weights(ours)
        log_probs = squashed_gaussian(ours.network.actor(observation), noise[0])[1]
        theirs.train(1, size)
        parts = ours.gradient_step(observation, actions, reward, following, 0.97 * (1 - done), *noise)
        found = theirs.logger.name_to_value
        for name, value in (("critic_loss", parts["critic_loss"]), ("actor_loss", parts["actor_loss"])):
            assert np.isclose(value, found[f"train/{name}"], rtol=1e-6, atol=1e-6), (step, name)
        assert np.isclose(parts["entropy_coef"], found["train/ent_coef"], atol=1e-6)
        if coefficient is None:
            loss = entropy_coef_loss(log_coefficient, log_probs, -1.0)
            assert np.isclose(loss.detach(), found["train/ent_coef_loss"], atol=1e-6)
            assert np.isclose(ours.network.log_entropy_coef.detach(), theirs.log_ent_coef.detach(), atol=1e-6)
        for name, mine, their in pairs:
            assert torch.allclose(mine(), their(), atol=1e-6), (step, name)
        moved = {name for name, array in weights(ours).items() if not np.array_equal(array, before[name])}
        assert {"actor.4.bias", "critic.weight_0", "target_critic.weight_2"} <= moved
        assert ("log_entropy_coef" in moved) == (coefficient is None)


def copy_weights(ours, theirs):
    """Gives theirs our weights; returns triples of a name and how to read the weights that must stay the same."""
    network, pairs = ours.network, []
    actor, policy = network.actor, theirs.actor
    layers = [layer for layer in actor if isinstance(layer, torch.nn.Linear)]
    for mine, their in zip(layers[:-1], [x for x in policy.latent_pi if isinstance(x, torch.nn.Linear)], strict=True):
        for part in ("weight", "bias"):
            pairs.append((part, lambda m=mine, p=part: getattr(m, p), lambda t=their, p=part: getattr(t, p)))
    for row, head in ((0, policy.mu), (1, policy.log_std)):
        for part in ("weight", "bias"):
            mine = lambda p=part, r=row: getattr(layers[-1], p)[r : r + 1]  # noqa: E731
            pairs.append((f"head {row}", mine, lambda h=head, p=part: getattr(h, p)))
    for critic, their_critic in ((network.critic, theirs.critic), (network.target_critic, theirs.critic_target)):
        for i, q in enumerate((their_critic.qf0, their_critic.qf1)):
            for k, their in enumerate(x for x in q if isinstance(x, torch.nn.Linear)):
                weight = lambda c=critic, i=i, k=k: getattr(c, f"weight_{k}")[i].T  # noqa: E731
                bias = lambda c=critic, i=i, k=k: getattr(c, f"bias_{k}")[i, 0]  # noqa: E731
                pairs.append((f"critic {i}.{k}", weight, lambda t=their: t.weight))
                pairs.append((f"critic {i}.{k}", bias, lambda t=their: t.bias))
    with torch.no_grad():
        for _, mine, their in pairs:
            their().copy_(mine())
    return pairs


# ------------------------------------------------------------------------------------------- compiled

BOXES = SimpleNamespace(
    name="numbers", world=None, observation_space=gymnasium.spaces.Box(-9, 9, (3,)),
    action_space=gymnasium.spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 2.0], np.float32)),
)  # fmt: skip


def both(**settings):
    """The same agent with either backend; target critics unlike critics."""
    made = [SAC(BOXES, seed=1, settings=SACSettings(**settings, backend=backend)) for backend in BACKENDS]
    for agent in made:
        agent._target += 0.05
    return made


def minibatches(count, size, seed=0):
    """Batches with terminations, discounts of several steps, and noise, as `_gradient_steps` has them."""
    rng = np.random.default_rng(seed)
    rows = count * size
    batch = ReplayBatch(
        rng.normal(0, 1, (rows, 3)).astype(np.float32), rng.uniform(-1, 1, (rows, 2)).astype(np.float32),
        rng.normal(-3, 2, rows).astype(np.float32), rng.normal(0, 1, (rows, 3)).astype(np.float32),
        rng.choice([0.0, 0.97, 0.9], rows).astype(np.float32), None, np.ones(rows, np.float32), np.arange(rows),
    )  # fmt: skip
    return batch, torch.as_tensor(rng.normal(0, 1, (count, 2, size, 2)), dtype=torch.float32)


@pytest.mark.compiled
@pytest.mark.parametrize("hidden", [(16, 12), (8,), (12, 20, 8)])
@pytest.mark.parametrize("coefficient", [None, 0.3, 0.0])
def test_compiled_steps_equal_torch(coefficient, hidden):
    """One gradient step, and three more in one call: losses, weights, gradients, moments; some log σ are clamped."""
    made = both(hidden=hidden, entropy_coef=coefficient, tau=0.02, batch_size=24, learning_rate=1e-3, target_entropy=-3)
    for agent in made:
        last = agent.network.actor[-1]
        with torch.no_grad():  # far from the even policy it begins with
            last.weight[2:] *= 150.0
            last.bias.copy_(torch.tensor([0.3, -0.2, 2.0, -20.0]))
    raw = made[0].network.actor(torch.as_tensor(minibatches(1, 24)[0].observation))[:, 2:].detach()
    assert (raw > 2).any() and (raw < -20).any() and ((raw > -20) & (raw < 2)).any()
    for count, tolerance in ((1, 1e-6), (3, 3e-6)):
        batch, noise = minibatches(count, 24, seed=count - 1)
        reports = [agent._gradient_steps(batch, noise) for agent in made]
        for one, other in zip(*reports, strict=True):
            assert list(one) == list(other)
            assert np.allclose(list(one.values()), list(other.values()), rtol=1e-5, atol=1e-5)
        assert_same_weights(*made, atol=tolerance)
        for mine, other in zip(*([agent._critic, agent._policy] for agent in made), strict=True):
            assert all(np.allclose(x, y, atol=1e-5, rtol=1e-5) for x, y in zip(mine.arrays, other.arrays, strict=True))
    assert int(made[1]._critic.arrays[4][0]) == int(made[1]._policy.arrays[4][0]) == 4


@pytest.mark.compiled
@pytest.mark.parametrize("pair", [(1.0, 2.0), (2.0, 1.0), (1.5, 1.5), (math.nan, 1.0), (1.0, math.nan)])
def test_the_lesser_of_two_values_is_torchs(pair):
    """Also where they are equal, and each has half the derivative, and where one is not a number."""
    first, second = (torch.tensor(value, requires_grad=True) for value in pair)
    torch.minimum(first, second).backward()
    value, part = lesser.py_func(*(np.float32(value) for value in pair))
    assert np.array_equal(value, torch.minimum(first, second).detach(), equal_nan=True)
    assert math.isnan(value) or part == first.grad == 1 - second.grad


@pytest.mark.compiled
@pytest.mark.parametrize(
    "more", [{}, {"n_step": 3, "normalize_observations": True, "num_envs": 2, "entropy_coef": 0.1}]
)
def test_both_backends_live_the_same_life(more):
    """The same noise in acting and learning: 50 gradient steps on, the same weights but for rounding."""
    task = resolve_task("Pendulum")
    made = [make_agent("sac", task, settings={**SMALL, **more, "backend": backend}) for backend in BACKENDS]
    reports = [list(agent.learn(task, 40 + 50 * agent.settings.num_envs)) for agent in made]
    assert int(made[1]._critic.arrays[4][0]) == 50
    assert_same_weights(*made, atol=1e-4)
    assert [list(row) for row in reports[0]] == [list(row) for row in reports[1]]
    assert np.allclose(*([list(row.values()) for row in rows[-1:]] for rows in reports), rtol=1e-3, atol=1e-3)
    actions = [agent.memory.state_dict()["action"] for agent in made]
    assert np.allclose(*actions, atol=1e-4)
    assert np.abs(actions[0][-20:]).max() < 1


def test_what_one_backend_learned_the_other_goes_on_with():
    task = resolve_task("Pendulum")
    for one, other in (BACKENDS, BACKENDS[::-1]):
        agent, follower = (make_agent("sac", task, settings={**SMALL, "backend": backend}) for backend in (one, other))
        list(agent.learn(task, 100))
        follower.load_state_dict(agent.state_dict())
        before = weights(agent)["critic.weight_0"]
        for each in (agent, follower):
            list(each.learn(task, 110))
        assert np.abs(weights(agent)["critic.weight_0"] - before).max() > 1e-4
        assert_same_weights(agent, follower, atol=1e-5)


def test_checkpoints_without_moments_are_read():
    """Runs saved before the first gradient step, when Adam's state was made with it."""
    task = resolve_task("Pendulum")
    for backend in BACKENDS:
        agent, resumed = (make_agent("sac", task, settings={**SMALL, "backend": backend}) for _ in range(2))
        list(agent.learn(task, 30))
        state = agent.state_dict()
        for name in ("policy_optimizer", "critic_optimizer"):
            state[name]["state"] = {}
        resumed.load_state_dict(state)
        for each in (agent, resumed):
            list(each.learn(task, 50))
        assert_same_weights(agent, resumed)


def test_compiled_where_it_can_be():
    assert SAC(BOXES)._compiled is not None
    assert SAC(BOXES, settings=SACSettings(backend="torch"))._compiled is None


# ------------------------------------------------------------------------------------------- learning

QUICK = {
    "hidden": (16,), "batch_size": 64, "learning_starts": 50, "buffer_size": 2000, "learning_rate": 1e-2, "tau": 0.2,
    "gamma": 0.9, "report_every": 250,
}  # fmt: skip


@pytest.mark.compiled(all=False)
@pytest.mark.parametrize("n_step", [1, 3])
def test_time_limits_are_bootstrapped_and_ends_are_not(n_step):
    """Reward 1 for ever, cut every 5 steps: Q = 1/(1 − γ) = 10, not the 4.1 of five steps; ended at once: Q = 1."""
    where, actions = np.full((3, 1), 0.5, np.float32), np.array([[-1.0], [0.0], [1.0]], np.float32)
    for name, value in (("PaidForEver", 10.0), ("PaidOnce", 1.0)):
        task = continuous(name)
        agent = make_agent("sac", task, settings={**QUICK, "entropy_coef": 0.0, "n_step": n_step})
        list(agent.learn(task, 350))
        assert np.allclose(agent.action_values(where, actions), value, atol=0.2), name


@pytest.mark.compiled(all=False)
def test_entropy_is_worth_what_it_says():
    """Where nothing but entropy can be gained the policy is uniform, H = log 2: Q = (1 + γ·α·log 2)/(1 − γ)."""
    task = continuous("PaidForEver")
    agent = make_agent("sac", task, settings={**QUICK, "entropy_coef": 0.5})
    *_, last = agent.learn(task, 750)
    expected = (1 + 0.9 * 0.5 * math.log(2)) / (1 - 0.9)
    found = agent.action_values(np.full((3, 1), 0.5, np.float32), np.array([[-0.8], [0.0], [0.8]], np.float32))
    assert np.allclose(found, expected, atol=0.5)
    # no squashed Gaussian is uniform; the nearest, of deviation 0.87 before squashing, has 0.01 nats less
    assert abs(last["entropy"] - math.log(2)) < 0.05


class Best:
    """What Homing asks for."""

    def act(self, observation):
        return np.clip(0.5 - 4 * observation, -1, 3).astype(np.float32)


@pytest.mark.slow
@pytest.mark.compiled(all=False)
def test_it_solves_a_toy():
    """Near the best return, −0.03 (a random policy: −6), with the entropy that was asked for."""
    task = continuous("Homing")
    agent = make_agent("sac", task, settings={**QUICK, "hidden": (32,)})
    *_, last = agent.learn(task, 1250)
    best = evaluate(Best(), task, 50, seed=0).mean
    assert evaluate(agent, task, 50, seed=0).mean > best - 0.03
    assert abs(last["entropy"] + 1) < 0.2


@pytest.mark.slow
def test_it_solves_pendulum():
    task = resolve_task("Pendulum")
    for seed in (0, 1):
        agent = make_agent("sac", task, seed=seed)
        list(agent.learn(task, PRESETS["sac"]["pendulum"].steps))
        assert evaluate(agent, task, 100, seed=1000 + seed).mean >= -200, seed


def test_rounds_mean_what_they_mean_elsewhere():
    """train_freq steps of every copy, then gradient_steps updates; −1: as many as steps of all copies together."""
    task = resolve_task("Pendulum")
    for steps, expected in ((3, 3 * 5), (-1, 8 * 5)):
        agent = make_agent("sac", task, settings={
            **SMALL, "num_envs": 2, "train_freq": 4, "gradient_steps": steps, "learning_starts": 40,
        })  # fmt: skip
        rows = list(agent.learn(task, 80))
        assert sum(row["updates"] for row in rows) == expected
        assert rows[-1]["steps"] == 80


def test_first_actions_are_uniform_and_held():
    task = resolve_task("Pendulum")
    agent = make_agent("sac", task, settings={**SMALL, "num_envs": 4, "learning_starts": 500, "hold_random": 5})
    list(agent.learn(task, 400))
    actions = agent.memory.state_dict()["action"][:, :, 0]  # [100, 4]
    assert np.array_equal(actions, np.repeat(actions[::5], 5, axis=0))
    assert len(np.unique(actions)) == 80
    assert abs(actions.mean()) < 0.2
    assert abs(actions.std() - 1 / math.sqrt(3)) < 0.1


def test_acting_is_what_it_says():
    task = continuous("Homing")
    greedy = make_agent("sac", task, settings=SMALL)
    drawing = make_agent("sac", task, settings={**SMALL, "greedy": False})
    seen = np.full((2000, 1), 0.3, np.float32)
    assert len(np.unique(greedy.act(seen))) == 1
    drawn = drawing.act(seen)
    assert drawn.shape == (2000, 1) and drawn.dtype == np.float32
    assert (drawn >= -1).all() and (drawn <= 3).all()
    outputs = drawing.network.actor(drawing.network.encoder(seen[:1]))
    mean, log_std = outputs.detach().chunk(2, dim=-1)
    unsquashed = np.arctanh((drawn - 1.0) / 2.0)
    assert abs(unsquashed.mean() - float(mean)) < 0.1
    assert abs(unsquashed.std() - float(log_std.exp())) < 0.1
    assert np.isclose(greedy.act(seen[:1])[0, 0], 1 + 2 * np.tanh(float(mean)), atol=1e-6)


@pytest.mark.parametrize("name", ["Pendulum-v1", "MountainCarContinuous-v0"])
def test_ordinary_environments(name):
    task = resolve_task(name)
    agent, resumed = (make_agent("sac", task, settings=SMALL) for _ in range(2))
    learning = agent.learn(task, 100)
    next(learning)
    resumed.load_state_dict(agent.state_dict())
    rows = list(resumed.learn(task, 100))  # new episodes, the old memory
    assert [row["steps"] for row in rows] == [100]
    assert np.isfinite([rows[-1][name] for name in ("critic_loss", "actor_loss", "entropy", "entropy_coef")]).all()


# ------------------------------------------------------------------------------------------- resuming


@pytest.mark.quick("4-compiled")
@pytest.mark.parametrize(("stop", "backend"), [(1, "compiled"), (4, "compiled"), (4, "torch")])  # learning starts at 2
def test_resuming_is_exact(stop, backend, tmp_path):
    """Saved at a yield, loaded into a fresh agent, continued: the same weights and memory bit for bit."""
    task = resolve_task("Pendulum")
    settings = {
        **SMALL, "num_envs": 2, "normalize_observations": True, "n_step": 3, "hold_random": 7, "learning_starts": 90,
        "buffer_size": 300, "backend": backend,
    }  # fmt: skip
    whole, resumed = assert_resuming_is_exact("sac", task, settings, 450, stop, tmp_path)
    for name in ("observation", "action", "reward", "random"):
        left, right = (agent.state_dict()["memory"][name] for agent in (resumed, whole))
        assert np.array_equal(left, right) if name != "random" else left == right
    one, other = (agent.state_dict()["policy_optimizer"]["state"]["0"]["exp_avg_sq"] for agent in (resumed, whole))
    assert np.array_equal(one, other)


def test_same_seed_same_weights():
    assert_same_seed_same_weights("sac", resolve_task("Pendulum"), SMALL, 120)


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("backend", BACKENDS)
def test_divergence_is_named(backend):
    task = resolve_task("Pendulum")
    agent = make_agent("sac", task, settings={**SMALL, "backend": backend})
    with torch.no_grad():
        agent.network.critic.weight_0[1].fill_(float("nan"))
    before = agent.state_dict()
    names = "weights critic.weight_0, gradient of critic.weight_0, gradient of critic.bias_0"
    with pytest.raises(DivergenceError, match=rf"diverged at step 41: loss nan(.|\n)*{names}"):
        list(agent.learn(task, 64))
    for name, array in before["network"].items():
        assert np.array_equal(weights(agent)[name], array, equal_nan=True), name
    assert int(agent._critic.arrays[4][0]) == int(agent._policy.arrays[4][0]) == 0
    assert not agent._critic.arrays[2].any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_policy_that_diverges_is_named(backend):
    """The second gradient step meets noise that is not a number: critics have moved twice, policy and targets once."""
    agent = SAC(BOXES, settings=SACSettings(hidden=(8,), batch_size=4, backend=backend))
    batch, noise = minibatches(1, 4)
    agent._gradient_steps(batch, noise)
    before, target = agent._policy.arrays[0].copy(), agent._target.clone()
    noise[:, 0, 2] = float("nan")
    with pytest.raises(DivergenceError, match="gradient of actor.0.weight") as raised:
        agent._gradient_steps(batch, noise)
    assert "critic" not in str(raised.value)
    assert np.array_equal(agent._policy.arrays[0], before)
    assert torch.equal(agent._target, target)
    assert [int(trained.arrays[4][0]) for trained in (agent._critic, agent._policy)] == [2, 1]


class Unbounded(gymnasium.ActionWrapper):
    def __init__(self, env, bound):
        super().__init__(env)
        self.action_space = gymnasium.spaces.Box(-bound, bound, (1,), np.float32)

    def action(self, action):
        return np.clip(action, -2, 2)


def test_unsupported_spaces_are_refused():
    with pytest.raises(
        UsageError, match=r"Discrete\(2\) of CartPole(.|\n)*continuous actions(.|\n)*train ppo CartPole"
    ):
        make_agent("sac", resolve_task("CartPole"))
    name = "inscape-test/Unbounded-v0"
    if name not in gymnasium.registry:
        gymnasium.register(name, entry_point=lambda bound: Unbounded(gymnasium.make("Pendulum-v1").unwrapped, bound))
    for bound in (np.inf, float(np.finfo(np.float32).max)):
        with pytest.raises(UsageError, match="finite bounds"):
            make_agent("sac", resolve_task(name, {"bound": bound}))


def test_wrong_settings_and_weights_are_refused():
    task = resolve_task("Pendulum")
    for settings, message in (
        ({"num_envs": 0}, "num_envs = 0"),
        ({"gradient_steps": 0}, "gradient_steps = 0"),
        ({"learning_starts": -1}, "learning_starts = -1"),
        ({"gamma": 1.1}, "gamma = 1.1"),
        ({"tau": 0.0}, "tau = 0"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"entropy_coef": -0.1}, "entropy_coef = -0.1"),
        ({"target_entropy": float("inf")}, "target_entropy = inf"),
        ({"hidden": (0,)}, "hidden = "),
        ({"buffer_size": 100, "batch_size": 256}, "batch_size = 256"),
        ({"buffer_size": 1, "batch_size": 1}, "replay memory"),
    ):
        with pytest.raises(UsageError, match=message):
            make_agent("sac", task, settings=settings)
    small, large = (make_agent("sac", task, settings={**SMALL, "hidden": (width,)}) for width in (8, 16))
    with pytest.raises(UsageError, match="do not fit"):
        large.load_state_dict(small.state_dict())
