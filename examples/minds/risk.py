"""Safe or bold? One who weighs the spread against the mean is bold once everything is shaken anyway.

Source: kach/memo, demo-risk-aversion (prints 1, 0 and 0, 1), after a remark by Terence Tao.
"""

import math

import numpy as np

from inscape.theory_of_mind import Joint

steps = np.linspace(-10, 10, 101)
normal = dict(zip(steps, np.exp(-(steps**2) / 2)))


def risk(mean, deviation, shaken):
    """Returns the standard deviation minus the mean of an outcome."""
    world = Joint(own=normal, shock=normal if shaken else {0.5: 1.0})
    found = world.variance(lambda own, shock: mean + deviation * own + 10 * shock - 5)
    return math.sqrt(found) - world.expect(lambda own, shock: mean + deviation * own + 10 * shock - 5)


def choice(shaken):
    """Returns P(safe), P(bold) of one who takes the smaller risk."""
    risks = {"safe": risk(5, 3, shaken), "bold": risk(9, 10, shaken)}
    return Joint().choice("action", risks, lambda action: -risks[action]).prob("action")


first_choice, second_choice = choice(False), choice(True)
print(first_choice, second_choice)
