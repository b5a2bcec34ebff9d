"""Steps per second of every registered world: the vector environment, and random play inside compiled code.

python benchmarks/world_speed.py [NAME …] [--copies 16384] [--seconds 0.5] [--repeats 5]

The vector environment is given prepared actions (same-step autoreset, observations and flags written every step).
Worlds that forbid some actions are played by `random_play`, which chooses uniformly among the legal ones as it goes.
"""

from __future__ import annotations

import argparse
import os
import platform

import numpy as np
from timing import Measured, rate

from inscape.envs.registry import make_world, world_specs
from inscape.envs.world import World

BARS = {"FrozenLake": 80, "CliffWalking": 80, "ConnectFour": 80, "CartPole": 100, "Household": 3, "Kitchen": 3,
        "Spread": 5, "SpreadForces": 5, "DoorKey": 10, "EmptyRoom": 10}  # fmt: skip
"""Million steps per second asked of a world on two cores; 20 of any other."""


def prepared(world: World, options: argparse.Namespace) -> Measured | None:
    """Returns the speed of the vector environment, or None where actions cannot be prepared."""
    if world.law_function("legal") is not None:
        return None
    env = world.vector_env(options.copies, "same-step")
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = [np.asarray(world.random_actions(env.states, rng)) for _ in range(16)]

    def call() -> int:
        for action in actions:
            env.step(action)
        return 16 * options.copies

    return rate(world.name, call, options.seconds, options.repeats)


def played(world: World, options: argparse.Namespace) -> Measured:
    """Returns the speed of random play, choices included."""

    def call() -> int:
        play = world.random_play(options.copies, 50)
        return play.steps + play.late_steps

    return rate(world.name, call, options.seconds, options.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--copies", type=int, default=16384)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; M steps/s: median (best)")
    print(f"{'world':26s} {'vector env':>18s} {'random play':>18s} {'bar':>6s}")
    for name in options.names or [spec.name for spec in world_specs()]:
        world = make_world(name)
        one, two = prepared(world, options), played(world, options)
        bar = BARS.get(name, 20)
        best = max(two.median, one.median if one else 0.0) / 1e6
        cells = [f"{m.median / 1e6:9.1f} ({max(m.rates) / 1e6:6.1f})" if m else f"{'—':>18s}" for m in (one, two)]
        print(f"{name:26s} {cells[0]:>18s} {cells[1]:>18s} {bar:6d}{'' if best >= bar else '  BELOW'}", flush=True)


if __name__ == "__main__":
    main()
