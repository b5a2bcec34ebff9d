"""Continuous control by planning in the known law: the plan of one step is what the next one starts from.

python examples/plan_control.py
"""

import numpy as np

from inscape import make_world
from inscape.world_models import ICEM


def swing_up(steps: int = 200, horizon: int = 30, population: int = 100) -> float:
    """Returns what an episode of the pendulum earns."""
    world = make_world("Pendulum")
    planner = ICEM(horizon=horizon, population=population, gamma=world.gamma)
    environment, planning = np.random.default_rng(0), np.random.default_rng(1)  # the planner cannot foresee the first
    states, plans, total = world.sample_initial(1, environment), None, 0.0
    for _ in range(steps):
        plans = planner.plan(world, states, planning, previous=plans)
        states, reward, _ = world.step(states, plans.actions, environment)
        total += float(reward[0])
    return total


if __name__ == "__main__":
    print(f"return {swing_up():.1f}")
