"""Default settings against Stable-Baselines3's, in worlds without presets and at several scales of reward.

python benchmarks/default_settings.py [--agent ppo a2c] [--seeds 3] [--steps 20000] [--worlds NAME …] [--set NAME=VALUE]
python benchmarks/default_settings.py --held-out     # worlds that the defaults were not chosen on

Each agent learns with its defaults, its namesake of Stable-Baselines3 with that library's (one copy of the world, as a
user of it has who says nothing). At the end both are evaluated over the same `--episodes` episodes. Clearly worse: the
best seed is below the other's worst, by more than 5 % of what the other gained over a random agent.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "scaled_worlds.py"
OTHERS = {"ppo": "sb3:ppo", "a2c": "sb3:a2c", "dqn": "sb3:dqn", "sac": "sb3:sac"}
WORLDS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"Clinic × {scale:g}": (f"{HERE}:Clinic", {"scale": scale}) for scale in (1e-3, 1.0, 1e3)},
    **{f"Hover × {scale:g}": (f"{HERE}:Hover", {"scale": scale}) for scale in (1e-3, 1.0, 1e3)},
    **{name: (name, {}) for name in ("CliffWalking", "WindyGrid", "RiverSwim", "Garnet")},
}
"""Name in the table → what is learned in, and its settings."""
HELD_OUT = ("Acrobot", "FourRooms", "DoorKey-5x5", "Chain", "DynaMaze", "Taxi", "EmptyRoom", "CheeseMaze")
"""Worlds in which nobody tried settings before these defaults were chosen; without presets too."""
WORLDS |= {name: (name, {}) for name in HELD_OUT}
MARGIN = 0.05


@dataclass(frozen=True)
class Job:
    """One training."""

    agent: str
    world: str
    settings: dict[str, Any]
    steps: int
    seed: int
    episodes: int


def final_return(job: Job) -> float:
    """Trains and returns the mean return at the end."""
    from inscape.agents.registry import make_agent
    from inscape.agents.rollout import evaluate
    from inscape.envs.tasks.resolve import resolve_task
    from inscape.experiments.runs.loop import EVALUATION_SEED

    task = resolve_task(*WORLDS[job.world])
    agent: Any = make_agent(job.agent, task, seed=job.seed, settings=job.settings)
    if job.steps:
        for _ in agent.learn(task, job.steps):
            pass
    return evaluate(agent, task, job.episodes, EVALUATION_SEED + job.seed).mean


def verdict(ours: list[float], theirs: list[float], at_random: float) -> str:
    """Returns in words how our returns compare."""
    gained = abs(statistics.mean(theirs) - at_random)
    if max(ours) < min(theirs) - MARGIN * gained:
        return "clearly worse"
    if min(ours) > max(theirs) + MARGIN * gained:
        return "clearly better"
    return "alike"


def of(returns: list[float]) -> str:
    """Returns the mean and the range of the seeds."""
    return f"{statistics.mean(returns):.4g} ({min(returns):.4g} to {max(returns):.4g})"


def main() -> None:
    from learning import setting

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", nargs="+", default=["ppo"], choices=OTHERS)
    chosen_on = [name for name in WORLDS if name not in HELD_OUT]
    parser.add_argument("--worlds", nargs="+", default=chosen_on, choices=WORLDS)
    parser.add_argument("--held-out", action="store_true", help="the worlds that the defaults were not chosen on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--set", type=setting, nargs="+", default=[], metavar="NAME=VALUE", help="settings of ours")
    parser.add_argument("--only", choices=("ours", "theirs"), help="train only one side")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args()
    options.worlds = list(HELD_OUT) if options.held_out else options.worlds
    from env_speed import print_rows

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    lines = []
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool:

        def trained(agent: str, world: str, settings: dict[str, Any], steps: int) -> list[Any]:
            return [
                pool.submit(final_return, Job(agent, world, settings, steps, seed, options.episodes))
                for seed in range(options.seeds if steps else 1)
            ]

        pending = []
        for agent in options.agent:
            for world in options.worlds:
                own = [] if options.only == "theirs" else trained(agent, world, dict(options.set), options.steps)
                other = [] if options.only == "ours" else trained(OTHERS[agent], world, {"num_envs": 1}, options.steps)
                pending.append((agent, world, trained("random", world, {}, 0), own, other))
        for agent, world, *parts in pending:
            (base,), own, other = ([future.result() for future in part] for part in parts)
            lines.append(
                (
                    agent, world, f"{base:.4g}", of(other) if other else "–", of(own) if own else "–",
                    verdict(own, other, base) if own and other else "–",
                )
            )  # fmt: skip
            print(*lines[-1], sep=" | ", flush=True)
    print()
    print_rows(("agent", "world", "random", "Stable-Baselines3", "Inscape", "Inscape is"), lines)
    print(f"\n{options.steps:,} steps, seeds 0 to {options.seeds - 1}, {options.episodes} episodes each at the end.")


if __name__ == "__main__":
    main()
