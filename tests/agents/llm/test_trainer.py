"""A way of training is a file: what a trainer has to be, and what it gets from the agent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from inscape.agents.learning.normalization import standardised
from inscape.agents.llm import LanguageModelAgent, LanguageModelSettings
from inscape.agents.llm.cloning import Cloning
from inscape.agents.llm.reinforcement.ppo import PPO
from inscape.agents.llm.reinforcement.rollouts import Rollouts
from inscape.agents.llm.scoring import masked_log_softmax
from inscape.agents.llm.trainer import LanguageLearner, Trainer
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task

torch.set_num_threads(1)
pytest.importorskip("transformers")


class PolicyGradient:
    """REINFORCE on fresh environments in each round: the smallest trainer by reinforcement."""

    def __init__(self, learner: LanguageLearner) -> None:
        self.learner, self.rounds = learner, 0

    def train(self, task: Task, steps: int) -> Iterator[dict[str, float]]:
        learner = self.learner
        while learner.steps < steps:
            rollouts = Rollouts(learner, task)
            rollouts.start(None)
            batch = rollouts.collect(learner.settings.num_steps)
            rollouts.close()
            scores, _ = learner.policy(batch.prompts)
            log_probs = masked_log_softmax(scores[learner.tensor(batch.rows)], learner.tensor(batch.masks))
            taken = log_probs.gather(1, learner.tensor(batch.actions)[:, None])[:, 0]
            learner.descend(-(learner.tensor(batch.advantages) * taken).mean())
            learner.steps += len(batch.rows)
            self.rounds += 1
            yield {"steps": float(learner.steps), "policy_gradient/rounds": float(self.rounds)}

    def state_dict(self) -> dict[str, Any]:
        return {"rounds": self.rounds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rounds = int(state["rounds"])


def made(task: Task) -> LanguageModelAgent:
    settings = LanguageModelSettings(
        hidden_size=16, layers=1, heads=2, clone_steps=30, clone_episodes=2, num_envs=8, num_steps=16
    )
    agent = LanguageModelAgent(task, 0, "cpu", settings)
    agent.trainers = (agent.trainers[0], PolicyGradient(agent.learner))
    return agent


@pytest.mark.quick("3")
@pytest.mark.parametrize("stop", [1, 3])  # within cloning, within the new stage
def test_another_trainer_takes_a_stage_and_resumes_bit_for_bit(stop: int) -> None:
    task = resolve_task("FrozenLake")
    whole, half, resumed = made(task), made(task), made(task)
    expected = list(whole.learn(task, 384))
    assert [m.get("policy_gradient/rounds") for m in expected] == [None, None, 1.0, 2.0, 3.0]
    learning = half.learn(task, 384)
    for _ in range(stop):
        next(learning)
    resumed.load_state_dict(half.state_dict())
    assert list(resumed.learn(task, 384))[-1] == expected[-1]
    for name, weight in whole.policy.weights().items():
        assert np.array_equal(weight, resumed.policy.weights()[name]), name


def test_states_of_learner_and_trainers_share_no_name() -> None:
    learner = LanguageModelAgent(resolve_task("FrozenLake"), settings=LanguageModelSettings(hidden_size=16)).learner
    trainers: tuple[Trainer, ...] = (Cloning(learner), PPO(learner))
    names = [name for part in (learner, *trainers) for name in part.state_dict()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("reward", [{"goal_reward": 0.0}, {"goal_reward": 0.0, "slip": 0.0}])
def test_learning_without_any_reward_leaves_the_policy_where_it_was(reward: dict[str, float]) -> None:
    task, everywhere = resolve_task("FrozenLake", reward), np.arange(16)
    for seed in range(2):
        settings = LanguageModelSettings(
            hidden_size=16, layers=1, heads=2, clone_steps=0, num_envs=8, num_steps=8, entropy_coef=0.0
        )
        agent = LanguageModelAgent(task, seed, "cpu", settings)
        before = agent.policy_log_probs(everywhere)
        assert list(agent.learn(task, 256))
        np.testing.assert_array_equal(agent.policy_log_probs(everywhere), before)


@pytest.mark.parametrize("level", [0.0, 1.0, -3.5, 1e-3, 7.0, 1e6, -1e6, 1e-20, 0.1, 123.456])
def test_a_spread_of_rounding_is_no_advantage(level: float) -> None:
    noise = 1.0 + 1e-8 * np.random.default_rng(0).normal(size=64)
    np.testing.assert_array_equal(standardised(level * noise), 0.0)
    signal = level + np.arange(64.0) * max(1.0, abs(level)) * 1e-3
    found = standardised(signal)
    assert found.mean() == pytest.approx(0.0, abs=1e-6)
    assert found.std() == pytest.approx(1.0, rel=1e-4)
