"""Particles against the exact posterior, in random cases: `python benchmarks/particle_observer.py [--cases 100]`.

Each case: a mind drawn from three goals and four values of β in FourGoals, what it does in some steps from a random
state, and the posterior of its goal by independent particle observers, which resample and rejuvenate. z is the mean of
their estimates less the exact probability, in standard errors of that mean.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

from inscape import make_world
from inscape.theory_of_mind import Observer, ParticleObserver, PlanningMind, minds_grid

GOALS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--observers", type=int, default=20, help="of each case")
    parser.add_argument("--particles", type=int, default=100)
    parser.add_argument("--betas", type=float, nargs="+", default=[0.5, 1.0, 2.0, 4.0], help="larger: more resampling")
    given = parser.parse_args()
    world = make_world("FourGoals")
    goals = list(world.goals)[:GOALS]
    exact = Observer(world, minds_grid(goals, given.betas, "hard"))

    def draw_mind(rng: np.random.Generator) -> PlanningMind:
        return PlanningMind(goals[rng.integers(GOALS)], given.betas[rng.integers(len(given.betas))], "hard")

    scores, resampled, began = [], 0, time.process_time()
    for case in range(given.cases):
        rng = np.random.default_rng(case)
        exact.reset()
        g = int(rng.integers(len(exact.minds)))
        open_states = np.flatnonzero(~exact._over)
        taken = []
        for s in rng.choice(open_states, size=int(rng.integers(5, 30))):
            a = int(rng.choice(world.num_actions, p=np.exp(exact.policies.log_probs[g, s])))
            taken.append((int(s), a))
            exact.update(int(s), a, fresh=True)
        goal = goals[int(rng.integers(GOALS))]
        truth = exact.marginal("goal")[goal]
        found = []
        for seed in range(given.observers):
            watch = ParticleObserver(world, draw_mind, given.particles, rng=1000 * case + seed)
            for s, a in taken:
                watch.update(s, a, fresh=True)
            found.append(watch.marginal("goal").get(goal, 0.0))
            resampled += watch.resampled
        # where all agree, they still cannot know more than one particle among all of them says
        finest = 1.0 / (given.particles * given.observers)
        scores.append((np.mean(found) - truth) / max(np.std(found, ddof=1) / np.sqrt(len(found)), finest))
    inside = int((np.abs(scores) <= 3).sum())
    print(
        f"load {os.getloadavg()[0]:.1f}: {inside} of {len(scores)} cases within 3 standard errors, mean z "
        f"{np.mean(scores):+.2f}; {given.observers} observers of {given.particles} particles each, which resampled "
        f"{resampled / len(scores) / given.observers:.2f} times on average; {time.process_time() - began:.0f} s"
    )


if __name__ == "__main__":
    main()
