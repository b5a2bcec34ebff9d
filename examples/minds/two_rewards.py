"""$100 in four days or $110 in five? From afar and close by, for an exponential and a hyperbolic discounter.

Source: agentmodels.org, chapter 5a, exercise (discounts 1/2^t and 1/(1 + 2t)); Ainslie (2001), "Breakdown of Will".
"""

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Best, Exponential, Hyperbolic, Planning, PlanningMind


def values(wait, discount):
    """Returns what $100 after `wait` days and $110 a day later are worth today."""
    world = enumerated_world(
        (0, "undecided"), ("$100", "$110"),
        lambda s, a: (s[0] + 1, a if s[1] == "undecided" else s[1]) if s[1] in (a, "undecided") else None,
        lambda s, a, t: 100.0 * (a == "$100" and s[0] == wait) + 110.0 * (a == "$110" and s[0] == wait + 1),
        over=lambda s: s[0] > wait + 1,
    )  # fmt: skip
    mind = PlanningMind(world.purpose, plans=Planning("hard", horizon=8, discount=discount), chooses=Best())
    return mind.action_values(world)[0]


worth = {str(d): [values(wait, d) for wait in (4, 0)] for d in (Exponential(0.5), Hyperbolic(2.0))}
print(worth)
