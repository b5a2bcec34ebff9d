"""FrozenLake from a table: success of the plan after 2,000 real steps, exact and without a time limit.

The optimum is 14/17 = .8235. Steps are gathered where the table is least certain, and the plan is made in the table.

python -m benchmarks.lake_model [--seeds 10] [--first 0] [--prior sparse|dirichlet] [--source disagreement]
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

from inscape.agents import make_agent
from inscape.envs.tasks.resolve import resolve_task
from inscape.world_models import TabularModel, policy_evaluation

STEPS = 2_000


def main() -> None:
    """Prints the success of each seed, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--prior", default="sparse")
    parser.add_argument("--source", default="disagreement")
    given = parser.parse_args()
    began = time.process_time()
    found = [success(given.first + seed, given.prior, given.source) for seed in range(given.seeds)]
    print(
        f"FrozenLake, {STEPS:,} steps, {given.source}, {given.prior}: mean {np.mean(found):.4f} of .8235, least "
        f"{min(found):.4f}; {np.round(found, 3).tolist()}; {(time.process_time() - began) / given.seeds:.1f} s of "
        f"processor time a seed, load {os.getloadavg()[0]:.1f}"
    )


def success(seed: int, prior: str, source: str, steps: int = STEPS) -> float:
    """Returns the probability of ever reaching the goal by the plan made after `steps` steps."""
    task = resolve_task("FrozenLake")
    settings = {"collect": source, "prior": prior, "gamma": 0.999, "round_steps": 50, "round_growth": 0.1}
    agent = make_agent("tabular", task, seed=seed, settings=settings)
    for _ in agent.learn(task, steps):
        pass
    assert agent.model.tried().sum() == steps
    truth = TabularModel.from_world("FrozenLake")
    policy = np.exp(agent.action_log_probs(np.arange(16)))
    return float(truth.initial @ policy_evaluation(truth, policy, 1.0))


if __name__ == "__main__":
    main()
