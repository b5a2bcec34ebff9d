"""Food trucks: a student walks around the wall, sees Lebanese, and comes back for Korean. What would be liked most?

Source: Baker, Jara-Ettinger, Saxe & Tenenbaum (2017), Nature Human Behaviour 1, 0064 (figure 1: Mexican, which is not
there); kach/memo, demo-trucks.
"""

from inscape import make_world
from inscape.theory_of_mind import Filtering, Observer, Planning, Softmax, grid

world = make_world("FoodTrucks", map="east", parked="K?")
law = world.dynamics()
places = [world.unpack(law.states, s) for s in range(len(law))]
beliefs = [
    Filtering({s: weights[place.second] for s, place in enumerate(places) if law.initial[s] > 0})
    for weights in ({0: 1, 2: 1, 3: 1}, {0: 1, 2: 1, 3: 8})
]
minds = grid(wants=list(world.goals), believes=beliefs, plans=Planning("hard"), chooses=Softmax(1.0))
watch, likes = Observer(world, minds), []
state = next(s for s, place in enumerate(places) if law.initial[s] > 0 and place.cell == 58 and place.second == 2)
path = ["east", *["north"] * 2, *["south"] * 2, *["west"] * 14, "south", "eat"]
for action in path:
    a = world.action_names.index(action)
    following = int(law.next_state[state, a][law.probability[state, a].argmax()])
    watch.update(state, action, following)
    likes.append(watch.marginal("wants"))
    state = following
best = max(likes[-1], key=likes[-1].get)
believed = watch.posterior().reshape(6, 2).sum(axis=0)
print(best, likes[-1], believed)
