"""Restaurant Choice: what does Bob like who walks to Donut South? And who has only turned left?

Source: agentmodels.org, chapter 4 (three favourites, alpha = 2, 11 steps, no turning back; two utilities a meal).
"""

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Observer, minds_grid

STREETS = ("####V#", "###...", "##D.#.", "###.#.", "###...", "###.#N", "....##", "D##.##")[::-1]
MOVES = {"l": (-1, 0), "r": (1, 0), "u": (0, 1), "d": (0, -1)}
LAND = {(x, y): letter for y, row in enumerate(STREETS) for x, letter in enumerate(row) if letter != "#"}


def step(state, action):
    """Returns where a move leads from (place, the place before, steps left, bites taken); at last nowhere."""
    (x, y), before, left, bites = state
    if LAND[x, y] != "." or left == 1:
        return ((x, y), before, left if bites == 0 < left - 1 else 0, 1) if action == "l" else None
    to = {a: (x + dx, y + dy) for a, (dx, dy) in MOVES.items() if (x + dx, y + dy) in LAND.keys() - {before}}
    return (
        (to[action], (x, y), left - 1, 0)
        if action in to
        else None
        if to or action != "l"
        else ((x, y), (x, y), left - 1, 0)
    )


likes = {liked: lambda s, a, t, liked=liked: {".": -0.04, liked: 2.0}.get(LAND[s[0]], 1.0) for liked in "DVN"}
world = enumerated_world(((3, 1), None, 11, 0), "lrud", step, goals=likes, over=lambda s: s[2] == 0)
watch, state, path = Observer(world, minds_grid(likes, 2.0, "soft-eval")), ((3, 1), None, 11, 0), []
for action in "llld":
    watch.update(world.number[state], action)
    path.append(watch.posterior())
    state = step(state, action)
print(path[0], path[-1])
