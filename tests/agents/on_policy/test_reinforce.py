from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

from inscape.agents.on_policy.reinforce import mean_of_others
from inscape.agents.registry import make_agent
from inscape.agents.rollout import evaluate
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models.networks.finite_checks import DivergenceError
from tests.agents.conftest import WORLDS
from tests.agents.exactness import assert_resuming_is_exact, assert_same_seed_same_weights, weights

SMALL = {"num_envs": 4, "hidden": (8,)}
BASELINES = ("none", "mean", "value")


@pytest.fixture(scope="module")
def two_steps():
    return resolve_task(f"{WORLDS}:TwoSteps")


def policy_gradient(agent):
    return np.concatenate([p.grad.numpy().reshape(-1).astype(np.float64) for p in agent.network.policy_parameters()])


# ------------------------------------------------------------------------------------------- the gradient


def exact_gradient(agent):
    """−∇J of the two-step world, J = Σ_a π(a|0)·(r + γ·Σ_b π(b|1 + a)·r′), by going through all four episodes."""
    network, gamma = agent.network, agent.settings.gamma
    log_probs = network.outputs(network.encoder(np.array([[0], [1], [2]])), None).log_softmax(dim=-1)
    chance, last = log_probs.exp(), torch.tensor([[2.0, -1.0], [0.0, 3.0]])
    first = torch.tensor([1.0, 0.0])
    value = (chance[0] * (first + gamma * (chance[1:] * last).sum(dim=1))).sum()
    network.zero_grad()
    (-value).backward()
    return policy_gradient(agent)


@pytest.mark.quick("mean")
@pytest.mark.parametrize("baseline", BASELINES)
def test_the_estimate_is_unbiased(baseline, two_steps):
    """The mean of 200 estimates from 50 episodes each, within 4.5 standard errors of the exact gradient in each of its
    58 entries."""
    agent = make_agent("reinforce", two_steps, seed=3, settings={
        "num_envs": 50, "baseline": baseline, "gamma": 0.5, "hidden": (8,), "learning_rate": 0.05,
    })  # fmt: skip
    list(agent.learn(two_steps, 100 * 10))  # away from the symmetric start, and V is worth something
    exact = exact_gradient(agent)
    estimates = []
    for _ in range(200):
        agent._policy_gradient(agent._play(agent._copies))
        estimates.append(policy_gradient(agent))
    mean, error = np.mean(estimates, axis=0), np.std(estimates, axis=0, ddof=1) / np.sqrt(len(estimates))
    unseen = error == 0.0  # inputs never on: the end of the world is not acted in
    assert np.array_equal(mean[unseen], exact[unseen])
    assert np.linalg.norm(error) < 0.2 * np.linalg.norm(exact)
    assert (np.abs(mean - exact)[~unseen] < 4.5 * error[~unseen]).all()


@pytest.mark.slow
def test_a_baseline_makes_the_estimate_less_noisy(two_steps):
    noise = {}
    for baseline in BASELINES:
        agent = make_agent("reinforce", two_steps, seed=3, settings={
            "num_envs": 20, "baseline": baseline, "gamma": 0.5, "hidden": (8,), "learning_rate": 1e-9,
        })  # fmt: skip
        list(agent.learn(two_steps, 40 * 20))
        estimates = []
        for _ in range(100):
            agent._policy_gradient(agent._play(agent._copies))
            estimates.append(policy_gradient(agent))
        noise[baseline] = np.var(estimates, axis=0).sum()
    assert noise["value"] < 0.8 * noise["none"]
    assert noise["mean"] < 0.9 * noise["none"]


def test_the_mean_leaves_the_own_episode_out():
    """Episodes of 3, 1 and 2 steps; at step 2 nobody else is left, so all that the others earned stands in."""
    copy, step = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 2, 0, 0, 1])
    returns = np.array([1.0, 2.0, 3.0, 10.0, 100.0, 200.0])
    expected = [(10 + 100) / 2, 200, (10 + 100 + 200) / 3, (1 + 100) / 2, (1 + 10) / 2, 2]
    assert mean_of_others(returns, step, copy) == pytest.approx(expected)


def test_returns_and_weights_by_hand(two_steps):
    """G_0 = r + γ·r′, G_1 = r′; the weight of the second step is γ·G_1, or G_1 where states are not discounted."""
    for discounted in (True, False):
        agent = make_agent("reinforce", two_steps, settings={
            **SMALL, "baseline": "none", "gamma": 0.5, "discount_states": discounted,
        })  # fmt: skip
        next(agent.learn(two_steps, 8))
        episodes = agent._play(agent._copies)
        first, second = episodes.actions.numpy().reshape(4, 2).T
        last = np.where(first == 0, 2 - 3 * second, 3 * second)
        assert episodes.returns.reshape(4, 2) == pytest.approx(np.stack([1 - first + 0.5 * last, last], axis=1))
        agent._policy_gradient(episodes)
        found = policy_gradient(agent)
        outputs = agent.network.outputs(episodes.features, None).log_softmax(dim=-1)
        chosen = outputs.gather(1, episodes.actions[:, None])[:, 0].reshape(4, 2)
        weight = torch.tensor([1.0, 0.5 if discounted else 1.0]) * torch.tensor(episodes.returns.reshape(4, 2)).float()
        agent.network.zero_grad()
        (-(weight * chosen).sum() / 4).backward()
        assert np.allclose(policy_gradient(agent), found, atol=1e-6)


# ------------------------------------------------------------------------------------------- episodes


def test_time_limits_bootstrap_where_a_value_is_learned(forever):
    """Reward 1 for ever, cut after 10 steps: V = 1/(1 − γ) = 10. Without a value, returns are those of the 10 steps."""
    agent = make_agent("reinforce", forever, settings={
        "num_envs": 16, "gamma": 0.9, "value_learning_rate": 3e-2, "value_steps": 20, "hidden": (8,),
    })  # fmt: skip
    list(agent.learn(forever, 160 * 60))
    assert np.allclose(agent.state_values(np.array([[0], [1]])), 10.0, atol=0.4)
    plain = make_agent("reinforce", forever, settings={**SMALL, "gamma": 0.9, "baseline": "none"})
    next(plain.learn(forever, 40))
    returns = plain._play(plain._copies).returns.reshape(4, 10)
    assert np.allclose(returns, (1 - 0.9 ** np.arange(10, 0, -1)) / 0.1)
    with pytest.raises(UsageError, match="baseline 'none'"):
        plain.state_values(np.zeros((1, 1)))


def test_each_copy_gives_its_first_whole_episode():
    """CartPole pays 1 a step: G_t with γ = 1 counts the steps that are left of the copy's own episode."""
    task = resolve_task("CartPole")
    agent = make_agent("reinforce", task, settings={**SMALL, "num_envs": 6, "gamma": 1.0, "baseline": "none"})
    rows = list(agent.learn(task, 1))
    for _ in range(3):
        episodes = agent._play(agent._copies)
        lengths = np.bincount(episodes.copy, minlength=6)
        assert (lengths > 5).all()
        assert len(set(lengths)) > 1
        assert episodes.taken == 6 * lengths.max()
        assert np.array_equal(episodes.returns, lengths[episodes.copy] - episodes.step)
        assert np.array_equal(np.bincount(episodes.step, minlength=1)[0], 6)
        assert episodes.metrics["episode_length"] == lengths.mean()
    assert rows[0]["steps"] % 6 == 0


def test_long_episodes_are_cut():
    task = resolve_task("CartPole")
    agent = make_agent("reinforce", task, settings={**SMALL, "longest_episode": 5, "gamma": 1.0})
    next(agent.learn(task, 1))
    episodes = agent._play(agent._copies)
    assert episodes.taken == 20
    # V of the last observation stands for the rest of each
    tails = episodes.returns.reshape(4, 5)[:, -1] - 1.0
    assert (tails != 0).all()


@pytest.mark.quick("none")
@pytest.mark.parametrize("baseline", BASELINES)
def test_it_solves_a_toy_with_masks(baseline, corridor):
    agent = make_agent("reinforce", corridor, settings={
        "num_envs": 16, "baseline": baseline, "learning_rate": 2e-2, "hidden": (16,), "gamma": 0.9,
    })  # fmt: skip
    rows = list(agent.learn(corridor, 8000))
    assert evaluate(agent, corridor, 5, seed=0).lengths.tolist() == [3] * 5
    assert rows[-1]["episode_length"] < 8
    mask = np.array([[True, False, False], [False, True, True]])
    log_probs = agent.policy_log_probs(np.array([[1], [2]]), mask)
    assert np.isneginf(log_probs[~mask]).all()
    assert np.allclose(np.exp(log_probs).sum(axis=1), 1.0)
    assert agent.act(np.array([[1], [2]]), mask)[0] == 0


@pytest.mark.slow
def test_it_solves_cartpole_on_most_seeds():
    task = resolve_task("CartPole")
    scores = []
    for seed in range(5):
        agent = make_agent("reinforce", task, seed=seed)
        list(agent.learn(task, 200_000))
        scores.append(evaluate(agent, task, 100, seed=1000 + seed).mean)
    assert np.sum(np.array(scores) >= 475) >= 4, scores


class TwoNumbers(gymnasium.Env):
    """Pays 1 where the two numbers chosen are 1 and 2; one step long."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (1,))
    action_space = gymnasium.spaces.MultiDiscrete([2, 3])

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), float(tuple(action) == (1, 2)), True, False, {}


class Centre(TwoNumbers):
    """Pays −a² for the number a chosen, whose mean starts at 0.5 off the right one."""

    action_space = gymnasium.spaces.Box(-1.0, 2.0, (1,))

    def step(self, action):
        return np.zeros(1, np.float32), -float(action[0] ** 2), True, False, {}


def own_task(cls):
    name = f"inscape-test/{cls.__name__}-v0"
    if name not in gymnasium.registry:
        gymnasium.register(name, entry_point=cls)
    return resolve_task(name)


@pytest.mark.slow
def test_multi_discrete_and_continuous_actions_of_ordinary_environments():
    task = own_task(TwoNumbers)
    agent = make_agent("reinforce", task, settings={"num_envs": 16, "learning_rate": 3e-2, "hidden": (8,)})
    list(agent.learn(task, 16 * 60))
    assert agent.act(np.zeros((3, 1), np.float32)).tolist() == [[1, 2]] * 3
    task = own_task(Centre)
    agent = make_agent("reinforce", task, settings={"num_envs": 16, "learning_rate": 3e-2, "hidden": (8,)})
    rows = list(agent.learn(task, 16 * 100))
    assert abs(agent.act(np.zeros((1, 1), np.float32))[0, 0]) < 0.2
    assert rows[-1]["entropy"] < rows[0]["entropy"]
    with pytest.raises(UsageError, match="Discrete actions"):
        agent.action_log_probs(np.zeros((1, 1)))


@pytest.mark.slow
def test_entropy_is_kept_up(two_steps):
    agents = [
        make_agent("reinforce", two_steps, settings={**SMALL, "learning_rate": 5e-2, "entropy_coef": coef})
        for coef in (0.0, 10.0)
    ]
    entropies = [list(agent.learn(two_steps, 8 * 60))[-1]["entropy"] for agent in agents]
    assert entropies[0] < 0.4
    assert entropies[1] > 0.6  # of ln 2 = 0.69


def test_the_bonus_is_no_part_of_the_policy_loss_reported(two_steps):
    """The same first episodes: the same loss, and gradients that differ by the bonus's."""
    plain, with_bonus = (
        make_agent("reinforce", two_steps, seed=4, settings={**SMALL, "entropy_coef": coef}) for coef in (0.0, 10.0)
    )
    rows = [next(agent.learn(two_steps, 8)) for agent in (plain, with_bonus)]
    assert rows[0]["policy_loss"] == rows[1]["policy_loss"] != 0.0
    assert rows[0]["gradient_norm"] != rows[1]["gradient_norm"]


# ------------------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize(("name", "baseline"), [("CartPole", "value"), ("corridor", "mean")])
def test_resuming_is_exact(name, baseline, corridor, tmp_path):
    """Saved at a yield, loaded into a fresh agent, continued: the same weights bit for bit."""
    task = corridor if name == "corridor" else resolve_task(name)
    settings = {**SMALL, "normalize_observations": True, "baseline": baseline}
    whole, resumed = assert_resuming_is_exact("reinforce", task, settings, 700, stop=3, folder=tmp_path)
    assert np.array_equal(resumed.state_dict()["copies"]["env"]["ints"], whole.state_dict()["copies"]["env"]["ints"])


def test_same_seed_same_weights(two_steps):
    assert_same_seed_same_weights("reinforce", two_steps, SMALL, 80)


# ------------------------------------------------------------------------------------------- refusals


def test_divergence_is_named(two_steps):
    for part in ("policy", "baseline"):
        agent = make_agent("reinforce", two_steps, settings=SMALL)
        with torch.no_grad():
            getattr(agent.network, part)[0].weight.fill_(float("nan"))
        before = weights(agent)
        with pytest.raises(DivergenceError, match=rf"diverged at step 0(.|\n)*weights {part}.0.weight"):
            list(agent.learn(two_steps, 8))
        assert np.array_equal(weights(agent)["policy.2.weight"], before["policy.2.weight"])


def test_wrong_settings_are_refused(two_steps):
    for settings, message in (
        ({"num_envs": 0}, "num_envs = 0"),
        ({"gamma": 1.1}, "gamma = 1.1"),
        ({"learning_rate": 0.0}, "learning_rate = 0"),
        ({"hidden": (0,)}, "hidden = "),
        ({"baseline": "median"}, "median"),
        ({"baseline": "mean", "num_envs": 1}, "other copies"),
        ({"entropy_coef": -1.0}, "entropy_coef = -1"),
        ({"max_grad_norm": 0.0}, "max_grad_norm = 0"),
    ):
        with pytest.raises(UsageError, match=message):
            make_agent("reinforce", two_steps, settings=settings)
