"""Wrappers around tasks: by text, class and settings; stored, put on again; and what is no wrapper."""

from __future__ import annotations

import json
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from inscape.agents import make_agent
from inscape.agents.rollout import evaluate, rollout
from inscape.envs import resolve_task
from inscape.envs.tasks.resolve import task_from_json
from inscape.envs.tasks.wrapping import Wrapping, as_wrapping
from inscape.errors import UsageError

G = "gymnasium.wrappers"


class Scaled(gym.RewardWrapper[Any, Any]):
    """Rewards times a number."""

    def __init__(self, env: Any, scale: float = 0.5) -> None:
        super().__init__(env)
        self.scale = scale

    def reward(self, reward: Any) -> float:
        return float(reward) * self.scale


def twice(env: Any, scale: float = 2.0) -> Any:
    return Scaled(env, scale)


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        (f"{G}:FlattenObservation", f"{G}:FlattenObservation", {}),
        (f"{G}:FrameStackObservation:stack_size=4", f"{G}:FrameStackObservation", {"stack_size": 4}),
        (
            f"{G}:FrameStackObservation:stack_size=4,padding_type=zero",
            f"{G}:FrameStackObservation",
            {"stack_size": 4, "padding_type": "zero"},
        ),
        (
            f"{G}:FrameStackObservation:stack_size=4:padding_type=zero",
            f"{G}:FrameStackObservation",
            {"stack_size": 4, "padding_type": "zero"},
        ),
        (f"{G}:ClipReward:min_reward=-1,max_reward=1", f"{G}:ClipReward", {"min_reward": -1.0, "max_reward": 1.0}),
        (f"{G}:ResizeObservation:shape=84,84", f"{G}:ResizeObservation", {"shape": (84, 84)}),
        (f"{G}:ResizeObservation:shape=[84, 84]", f"{G}:ResizeObservation", {"shape": (84, 84)}),
        (f"{G}:RescaleAction:min_action=-1,max_action=1", f"{G}:RescaleAction", {"min_action": -1, "max_action": 1}),
        (f"{G}:TimeLimit:max_episode_steps=1e2", f"{G}:TimeLimit", {"max_episode_steps": 100}),
        (f"{G}:GrayscaleObservation:keep_dim=true", f"{G}:GrayscaleObservation", {"keep_dim": True}),
        (f"{G}:FilterObservation:filter_keys=a,b", f"{G}:FilterObservation", {"filter_keys": ["a", "b"]}),
        (f"{G}:StickyAction:repeat_action_probability=0.25", f"{G}:StickyAction", {"repeat_action_probability": 0.25}),
        (f"{__name__}:Scaled:scale=3", f"{__name__}:Scaled", {"scale": 3.0}),
        (f"{__name__}:twice", f"{__name__}:twice", {}),
    ],
)
def test_texts_are_read_by_the_wrapper_s_signature(text, name, settings):
    found = as_wrapping(text)
    assert (found.name, dict(found.settings)) == (name, settings)
    again = as_wrapping(str(found))
    assert again.name == name
    assert json.loads(json.dumps(again.to_json())) == json.loads(json.dumps(found.to_json()))
    stored = as_wrapping(json.loads(json.dumps(found.to_json())))
    assert dict(stored.settings) == settings


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("FrameStackObservation", f"{G}:FrameStackObservation"),
        ("FrameStack:num_stack=4", "did you mean 'FrameStackObs"),
        (f"{G}:FrameStack", "did you mean 'FrameStackObservation'"),
        (f"{G}:FrameStackObservation", "needs .*stack_size"),
        (f"{G}:FrameStackObservation:stacksize=4", "did you mean 'stack_size'"),
        (f"{G}:FrameStackObservation:stack_size=four", "a number"),
        (f"{G}:FrameStackObservation:stack_size=4,stack_size=5", "twice"),
        ("os:system", "subclass of gymnasium.Wrapper"),
        ("gymnasium.spaces:Box", "subclass of gymnasium.Wrapper"),
        ("gymnasium.wrappers.vector:RescaleAction", f"{G}:RescaleA"),
        (f"{G}:TransformReward:func=abs", "text can stand for"),
        ("no.such.module:Wrapper", "no module 'no'"),
        ("missing.py:Wrapper", "no file"),
        ("", "gymnasium.wrappers:NAME"),
        ("=", "gymnasium.wrappers:NAME"),
        ("gymnasium:Env", "subclass of gymnasium.Wrapper"),
        (gym.spaces.Box, "subclass of gymnasium.Wrapper"),
        ((Scaled, {"scale": lambda x: x}), "a run can store"),
        ((Scaled, 3), "dictionary"),
        (lambda env: env, "found again"),
        (3, "a class"),
        ({"name": f"{G}:FlattenObservation", "settings": 3}, "dictionary"),
    ],
)
def test_what_is_no_wrapper_is_refused_with_what_to_do(given, said):
    with pytest.raises(UsageError, match=said):
        resolve_task("CartPole-v1", wrappers=[given])


def test_a_class_inside_a_function_is_refused_because_a_run_could_not_find_it():
    class Local(Scaled):
        pass

    with pytest.raises(UsageError, match="could not be found again"):
        as_wrapping(Local)


@pytest.mark.parametrize(
    "given",
    [
        gym.wrappers.FlattenObservation,
        (gym.wrappers.FlattenObservation, {}),
        (f"{G}:FlattenObservation", {}),
        {"name": f"{G}:FlattenObservation", "settings": {}},
        Wrapping(f"{G}:FlattenObservation", {}),
    ],
)
def test_classes_are_found_by_their_names(given):
    assert as_wrapping(given) == Wrapping(f"{G}:FlattenObservation", {})
    assert as_wrapping((Scaled, {"scale": 2})).name == f"{__name__}:Scaled"


def test_order_is_kept_the_first_innermost():
    one = resolve_task("CartPole-v1", wrappers=[(Scaled, {"scale": 4.0}), f"{G}:ClipReward:min_reward=0,max_reward=1"])
    other = resolve_task(
        "CartPole-v1", wrappers=[f"{G}:ClipReward:min_reward=0,max_reward=1", (Scaled, {"scale": 4.0})]
    )
    for task, reward in ((one, 1.0), (other, 4.0)):
        env = task.env()
        env.reset(seed=0)
        assert env.step(0)[1] == reward


@pytest.mark.parametrize("name", ["CartPole-v1", "FrozenLake-v1", "CartPole", "Taxi-v4", "pixels:FrozenLake-firm"])
def test_a_stored_task_is_the_same_again(name):
    limited = {"max_episode_steps": 9}
    task = resolve_task(
        name, wrappers=[f"{G}:TimeAwareObservation:flatten=false", f"{__name__}:Scaled:scale=0.25"], **limited
    )
    document = json.loads(json.dumps(task.to_json()))
    again = task_from_json(document)
    assert again.to_json() == task.to_json()
    assert again.observation_space == task.observation_space
    assert isinstance(again.observation_space, gym.spaces.Dict)
    random = make_agent("random", again, seed=1)
    one, other = (evaluate(make_agent("random", t, seed=1), t, 3, seed=2).returns for t in (task, again))
    assert np.array_equal(one, other)
    assert evaluate(random, again, 3, seed=2).lengths.max() <= 9


def test_wrappers_of_worlds_have_no_law_and_keep_the_names_of_actions():
    task = resolve_task("FrozenLake", wrappers=[f"{__name__}:Scaled"])
    assert task.world is None
    assert task.action_names == resolve_task("FrozenLake").action_names
    assert rollout(make_agent("random", task), task, 2, seed=0)[0].task == task.to_json()


def test_games_of_several_players_are_not_wrapped():
    with pytest.raises(UsageError, match="2 players"):
        resolve_task("TicTacToe", wrappers=[f"{__name__}:Scaled"])


def test_a_wrapper_that_refuses_the_environment_is_named_with_its_spaces():
    with pytest.raises(UsageError, match="ResizeObservation cannot be put around CartPole-v1.*[\\s\\S]*Box"):
        resolve_task("CartPole-v1", wrappers=[f"{G}:ResizeObservation:shape=84,84"])


@pytest.mark.parametrize(
    "stored", [3, "x", [3], [{}], [{"name": "a:B"}], [{"name": "a:B", "settings": {}, "more": 1}], {}]
)
def test_stored_wrappers_of_another_form_are_refused(stored):
    if stored == {}:
        stored = {"name": 1}
    with pytest.raises(UsageError, match="describes no task"):
        task_from_json({"name": "CartPole-v1", "settings": {}, "wrappers": stored})


def test_stored_wrappers_of_somebody_else_s_need_trust():
    stored = {"name": "CartPole-v1", "settings": {}, "wrappers": [{"name": "antigravity:Wrapper", "settings": {}}]}
    with pytest.raises(UsageError, match="antigravity:Wrapper.*not signed"):
        task_from_json(stored, "theirs/settings.json")


@pytest.mark.parametrize(("name", "limit"), [("CartPole-v1", 6), ("CartPole", 6), ("Pendulum-v1", 5), ("FourGoals", 3)])
def test_the_time_limit_is_changed_for_worlds_and_environments_alike(name, limit):
    task = resolve_task(name, max_episode_steps=limit)
    assert task.max_episode_steps == limit
    assert task_from_json(json.loads(json.dumps(task.to_json()))).max_episode_steps == limit
    assert evaluate(make_agent("random", task), task, 5, seed=0).lengths.max() <= limit
    assert resolve_task(name, max_episode_steps=-1).max_episode_steps is None


@pytest.mark.parametrize("steps", [0, -2, True, 1.5, "9"])
def test_a_time_limit_that_is_none_is_refused(steps):
    for name in ("CartPole-v1", "CartPole"):
        with pytest.raises(UsageError, match="max_episode_steps"):
            resolve_task(name, max_episode_steps=steps)


def test_deep_agents_learn_inside_wrappers():
    task = resolve_task("CartPole-v1", wrappers=[f"{G}:FrameStackObservation:stack_size=3", (Scaled, {"scale": 0.1})])
    for agent, settings in (("ppo", {"num_envs": 2, "num_steps": 8}), ("dqn", {"num_envs": 2, "learning_starts": 8})):
        made: Any = make_agent(agent, task, settings=settings)
        assert list(made.learn(task, 32))[-1]["steps"] >= 32
