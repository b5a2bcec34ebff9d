"""What agents learn over several seeds: how many solve a world, after how many steps and seconds.

python benchmarks/learning.py --agent ppo --world CartPole [--seeds 10] [--steps N] [--bar 475] [--set NAME=VALUE …]

Each seed trains with the agent's preset in that world and is looked at `--looks` times, always after the same numbers
of steps, over `--episodes` episodes that are none of its training (the clock stopped). Solved: at the end, the mean
return is at least the bar. Several agents and worlds: every pair that is named. `--processes` share the seeds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

BARS = {
    "CartPole": 475.0,  # the reward_threshold of Gymnasium's CartPole-v1
    "CartPole-v1": 475.0,
    "Pendulum": -200.0,
    "Pendulum-v1": -200.0,
    "MountainCarContinuous": 90.0,  # the reward_threshold of Gymnasium's MountainCarContinuous-v0
    "CartPoleSwingUp": 850.0,  # a second to swing up, and upright in the middle of the track from then on: some 900
}
"""Mean returns that count as solved, where the command line does not say."""


@dataclass(frozen=True)
class Job:
    """One training."""

    agent: str
    world: str
    settings: dict[str, Any]
    steps: int
    seed: int
    looks: int
    episodes: int


@dataclass(frozen=True)
class Learned:
    """What came of it.

    Attributes:
        steps: at which it was looked at.
        seconds: of training until then.
        returns: mean return found.
    """

    steps: list[int]
    seconds: list[float]
    returns: list[float]

    def first(self, bar: float) -> int | None:
        """Returns the first look at which the bar was reached."""
        return next((k for k, found in enumerate(self.returns) if found >= bar), None)


def learn(job: Job) -> Learned:
    """Trains and looks."""
    from inscape.agents.registry import make_agent
    from inscape.agents.rollout import evaluate
    from inscape.envs.tasks.resolve import resolve_task
    from inscape.experiments.runs.loop import EVALUATION_SEED

    task = resolve_task(job.world)
    agent: Any = make_agent(job.agent, task, seed=job.seed, settings=job.settings)
    found = Learned([], [], [])
    spent, last = 0.0, 0
    every = max(1, job.steps // job.looks)

    def look(steps: int) -> None:
        found.steps.append(steps)
        found.seconds.append(spent)
        found.returns.append(evaluate(agent, task, job.episodes, EVALUATION_SEED + job.seed).mean)

    began = time.perf_counter()
    for report in agent.learn(task, job.steps):
        spent += time.perf_counter() - began
        before, last = last, int(report["steps"])
        if last // every > before // every:
            look(last)
        began = time.perf_counter()
    if not found.steps or found.steps[-1] != last:
        look(last)
    return found


def row(job: Job, bar: float, found: list[Learned]) -> tuple[str, ...]:
    """Returns a line of the table."""
    ends = [one.returns[-1] for one in found]
    firsts = [(one, k) for one in found if (k := one.first(bar)) is not None]
    solved = sum(end >= bar for end in ends)
    steps = f"{statistics.median(one.steps[k] for one, k in firsts):,.0f}" if firsts else "–"
    seconds = f"{statistics.median(one.seconds[k] for one, k in firsts):.1f}" if firsts else "–"
    whole = statistics.median(one.seconds[-1] for one in found)
    return (
        job.agent, job.world, f"{bar:g}", f"{solved} of {len(found)}", f"{len(firsts)} of {len(found)}", steps, seconds,
        f"{found[0].steps[-1]:,}", f"{whole:.1f}", f"{statistics.median(ends):.4g}", f"{min(ends):.4g}",
    )  # fmt: skip


HEAD = (
    "agent", "world", "bar", "solved at the end", "bar ever reached", "first after steps", "after seconds", "steps",
    "seconds", "return, median", "worst",
)  # fmt: skip


def setting(text: str) -> tuple[str, Any]:
    """Returns the name and value of NAME=VALUE; what is no JSON is a word."""
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", nargs="+", required=True)
    parser.add_argument("--world", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, help="of one training; without it, the preset's")
    parser.add_argument("--bar", type=float, help="mean return that counts as solved")
    parser.add_argument(
        "--set", type=setting, nargs="+", default=[], metavar="NAME=VALUE", help="settings of the agents"
    )
    parser.add_argument("--looks", type=int, default=20, help="evaluations during a training")
    parser.add_argument("--episodes", type=int, default=100, help="of each evaluation")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args()

    from env_speed import print_rows

    from inscape.agents.registry import default_steps
    from inscape.envs.tasks.resolve import resolve_task

    jobs = []
    for agent in options.agent:
        for world in options.world:
            if options.bar is None and world not in BARS:
                parser.error(f"--bar: the mean return at which {world} counts as solved")
            steps = options.steps or default_steps(agent, resolve_task(world))
            settings = dict(options.set)
            jobs.append(Job(agent, world, settings, steps, 0, options.looks, options.episodes))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes share the cores, a seed each
    lines = []
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool:
        pending = [[pool.submit(learn, replace(job, seed=seed)) for seed in range(options.seeds)] for job in jobs]
        for job, futures in zip(jobs, pending, strict=True):
            bar = BARS[job.world] if options.bar is None else options.bar
            lines.append(row(job, bar, [future.result() for future in futures]))
    print_rows(HEAD, lines)
    print(f"\nSeeds 0 to {options.seeds - 1}, {options.processes} at a time; {options.episodes} episodes a look.")


if __name__ == "__main__":
    main()
