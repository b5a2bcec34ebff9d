"""Solving: exact values and the best action in every state, with a bound on the error."""

import inscape
from inscape import solve
from inscape.world_models import TabularModel

solution = solve("FrozenLake8x8", gamma=0.99)
print(solution.values[0], "±", solution.error_bound, solution.policy[:8])

world = inscape.make_world("FrozenLake", slip=0.1)
print(solve(world, gamma=0.9, method="policy-iteration").values[0])
print(solve(world, horizon=10).values[0].max())  # the first of ten stages
print(solve(TabularModel.from_world(world), gamma=0.9).q_values.shape)
