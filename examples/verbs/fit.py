"""Minds fitted to recorded choices: which, how common, with which numbers, and how well they predict."""

import inscape
from inscape.theory_of_mind import PlanningMind, simulate_choices

world = inscape.make_world("FourGoals")
people = simulate_choices(
    world, [PlanningMind("A", 20.0, "hard")] * 6 + [PlanningMind("C", 20.0, "hard")] * 3, episodes=4
)
fitted = inscape.fit(people, world, betas=[5.0, 20.0], backups="hard", kinds=[1, 2, 3])
print(fitted.fit.marginal("wants"))
print(fitted.comparison)
print(fitted.mixture)
print(fitted.fit.refine_each("beta")["p1"])
