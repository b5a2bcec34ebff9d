"""The traveler's dilemma: claim 2 to 100; the lower claim is paid to both, with 2 from the higher to the lower.

Source: Basu (1994), American Economic Review 84(2): the only equilibrium is 2, to which every level goes one step.
"""

import numpy as np

from inscape.theory_of_mind import as_game, level_k, quantal_response

claims = np.arange(2, 101)
mine, other = np.meshgrid(claims, claims, indexing="ij")
paid = np.minimum(mine, other) + 2 * np.sign(other - mine)
levels = level_k([paid, paid.T], 120, base=98)
ladder = [int(claims[levels[k][0].argmax()]) for k in (0, 1, 2, 50, 98, 120)]
basu = ladder[-2:]
random = int(claims[level_k([paid, paid.T], 1)[1][0].argmax()])
two = np.eye(99)[0]
conv = as_game([paid, paid.T]).nash_conv((two, two))
soft = float(claims @ quantal_response([paid, paid.T], 0.5)[0])
print(ladder, random, conv, soft)
