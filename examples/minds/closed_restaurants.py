"""Bob believes that Donut South is closed, and walks on to Donut North; or hopes for noodles, and finds them closed.

Source: agentmodels.org, chapter 3c (prior 0.8 that Donut South is closed and the noodle shop open; alpha = 100).
"""

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Filtering, Observer, Planning, PlanningMind, Softmax

STREETS = ("####V#", "###...", "##D.#.", "###.#.", "###...", "###.#N", "....##", "S##.##")[::-1]
MOVES = {"l": -1, "r": 1, "u": 1j, "d": -1j}
LAND = {x + y * 1j: letter for y, row in enumerate(STREETS) for x, letter in enumerate(row) if letter != "#"}


def step(state, action):
    """Returns where a move leads from (place, what is open, steps left)."""
    place, doors, left = state
    to = place + MOVES[action]
    return (to if LAND.get(to, "#") in "." + doors else place, doors, left - 1)


def sees(state):
    """Returns what is seen: beside Donut South and the noodle shop, whether they are open."""
    beside = {LAND.get(state[0] + move) for move in MOVES.values()}
    return state[0], state[2], state[1] if beside & {"S", "N"} else "?"


def walk(**likes):
    """Returns the way of one who likes restaurants so much."""
    world = enumerated_world({(3 + 1j, "DNV", 11): 0.8, (3 + 1j, "DSV", 11): 0.2}, "lrud", step, sees=sees,
        reward=lambda s, a, t: likes.get(LAND[t[0]], -0.1), over=lambda s: LAND[s[0]] != "." or s[2] == 0)  # fmt: skip
    mind = PlanningMind(world.purpose, believes=Filtering(), plans=Planning("hard"), chooses=Softmax(100.0))
    watch, state, path = Observer(world, [mind]), (3 + 1j, "DSV", 11), ""
    while LAND[state[0]] == "." and state[2]:
        path, before = path + "lrud"[watch.predict(world.number[state]).action_probs.argmax()], state
        state = step(state, path[-1])
        watch.update(world.number[before], path[-1], world.number[state])
    return path + LAND[state[0]]


donuts, noodles = walk(D=5.0, S=5.0, V=1.0, N=1.0), walk(D=1.0, S=1.0, V=3.0, N=5.0)
print(donuts, noodles)
