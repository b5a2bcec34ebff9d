"""Leduc hold'em, six cards and two rounds: what it is worth, and how far players of each level are from equilibrium.

Source: Southey et al. (2005), "Bayes' bluff", UAI; OpenSpiel, exploitability_test.py and the test of its sequence form
(prints NashConv 4.747222 of uniform play, 2 of always folding, and the value -0.085606424078).
"""

import numpy as np

from inscape.theory_of_mind import level_k
from inscape.world_models import sequence_form_equilibrium

levels = level_k("LeducPoker", 3)
convs = [levels.game.nash_conv(levels[k]) for k in range(4)]
tree = levels.game.tree
first = np.eye(tree.num_actions)[tree.legal.argmax(axis=1)]
uniform, folding = convs[0], levels.game.nash_conv((first, first))
solved = sequence_form_equilibrium(tree)
value = solved.returns[0]
print(convs, folding, value, solved.exploitability)
