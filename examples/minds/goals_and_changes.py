"""Inverse planning: one goal, a goal that may change, or two goals in turn? Three models of the same walk.

Source: Baker, Saxe & Tenenbaum (2009), Cognition 113(3): models M1, M2 (changing goals) and M3 (a goal on the way).
"""

from inscape import make_world
from inscape.theory_of_mind import InTurn, Observer, Planning, Softmax, Switching, grid

world, goals = make_world("FourGoals", step_cost=0.1), ("A", "B", "C", "D")
in_turn = [InTurn((first, last)) for first in goals for last in goals if first != last]
minds = grid(
    wants=[*goals, Switching(goals, rate=0.25), *in_turn], plans=Planning("hard"), chooses=Softmax(10.0),
    prior=lambda mind: {str: 1 / 4, Switching: 1.0, InTurn: 1 / 12}[type(mind.wants)],
)  # fmt: skip
watch, state, kinds = Observer(world, minds), world.State(4 * 9 + 4), []
for action in ("left", "up", "left", "up", "right", "right", "right", "up"):
    following = world.transition(world.params, state, world.action_names.index(action), 0)[1]
    watch.update(state, action, following)
    kinds.append(list(watch.marginal(lambda mind: type(mind.wants)).values()))
    state = following
ahead = watch.predict(state).action_probs
print(kinds[-1], ahead)
