"""Nagel's beauty contest: guess a fraction of the mean of all guesses from 0 to 100.

Source: Nagel (1995), American Economic Review 85(5): 50 p, 50 p^2, 50 p^3, ...: 33.33, 22.22, 14.81, 9.88 where
p = 2/3, and 25, 12.5, 6.25, 3.125 where p = 1/2. A population of levels: Camerer, Ho & Chong (2004), tau = 1.5, by
which level 2 takes 40 % of the others to be of level 0.
"""

import numpy as np

from inscape.theory_of_mind import Joint

guesses = np.linspace(0, 50, 32_401)  # in steps of 1/648; whoever thinks does not guess more


def guess(fraction, mean):
    """Returns the best guess in a large crowd, of which the mean is believed."""
    return Joint().choice("guess", guesses, lambda guess: -abs(guess - fraction * mean)).expect(lambda guess: guess)


steps = {}
for fraction in (2 / 3, 1 / 2):
    means = [50.0]
    for _ in range(4):
        means.append(guess(fraction, means[-1]))
    steps[fraction] = means[1:]
second = guess(2 / 3, 0.4 * 50 + 0.6 * steps[2 / 3][0])
print(steps, second)
