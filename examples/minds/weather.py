"""Indoors or outdoors, when it may storm: one does not choose the weather.

The second number is the mistake that is made where the weather is drawn together with the choice.

Source: kach/memo, demo-pc (prints 1 and 5.242885696424093e-22; and 0.4238831, 0.5761169).
"""

from inscape.theory_of_mind import Joint

places, skies = ("indoors", "outdoors"), ("sun", "storm")


def utility(place, sky):
    """Returns what a meal is worth."""
    return (11 if place == "outdoors" else 10) - 100 * (place == "outdoors" and sky == "storm")


right = Joint(sky=skies).choice("place", places, utility, chooses=1.0).prob("place")
both = [(place, sky) for place in places for sky in skies]
wrong = Joint().choice("both", both, lambda both: utility(*both), chooses=1.0)
confused = wrong.p(lambda both: both[0] == "outdoors")
print(right, confused)
