"""Hiking along a steep hill: the short way to the peak, unless the weather makes one slip.

Source: agentmodels.org, chapter 3b (alpha = 100; at a noise of 0 the first move is right, at 0.1 it is up).
"""

import numpy as np

from inscape.envs import enumerated_world
from inscape.theory_of_mind import PlanningMind

ROWS = (".....", ".#...", ".#W#E", ".....", "HHHHH")[::-1]
MOVES = {"left": (-1, 0), "right": (1, 0), "up": (0, 1), "down": (0, -1)}
LAND = {(x, y): letter for y, row in enumerate(ROWS) for x, letter in enumerate(row) if letter != "#"}
WORTH = {"E": 10.0, "W": 1.0, "H": -10.0, ".": -0.1}


def first_move(noise):
    """Returns the probabilities of the four first moves."""

    def step(state, action):
        (x, y), left = state
        after = {a: (x + dx, y + dy) if (x + dx, y + dy) in LAND else (x, y) for a, (dx, dy) in MOVES.items()}
        if LAND[x, y] != "." or left == 1:
            return ((x, y), 0) if action == "left" else None
        aside = ("left", "right") if action in ("up", "down") else ("up", "down")
        ways = [(after[action], 1 - noise), *((after[a], noise / 2) for a in aside)]
        found = {(to, left - 1): sum(p for other, p in ways if other == to) for to, _ in ways}
        return found if after[action] != (x, y) else None

    world = enumerated_world(
        ((0, 1), 13), tuple(MOVES), step, lambda s, a, t: WORTH[LAND[s[0]]], over=lambda s: s[1] == 0
    )
    return np.exp(PlanningMind(world.purpose, 100.0, "soft-eval").controller(world).log_probs[0, 0])


dry, wet = first_move(0.0), first_move(0.1)
print(dry.round(4), wet.round(4))
