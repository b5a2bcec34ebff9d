"""A world, its class or an environment is taken wherever the name of a world is; an agent wherever an agent's is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import numpy as np
import pytest

import inscape
from inscape.agents import (
    A2C,
    DQN,
    MCTS,
    PPO,
    EnvRunner,
    LawVecEnv,
    QLearning,
    RandomAgent,
    ValueIterationAgent,
    as_sb3_policy,
    default_settings,
    default_steps,
    evaluate_players,
    make_agent,
)
from inscape.errors import UsageError
from inscape.experiments import check, exact_value, watch
from inscape.world_models import LearnedTabularModel
from tests.experiments.verbs.test_verbs import Rightward, Walk

WORLDS = {
    "name": "FrozenLake",
    "world": inscape.make_world("FrozenLake"),
    "environment": inscape.make_world("FrozenLake").env(),
    "made by Gymnasium": gym.make("inscape/FrozenLake-v0"),
    "task": inscape.resolve_task("FrozenLake"),
    "function": lambda: inscape.make_world("FrozenLake"),
}
by_world = pytest.mark.parametrize("world", WORLDS.values(), ids=list(WORLDS))


@by_world
def test_wherever_the_name_of_a_world_is(world: Any) -> None:
    assert inscape.resolve_task(world).name == "FrozenLake"
    assert make_agent("q-learning", world).act(cast(Any, 3)) in range(4)
    assert len(inscape.rollout("random", world, 1, seed=0)) == 1
    assert len(evaluate_players("random", world, 2, seed=0)) == 1
    assert default_steps("ppo", world) == default_steps("ppo", "FrozenLake")
    assert default_settings("ppo", world)[0] == default_settings("ppo", "FrozenLake")[0]
    assert exact_value("value-iteration", world).regret == pytest.approx(0, abs=1e-6)
    assert LearnedTabularModel.for_task(world).num_actions == 4
    assert EnvRunner(world, 2, 0).observation.shape == (2,)
    assert LawVecEnv(world, 2, 0).reset().shape == (2,)
    assert as_sb3_policy(Rightward(), world).predict(np.zeros(3, int))[0].tolist() == [1, 1, 1]


@by_world
@pytest.mark.parametrize(
    "cls", [RandomAgent, QLearning, ValueIterationAgent, MCTS, PPO, DQN, A2C], ids=lambda c: c.__name__
)
def test_a_class_of_agents_is_made_for_it(cls: Any, world: Any) -> None:
    agent = cls(world, seed=3)
    assert np.shape(agent.act(3)) == ()
    assert np.shape(agent.act(np.array([3, 4]))) == (2,)


def test_an_agent_made_for_an_environment_learns_there() -> None:
    env = gym.make("CartPole-v1")
    agent = PPO(cast(Any, env), seed=1)
    run = inscape.train(agent, env, 64, verbose=False, evaluate_every=0)
    assert run.agent is agent
    assert DQN(task=cast(Any, "CartPole")).name == "dqn"


def test_a_class_makes_its_world() -> None:
    assert cast(Any, inscape.make_world(Walk, goal=0)).purpose.goal == 0
    with pytest.raises(TypeError, match="unexpected keyword argument 'gaol'"):
        inscape.make_world(Walk, gaol=0)
    for wrong in (dict, 3, None, Walk()):
        with pytest.raises(UsageError, match="make_world"):
            inscape.make_world(cast(Any, wrong))


def test_what_is_in_hand_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for target in (Walk, Walk()):
        assert not [one for one in check(target).checks if one.passed is False]
    assert check(Rightward, task=Walk()).checks
    with pytest.raises(UsageError, match="had in hand"):
        check(type("Local", (Rightward,), {}), task=Walk())


def test_what_is_in_hand_is_filmed(tmp_path: Path) -> None:
    film = watch("random", Walk(), save=tmp_path / "film.gif", size=64)
    assert film is not None
    assert film.stat().st_size > 0
