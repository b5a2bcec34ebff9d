"""Rewards of laws that are no finite numbers stop what learns from them; threads; whole rounds."""

from __future__ import annotations

import logging
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch

from inscape import World
from inscape.agents.registry import make_agent
from inscape.envs.tasks.resolve import as_task, resolve_task
from inscape.errors import UsageError


class At(NamedTuple):
    place: int


class Wrong(NamedTuple):
    value: float


class Broken(World):
    """Four places in a ring; the reward of action "b" in place 3 is what the settings say."""

    State = At
    Purpose = Wrong
    actions = ("a", "b")
    initial_branches = 4
    max_episode_steps = 10

    def setup(self, value: float = math.nan):
        return self.Params(), Wrong(value)

    @staticmethod
    def initial(params, branch):
        return 0.25, At(branch)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, At((state.place + 1) % 4)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return purpose.value if state.place == 3 and action == 1 else 1.0

    @staticmethod
    def observations(params):
        return (4,)


class Push(Broken):
    """The same with a force instead of two actions: a positive one in place 3."""

    actions = ()
    action_low, action_high = (-1.0,), (1.0,)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return purpose.value if state.place == 3 and action[0] > 0 else 1.0


SMALL = {"num_envs": 4, "num_steps": 16, "hidden": (4,)}
COMPILED = {**SMALL, "backend": "compiled"}
MOVED = r"for action b in At\(place=3\)"
LED = r"action 'b' led to At\(place=0\)"
CASES = {
    "ppo": ("ppo", {**COMPILED, "epochs": 1, "minibatches": 1}, MOVED),
    "a2c": ("a2c", COMPILED, MOVED),
    "ppo torch": ("ppo", {**SMALL, "epochs": 1, "minibatches": 1, "backend": "torch"}, "for action 1"),
    "recurrent-ppo": ("recurrent-ppo", {"num_envs": 4, "num_steps": 8, "memory": 4}, "for action 1"),
    "dqn": ("dqn", {"hidden": (4,)}, "for action 1"),
    "reinforce": ("reinforce", {"num_envs": 2, "hidden": (4,)}, "for action 1"),
    "q-learning": ("q-learning", {}, LED),
    "sarsa": ("sarsa", {}, LED),
    "expected-sarsa": ("expected-sarsa", {}, LED),
    "double-q-learning": ("double-q-learning", {}, LED),
    "monte-carlo": ("monte-carlo", {}, LED),
    "dyna-q": ("dyna-q", {}, LED),
}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", CASES)
def test_it_stops_where_it_arises(name, value):
    spec, settings, message = CASES[name]
    task = as_task(Broken(value=value))
    agent = make_agent(spec, task, settings=settings)
    with pytest.raises(UsageError, match=message) as raised:
        list(agent.learn(task, 2000))
    assert name != "ppo" or f"is {value}, for" in str(raised.value)


def test_a_continuous_action_is_told_as_the_law_took_it():
    task = as_task(Push())
    agent = make_agent("ppo", task, settings={**COMPILED, "epochs": 1, "minibatches": 1})
    with pytest.raises(
        UsageError, match=r"the reward of copy \d at step \d+ .* is nan, for action 0\.\d+ in At\(place=3"
    ):
        list(agent.learn(task, 2000))


def test_sac_stops_too():
    task = as_task(Push())
    agent = make_agent("sac", task, settings={"hidden": (4,), "learning_starts": 5})
    with pytest.raises(UsageError, match="reward nan"):
        list(agent.learn(task, 200))


# ------------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize(
    ("spec", "world", "settings"),
    [
        ("ppo", "CartPole", {"backend": "torch"}), ("ppo", "CartPole", {"backend": "compiled", "hidden": (256, 256)}),
        ("a2c", "CartPole", {"backend": "torch"}), ("recurrent-ppo", "CartPole", {}), ("reinforce", "CartPole", {}),
        ("dqn", "CartPole", {}), ("dqn", "CartPole", {"dueling": True, "hidden": (256, 256)}), ("sac", "Pendulum", {}),
        ("sb3:ppo", "CartPole", {}), ("sb3:dqn", "CartPole", {}), ("sb3:a2c", "CartPole", {"hidden": (128, 128)}),
    ],
)  # fmt: skip
def test_first_weights_are_the_same_on_any_number_of_threads(spec, world, settings):
    task, found, before = resolve_task(world), [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            state = make_agent(spec, task, seed=3, settings=settings).state_dict()
            assert torch.get_num_threads() == threads
            found.append(state.get("network") or state["parameters"]["policy"])
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(weight, found[1][name]) for name, weight in found[0].items())


# ------------------------------------------------------------------------------------------- whole rounds


@pytest.mark.parametrize(
    ("spec", "settings", "steps", "said"),
    [
        ("ppo", {"num_envs": 4, "num_steps": 50, "epochs": 1, "minibatches": 1}, 500, "rounds of 200 steps: 600 steps"),
        ("ppo", {"num_envs": 4, "num_steps": 50, "epochs": 1, "minibatches": 1}, 600, ""),
        ("ppo", {"num_envs": 4, "num_steps": 50, "epochs": 1, "minibatches": 1}, 590, ""),
        ("sb3:ppo", {"num_envs": 2, "num_steps": 64, "epochs": 1}, 50, "rounds of 128 steps: 128 steps for the 50"),
        ("sb3:a2c", {"num_envs": 2}, 20, ""),
    ],
)  # fmt: skip
def test_more_steps_than_asked_for_are_announced(spec, settings, steps, said, caplog):
    task = resolve_task("FrozenLake")
    agent = make_agent(spec, task, settings={"hidden": (4,), **settings})
    with caplog.at_level(logging.WARNING, "inscape"):
        next(iter(agent.learn(task, steps)))
    assert said in caplog.text
    assert bool(caplog.text) == bool(said)
