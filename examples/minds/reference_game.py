"""The rational-speech-act model of a reference game: which thing does one mean who says "green"?

Source: Frank & Goodman (2012), Science 336; kach/memo, demo-rsa, whose recursion this is (listeners of level 0 and 1,
at beta = 1 and at the 1.74 fitted to Qing & Franke 2015).
"""

import numpy as np

from inscape.theory_of_mind import Joint

things = (("green", "square"), ("green", "circle"), ("pink", "circle"))
words = ("green", "pink", "square", "circle")


def listener(beta, level):
    """Returns P(thing | word) [W, T]: of one who takes the speaker to reckon with the listener of the level below."""
    below = listener(beta, level - 1) if level else np.zeros((len(words), len(things)))
    said = Joint(thing=things).chance(
        "word",
        words,
        lambda thing, word: (word in thing) * np.exp(beta * below[words.index(word), things.index(thing)]),
    )
    return said.prob("thing", given="word")


literal, pragmatic, fitted = listener(1.0, 0), listener(1.0, 1), listener(1.74, 1)
print(literal.round(6), pragmatic.round(6), fitted.round(6), sep="\n")
