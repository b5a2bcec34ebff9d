"""Which of four objects does an agent prefer, and what does it do next, after half of its walk?

Source: Rabinowitz, Perbet, Song, Zhang, Eslami & Botvinick (2018), "Machine theory of mind", ICML, section 3.2: an
11 x 11 grid, five actions, 0.01 for a step and 0.05 for walking into a wall, 31 steps at most, gamma = 0.99.
"""

from inscape.envs import enumerated_world
from inscape.theory_of_mind import Observer, Planning, Softmax, grid

ROWS = ("A.........B", "...........", "..###......", "....#......", "....#......", "...........",
        "......#....", "......#....", "......###..", "...........", "C.........D")  # fmt: skip
MOVES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1), "stay": (0, 0)}


def step(cell, action):
    """Returns the cell a move leads to."""
    row, column = cell[0] + MOVES[action][0], cell[1] + MOVES[action][1]
    return (row, column) if 0 <= row < 11 and 0 <= column < 11 and ROWS[row][column] != "#" else cell


def pays(cell, action, after, liked):
    """Returns 1 for the object that is liked, less the cost of the move."""
    return (ROWS[after[0]][after[1]] == liked) - 0.05 * (cell == after and action != "stay") - 0.01


goals = {liked: lambda s, a, t, liked=liked: pays(s, a, t, liked) for liked in "ABCD"}
world = enumerated_world((5, 5), tuple(MOVES), step, goals=goals, over=lambda s: ROWS[s[0]][s[1]] in "ABCD", gamma=0.99)
watch, cell, liked = (
    Observer(world, grid(wants=list(goals), plans=Planning("hard", horizon=31), chooses=Softmax(20.0))),
    (5, 5),
    [],
)
for action in ("up", "up", "right", "up", "right"):
    liked.append(list(watch.update(world.number[cell], action)))
    cell = step(cell, action)
ahead = watch.predict(world.number[cell]).action_probs
print(liked[-1], ahead)
