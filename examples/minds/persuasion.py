"""A prosecutor chooses how to investigate, a judge knows it: conviction in 60 % of cases of which 30 % are guilty.

Source: Kamenica & Gentzkow (2011), American Economic Review 101(6) (4/7 and 1; 60 %); kach/memo, demo-persuasion
(prints 0.575 and 1.000 on a grid of 0.005).
"""

import numpy as np

from inscape.theory_of_mind import Joint

grid = np.linspace(0.5, 1, 101)
test = (
    Joint(innocent_right=grid, guilty_right=grid, guilty={False: 0.7, True: 0.3})
    .chance("accuses", (False, True), lambda innocent_right, guilty_right, guilty, accuses:
            guilty_right if guilty and accuses else innocent_right if not guilty and not accuses
            else 1 - (guilty_right if guilty else innocent_right))
    .choice("convicts", (False, True), lambda convicts, guilty: convicts == guilty,
            knows=("innocent_right", "guilty_right", "accuses"))
)  # fmt: skip
convicted = test.prob("convicts", given=("innocent_right", "guilty_right"))[:, :, 1]
best = np.unravel_index(convicted.argmax(), convicted.shape)
innocent_right, guilty_right = grid[list(best)]
print(innocent_right, guilty_right, convicted.max(), convicted[-1, -1])
