"""Planning: what to do in a state, by searching a world or a model of it."""

import inscape
from inscape import plan
from inscape.world_models import UCT, LearnedTabularModel

print(plan("FrozenLake8x8"))  # from the start

world = inscape.make_world("FrozenLake", slip=0.1)
found = plan(world, world.State(cell=14), num_simulations=500, gamma=0.95)
print(found.action_name, found.value, found.action_names, found.action_values.round(3))
print(plan(world, planner=UCT(num_simulations=200, exploration=2.0)).visit_counts)

model = LearnedTabularModel.for_task(inscape.resolve_task(world))
model.fit(inscape.rollout("random", world, episodes=200, seed=0))
print(plan(model, 14, num_simulations=500))  # in what was learned, a state by its number
