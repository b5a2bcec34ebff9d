"""Observing: what does this agent want? The posterior after each of its steps."""

from inscape import observe
from inscape.theory_of_mind import PlanningMind

found = observe("value-iteration", "FourGoals")
print(found.goal, [round(float(p), 2) for p in found.goals["A"]])

minds = [PlanningMind(goal, beta, "soft-eval") for goal in "ABCD" for beta in (1.0, 10.0)]
watched = observe(lambda cell: 2, "FourGoals", minds=minds)  # always to the right
print(watched.most_probable, watched.probabilities.shape, watched.bits.mean())
