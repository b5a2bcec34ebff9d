"""A corridor in which cloning compounds its errors."""

from __future__ import annotations

from typing import NamedTuple

import gymnasium
import numpy as np

from inscape import World

LENGTH = 16


class Spot(NamedTuple):
    place: int
    ditch: int


class Ledge(World):
    """Sixteen places with a ledge below. In even places "walk" is safe and "creep" slips, in odd ones the other way
    round; who slips is on the ledge, from which only "climb" comes back and all else falls. The end pays 1.

    The expert, who knows which place is which, is never on the ledge. A policy linear in what is observed (how far it
    is, and whether it is on the ledge) cannot tell odd from even places.
    """

    State = Spot
    actions = ("walk", "creep", "climb")
    max_episode_steps = 100
    gamma = 0.95

    @staticmethod
    def initial(params, branch):
        return 1.0, Spot(0, 0)

    @staticmethod
    def transition(params, state, action, branch):
        if state.ditch == 1:
            return 1.0, Spot(state.place, 0 if action == 2 else 2)
        if action == 2:
            return 1.0, state
        slips = action != state.place % 2
        return 1.0, Spot(min(state.place + 1, LENGTH), 1 if slips and state.place + 1 < LENGTH else 0)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return 1.0 if next_state.place == LENGTH and next_state.ditch != 2 else 0.0

    @staticmethod
    def terminal(params, purpose, state):
        return state.place == LENGTH or state.ditch == 2

    @staticmethod
    def observation(params, state):
        return state.place / LENGTH, float(state.ditch)

    @staticmethod
    def observations(params):
        return gymnasium.spaces.Box(0.0, 2.0, (2,), np.float32)
