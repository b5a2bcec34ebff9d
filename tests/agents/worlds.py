"""Small worlds with known answers, for tests of agents."""

from __future__ import annotations

import math
from typing import NamedTuple

import gymnasium
import numpy as np

from inscape import World


class Phase(NamedTuple):
    phase: int


class Place(NamedTuple):
    place: int


class Forever(World):
    """Pays 1 at every step and never ends by itself; the time limit cuts it after 10 steps. V = 1/(1 − γ)."""

    State = Phase
    actions = ("stay", "go")
    max_episode_steps = 10
    gamma = 0.9

    @staticmethod
    def initial(params, branch):
        return 1.0, Phase(0)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Phase(1 - state.phase if action == 1 else state.phase)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return 1.0

    @staticmethod
    def terminal(params, purpose, state):
        return False

    @staticmethod
    def observations(params):
        return (2,)


class Corridor(World):
    """Five places in a row, from place 1; the right end pays 1 and ends. "left" is illegal in even places."""

    State = Place
    actions = ("left", "right", "wait")
    max_episode_steps = 30
    gamma = 0.9

    @staticmethod
    def initial(params, branch):
        return 1.0, Place(1)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Place(min(max(state.place + (action == 1) - (action == 0), 0), 4))

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return 1.0 if next_state.place == 4 else 0.0

    @staticmethod
    def terminal(params, purpose, state):
        return state.place == 4

    @staticmethod
    def legal(params, state, action):
        return action != 0 or state.place % 2 == 1

    @staticmethod
    def observations(params):
        return (5,)


class WalkParams(NamedTuple):
    last: int


class WalkPurpose(NamedTuple):
    left: float


class Walk(World):
    """The random walk of Sutton & Barto (2018), Examples 6.2 and 7.1: n states, from the middle, 1 at the right end."""

    State = Place
    Params = WalkParams
    Purpose = WalkPurpose
    actions = ("on",)
    branches = 2
    gamma = 1.0

    def setup(self, n: int = 5, left: float = 0.0):
        return WalkParams(n + 1), WalkPurpose(left)

    @staticmethod
    def initial(params, branch):
        return 1.0, Place(params.last // 2)

    @staticmethod
    def transition(params, state, action, branch):
        return 0.5, Place(state.place + 2 * branch - 1)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        at_left = purpose.left if next_state.place == 0 else 0.0
        return 1.0 if next_state.place == params.last else at_left

    @staticmethod
    def terminal(params, purpose, state):
        return state.place == 0 or state.place == params.last

    @staticmethod
    def observations(params):
        return (params.last + 1,)


class Stop(NamedTuple):
    where: int
    paid: int


class MaximisationBias(World):
    """Example 6.7 of Sutton & Barto (2018): from A right ends with 0; left leads to B, where all ten actions end with a
    payment of mean −0.1 and standard deviation 1 (here −1.1 or 0.9). Observed: 0 A, 1 B, 2 the end."""

    State = Stop
    actions = tuple(f"action {k}" for k in range(10))
    branches = 2

    @staticmethod
    def initial(params, branch):
        return 1.0, Stop(0, 0)

    @staticmethod
    def transition(params, state, action, branch):
        end = state.where == 1 or action == 1
        return 0.5, Stop(2 if end else 1, 2 * branch - 1 if state.where == 1 else 0)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return -0.1 + next_state.paid if state.where == 1 else 0.0

    @staticmethod
    def terminal(params, purpose, state):
        return state.where == 2

    @staticmethod
    def legal(params, state, action):
        return state.where == 1 or action < 2

    @staticmethod
    def observation(params, state):
        return (state.where,)

    @staticmethod
    def observations(params):
        return (3,)


class TwoSteps(World):
    """Two choices: the first pays 1 or 0 and decides where the second is made, which pays 2, −1, 0 or 3 and ends."""

    State = Place
    actions = ("left", "right")
    gamma = 0.5

    @staticmethod
    def initial(params, branch):
        return 1.0, Place(0)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Place(1 + action if state.place == 0 else 3)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        if state.place == 0:
            return 1.0 - action
        return 2.0 - 3.0 * action if state.place == 1 else 3.0 * action

    @staticmethod
    def terminal(params, purpose, state):
        return state.place == 3

    @staticmethod
    def observations(params):
        return (4,)


class Stuck(Corridor):
    """A corridor in whose place 3 nothing is legal: a fault of the world."""

    @staticmethod
    def legal(params, state, action):
        return state.place != 3


class Mist(Corridor):
    """A corridor in whose first place something is seen that is not a number: a fault of the world."""

    @staticmethod
    def observation(params, state):
        return (math.nan if state.place == 1 else 1.0 * state.place,)

    @staticmethod
    def observations(params):
        return gymnasium.spaces.Box(-math.inf, math.inf, (1,), np.float32)


class Unsound(Forever):
    """Pays no number at the fifth step of an episode, number 4."""

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Phase(state.phase + 1)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return math.inf if state.phase == 4 else 1.0

    @staticmethod
    def observations(params):
        return (11,)
