"""Stag hunt: two ways to agree, and why larger groups hunt hares.

Source: Rousseau (1755); Camerer, Ho & Chong (2004), Quarterly Journal of Economics 119(3), section IV: with 1 for all
who hunt the stag together and x for a hare, players above level 0 hunt the stag below x = 1/2 in twos, 1/4 in threes.
"""

import numpy as np

from inscape.theory_of_mind import cognitive_hierarchy
from inscape.world_models import nash_equilibria

stag = np.array([[4.0, 0.0], [3.0, 3.0]])
equilibria = [(e.strategies[0], e.values[0]) for e in nash_equilibria(stag, stag.T)]


def hunts(players, hare):
    """Returns how likely a player of level 3 hunts the stag, in a group of so many."""
    payoffs = np.full((players, *[2] * players), hare)
    for player in range(players):
        np.moveaxis(payoffs[player], player, 0)[0] = 0.0
        payoffs[(player, *[0] * players)] = 1.0
    return cognitive_hierarchy(payoffs, 3, tau=1.5)[3][0][0]


hunted_in_twos, hunted_in_threes = ([hunts(n, x) for x in (0.24, 0.26, 0.49, 0.51)] for n in (2, 3))
print(equilibria, hunted_in_twos, hunted_in_threes)
