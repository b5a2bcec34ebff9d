"""Adversarial imitation: its reward beside maximum-entropy IRL's; spaces, resuming, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inscape import make_agent, resolve_task, rollout
from inscape.errors import UsageError
from inscape.theory_of_mind import max_entropy_irl
from inscape.world_models import TabularModel
from tests.agents.worlds import Corridor
from tests.experiments.runs.storage.test_checkpoints import assert_same

SMALL = {"num_envs": 4, "num_steps": 8, "epochs": 1, "minibatches": 2, "hidden": (8,), "reward_hidden": (8,),
         "expert_episodes": 2}  # fmt: skip


def soft_policy(model: TabularModel, reward: np.ndarray, gamma: float) -> np.ndarray:
    """The maximum-entropy policy of a reward `[S, A]`: rewards that differ by shaping have the same."""
    ahead = np.where(model.probability > 0, model.probability * model.continuation, 0.0)
    values = np.zeros(model.num_states)
    for _ in range(500):
        q = np.where(model.legal, reward + gamma * np.einsum("sak,sak->sa", ahead, values[model.next_state]), -1e9)
        values = np.where(model.terminal, 0.0, np.logaddexp.reduce(q, axis=1))
    return np.asarray(np.exp(q - values[:, None]))


@pytest.mark.slow
def test_its_reward_is_that_of_maximum_entropy_up_to_shaping() -> None:
    task = resolve_task(Corridor())
    expert = make_agent("value-iteration", task, settings={"beta": 1.0, "backup": "maxent", "gamma": 0.9})
    episodes = rollout(expert, task, 300, seed=0)
    agent = make_agent(
        "airl", task, seed=0,
        settings={"reward_hidden": (), "hidden": (), "gamma": 0.9, "num_steps": 64, "epochs": 4, "minibatches": 4,
                  "learning_rate": 2e-2, "reward_learning_rate": 5e-2, "reward_batch": 2000},
    )  # fmt: skip
    agent.demonstrate(episodes)
    *_, last = agent.learn(task, 60_000)
    world, model = task.world, TabularModel.from_world(task.world)
    states = world.dynamics().states
    observations, masks = world.observe(states), world.legal_actions(states)
    going = ~model.terminal
    exact = np.exp(expert.action_log_probs(observations[going], masks[going]))
    policy = np.exp(agent.policy_log_probs(observations[going], masks[going]))
    np.testing.assert_allclose(policy, exact, atol=0.08)
    assert last["discriminator_loss"] == pytest.approx(np.log(2), abs=0.01)  # it cannot tell them apart
    reward = np.stack([agent.reward_of(observations, np.full(len(observations), a)) for a in range(3)], axis=1)
    found = soft_policy(model, reward, 0.9)[going]
    irl = np.exp(max_entropy_irl(world, episodes, np.eye(model.num_states), gamma=0.9).log_policy)[going]
    np.testing.assert_allclose(irl, exact, atol=0.04)
    np.testing.assert_allclose(found, irl, atol=0.1)


@pytest.mark.parametrize("world", ["Pendulum", "FourGoals"])
@pytest.mark.parametrize("form", ["airl", "gail"])
def test_it_goes_on_as_if_never_stopped(world: str, form: str) -> None:
    task = resolve_task(world)
    settings = {**SMALL, "expert": "random", "form": form, "reward": "state" if world == "Pendulum" else "state-action"}
    whole = make_agent("airl", task, seed=3, settings=settings)
    *_, last = whole.learn(task, 96)
    assert {"discriminator_loss", "discriminator_accuracy", "learned_reward"} <= set(last)
    first = make_agent("airl", task, seed=3, settings=settings)
    next(first.learn(task, 96))
    second = make_agent("airl", task, seed=3, settings=settings)
    second.load_state_dict(first.state_dict())
    list(second.learn(task, 96))
    assert_same(second.state_dict(), whole.state_dict())
    one = rollout("random", task, 1, seed=0)[0]
    assert second.reward_of(one.observations[:-1], one.actions).shape == (len(one),)
    if form == "airl":
        assert second.shaping_of(one.observations).shape == (len(one) + 1,)
    else:
        with pytest.raises(UsageError, match="a shaping term of gail"):
            second.shaping_of(one.observations)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "nobody to imitate"),
        ({"expert": "sac"}, "has not been trained"),
        ({"expert": "random", "form": "vail"}, "form = 'vail'|form"),
        ({"expert": "random", "reward_steps": 0}, "reward_steps = 0"),
        ({"expert": "random", "reward_hidden": (0,)}, "reward_hidden"),
    ],
)
def test_what_cannot_be_imitated_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        list(make_agent("airl", "FourGoals", settings={**SMALL, **settings}).learn(resolve_task("FourGoals"), 10))
