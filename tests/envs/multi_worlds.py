"""Worlds for the tests of several players, wide observations and sizes from settings."""

from __future__ import annotations

from typing import NamedTuple

import gymnasium as gym
import numpy as np

from inscape import World
from inscape.envs.law.law import NoPurpose
from inscape.envs.law.tools import replaced


class WalkState(NamedTuple):
    """Places, and the number of steps taken."""

    xs: tuple[int, ...]
    t: int


class WalkParams(NamedTuple):
    """Length of the line, and everyone's start."""

    n: int
    start: tuple[int, ...]


class Walkers(World):
    """Several walk on a line at once; each is paid for its place; who stands at 0 cannot go left."""

    State = WalkState
    Params = WalkParams
    actions = ("left", "right")
    players = 2
    simultaneous = True
    branches = 2
    lengths = {"xs": 2, "start": 2}

    @classmethod
    def sized(cls, walkers=2, **others):
        return {} if walkers == 2 else {"players": walkers, "lengths": {"xs": walkers, "start": walkers}}

    def setup(self, walkers: int = 2, n: int = 4):
        return WalkParams(n, (0,) * walkers), NoPurpose()

    @staticmethod
    def initial(params, branch):
        return 1.0, WalkState(params.start, 0)

    @staticmethod
    def transition(params, state, action, branch):
        xs = state.xs
        for k in range(len(xs)):
            step = 2 * action[k] - 1 if branch == 0 else 1 - 2 * action[k]
            xs = replaced(xs, k, min(params.n, max(0, xs[k] + step)))
        return (0.8 if branch == 0 else 0.2), WalkState(xs, min(state.t + 1, 3))

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return tuple_of_floats(next_state.xs)

    @staticmethod
    def terminal(params, purpose, state):
        return state.t >= 3

    @staticmethod
    def observation(params, state, player):
        return state.xs[player]

    @staticmethod
    def observations(params):
        return params.n + 1

    @staticmethod
    def legal(params, state, player, action):
        return action == 1 or state.xs[player] > 0


def tuple_of_floats(xs):
    """Returns the places as floats (compiled with the law)."""
    return (float(xs[0]), float(xs[1])) if len(xs) == 2 else (float(xs[0]), float(xs[1]), float(xs[2]))


class TagState(NamedTuple):
    """Whose turn, and a score."""

    turn: int
    score: int


class Tag(World):
    """Two take turns adding 0, 1 or 2 to a score that ends at 5; only the mover's part is seen by the other."""

    State = TagState
    actions = ("none", "one", "two")
    players = 2
    player_names = ("ann", "bob")

    @staticmethod
    def initial(params, branch):
        return 1.0, TagState(0, 0)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, TagState(1 - state.turn, state.score + action)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        won = 1.0 if next_state.score >= 5 else 0.0
        return (won, -won) if state.turn == 0 else (-won, won)

    @staticmethod
    def terminal(params, purpose, state):
        return state.score >= 5

    @staticmethod
    def mover(params, state):
        return state.turn

    @staticmethod
    def observation(params, state, player):
        return state.score + 10 * player

    @staticmethod
    def observations(params):
        return 20

    @staticmethod
    def legal(params, state, action):
        return action > 0 or state.score > 0


class Picture(World):
    """A counter shown as a picture of 2 × 3 numbers."""

    State = TagState
    actions = ("stay", "add")
    max_episode_steps = 7

    @staticmethod
    def initial(params, branch):
        return 1.0, TagState(0, 0)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, TagState(state.turn, state.score + action)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return 1.0

    @staticmethod
    def observation_view(params, state):
        return state.score

    @staticmethod
    def observation_entry(params, view, k):
        return view * 10 + k

    @staticmethod
    def observations(params):
        return gym.spaces.Box(0, 255, (2, 3), np.uint8)
