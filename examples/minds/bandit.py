"""Chocolate for sure, or an arm that gives champagne or nothing? With more trials ahead it pays to find out.

Source: agentmodels.org, chapter 3c, appendix (utilities 1, 1.5 and 0; prior 0.5).
"""

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Best, Filtering, Planning, PlanningMind


def values(trials):
    """Returns what the known and the unknown arm are worth, `trials` before the end."""
    world = enumerated_world(
        {(prize, "nothing yet", trials): 1.0 for prize in (1.5, 0.0)}, ("known", "unknown"),
        lambda s, a: (s[0], 1.0 if a == "known" else s[0], s[2] - 1), lambda s, a, t: t[1],
        over=lambda s: s[2] == 0, sees=lambda s: s[1:],
    )  # fmt: skip
    mind = PlanningMind(world.purpose, believes=Filtering(), plans=Planning("hard"), chooses=Best())
    return mind.action_values(world)[0]


found = [values(trials) for trials in (1, 2, 3, 5)]
print(found)
