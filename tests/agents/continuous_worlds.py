"""Small worlds with continuous actions and known answers, for tests of agents."""

from __future__ import annotations

from typing import NamedTuple

from inscape import World


class At(NamedTuple):
    x: float


class PaidForEver(World):
    """Pays 1 at every step whatever is done and never ends by itself; the time limit cuts it after 5 steps."""

    State = At
    action_low = (-1.0,)
    action_high = (1.0,)
    max_episode_steps = 5
    gamma = 0.9

    @staticmethod
    def initial(params, branch):
        return 1.0, At(0.5)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, state

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return 1.0


class PaidOnce(PaidForEver):
    """The same, but every episode terminates with its first step: V = 1."""

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, At(2.0)

    @staticmethod
    def terminal(params, purpose, state):
        return state.x > 1.0


class Homing(World):
    """A point on [−1, 1] is to be brought to 0: x ← x + a/4 − 1/8, cost x². The best action is clip(1/2 − 4·x, −1, 3).

    The action's range is not symmetric, so that scaling to it wrongly shows.
    """

    State = At
    action_low = (-1.0,)
    action_high = (3.0,)
    initial_noise = 1
    max_episode_steps = 10
    gamma = 0.9

    @staticmethod
    def initial(params, noise):
        return At(2.0 * noise[0] - 1.0)

    @staticmethod
    def transition(params, state, action, branch):
        x = state.x + 0.25 * action[0] - 0.125
        return 1.0, At(min(max(x, -1.0), 1.0))

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return -next_state.x * next_state.x
