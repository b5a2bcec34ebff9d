"""Compares two checkouts row by row: `python benchmarks/old_against_new.py OLD NEW [--pairs 7] [--only WORD]`.

OLD and NEW are folders with a checkout each. A row is measured in pairs, one process of either in turn, in seconds of
processor time, so that other work on the machine counts little; the processor time of all threads counts. Printed: the
median of new/old with the least and the largest of the pairs. Kernels are compiled and warmed up before the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

SECONDS = 0.6
WARM = 200
"""Calls before the clock of what runs as plain Python until that has taken as long as compiling it would."""


def per_call(call: Callable[[], object], at_least: float = SECONDS) -> float:
    """Returns seconds of processor time a call takes, the least of three rounds."""
    call()
    count, best = 1, float("inf")
    while True:
        start = time.process_time()
        for _ in range(count):
            call()
        spent = time.process_time() - start
        if spent >= at_least / 3:
            break
        count *= 2
    for _ in range(3):
        start = time.process_time()
        for _ in range(count):
            call()
        best = min(best, (time.process_time() - start) / count)
    return best


def stepping(name: str, copies: int, **options: object) -> Callable[[], float]:
    def row() -> float:
        import inscape

        env = inscape.make_world(name).vector_env(copies, threads=1, **options)
        env.reset(seed=0)
        env.action_space.seed(0)
        actions = [env.action_space.sample() for _ in range(8)]
        if "action_mask" in env.reset(seed=0)[1]:
            raise SystemExit("this world restricts actions: random play measures it")
        return per_call(lambda: [env.step(a) for a in actions])

    return row


def playing(name: str, copies: int, steps: int) -> Callable[[], float]:
    def row() -> float:
        import inscape

        world = inscape.make_world(name)
        play = world.random_play(copies, steps, threads=1)
        taken = play.steps + getattr(play, "late_steps", 0)  # before, episodes under way at the end were left so
        return per_call(lambda: world.random_play(copies, steps, threads=1)) / taken

    return row


def one_copy(name: str) -> Callable[[], float]:
    def row() -> float:
        import inscape

        env = inscape.make_world(name).env(max_episode_steps=None)
        env.reset(seed=0)
        step, reset = env.step, env.reset

        def thousand() -> None:
            for k in range(1000):
                if step(k & 1)[2]:
                    reset()

        return per_call(thousand)

    return row


def learning(agent: str, name: str, steps: int, **settings: object) -> Callable[[], float]:
    def row() -> float:
        try:
            from inscape.agents import make_agent
            from inscape.envs import resolve_task
        except ImportError:  # before the packages listed their names
            from inscape.agents.plugins import make_agent

            from inscape.envs.registry import resolve_task
        task = resolve_task(name)

        def learn() -> float:  # of an agent of its own: one that has had its steps has nothing left to do
            learner = make_agent(agent, task, seed=0, settings=settings)
            return timed(lambda: deque(learner.learn(task, steps), maxlen=0))

        learn()
        return min(learn() for _ in range(3))

    return row


def timed(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def searching(name: str, simulations: int) -> Callable[[], float]:
    def row() -> float:
        import inscape
        from inscape.world_models import UCT

        world = inscape.make_world(name)
        states = world.sample_initial(1, np.random.default_rng(0))
        search = UCT(num_simulations=simulations)
        return per_call(lambda: search.plan(world, states, np.random.default_rng(0)))

    return row


def solving(name: str, backup: str = "") -> Callable[[], float]:
    def row() -> float:
        import inscape
        from inscape.world_models import TabularModel, soft_value_iteration, value_iteration

        model = TabularModel.from_world(inscape.make_world(name))

        def solve() -> None:
            if backup:
                soft_value_iteration(model, 0.99, 2.0, backup)
            else:
                value_iteration(model, 0.99)

        for _ in range(WARM):  # until it runs compiled
            solve()
        return per_call(solve)

    return row


def observing(what: str) -> Callable[[], float]:
    """Rows of `observer_speed.py`, with the world of each checkout's own."""

    def row() -> float:
        sys.path.insert(0, str(Path.cwd() / "benchmarks"))
        from observer_speed import BETA, GAMMA, Square

        from inscape.theory_of_mind import Observer, minds_grid
        from inscape.world_models import TabularModel, soft_value_iteration

        world = Square()
        minds = minds_grid(world.goals, BETA, "hard")
        tables = [TabularModel.from_world(world, purpose=goal) for goal in world.goals]

        def plan() -> None:
            for model in tables:
                soft_value_iteration(model, GAMMA, BETA, "hard")

        call = plan if what == "planning" else lambda: Observer(world, minds)
        for _ in range(WARM // 4):
            call()
        return per_call(call)

    return row


ROWS: dict[str, Callable[[], float]] = {
    "CartPole, 1 copy": one_copy("CartPole"),
    "FrozenLake, 1 copy": one_copy("FrozenLake"),
    "CartPole, 4,096 copies": stepping("CartPole", 4096),
    "CartPole, 4,096 copies, fast": stepping("CartPole", 4096, arithmetic="fast"),
    "CartPole, 16,384 copies": stepping("CartPole", 16_384),
    "FrozenLake, 4,096 copies": stepping("FrozenLake", 4096),
    "CliffWalking, 4,096 copies": stepping("CliffWalking", 4096),
    "DoorKey, 4,096 copies": stepping("DoorKey", 4096),
    "Spread, 4,096 copies": stepping("Spread", 4096),
    "ConnectFour, random play": playing("ConnectFour", 4096, 64),
    "Household, random play": playing("Household", 1024, 64),
    "UCT, FrozenLake8x8, 20,000": searching("FrozenLake8x8", 20_000),
    "UCT, TicTacToe, 5,000": searching("TicTacToe", 5_000),
    "value iteration, FrozenLake8x8": solving("FrozenLake8x8"),
    "value iteration, Taxi": solving("Taxi"),
    "soft-eval, FrozenLake8x8": solving("FrozenLake8x8", "soft-eval"),
    "soft-eval, Taxi": solving("Taxi", "soft-eval"),
    "maxent, FrozenLake8x8": solving("FrozenLake8x8", "maxent"),
    "maxent, Taxi": solving("Taxi", "maxent"),
    "planning for both goals of an observer": observing("planning"),
    "a whole observer": observing("all"),
    "q-learning, FrozenLake8x8": learning("q-learning", "FrozenLake8x8", 2_000_000),
    "ppo, CartPole": learning("ppo", "CartPole", 32_768),
    "ppo, Pendulum": learning("ppo", "Pendulum", 32_768),
    "dqn, CartPole": learning("dqn", "CartPole", 6_000),
    "sac, Pendulum": learning("sac", "Pendulum", 2_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("old", nargs="?")
    parser.add_argument("new", nargs="?")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--only", default="")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        print(json.dumps(ROWS[given.row]()))
        return
    print(f"| row | new / old, median of {given.pairs} pairs | least to largest |\n|---|---|---|")
    for name in (name for name in ROWS if given.only in name):
        ratios = []
        for pair in range(given.pairs):
            found = {}
            for folder in (given.old, given.new) if pair % 2 == 0 else (given.new, given.old):
                where = Path(folder).resolve()
                environment = {
                    **os.environ,
                    "PYTHONPATH": str(where),
                    "OMP_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                }
                command = [sys.executable, str(Path(__file__).resolve()), "--row", name]
                done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=where, check=False)
                if done.returncode:
                    sys.exit(f"{name} in {folder}: {done.stderr.strip().splitlines()[-1]}")
                found[folder] = float(done.stdout.strip().splitlines()[-1])
            ratios.append(found[given.new] / found[given.old])
        print(f"| {name} | {statistics.median(ratios):.3f} | {min(ratios):.3f} to {max(ratios):.3f} |", flush=True)


if __name__ == "__main__":
    main()
