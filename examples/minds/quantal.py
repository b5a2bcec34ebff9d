"""Quantal response: everybody chooses softly, and expects everybody to.

Source: McKelvey & Palfrey (1995), Games and Economic Behavior 10(1); the manual of Gambit 16, gambit-logit (prints the
branch of the game in Figure 2 of Selten 1975 in six digits), and its tests (a 2 x 2 game at lambda 1, 2 and 3).
"""

import numpy as np

from inscape.theory_of_mind import quantal_response

selten = np.array([[[1, 1], [0, 0], [0, 2]], [[1, 1], [2, 3], [2, 0]]], float)
precisions = (0.022853, 0.047978, 0.075600, 0.105965, 0.139346, 735614.794714, 809176.283787)
branch = [np.concatenate(quantal_response(selten, precision)) for precision in precisions]
constant = np.array([[[1, 1], [0, 1]], [[1, 1], [2, 1]]], float)
three = [np.concatenate(quantal_response(constant, precision)) for precision in (1, 2, 3)]
print(np.array(branch).round(6), np.array(three).round(4), sep="\n")
