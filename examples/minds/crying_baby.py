"""The crying baby: feed, sing or ignore, hearing only whether it cries.

Source: Kochenderfer, Wheeler & Wray (2022), "Algorithms for Decision Making", appendix F.7; kach/memo, demo-pomdp.
"""

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Best, Exponential, Filtering, Planning, PlanningMind

CRIES = {"feed": (0.1, 0.8), "sing": (0.0, 0.9), "ignore": (0.1, 0.8)}  # sated, hungry
COST = {"feed": 5.0, "sing": 0.5, "ignore": 0.0}


def step(state, action):
    """Returns (hungry?, cries?, hours left) and how likely they are."""
    hungry = 0.0 if action == "feed" else 1.0 if state[0] else 0.1
    chances = {
        (after, cries): abs(1 - after - hungry) * abs(1 - cries - CRIES[action][after])
        for after in (0, 1)
        for cries in (0, 1)
    }
    return {(*after, state[2] - 1): chance for after, chance in chances.items()}


def values(hungry):
    """Returns what feeding, singing and ignoring are worth in five hours, believing it hungry with this probability."""
    world = enumerated_world(
        {(1, "?", 5): hungry, (0, "?", 5): 1 - hungry}, tuple(CRIES), step, lambda s, a, t: -10.0 * s[0] - COST[a],
        over=lambda s: s[2] == 0, sees=lambda s: s[1:],
    )  # fmt: skip
    plans = Planning("hard", discount=Exponential(0.9))
    return PlanningMind(world.purpose, believes=Filtering(), plans=plans, chooses=Best()).action_values(world)[0]


found = {hungry: values(hungry) for hungry in (0.1, 0.3, 0.5, 0.9)}
print(found)
