"""The observer that searches against the exact one, where the world can be solved: FourGoals, an agent for each goal.

Prints, for each number of simulations, how far the posterior is from the exact one after half an episode and after all
of it, beside the standard error that the observer states, its searches, and processor time.

python -m benchmarks.planned_observer [--simulations 100 300 1000 5000]
"""

from __future__ import annotations

import argparse
import os

import numpy as np

from inscape import make_agent, make_world, rollout
from inscape.theory_of_mind import Observer, PlannedObserver, minds_grid
from inscape.world_models import UCT

from .observer_scale import timed


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, nargs="+", default=[100, 300, 1000, 5000])
    parser.add_argument("--searches", type=int, default=4)
    given = parser.parse_args()
    rooms = {goal: make_world("FourGoals", goal=goal) for goal in "ABCD"}
    minds = minds_grid(list(rooms), [5.0, 20.0], "hard")
    episodes = [
        rollout(make_agent("value-iteration", room, settings={"beta": 20.0}), room, episodes=1, seed=3)[0]
        for room in rooms.values()
    ]
    world = rooms["A"]
    exact = [Observer(world, minds).posterior_over(episode) for episode in episodes]
    print(
        f"load {os.getloadavg()[0]:.1f}; {sum(map(len, episodes))} steps, {len(episodes)} episodes, {len(minds)} minds"
    )
    for simulations in given.simulations:
        search = UCT(num_simulations=simulations, gamma=world.gamma, rollout="none", averaging_visits=0.0)
        far, half, stated, searched, seconds = [], [], [], 0, 0.0
        for episode, wanted in zip(episodes, exact):
            watch = PlannedObserver(world, minds, search, searches=given.searches)
            spent, path = timed(lambda watch=watch, episode=episode: watch.observe(episode))
            off = np.abs(path - wanted).max(axis=1)
            far.append(off[-1])
            half.append(off[len(episode) // 2])
            stated.append(watch.posterior_error().max())
            searched, seconds = searched + watch.searched * given.searches, seconds + spent
        print(
            f"{simulations:,} simulations: off by {max(half):.1e} at half the path and {max(far):.1e} at the end "
            f"(worst of {len(episodes)}), stated error {max(stated):.1e}; {searched:,} searches, {seconds:.1f} s"
        )


if __name__ == "__main__":
    main()
