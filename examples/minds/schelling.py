"""Two who cannot talk want to meet, and one bar is a little more popular: where do they go, the deeper they think?

Each goes to a bar in proportion to how popular it is and to how likely the other is to be there.

Source: Schelling (1960), "The Strategy of Conflict"; Stuhlmueller & Goodman (2014), Cognitive Systems Research 28;
agentmodels.org, chapter 7; kach/memo, demo-schelling (prints both minds at depths 1 to 9, and their confidence).
"""

import numpy as np

from inscape.theory_of_mind import Proportional, level_k

popular = (0.55, 0.45)
levels = level_k("Schelling", 18, base=popular, chooses=Proportional(popular))
policies = np.array([levels[k][0] for k in range(19)])
alice, bob = policies[1::2], policies[2::2]  # alice(d) thinks of bob(d - 1), and bob(d) of alice(d)
believed = (alice * policies[0:-1:2]).sum(axis=1)
observed = (alice * bob).sum(axis=1)
for depth, rows in enumerate(zip(alice, bob, believed, observed), 1):
    print(depth, *(np.round(row, 6) for row in rows))
