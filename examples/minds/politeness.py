"""Polite speech weighs being informative against what the listener likes to hear.

Source: Yoon, Tessler, Goodman & Frank (2020), Open Mind 4; kach/memo, demo-politeness (alpha = 3, phi = 0.9 and 0.1).
"""

import numpy as np

from inscape.theory_of_mind import Joint

words = ("terrible", "not amazing", "not terrible", "amazing")
meaning = np.array([[1, 0.5, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0.5, 1]])
listener = Joint(hearts=range(4)).chance("word", words, meaning.T, given="hearts").prob("hearts", given="word")
with np.errstate(divide="ignore"):
    informs, pleases = np.log(listener), listener @ np.arange(4)


def speaker(informative):
    """Returns P(word | hearts) [4, 4]."""
    mixed = dict(zip(words, informative * informs + (1 - informative) * pleases[:, None]))
    said = Joint(hearts=range(4)).choice("word", words, lambda hearts, word: mixed[word][hearts], 3.0, "hearts")
    return said.prob("word", given="hearts")


honest, polite = speaker(0.9), speaker(0.1)
print(honest.round(4), polite.round(4), sep="\n")
