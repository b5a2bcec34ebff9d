"""Agents that plan sequences of actions."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from inscape.agents.presets import PRESETS
from inscape.agents.registry import default_settings, make_agent
from inscape.agents.rollout import rollout
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import MissingLawError, PartialObservationError, UsageError
from inscape.world_models import BeliefModel, KnownModel
from inscape.world_models.planning.interface import Plan

AGENTS = ("cem", "icem", "mppi", "random-shooting")
WORLDS = ("CartPole", "CartPoleSwingUp", "Pendulum", "MountainCar", "MountainCarContinuous", "Acrobot")
SMALL = {"horizon": 4, "population": 12}


def small(name: str, **settings: Any) -> dict[str, Any]:
    return SMALL | ({"elites": 4} if name in ("cem", "icem") else {}) | settings


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", AGENTS)
def test_acts_in_every_control_world(name, world):
    task = resolve_task(world, max_episode_steps=3)
    episodes = rollout(make_agent(name, task, settings=small(name)), task, 2, seed=1)
    assert [len(episode) for episode in episodes] == [3, 3]
    assert all(task.action_space.contains(action) for action in episodes[0].actions)
    settings, preset = default_settings(name, task)
    assert preset is not None and settings.horizon == preset.settings["horizon"]


@pytest.mark.parametrize("name", AGENTS)
def test_a_row_acts_as_alone_and_remembers_its_own_plan(name):
    task = resolve_task("Pendulum")
    agent = make_agent(name, task, seed=3, settings=small(name))
    observations = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    first, memory = agent.act_with_memory(observations, agent.initial_memory(3), np.zeros(3))
    assert first.dtype == np.float32
    assert np.array_equal(first, agent.act(observations))
    second, _ = agent.act_with_memory(observations, memory, np.zeros(3))
    for b in range(3):
        alone, _ = agent.act_with_memory(observations[b : b + 1], memory[b : b + 1], np.zeros(1))
        assert np.array_equal(alone[0], second[b])
    assert not np.array_equal(second, first)  # it goes on from its plan
    other = make_agent(name, task, seed=4, settings=small(name))
    assert not np.array_equal(other.act(observations), first)
    other.load_state_dict(agent.state_dict())
    for same in (other, pickle.loads(pickle.dumps(agent))):
        assert np.array_equal(same.act_with_memory(observations, memory, np.zeros(3))[0], second)
    plan = agent.plan_for(observations[0])
    assert isinstance(plan, Plan) and plan.action == pytest.approx(first[0])


def test_a_plan_begins_anew_with_each_episode():
    task = resolve_task("Pendulum", max_episode_steps=3)
    agent = make_agent("icem", task, settings=small("icem"))
    alone = [rollout(agent, task, 1, seed=seed)[0].actions for seed in (0,)]
    several = [episode.actions for episode in rollout(agent, task, 3, seed=0)]
    assert np.array_equal(alone[0], several[0])


def test_better_than_random_on_pendulum():
    task = resolve_task("Pendulum", {"start_angle": 0.3}, max_episode_steps=25)
    agent = make_agent("icem", task, settings={"horizon": 12, "population": 20, "iterations": 2, "elites": 4})
    found, floor = (
        np.mean([episode.total_reward for episode in rollout(each, task, 2, seed=0)])
        for each in (agent, make_agent("random", task))
    )
    assert found > 0.5 * floor  # costs


def test_any_model_and_a_value_at_the_horizon():
    task = resolve_task("MountainCar")
    asked = []

    def evaluate_at(states: Any) -> Any:
        asked.append(len(states))
        return task.world.observe(states)[:, 0] * 100.0, None  # further right is better

    agent = make_agent("cem", task, settings=small("cem", horizon=8))
    agent = type(agent)(task, 0, agent.settings, KnownModel(task.world), evaluate_at)
    assert agent.act(np.array([[-0.3, 0.03]], np.float32)).tolist() == [2]
    assert asked and agent.plan_for(np.array([0.55, 0.0], np.float32)) is None  # the end


@pytest.mark.parametrize("name", AGENTS)
def test_what_it_cannot_plan_in_is_refused(name):
    with pytest.raises(UsageError, match="several players"):
        make_agent(name, resolve_task("TicTacToe"))
    with pytest.raises(MissingLawError):
        make_agent(name, resolve_task("Blackjack-v1"))
    tiger = resolve_task("Tiger")
    with pytest.raises(PartialObservationError):
        make_agent(name, tiger, settings=small(name)).act(
            tiger.world.observe(tiger.world.sample_initial(1, np.random.default_rng(0)))
        )
    kind = type(make_agent(name, tiger))
    with pytest.raises(UsageError, match="takes an observation for the state"):
        kind(tiger, model=BeliefModel.from_world(tiger.world))
    with pytest.raises(UsageError, match="horizon"):
        make_agent(name, resolve_task("CartPole"), settings={"horizon": 0})


def test_presets_name_settings_the_agents_have():
    for name in AGENTS:
        assert set(PRESETS[name]) == {world.lower() for world in WORLDS}
        for preset in PRESETS[name].values():
            make_agent(name, resolve_task("CartPole"), settings=dict(preset.settings))
