"""Newcomb's problem, read in two ways: the predictor knows the choice, or has chosen beforehand.

Source: Wolpert & Benford (2013), Synthese 190; kach/memo, demo-newcomb (prints 0, 1 and 1, 0).
"""

from inscape.theory_of_mind import Joint

boxes = ("both", "one")


def paid(predicted, taken):
    """Returns what is in the boxes that are taken."""
    return 1_000_000 * (predicted == "one") + 1_000 * (taken == "both")


fearful = Joint().choice("taken", boxes, lambda taken: paid(taken, taken)).prob("taken")
realist = Joint(predicted=boxes).choice("taken", boxes, paid).prob("taken")
print(fearful, realist)
