"""RockSample as published: bounds on its value, and what POMCP earns from exact beliefs.

Published: HSVI earns 18.0 in RockSample[4, 4] (Smith & Simmons 2004), SARSOP 21.39 ± 0.01 and POMCP 20.71 ± 0.21 in
RockSample[7, 8] (Silver & Veness 2010, table 1). Returns are discounted by 0.95.

python -m benchmarks.rock_sample [--sizes 4,4 5,5 5,7 7,8] [--seconds 30] [--episodes 200] [--simulations 10000]
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

from inscape import make_world
from inscape.world_models import POMCP, BeliefModel, mixed_point_based


def returns(model: BeliefModel, planner: POMCP, episodes: int, seed: int) -> np.ndarray:
    """Returns `[episodes]` discounted returns of one who searches at each step, from exact beliefs."""
    world, rng = model.filter.world, np.random.default_rng(seed)
    assert world is not None and world.max_episode_steps is not None
    states = world.sample_initial(episodes, rng)
    beliefs, earned = model.init(world.observe(states)), np.zeros(episodes)
    going, discount = np.arange(episodes), 1.0
    for _ in range(world.max_episode_steps):
        actions = planner.plan(model, beliefs, rng).actions
        states, reward, ended = world.step(states, actions, rng)
        earned[going] += discount * reward
        discount *= planner.gamma
        if ended.all():
            break
        beliefs = model.update(beliefs[~ended], actions[~ended], world.observe(states)[~ended])
        states, going = states[~ended], going[~ended]
    return earned


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["4,4", "5,5", "5,7", "7,8"])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--simulations", type=int, default=10_000)
    parser.add_argument("--upper-weight", type=float, help="of POMCP; found by short searches where not given")
    parser.add_argument("--averaging-visits", type=float, help="of POMCP")
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    for name in given.sizes:
        size, rocks = map(int, name.split(","))
        model = BeliefModel.from_world(make_world("RockSample", size=size, rocks=rocks))
        if given.seconds > 0:
            began = time.process_time()
            found = mixed_point_based(model, 0.95, 1e-3, given.seconds)
            print(
                f"RockSample({name}), {model.tables.num_states:,} states: {found.lower:.3f} to {found.upper:.3f}, "
                f"{time.process_time() - began:.0f} s of processor",
                flush=True,
            )
        if given.episodes > 0:
            began = time.process_time()
            planner = POMCP(
                num_simulations=given.simulations, upper_weight=given.upper_weight,
                averaging_visits=given.averaging_visits,
            )  # fmt: skip
            earned = returns(model, planner, given.episodes, 0)
            print(
                f"  POMCP, {given.simulations:,} simulations: {earned.mean():.2f} ± "
                f"{earned.std(ddof=1) / len(earned) ** 0.5:.2f}, {len(earned)} episodes, "
                f"{time.process_time() - began:.0f} s of processor",
                flush=True,
            )


if __name__ == "__main__":
    main()
