"""Worlds in which the value tells whether a time limit was taken for an end, an end for a time limit, or the first
observation of the next episode for the last of this one. What is done changes nothing."""

from __future__ import annotations

from typing import NamedTuple

from inscape import World


class Count(NamedTuple):
    phase: int


class Ends(NamedTuple):
    ends: bool


class Beat(World):
    """Pays 1, 0, 1, 0, … and is cut after 3 steps, the last observation being 1: V(0) = 1/(1 − γ²), V(1) = γ·V(0).

    With `ends`, every episode terminates with its first step instead: V(0) = 1.
    """

    State = Count
    Params = Ends
    actions = ("tick", "tock")
    max_episode_steps = 3
    gamma = 0.5

    def setup(self, ends: bool = False):
        return Ends(ends), self.Purpose()

    @staticmethod
    def initial(params, branch):
        return 1.0, Count(0)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Count(1 - state.phase)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return 1.0 - state.phase

    @staticmethod
    def terminal(params, purpose, state):
        return params.ends and state.phase == 1

    @staticmethod
    def observations(params):
        return (2,)


class ContinuousBeat(Beat):
    """The same with a continuous action."""

    actions = ()
    action_low = (-1.0,)
    action_high = (1.0,)
