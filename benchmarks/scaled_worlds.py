"""Worlds for `default_settings.py`: none has a preset, and what they pay can be scaled (`--world.scale`)."""

from __future__ import annotations

from typing import NamedTuple

from inscape import World


class Queues(NamedTuple):
    first: int
    second: int


class Price(NamedTuple):
    scale: float


class Clinic(World):
    """Two waiting rooms of at most six patients: 49 states, costs only.

    Each step up to two patients of one room are seen, for a fee; others arrive, in the first room with probability 0.6,
    in the second with 0.5. Whoever waits costs 2 in the first room, 1 in the second; a full room costs 5 more.
    """

    State = Queues
    Purpose = Price
    actions = ("first", "second", "rest")
    branches = 4
    max_episode_steps = 50

    def setup(self, scale: float = 1.0):
        return self.Params(), Price(scale)

    @staticmethod
    def initial(params, branch):
        return 1.0, Queues(3, 3)

    @staticmethod
    def transition(params, state, action, branch):
        arrives, joins = branch % 2, branch // 2
        p = (0.6 if arrives == 1 else 0.4) * 0.5
        first = max(state.first - (2 if action == 0 else 0), 0) + arrives
        second = max(state.second - (2 if action == 1 else 0), 0) + joins
        return p, Queues(min(first, 6), min(second, 6))

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        cost = 2.0 * next_state.first + next_state.second + (0.5 if action < 2 else 0.0)
        full = (5.0 if next_state.first == 6 else 0.0) + (5.0 if next_state.second == 6 else 0.0)
        return -purpose.scale * (cost + full)

    @staticmethod
    def observations(params):
        return (7, 7)


class Position(NamedTuple):
    x: float
    v: float


class Hover(World):
    """A cart to be held at a place with a continuous force; pays 1 less the squared distance at each step."""

    State = Position
    Purpose = Price
    action_low, action_high = (-1.0,), (1.0,)
    initial_noise = 1
    noise = 1
    max_episode_steps = 100

    def setup(self, scale: float = 1.0):
        return self.Params(), Price(scale)

    @staticmethod
    def initial(params, noise):
        return Position(4.0 * noise[0] - 2.0, 0.0)

    @staticmethod
    def transition(params, state, action, noise):
        v = 0.95 * state.v + 0.1 * action[0] + 0.02 * (noise[0] - 0.5)
        return Position(min(max(state.x + 0.2 * v, -3.0), 3.0), v)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return purpose.scale * (1.0 - next_state.x * next_state.x)
