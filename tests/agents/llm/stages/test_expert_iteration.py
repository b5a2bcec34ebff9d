"""Expert iteration: exact rounds never lose, the bound holds, sampled rounds agree with exact ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inscape import make_world
from inscape.agents.llm import LanguageModelAgent, LanguageModelSettings
from inscape.agents.llm.stages.expert_iteration import exact_round
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError
from inscape.world_models import TabularModel
from inscape.world_models.planning.dynamic_programming import policy_evaluation, value_iteration

pytest.importorskip("transformers")
GAMMA = 0.99
SMALL = LanguageModelSettings(
    hidden_size=16, layers=1, heads=2, clone_steps=0, algorithm="em", num_envs=512, group_size=1, anneal="constant"
)

MANY: Any = {"num_envs": 3000, "epochs": 200, "learning_rate": 5e-3, "clone_steps": 60, "clone_beta": 10.0}


@pytest.fixture(scope="module")
def lake() -> Task:
    return replace(resolve_task("FrozenLake"), max_episode_steps=400)


def action_values(policy: Any, world: str = "FrozenLake") -> tuple[Any, Any, float]:
    """Returns (Q, occupancy, J) of a policy `[S, A]`, by linear equations."""
    model = TabularModel.from_world(make_world(world))
    count, actions, _ = model.probability.shape
    following = np.zeros((count, actions, count))
    at = np.ix_(range(count), range(actions), range(model.probability.shape[2]))
    np.add.at(following, (at[0], at[1], model.next_state), model.probability * model.continuation)
    acting = model.legal.any(1)
    reward = (model.probability * model.reward).sum(2) * acting[:, None]
    system = np.eye(count) - GAMMA * np.einsum("sa,sat->st", policy * acting[:, None], following)
    values = np.linalg.solve(system, (policy * reward).sum(1))
    return reward + GAMMA * following @ values, np.linalg.solve(system.T, model.initial), float(model.initial @ values)


def test_exact_rounds_never_lose_and_approach_the_optimum() -> None:
    policy = np.full((16, 4), 0.25)[: len(make_world("FrozenLake").dynamics().states)]
    returns = []
    for _ in range(200):
        q, occupancy, value = action_values(policy)
        new = exact_round(policy, q)
        # Jensen's bound: log J + Σ w·log(new/old)/J, with w the occupancy times π·Q
        weight = occupancy[:, None] * policy * q
        gain = (weight * np.log(np.maximum(new, 1e-300) / policy)).sum() / value
        returns.append((value, value * np.exp(gain)))
        policy = np.maximum(new, 1e-300)
    values, bounds = np.array(returns).T
    assert (np.diff(values) >= -1e-12).all()
    assert (bounds[:-1] <= values[1:] + 1e-12).all()
    assert (bounds >= values - 1e-12).all()
    best = float(make_world("FrozenLake").dynamics().initial @ value_iteration(make_world("FrozenLake"), GAMMA).values)
    assert values[-1] > 0.99 * best


@pytest.mark.slow
def test_a_sampled_round_is_the_exact_one() -> None:
    """With many samples and a refit to the end, π becomes π·Q/V wherever it goes."""
    lake = replace(resolve_task("FrozenLake-firm"), max_episode_steps=100)
    agent = LanguageModelAgent(lake, 0, "cpu", replace(SMALL, **MANY))
    list(agent.learn(lake, 0))
    assert lake.world is not None
    dynamics = lake.world.dynamics()
    acting = dynamics.legal.any(1)
    seen = lake.world.observe(dynamics.states)
    mask = dynamics.legal | ~acting[:, None]
    before = np.exp(agent.policy_log_probs(seen, mask))
    q, occupancy, value = action_values(before, "FrozenLake-firm")
    (metrics,) = agent.learn(lake, 1)
    after = np.exp(agent.policy_log_probs(seen, mask))
    weight = acting * occupancy * (before * q).sum(1)
    often = weight > 0.05 * weight.sum()
    assert often.sum() >= 4
    expected = exact_round(before, q)
    np.testing.assert_allclose(after[often], expected[often], atol=0.1)
    apart = [float((weight[:, None] * np.abs(policy - expected)).sum()) for policy in (before, after)]
    assert apart[1] < 0.4 * apart[0]
    assert metrics["em/discounted_return"] == pytest.approx(value, abs=0.03)
    assert metrics["em/discounted_return"] < metrics["em/bound"] < action_values(after, "FrozenLake-firm")[2] + 0.03


def test_what_earned_nothing_changes_nothing() -> None:
    task = replace(resolve_task("FrozenLake"), max_episode_steps=1)
    agent = LanguageModelAgent(task, 0, "cpu", replace(SMALL, num_envs=8))
    before = agent.learner.policy.weights()
    (metrics,) = agent.learn(task, 1)
    assert metrics["em/kept"] == 0
    assert all(np.array_equal(before[name], w) for name, w in agent.learner.policy.weights().items())


def test_negative_rewards_are_refused() -> None:
    task = resolve_task("CliffWalking")
    agent = LanguageModelAgent(task, 0, "cpu", replace(SMALL, num_envs=4))
    with pytest.raises(UsageError, match="at least 0 for em"):
        list(agent.learn(task, 1))
    with pytest.raises(UsageError, match="finite numbers of at least 0"):
        exact_round(np.full(2, 0.5), np.array([np.nan, 1.0]))


def test_a_resumed_training_ends_with_the_same_weights(lake: Task) -> None:
    whole, resumed = (LanguageModelAgent(lake, 0, "cpu", replace(SMALL, num_envs=32)) for _ in range(2))
    states = [whole.state_dict() for _ in whole.learn(lake, 600)]
    assert len(states) > 1
    resumed.load_state_dict(states[0])
    list(resumed.learn(lake, 600))
    for name, weights in whole.learner.policy.weights().items():
        assert weights.tobytes() == resumed.learner.policy.weights()[name].tobytes()


def test_values_agree_with_policy_evaluation() -> None:
    world = make_world("FrozenLake")
    states = len(world.dynamics().states)
    policy = np.random.default_rng(0).dirichlet(np.ones(4), states)
    assert action_values(policy)[2] == pytest.approx(
        float(world.dynamics().initial @ policy_evaluation(world, policy, GAMMA)), abs=1e-9
    )
