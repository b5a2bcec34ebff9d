"""Take one or two matches; who takes the last wins. Does the opponent know the trick?

Source: kach/memo, demo-takeaway (beta = 10; the best is to leave a multiple of three).
"""

import numpy as np

from inscape.envs import enumerated_world
from inscape.theory_of_mind import LevelK, Observer, Planning, Softmax, grid, level_k

world = enumerated_world(
    {(n, 0): 1.0 for n in range(1, 11)}, ("one", "two"),
    lambda s, a: (s[0] - 1 - (a == "two"), 1 - s[1]) if s[0] > (a == "two") else None,
    lambda s, a, t: (0.0, 0.0) if t[0] else (1.0, -1.0) if s[1] == 0 else (-1.0, 1.0),
    over=lambda s: s[0] == 0, mover=lambda s: s[1],
)  # fmt: skip
skilled = level_k(world, 10, chooses=10.0).top[0]
ones = [skilled[world.number[n, 0], 0] for n in range(1, 11)]
minds = grid(
    wants=world.purpose,
    plans=Planning("soft-eval"),
    chooses=[Softmax(10.0), Softmax(0.0)],
    others=LevelK(9, chooses=Softmax(10.0)),
)
watch = Observer(world, minds, player=0)
trick = [watch.update(world.number[n, 0], action, fresh=True)[0] for n, action in ((10, "one"), (9, "one"), (8, "two"))]
print(np.round(ones, 6), trick)
