"""joblib: tasks go to worker processes, which evaluate agents in them.

usage: python joblib_parallel.py [WORLD]
"""

import sys

import joblib

import inscape

WORLD = sys.argv[1] if len(sys.argv) > 1 else "CartPole"


def mean_return(task, seed):
    agent = inscape.make_agent("random", task, seed=seed)
    return inscape.evaluate(agent, task, episodes=5, seed=seed).mean


task = inscape.resolve_task(WORLD)
here = [mean_return(task, seed) for seed in range(3)]
there = joblib.Parallel(n_jobs=2)(joblib.delayed(mean_return)(task, seed) for seed in range(3))
assert here == there
print(f"{WORLD}: mean return {sum(there) / 3:.4g} over 15 episodes, the same in 2 processes as in this one")
