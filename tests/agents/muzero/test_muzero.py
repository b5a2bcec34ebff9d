"""The agent that plans in a model for search: what resuming gives, what is never done, what it refuses."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from inscape import UsageError, make_agent, rollout
from inscape.envs import resolve_task

TINY: dict[str, Any] = {
    "learning_starts": 30, "batch_size": 4, "reanalyse": 4, "num_simulations": 3, "latent": 8, "width": 8, "support": 3,
    "unroll": 2, "n_step": 2, "train_freq": 10, "gradient_steps": 1, "exploration": 1.0, "report_every": 40,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "CartPole": {"num_envs": 2, "buffer_size": 100}, "FrozenLake": {"codes": 3}, "TicTacToe": {"num_envs": 2},
}  # fmt: skip


@pytest.mark.parametrize("world", KINDS)
def test_it_goes_on_bit_for_bit(world: str) -> None:
    task, settings = resolve_task(world), {**TINY, **KINDS[world]}
    whole: Any = make_agent("muzero", task, seed=1, settings=settings)
    list(whole.learn(task, 120))
    part: Any = make_agent("muzero", task, seed=1, settings=settings)
    for report in part.learn(task, 120):  # the learning rate falls towards the end that is asked for
        if report["steps"] >= 80:
            break
    again: Any = make_agent("muzero", task, seed=1, settings=settings)
    again.load_state_dict(copy.deepcopy(part.state_dict()))
    list(again.learn(task, 120))
    one, other = whole.state_dict(), again.state_dict()
    assert whole.updates > 5
    for name, value in one["model"]["network"].items():
        assert np.array_equal(value, other["model"]["network"][name]), name
    for name, value in one["memory"].items():
        assert np.array_equal(value, other["memory"][name]), name
    assert one["rng"] == other["rng"]


def test_illegal_actions_are_never_taken_or_learned() -> None:
    task = resolve_task("TicTacToe")
    agent: Any = make_agent("muzero", task, seed=0, settings={**TINY, "num_envs": 4})
    list(agent.learn(task, 200))
    arrays, stored = agent.memory.arrays, agent.memory.stored()
    assert arrays["masks"][stored, arrays["actions"][stored]].all()
    assert (arrays["policy"][stored][~arrays["masks"][stored]] == 0.0).all()
    world = task.world
    states = world.sample_initial(16, np.random.default_rng(0))
    for _ in range(4):
        mask = world.legal_actions(states)
        log_probs = agent.action_log_probs(world.observe(states), mask)
        assert (log_probs[~mask] == -np.inf).all() and np.allclose(np.exp(log_probs).sum(axis=1), 1.0)
        states, _, _ = world.step(states, agent.act(world.observe(states), mask), np.random.default_rng(0))


def test_what_lies_beyond_the_end_of_an_episode_is_not_learned_from() -> None:
    """The loss is the same whatever the rows hold that follow an end in the ring."""
    task = resolve_task("CartPole")
    agent: Any = make_agent("muzero", task, seed=0, settings={**TINY, "unroll": 5})
    list(agent.learn(task, 80))
    for weight in agent.model.network.parameters():  # heads begin at 0
        torch.nn.init.normal_(weight, 0.0, 0.3, generator=torch.Generator().manual_seed(0))
    memory = agent.memory
    ends = np.flatnonzero(memory.arrays["kinds"] == 1)[:2]
    before, _, errors = agent.learner.loss(memory.take(ends - 1, np.ones(2), 5, 2))
    for name in ("observations", "rewards", "values"):
        for end in ends:
            memory.arrays[name][end + 1 : end + 4] += 3
    after, _, same = agent.learner.loss(memory.take(ends - 1, np.ones(2), 5, 2))
    assert before.item() == after.item() and np.array_equal(errors, same)
    memory.arrays["values"][ends - 1] += 3  # and the loss does depend on what is within: its rewards
    memory.arrays["rewards"][ends] += 3
    assert agent.learner.loss(memory.take(ends - 1, np.ones(2), 5, 2))[0].item() != before.item()


def test_remembered_steps_are_searched_again_with_what_is_observed() -> None:
    task = resolve_task("CartPole")
    agent: Any = make_agent("muzero", task, seed=0, settings={**TINY, "train_freq": 1})
    list(agent.learn(task, 60))
    arrays, rng = agent.memory.arrays, np.random.default_rng(0)
    before = arrays["policy"].copy()
    rng.bit_generator.state = agent._rng.bit_generator.state
    seen = np.zeros((1, 4), np.float32)
    found = agent._searched(seen, np.ones((1, 2), np.bool_))
    places = agent.memory.some(TINY["reanalyse"], rng)
    rows, masks = np.concatenate([seen, arrays["observations"][places]]), np.ones((1 + len(places), 2), np.bool_)
    plans = agent._search(rows, masks, agent.settings.exploration, rng)
    assert np.array_equal(found.action_probs, plans.action_probs)
    assert np.array_equal(arrays["policy"][places], plans.action_probs[1:].astype(np.float32))
    assert np.array_equal(arrays["values"][places], plans.values[1:])
    others = np.setdiff1d(np.arange(60), places)
    assert np.array_equal(arrays["policy"][others], before[others])


def test_it_acts_alike_asked_again_and_as_it_says() -> None:
    task = resolve_task("CartPole")
    agent: Any = make_agent("muzero", task, seed=0, settings=TINY)
    list(agent.learn(task, 40))
    (episode,) = rollout(agent, task, episodes=1, seed=3)
    assert np.array_equal(agent.action_log_probs(episode.observations[:-1]).argmax(axis=1), episode.actions)
    plan = agent.plan_for(episode.observations[0])
    assert plan is not None and plan.action == episode.actions[0]
    assert agent.state_values(episode.observations[0]).shape == ()


def test_values_beyond_the_classes_are_said(caplog: pytest.LogCaptureFixture) -> None:
    task = resolve_task("CartPole")  # with 1 a step, ten steps sum up to more than h⁻¹(1) ≈ 3
    agent: Any = make_agent("muzero", task, seed=0, settings={**TINY, "support": 1, "n_step": 10})
    *_, last = agent.learn(task, 60)
    assert 0.0 < last["beyond_support"] < 1.0
    assert [record.message for record in caplog.records if "--support 1" in record.message]
    agent = make_agent("muzero", task, seed=0, settings={**TINY, "support": 5, "n_step": 10})
    *_, last = agent.learn(task, 60)
    assert last["beyond_support"] == 0.0


@pytest.mark.parametrize(
    ("world", "settings", "words"),
    [
        ("Pendulum", {}, "Discrete"), ("KuhnPoker", {}, "zero_sum"), ("StagHunt", {}, "zero_sum"),
        ("CartPole", {"codes": 1}, "at least 2"), ("CartPole", {"buffer_size": 5}, "unroll and n_step"),
        ("CartPole", {"reanalyse": -1}, "0 or more"), ("CartPole", {"value_range": (1.0, 0.0)}, "lower one first"),
    ],
)  # fmt: skip
def test_what_it_cannot_do_is_refused(world: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make_agent("muzero", resolve_task(world), settings=settings)


def test_a_state_of_other_settings_is_refused() -> None:
    task = resolve_task("CartPole")
    agent: Any = make_agent("muzero", task, settings=TINY)
    other: Any = make_agent("muzero", task, settings={**TINY, "latent": 9})
    with pytest.raises(UsageError, match="same settings"):
        other.load_state_dict(agent.state_dict())


@pytest.mark.slow
@pytest.mark.compiled(all=False)
def test_it_learns_to_balance_and_to_foresee() -> None:
    task = resolve_task("CartPole")
    agent: Any = make_agent("muzero", task, seed=0)
    list(agent.learn(task, 3_000))
    episodes = rollout(agent, task, episodes=5, seed=1)
    assert np.mean([episode.total_reward for episode in episodes]) > 200  # random play: 22
    scores = agent.model.prediction_scores(episodes, horizon=5)
    assert max(scores["reward_error"]) < 0.1 and max(scores["ending_bits"]) < 0.1
