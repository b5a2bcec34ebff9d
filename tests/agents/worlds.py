"""Small worlds with known answers, for tests of agents."""

from __future__ import annotations

from typing import NamedTuple

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
