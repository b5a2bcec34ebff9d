"""Stress: who says "I PASSED the test" did not ace it, as stress costs something and is worth it only to be understood.

Source: Bergen & Goodman (2015), Topics in Cognitive Science 7(2); kach/memo, demo-noisy (beta = 3, a cost of 0.1, words
heard rightly with 0.7, stressed 0.99).
"""

import numpy as np
from scipy.special import rel_entr

from inscape.theory_of_mind import Joint

OPTIONS = [(word, stress) for word in range(2) for stress in range(2)]  # "passed" or "aced", plain or stressed
NOISE = np.array([[[0.7, 0.3], [0.3, 0.7]], [[0.99, 0.01], [0.01, 0.99]]])  # by stress, word and what is heard
true = Joint(grade=("passed", "aced")).chance("known", ("passed", "at least passed"), [[1, 1], [0, 1]], given="grade")


def speaker(level):
    """Returns P(word, stress | known) [2, 4]: one minimises how far the listener's belief is from one's own."""
    apart = rel_entr(true.prob("grade", given="known")[:, None, None], listener(level)).sum(-1)
    worth = -np.einsum("swh,khs->kws", NOISE, apart) - 0.1 * np.arange(2)
    return true.choice("says", OPTIONS, worth.reshape(2, 4), 3.0, "known").prob("says", given="known")


def listener(level):
    """Returns P(grade | heard, stress) [2, 2, 2]; of level 0, who takes words to be true."""
    literal = true.chance("says", OPTIONS, [[1, 1, 0, 0], [1, 1, 1, 1]], given="grade")
    said = true.chance("says", OPTIONS, speaker(level - 1), given="known") if level else literal
    said = said.chance("stress", range(2), lambda says, stress: says[1] == stress)
    heard = said.chance("heard", range(2), lambda says, heard: NOISE[says[1], says[0], heard])
    return heard.prob("grade", given=("heard", "stress"))


exhaustive = [(listener(n)[0, 1, 0], listener(n)[0, 0, 0]) for n in range(4)]
print(np.round(exhaustive, 6))
