"""Worlds whose numbers stop being finite in some episode, for tests of what training makes of it."""

from __future__ import annotations

from typing import NamedTuple

import gymnasium
import numpy as np

from inscape import World

EPISODES = 64
"""One episode in so many is flawed, after two steps."""


class Age(NamedTuple):
    age: float
    flawed: int


class Flaw(NamedTuple):
    observed: int


class Flawed(World):
    """Ten steps of reward 1. In a flawed episode the third reward is not a number, or with `observed` what is seen then
    is infinite."""

    State = Age
    Params = Flaw
    actions = ("left", "right")
    max_episode_steps = 10
    initial_branches = EPISODES

    def setup(self, observed: int = 0):
        return Flaw(observed), ()

    @staticmethod
    def initial(params, branch):
        return 1.0 / EPISODES, Age(0.0, 1 if branch == 0 else 0)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Age(state.age + 1.0, state.flawed)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return float("nan") if params.observed == 0 and state.flawed == 1 and state.age == 2.0 else 1.0

    @staticmethod
    def observation(params, state):
        seen = float("inf") if params.observed == 1 and state.flawed == 1 and state.age == 3.0 else 0.1 * state.age
        return (seen, 1.0)

    @staticmethod
    def observations(params):
        return gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)


class FlawedContinuous(Flawed):
    """The same for agents of continuous actions."""

    actions = ()
    action_low, action_high = (-1.0,), (1.0,)
