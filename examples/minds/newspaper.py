"""Two thirds of the mean, softly: readers of level k take all others to be of level k - 1.

Source: kach/memo, demo-23 (beta = 1; level 0 guesses around 33, level 1 around 22); Nagel (1995).
"""

import numpy as np

from inscape.theory_of_mind import Joint

guesses = np.arange(101)


def reader(level, beta):
    """Returns P(guess) [101]."""
    mean = guesses @ reader(level - 1, beta) if level else 50.0
    return Joint().choice("guess", guesses, lambda guess: -abs(guess - 2 / 3 * mean), beta).prob("guess")


modes = [int(reader(level, 1.0).argmax()) for level in range(5)]
first_two = modes[:2]
means = [float(guesses @ reader(level, 1.0)) for level in range(11)]
print(modes, np.round(means, 6))
