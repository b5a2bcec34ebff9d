"""Measures MuZero: `python -m benchmarks.muzero_control [CartPole | FrozenLake | TicTacToe | WORLD] [--seeds 10]`.

CartPole, and any other world of one player: mean return of `--episodes` episodes after the preset's steps, and how well
the model foresees rewards (mean error), endings (bits) and values (mean error) after one and after five imagined steps,
on those episodes. FrozenLake: the exact probability of ever reaching the goal by the greedy policy (optimum 14/17),
without and with chance codes. TicTacToe: lines lost in either seat against every reply, exact by enumeration. Seconds
are processor time; `growth` is that of the last quarter of the steps, over that of the second quarter.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

from inscape import make_agent, resolve_task, rollout  # noqa: E402
from inscape.agents.registry import default_steps  # noqa: E402
from inscape.world_models import TabularModel, policy_evaluation  # noqa: E402


def trained(world: str, steps: int, seed: int, settings: dict[str, Any]) -> tuple[Any, float, float]:
    """Returns the agent, processor seconds of its learning, and their growth."""
    task = resolve_task(world)
    agent = make_agent("muzero", task, seed=seed, settings=settings)
    began = time.process_time()
    marks = [(0.0, 0.0)]
    for report in agent.learn(task, steps):
        marks.append((report["steps"], time.process_time() - began))
    at, seconds = np.array(marks).T
    quarter = np.interp(np.array([0.25, 0.5, 0.75, 1.0]) * at[-1], at, seconds)
    return agent, float(seconds[-1]), float((quarter[3] - quarter[2]) / max(quarter[1] - quarter[0], 1e-9))


def lake_success(agent: Any) -> float:
    """Returns the exact probability of ever reaching FrozenLake's goal by the greedy policy."""
    truth = TabularModel.from_world("FrozenLake")
    policy = np.exp(agent.action_log_probs(np.arange(16)))
    return float(truth.initial @ policy_evaluation(truth, policy, 1.0))


def lost_lines(agent: Any) -> int:
    """Returns how many lines of TicTacToe the greedy agent loses, in either seat, against every reply."""
    world = resolve_task("TicTacToe").world
    assert world is not None
    dynamics = world.dynamics()
    states, legal = dynamics.states, dynamics.legal
    over, mover = world.terminal_of(states), world.mover_of(states)
    best = agent.action_log_probs(world.observe(states), np.where(over[:, None], True, legal)).argmax(axis=1)
    start = int(dynamics.index_of(world.sample_initial(1, np.random.default_rng(0)))[0])
    lost = 0
    for seat in (0, 1):
        waiting = [(start, 0.0)]
        while waiting:
            s, gained = waiting.pop()
            if over[s]:
                lost += gained < 0
                continue
            taken = [int(best[s])] if mover[s] == seat else np.flatnonzero(legal[s]).tolist()
            _, rewards, _ = world.step(states[np.full(len(taken), s)], np.array(taken), np.random.default_rng(0))
            own = np.asarray(rewards)[:, seat]
            waiting += [(int(dynamics.next_state[s, a, 0]), float(r)) for a, r in zip(taken, own, strict=True)]
    return lost


def row(world: str, seed: int, steps: int, episodes: int, settings: dict[str, Any]) -> tuple[float, str]:
    """Returns what a seed is judged by, and a line about it."""
    agent, seconds, growth = trained(world, steps, seed, settings)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spent = f"{seconds:6.1f} s, growth {growth:.2f}, {memory:.0f} MiB"
    if world == "FrozenLake":
        found = lake_success(agent)
        return found, f"success {found:.4f}, {spent}"
    if world == "TicTacToe":
        lost = lost_lines(agent)
        return float(lost), f"lines lost {lost}, {spent}"
    played = rollout(agent, world, episodes, seed=10_000 + seed)
    scores = agent.model.prediction_scores(played, horizon=5, gamma=agent.settings.gamma)
    foreseen = ", ".join(f"{key} {one[0]:.3f} and {one[-1]:.3f}" for key, one in scores.items())
    mean = float(np.mean([episode.total_reward for episode in played]))
    return mean, f"return {mean:.1f}, {spent}; {foreseen}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", nargs="?", default="CartPole")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, help="environment steps (default: the preset's)")
    parser.add_argument("--episodes", type=int, default=20, help="episodes played after learning")
    parser.add_argument("--settings", type=json.loads, default={}, help="JSON, over the preset: '{\"codes\": 0}'")
    given = parser.parse_args()
    steps = given.steps or default_steps("muzero", given.world)
    found = []
    for seed in range(given.first, given.first + given.seeds):
        value, line = row(given.world, seed, steps, given.episodes, given.settings)
        found.append(value)
        print(f"seed {seed}: {line}", flush=True)
    solved = f"at least 475: {sum(one >= 475 for one in found)} of {len(found)}; " if given.world == "CartPole" else ""
    print(
        f"{given.world}, {steps:,} steps: mean {np.mean(found):.4f}, least {min(found):.4f}, most {max(found):.4f}; "
        f"{solved}load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
