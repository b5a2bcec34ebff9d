"""Who has put a task off for days: does one not care, or discount? Preferences and biases inferred together.

Source: agentmodels.org, chapter 5d (rewards 0.5 to 8, alpha 0.1 to 1000, discounts 0 to 4; with two days left the
optimal model gives 0.005 to the task being done at the last minute, and the one that may discount about 0.2).
"""

import numpy as np

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Hyperbolic, Observer, Planning, Softmax, grid


def step(state, action):
    """Returns what follows from (done?, days waited, days left)."""
    done, waited, left = state
    if done or left == 1:
        return (done, waited, 0) if action == "wait" or not done else None
    return (action == "work", waited + (action == "wait"), left - 1)


rewards = {
    str(r): lambda s, a, t, r=r: r - 0.1 * s[1] if s[0] else -1.0 * (a == "work") for r in (0.5, 2, 3, 4, 5, 6, 7, 8)
}
world = enumerated_world((False, 0, 10), ("wait", "work"), step, goals=rewards, over=lambda s: s[2] == 0)
share = {0.1: 0.1, 1.0: 0.2, 10.0: 0.2, 100.0: 0.2, 1000.0: 0.3}
last_chance = {}
for model, discounts in (("optimal", [0.0]), ("discounting", [0.0, 0.5, 1.0, 2.0, 4.0])):
    plans = [Planning("soft-eval", 12, Hyperbolic(k)) for k in discounts]
    minds = grid(
        wants=list(rewards), plans=plans, chooses=[Softmax(a) for a in share], prior=lambda mind: share[mind.beta]
    )
    watch, last_chance[model] = Observer(world, minds), []
    for day in range(9):
        last_chance[model].append(float(np.exp(watch.action_log_probs(world.number[False, 8, 2])[1])))
        watch.update(world.number[False, day, 10 - day], "wait")
print(np.round(last_chance["optimal"], 4), np.round(last_chance["discounting"], 4))
