"""Learning without a value head: advantages of groups, the tallied surrogate, what is penalised, and resuming."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from inscape import make_agent, resolve_task
from inscape.agents.llm import LanguageModelAgent, LanguageModelSettings
from inscape.agents.llm.reinforcement.advantages import group_advantages, returns_to_go
from inscape.agents.llm.reinforcement.episodes import GroupPlay
from inscape.agents.llm.reinforcement.reference import estimates, exact_kl, reference_of
from inscape.agents.llm.reinforcement.tally import tally
from inscape.agents.llm.scoring import log_softmax, masked_log_softmax
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError

torch.set_num_threads(1)
pytest.importorskip("transformers")

QUICK = LanguageModelSettings(
    hidden_size=16, layers=1, heads=2, clone_steps=0, num_envs=8, group_size=4, epochs=2, algorithm="rloo"
)


@pytest.fixture(scope="module")
def lake() -> Task:
    return replace(resolve_task("FrozenLake"), max_episode_steps=40)


def made(task: Task, **settings: Any) -> LanguageModelAgent:
    return LanguageModelAgent(task, 0, "cpu", replace(QUICK, **settings))


# --------------------------------------------------------------------------------------------------------- advantages


def test_a_group_is_compared_with_itself() -> None:
    returns, groups = np.array([1.0, 0.0, 3.0, 3.0, 3.0]), np.array([7, 7, 2, 2, 2])
    np.testing.assert_allclose(group_advantages(returns, groups, "grpo"), [0.5, -0.5, 0, 0, 0])
    np.testing.assert_allclose(group_advantages(returns, groups, "rloo"), [1.0, -1.0, 0, 0, 0])
    np.testing.assert_allclose(group_advantages(returns, groups, "grpo", scale=True), [1.0, -1.0, 0, 0, 0])
    np.testing.assert_allclose(group_advantages(returns, groups, "reinforce"), returns - 2.0)


def test_leave_one_out_by_the_mean_of_the_others() -> None:
    rng = np.random.default_rng(0)
    returns, groups = rng.normal(size=30), rng.integers(0, 6, 30)
    expected = []
    for i in range(30):
        others = np.delete(returns, i)[np.delete(groups, i) == groups[i]]
        expected.append(returns[i] - others.mean() if len(others) else 0.0)
    np.testing.assert_allclose(group_advantages(returns, groups, "rloo"), expected, atol=1e-12)


def test_rounding_is_no_signal() -> None:
    returns = np.array([0.3, 0.1 + 0.2, 0.3])
    assert not group_advantages(returns, np.zeros(3, np.int64), "grpo", scale=True).any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_missing_reward_is_named(wrong: float) -> None:
    with pytest.raises(UsageError, match=r"return 1 is"):
        group_advantages(np.array([0.0, wrong]), np.zeros(2, np.int64))


def test_returns_to_go_stop_at_the_end() -> None:
    rewards = np.array([[1.0, 1.0], [2.0, 5.0], [4.0, 5.0]])
    np.testing.assert_allclose(returns_to_go(rewards, np.array([3, 1]), 0.5), [[3.0, 1.0], [4.0, 0.0], [4.0, 0.0]])


# ---------------------------------------------------------------------------------------------------------- surrogate


def test_tallied_samples_give_the_loss_and_gradient_of_samples() -> None:
    """PPO's surrogate, added up by prompt, mask and action, against the mean over samples."""
    rng = np.random.default_rng(1)
    rows, count = rng.integers(0, 5, 400), 400
    masks = rng.random((7, 4)) < 0.7
    masks[:, 0] = True
    masks = masks[rng.integers(0, 7, count)]
    scores = rng.normal(size=(5, 4)).astype(np.float32)
    old = log_softmax(scores[rows], masks)
    actions = np.array([rng.choice(4, p=np.exp(row)) for row in old])
    advantages = rng.normal(size=count)
    counted = tally(rows, masks, actions, advantages, scores)
    assert counted.samples == count
    assert len(counted.rows) < count / 2
    now = torch.tensor(scores + rng.normal(size=(5, 4)) * 0.3, requires_grad=True)
    new = masked_log_softmax(now[torch.tensor(rows)], torch.tensor(masks))[torch.arange(count), torch.tensor(actions)]
    ratio, gain = (new - torch.tensor(old[np.arange(count), actions])).exp(), torch.tensor(advantages)
    by_sample = torch.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain).sum()
    log_probs = masked_log_softmax(now[torch.tensor(counted.rows)], torch.tensor(counted.masks))
    many = (log_probs - torch.tensor(counted.old)).masked_fill(~torch.tensor(counted.masks), 0.0).exp()
    by_tally = (
        many.clamp_max(1.2) * torch.tensor(counted.gains) + many.clamp_min(0.8) * torch.tensor(counted.losses)
    ).sum()
    gradients = [torch.autograd.grad(loss, now, retain_graph=True)[0] for loss in (by_sample, by_tally)]
    torch.testing.assert_close(by_tally, by_sample)
    torch.testing.assert_close(*gradients)


def test_every_sample_is_in_one_minibatch() -> None:
    rng = np.random.default_rng(2)
    rows = rng.integers(0, 9, 50)
    counted = tally(rows, np.ones((50, 3), bool), rng.integers(0, 3, 50), np.ones(50), np.zeros((9, 3)))
    batches = counted.batches(4, rng)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(counted.rows)))
    assert all(len(np.unique(counted.rows[batch])) <= 4 for batch in batches)


@pytest.mark.parametrize("algorithm", ["ppo", "grpo", "gigpo", "reinforce"])
def test_the_first_minibatch_has_ratio_one_and_no_divergence(lake: Task, algorithm: Any) -> None:
    agent = made(lake, algorithm=algorithm, epochs=1, kl_coef=0.1, prompts_per_batch=64)
    metrics = next(m for m in agent.learn(lake, 1) if f"{algorithm}/ratio_gap" in m)
    assert metrics[f"{algorithm}/ratio_gap"] < 1e-5
    assert abs(metrics[f"{algorithm}/kl_to_reference"]) < 1e-5


# --------------------------------------------------------------------------------------------------------- divergence


def test_estimators_have_the_divergence_as_their_mean_and_k2_its_gradient() -> None:
    logits = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    near = torch.tensor([0.2, 0.1, 0.0], dtype=torch.float64).log_softmax(0)
    log_probs = logits.log_softmax(0)
    probabilities = log_probs.exp().detach()
    exact = (log_probs.exp() * (log_probs - near)).sum()
    assert exact.item() == pytest.approx(float(exact_kl(log_probs.detach().numpy(), near.numpy())))
    means = {name: (probabilities * estimates(log_probs - near, name)).sum() for name in ("k1", "k2", "k3")}
    gradient = {name: torch.autograd.grad(mean, logits, retain_graph=True)[0] for name, mean in means.items()}
    assert means["k1"].item() == pytest.approx(exact.item())
    assert means["k3"].item() == pytest.approx(exact.item())
    torch.testing.assert_close(gradient["k2"], torch.autograd.grad(exact, logits)[0])
    torch.testing.assert_close(gradient["k1"], torch.zeros(3, dtype=torch.float64))


def test_charges_are_part_of_the_return_and_not_of_what_is_reported(lake: Task) -> None:
    """The exact divergence and the log ratio have the same mean; no reward of the environment changes."""
    totals = {}
    for estimator in ("exact", "k1"):
        agent = made(lake, kl_coef=1.0, kl_in="reward", kl_reference="uniform", kl_estimator=estimator, num_envs=128)
        play = GroupPlay(agent.learner, lake, reference_of(agent.learner))
        episodes = play.collect(0)
        play.close()
        assert episodes.rewards.sum() == (episodes.rewards > 0).sum()
        totals[estimator] = episodes.charged[episodes.charged != 0].mean(), episodes.charged.std()
    assert totals["exact"][0] == pytest.approx(totals["k1"][0], abs=0.03)
    assert totals["exact"][1] < totals["k1"][1]


# ------------------------------------------------------------------------------------------------------------- groups


def test_a_group_begins_in_one_state_and_parts(lake: Task) -> None:
    task = replace(resolve_task("FourRooms"), max_episode_steps=3)
    agent = made(task, num_envs=24, group_size=8)
    play = GroupPlay(agent.learner, task, None)
    episodes = play.collect(0)
    again, other = play.collect(0), play.collect(1)
    play.close()
    first = episodes.anchors[episodes.time == 0].reshape(3, 8)
    assert (first == first[:, :1]).all()
    assert len(np.unique(first)) > 1
    later = episodes.anchors[episodes.time == 2]
    assert len(np.unique(later)) > len(np.unique(first))
    assert again.prompts[again.rows[0]] == episodes.prompts[episodes.rows[0]]  # the same round starts alike
    assert [other.prompts[r] for r in other.rows[:24]] != [episodes.prompts[r] for r in episodes.rows[:24]]


def test_an_environment_without_a_law_is_played_in_groups() -> None:
    task = replace(resolve_task("CliffWalking-v1"), max_episode_steps=5)
    agent = made(task, num_envs=4, group_size=2, hidden_size=8)
    last = list(agent.learn(task, 20))[-1]
    assert last["rloo/truncated"] > 0
    assert agent.learner.steps >= 20


@pytest.mark.parametrize("settings", [{"kl_coef": 0.05, "kl_in": "reward"}, {"algorithm": "gigpo", "kl_coef": 0.05}])
def test_a_resumed_training_ends_with_the_same_weights(lake: Task, settings: dict[str, Any]) -> None:
    whole = made(lake, **settings)
    states = []
    for _ in whole.learn(lake, 600):
        states.append(whole.state_dict())
    assert len(states) > 2
    resumed = made(lake, **settings)
    resumed.load_state_dict(states[1])
    for _ in resumed.learn(lake, 600):
        pass
    for name, weights in whole.learner.policy.weights().items():
        assert weights.tobytes() == resumed.learner.policy.weights()[name].tobytes()


def test_it_learns_the_better_of_two_actions() -> None:
    task = replace(resolve_task("RiverSwim"), max_episode_steps=20)
    agent = made(task, num_envs=32, group_size=32, learning_rate=1e-2)
    returns = [m["train/return_mean"] for m in agent.learn(task, 20_000)]
    assert returns[-1] > 2 * returns[0]


# ---------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group_size": 1}, "a group_size of 1 for rloo"),
        ({"num_envs": 10}, "num_envs 10 in groups of 4"),
        ({"kl_in": "reward", "kl_estimator": "k3"}, "in the reward"),
        ({"kl_coef": 0.1, "kl_estimator": "k1"}, "whose gradient has mean 0"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(QUICK, **settings)


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(UsageError, match="algorithm"):
        make_agent("llm", resolve_task("FrozenLake"), settings={"algorithm": "trpo"})
