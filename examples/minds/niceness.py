"""Some of ten thousand people are nice: the same inference over many states.

Source: kach/memo, demo-scalar (10,001 states, three utterances), a scalar implicature.
"""

import numpy as np

from inscape.theory_of_mind import Joint

count = np.arange(10_001)
meaning = np.array([count == 0, count > 0, count == 10_000], float)
literal = Joint(said=("none", "some", "all")).chance("nice", count, meaning, given="said").prob("nice", given="said")
listener = Joint(nice=count).chance("said", ("none", "some", "all"), literal.T, given="nice").prob("nice", given="said")
print(listener[1, [0, 1, 5000, 10_000]])
