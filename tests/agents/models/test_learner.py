"""World models as runs: a model's name where an agent's stands."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from inscape import rollout, train
from inscape.agents import make_agent
from inscape.agents.learning.model_settings import ModelLearningSettings
from inscape.agents.models.collecting import Collector
from inscape.errors import UsageError
from inscape.experiments import load_agent
from inscape.world_models.interface import joined_states

QUIET = {"evaluate_every": 0, "verbose": False}


def test_a_model_is_trained_stored_and_loaded(tmp_path: Path) -> None:
    run = train("tabular", "FrozenLake", 300, seed=1, out=tmp_path / "run", concentration=0.1, **QUIET)
    agent, task = load_agent(run)
    assert agent.steps == 300 and agent.model.settings.concentration == 0.1
    assert agent.model.tried().sum() == 300
    observations = np.arange(16)
    assert (agent.action_log_probs(observations) == run.agent.action_log_probs(observations)).all()
    again = pickle.loads(pickle.dumps(agent))
    assert (again.model.tried() == agent.model.tried()).all()
    assert len(rollout(agent, task, 2, seed=0)) == 2


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("disagreement", "planning", "posterior")]


@pytest.mark.parametrize("source", ["random", "epsilon-greedy", *SLOW])
def test_going_on_from_a_state_is_going_on(source: str) -> None:
    settings = {"collect": source, "round_steps": 40, "gamma": 0.9}
    whole = make_agent("tabular", "FrozenLake", seed=3, settings=settings)
    assert [metrics["steps"] for metrics in whole.learn(whole._task, 160)][-1] == 160
    first = make_agent("tabular", "FrozenLake", seed=3, settings=settings)
    next(iter(first.learn(first._task, 160)))
    second = make_agent("tabular", "FrozenLake", seed=3, settings=settings)
    second.load_state_dict(first.state_dict())
    for _ in second.learn(second._task, 160):
        pass
    left, right = whole.model.state_dict(), second.model.state_dict()
    assert all(np.array_equal(left[name], right[name]) for name in left)


def test_recorded_episodes_are_learned_from_once_and_whole() -> None:
    episodes = rollout("random", "FrozenLake", 20, seed=0)
    total = sum(map(len, episodes))
    run = train("tabular", "FrozenLake", 10_000, data=episodes, **QUIET)
    assert run.agent.steps == total == run.agent.model.tried().sum()
    ended = sum(row[4] for row in run.agent.model.state_dict()["counts"])
    assert ended == sum(episode.terminated for episode in episodes)


def test_rounds_have_so_many_steps_exactly() -> None:
    task = make_agent("tabular", "FrozenLake")._task
    collector = Collector(task, None, ModelLearningSettings(), 0.99, 0)
    for steps in (1, 50, 333):
        episodes = collector.round(steps)
        assert sum(map(len, episodes)) == steps
        assert all(len(one.observations) == len(one) + 1 for one in episodes)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="several|players"):
        make_agent("tabular", "TicTacToe")
    with pytest.raises(UsageError, match="disagreement"):
        make_agent("context-tree", "Tiger", settings={"collect": "disagreement"})
    with pytest.raises(UsageError, match="without a model"):
        Collector(make_agent("tabular", "FrozenLake")._task, None, ModelLearningSettings("planning"), 0.99, 0)
    with pytest.raises(UsageError, match=r"observations .* in episode 0 at step"):
        train("tabular", "FrozenLake", data=rollout("random", "Taxi", 2, seed=0), **QUIET)
    with pytest.raises(UsageError, match="no agent 'tabulr'"):
        make_agent("tabulr", "FrozenLake")


def test_states_are_joined() -> None:
    assert joined_states([np.array([1]), np.array([2, 3])]).tolist() == [1, 2, 3]
    assert joined_states([(1,), (2,)]) is None
