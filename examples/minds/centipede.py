"""The centipede game: who takes the money, and when, the more levels of thought?

Source: McKelvey & Palfrey (1992), Econometrica 60(4): four moves, 0.40 and 0.10 doubling at each pass; the equilibrium
takes at once.
"""

import numpy as np

from inscape.envs import enumerated_world
from inscape.theory_of_mind import level_k, quantal_response

LARGE, SMALL = 0.4, 0.1


def pays(node, action, following):
    """Returns what both get: the larger pile goes to who takes, or to who has moved first after all passes."""
    if action == "pass" and node < 3:
        return 0.0, 0.0
    pile = 2 ** (node + (action == "pass"))
    return (LARGE * pile, SMALL * pile) if (node + (action == "pass")) % 2 == 0 else (SMALL * pile, LARGE * pile)


world = enumerated_world(
    0, ("take", "pass"), lambda node, action: node + 1 if action == "pass" else "over", pays,
    over=lambda node: node in ("over", 4), mover=lambda node: node % 2,
)  # fmt: skip
levels = level_k(world, 6)
takes = np.array([[levels[k][node % 2][world.number[node], 0] for node in range(4)] for k in range(7)])
noisy = quantal_response(world, 2.0)
noisy_takes = [noisy[node % 2][world.number[node], 0] for node in range(4)]
conv = levels.game.nash_conv(levels[6])
print(takes, noisy_takes, conv)
