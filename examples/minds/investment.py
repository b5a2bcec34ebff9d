"""Trust: how much is sent to one who may feel guilty or not, and how much is sent back, five levels of thought deep?

Source: Berg, Dickhaut & McCabe (1995), Games and Economic Behavior 10(1); Gmytrasiewicz & Doshi (2005), JAIR 24;
kach/memo, demo-i-pomdp (guilts 0 and 0.7, beta = 5, three rounds; prints first moves: 0.78, 0.22; 0.38, 0.62; ...).
"""

import numpy as np

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Caring, interactive_levels

SHARES = {"low": 0.2, "high": 0.8}


def pays(history, action, after):
    """Returns what both have once the trustee has sent a share back of three times what came."""
    if len(history) % 2 == 0:
        return 0.0, 0.0
    sent, back = SHARES[history[-1]], SHARES[action]
    return 1 - sent + 3 * sent * back, 3 * sent * (1 - back)


world = enumerated_world(
    (),
    tuple(SHARES),
    lambda history, action: (*history, action),
    pays,
    over=lambda h: len(h) == 6,
    mover=lambda h: len(h) % 2,
)
types = [Caring(world.purpose), Caring(world.purpose, guilt=0.7)]
levels = interactive_levels(world, {0: types, 1: types}, 5, chooses=5.0, base="myopic")
place = {world.listed[int(look)]: i for i, look in enumerate(levels.game.tree.observations.ravel())}
invests = levels.top[0][:, place[()]]
returns = np.array([levels.top[1][:, place[sent,]] for sent in SHARES])
print(invests.round(2), returns.round(2), sep="\n")
