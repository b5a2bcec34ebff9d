"""A paper to write in ten days: the naive put it off for ever, the sophisticated do not.

Source: agentmodels.org, chapter 5b (reward 4.5, cost of a day's delay 0.1, work 1, alpha = 1000, discounts 0 to 7);
after Kleinberg & Oren (2014), "Time-inconsistent planning".
"""

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Hyperbolic, Planning, PlanningMind, Softmax


def step(state, action):
    """Returns what follows from (done?, days waited, days left)."""
    done, waited, left = state
    if done or left == 1:
        return (done, waited, 0) if action == "wait" else None
    return (action == "work", waited + (action == "wait"), left - 1)


world = enumerated_world(
    (False, 0, 10), ("wait", "work"), step,
    lambda s, a, t: 4.5 - 0.1 * s[1] if s[0] else -1.0 * (a == "work"), over=lambda s: s[2] == 0,
)  # fmt: skip
days = {}
for wise in (False, True):
    for k in range(8):
        mind = PlanningMind(
            world.purpose, plans=Planning("soft-eval", 12, Hyperbolic(float(k), wise)), chooses=Softmax(1000.0)
        )
        likes, day = mind.controller(world).log_probs[:, 0], 0
        while day < 9 and likes[world.number[False, day, 10 - day]].argmax() == 0:
            day += 1
        days[wise, k] = day if day < 9 else None
print(days)
