"""The ways a language model learns, on one task and in one table; and beside it an MLP of the same size under PPO.

`python -m benchmarks.language_learners [--world FrozenLake] [--seeds 10] [--steps 300000] [--only em grpo]`

Each method begins with random weights, cloning and DPO with labels from the world's own optimum, the others from return
alone. What was learned is read off in every state and evaluated exactly from the start state: the policy as it draws,
and its best actions. Time is processor time.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import numpy as np
import torch

from inscape import make_agent, resolve_task
from inscape.agents import bradley_terry
from inscape.envs.tasks.task import Task
from inscape.world_models import value_iteration
from inscape.world_models.planning.dynamic_programming import policy_evaluation

SMALL: dict[str, Any] = {"hidden_size": 32, "layers": 1, "heads": 2, "clone_steps": 0, "dpo_steps": 0}
OF: dict[str, dict[str, Any]] = {
    "cloning": {"clone_steps": 200, "clone_episodes": 16},
    "dpo": {"dpo_steps": 200, "kl_reference": "uniform"},
    "em": {"algorithm": "em", "num_envs": 512, "group_size": 1, "epochs": 8, "anneal": "constant"},
    "grpo": {"algorithm": "grpo", "num_envs": 256, "group_size": 64},
    "rloo": {"algorithm": "rloo", "num_envs": 256, "group_size": 64},
    "reinforce": {"algorithm": "reinforce", "num_envs": 256},
    "ppo": {"algorithm": "ppo", "entropy_coef": 0.1},
    "mlp, ppo": {"hidden": (96, 96), "greedy": False},
}


def learned(method: str, task: Task, seed: int, steps: int) -> Any:
    """Returns an agent after training by one of the methods."""
    if method == "mlp, ppo":
        agent: Any = make_agent("ppo", task, seed=seed, settings=OF[method])
    else:
        agent = make_agent("llm", task, seed=seed, settings=SMALL | OF[method])
    if method == "dpo":
        world: Any = task.world
        dynamics = world.dynamics()
        acting = dynamics.legal.any(1)
        q = value_iteration(world, world.gamma).q_values[acting]
        seen = world.observe(dynamics.states)[acting]
        rng = np.random.default_rng([seed, 7])
        agent.prefer(bradley_terry(seen, q, 100_000, rng, 100.0, dynamics.legal[acting]))
    for _ in agent.learn(task, 0 if method in ("cloning", "dpo") else steps):
        pass
    return agent


def values(agent: Any, task: Task) -> tuple[float, float]:
    """Returns the exact values from the start of the policy as it draws and of its best actions."""
    world: Any = task.world
    dynamics = world.dynamics()
    mask = dynamics.legal | ~dynamics.legal.any(1, keepdims=True)
    log_probs = agent.action_log_probs(world.observe(dynamics.states), mask)
    best = np.eye(log_probs.shape[1])[log_probs.argmax(1)]
    both = (policy_evaluation(world, policy, world.gamma) for policy in (np.exp(log_probs), best))
    drawn, greedy = (float(dynamics.initial @ value) for value in both)
    return drawn, greedy


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default="FrozenLake")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--only", nargs="*", default=list(OF), choices=list(OF))
    given = parser.parse_args()
    task = resolve_task(given.world)
    world: Any = task.world
    best = float(world.dynamics().initial @ value_iteration(world, world.gamma).values)
    print(
        f"{given.world}: optimum {best:.4f}; {given.steps:,} steps, {given.seeds} seeds, load {os.getloadavg()[0]:.1f}"
    )
    print("| method | exact value, as it draws (least) | its best actions (least) | s a seed |\n|---|---|---|---|")
    for method in given.only:
        rows, began = [], time.process_time()
        for seed in range(given.seeds):
            rows.append(values(learned(method, task, seed, given.steps), task))
        spent = (time.process_time() - began) / given.seeds
        drawn, greedy = np.array(rows).T
        cells = (f"{found.mean():.4f} ({found.min():.4f})" for found in (drawn, greedy))
        print(f"| `{method}` | {' | '.join(cells)} | {spent:.1f} |", flush=True)


if __name__ == "__main__":
    main()
