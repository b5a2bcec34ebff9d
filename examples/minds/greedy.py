"""A myopic agent in front of three arms: it takes the one with the highest mean, whatever could be learned.

Source: agentmodels.org, chapter 5c (prizes 3, 1 and 2 with 0.1, 0.5 or 0.9, alike; reward-myopic with bound 1,
alpha = 10).
"""

import itertools

import numpy as np

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Filtering, Observer, Planning, PlanningMind, Softmax

PRIZES, ARMS = (3.0, 1.0, 2.0), ("0", "1", "2")
arms = {(chances, "", 0.0, 3): 1.0 for chances in itertools.product((0.1, 0.5, 0.9), repeat=3)}


def step(state, action):
    """Returns what may follow: the arm and its prize are seen."""
    chances, left, arm = state[0], state[3] - 1, int(action)
    return {(chances, action, PRIZES[arm], left): chances[arm], (chances, action, 0.0, left): 1 - chances[arm]}


world = enumerated_world(arms, ARMS, step, lambda s, a, t: t[2], over=lambda s: s[3] == 0, sees=lambda s: s[1:])
mind = PlanningMind(world.purpose, believes=Filtering(), plans=Planning("soft-eval", horizon=1), chooses=Softmax(10.0))
truth, watch = (0.1, 0.5, 0.5), Observer(world, [mind])
predicted = []
for before, arm, after in (
    (("", 0.0, 3), "0", ("0", 0.0, 2)),
    (("0", 0.0, 2), "2", ("2", 0.0, 1)),
    (("2", 0.0, 1), "1", ("1", 1.0, 0)),
):
    predicted.append(watch.predict(world.number[truth, *before]).action_probs)
    watch.update(world.number[truth, *before], arm, world.number[truth, *after])
print(np.round(predicted, 6))
