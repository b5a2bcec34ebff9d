"""Restaurant Choice with donuts that taste good and feel bad: the naive are tempted, the sophisticated walk around.

Source: agentmodels.org, chapters 5a and 5b (discount 1/(1 + d); it lists both trajectories); Evans, Stuhlmueller &
Goodman (2016), "Learning the preferences of ignorant, inconsistent agents", AAAI.
"""

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Best, Hyperbolic, Planning, PlanningMind

STREETS = ("####V#", "###...", "##D.#.", "###.#.", "###...", "###.#N", "....##", "D##.##")[::-1]
MOVES = {"l": (-1, 0), "r": (1, 0), "u": (0, 1), "d": (0, -1)}
LAND = {(x, y): letter for y, row in enumerate(STREETS) for x, letter in enumerate(row) if letter != "#"}
PAYS = {"D": (10.0, -10.0), "V": (-10.0, 20.0), "N": (0.0, 0.0)}


def step(state, action):
    """Returns where a move leads from (place, bites taken)."""
    place, bites = state
    to = place[0] + MOVES[action][0], place[1] + MOVES[action][1]
    return (to, 0) if LAND[place] == "." and to in LAND else (place, bites + 1) if LAND[place] != "." else None


world = enumerated_world(
    ((3, 1), 0),
    "lrud",
    step,
    lambda s, a, t: -0.01 if LAND[s[0]] == "." else PAYS[LAND[s[0]]][s[1]],
    over=lambda s: s[1] == 2,
)
walks = {}
for wise in (False, True):
    plans, state, walks[wise] = Planning("hard", 20, Hyperbolic(1.0, wise)), ((3, 1), 0), ""
    policy = PlanningMind(world.purpose, plans=plans, chooses=Best()).controller(world).log_probs[:, 0]
    while LAND[state[0]] == ".":
        walks[wise] += "lrud"[policy[world.number[state]].argmax()]
        state = step(state, walks[wise][-1])
print(walks)
