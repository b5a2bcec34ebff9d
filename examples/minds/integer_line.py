"""The first sequential decision of the book: walk to 3, where it is good to be, in four moves.

Source: agentmodels.org, chapter 3a (alpha = 100; prints the action 1, to the right, and the trajectory 0, 1, 2, 3).
"""

from inscape.envs import enumerated_world
from inscape.theory_of_mind import PlanningMind, policies_of

moves = {"left": -1, "stay": 0, "right": 1}
world = enumerated_world(
    (0, 4), tuple(moves), lambda state, action: (state[0] + moves[action], state[1] - 1),
    lambda state, action, following: float(state[0] == 3), over=lambda state: state[1] == 0,
)  # fmt: skip
log_probs = policies_of(world, [PlanningMind(world.purpose, 100.0, "soft-eval")], 1.0).log_probs[0]
state, path, actions = (0, 4), [], []
while state[1]:
    action = tuple(moves)[log_probs[world.number[state]].argmax()]
    path.append(state[0])
    actions.append(moves[action])
    state = (state[0] + moves[action], state[1] - 1)
print(path, actions[0])
