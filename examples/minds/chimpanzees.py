"""Chimpanzees revise a belief when the later evidence is the stronger one.

Source: Schleihauf et al. (2025), Science 390; kach/memo, demo-chimp-belief-revision (prints both tables).
"""

from inscape.theory_of_mind import Joint

kinds = ("crumbs", "noise", "sight")
signal = {"crumbs": (0.5, 0.6), "noise": (0.3, 0.6), "sight": (0.01, 0.9)}  # if the box is empty, if it has food
boxes = Joint(first=(False, True), second=(False, True), kind_1=kinds, kind_2=kinds)
once = boxes.given(lambda kind_1, first: signal[kind_1][first])
twice = once.given(lambda kind_2, second: signal[kind_2][second])


def chosen(believed, *known):
    """Returns P(box | kinds of evidence): a chimpanzee chooses with beta = 10."""
    decided = believed.choice("box", (1, 2), lambda box, first, second: (first, second)[box - 1], 10.0, known)
    return decided.prob("box", given=known)


first, second = chosen(once, "kind_1"), chosen(twice, "kind_1", "kind_2")
print(first, second, sep="\n")
