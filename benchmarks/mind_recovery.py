"""Do stated intervals hold the numbers that choices were made with? Simulated people, fitted, counted.

Each simulation draws β, a lapse and a hyperbolic discount k, makes 60 episodes in a corridor (1 at the near end, 3 at
the far end, any cell to begin in), fits the numbers by maximum likelihood, and asks whether their intervals hold them.

python benchmarks/mind_recovery.py [--simulations 200] [--episodes 60] [--intervals profile] [--parameters beta,lapse,k]
"""

from __future__ import annotations

import argparse
import math
import os
import time
from typing import Any, NamedTuple

import numpy as np

from inscape import World
from inscape.theory_of_mind import Hyperbolic, Planning, PlanningMind, Softmax, refine_mind, simulate_choices
from inscape.theory_of_mind.parts.planning import Exponential


class Cell(NamedTuple):
    cell: int


class Ends(NamedTuple):
    near: float = 1.0
    far: float = 3.0


class Temptation(World):
    """Nine cells in a row; `near` for entering the left end, `far` for the right one."""

    State, Purpose = Cell, Ends
    actions = ("left", "right")
    branches = 1
    gamma = 1.0
    max_episode_steps = 60

    @staticmethod
    def initial_branches(params: Any) -> int:
        return 7

    @staticmethod
    def initial(params: Any, branch: int) -> tuple[float, Cell]:
        return 1.0 / 7.0, Cell(branch + 1)

    @staticmethod
    def transition(params: Any, state: Cell, action: int, branch: int) -> tuple[float, Cell]:
        return 1.0, Cell(min(max(state.cell + 2 * action - 1, 0), 8))

    @staticmethod
    def reward(params: Any, purpose: Ends, state: Cell, action: int, next_state: Cell) -> float:
        left = purpose.near if next_state.cell == 0 else 0.0
        return purpose.far if next_state.cell == 8 else left

    @staticmethod
    def terminal(params: Any, purpose: Ends, state: Cell) -> bool:
        return state.cell == 0 or state.cell == 8


def main() -> None:
    """Prints how often each interval held the number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--episodes", type=int, default=60)
    parser.add_argument("--intervals", default="profile")
    parser.add_argument("--parameters", default="beta,lapse,k")
    given = parser.parse_args()
    names, began = given.parameters.split(","), time.process_time()
    held, bias = coverage(given.simulations, given.episodes, given.intervals, names)
    print(f"load {os.getloadavg()[0]:.1f}; {given.simulations} simulations, {time.process_time() - began:.0f} s")
    margin = 2 * math.sqrt(0.95 * 0.05 / given.simulations)
    for n, name in enumerate(names):
        print(
            f"{name}: 95 % intervals held {100 * held[:, n].mean():.1f} % (95 ± {100 * margin:.1f} by chance); "
            f"median of estimate / true {np.median(bias[:, n]):.3f}"
        )


def coverage(simulations: int, episodes: int, intervals: Any, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns `[simulations, names]`: did the interval hold the number; and estimate / true."""
    world, rng = Temptation(), np.random.default_rng(0)
    held, ratio = np.zeros((simulations, len(names)), np.bool_), np.zeros((simulations, len(names)))
    for n in range(simulations):
        true = {"beta": math.exp(rng.uniform(0.5, 2.5)), "lapse": rng.uniform(0.05, 0.3), "k": rng.uniform(0.2, 1.5)}
        begun = {"beta": 3.0, "lapse": 0.1, "k": 0.5}
        choices = simulate_choices(world, [made_of(world, true, names)], episodes, rng)
        found = refine_mind(choices, made_of(world, begun, names), names, intervals=intervals)
        for m, name in enumerate(names):
            estimate = found.estimates[name]
            held[n, m] = estimate.low <= true[name] <= estimate.high
            ratio[n, m] = estimate.value / true[name]
    return held, ratio


def made_of(world: World, numbers: dict[str, float], names: list[str]) -> PlanningMind:
    """Returns the mind with these numbers; what is not named is not there."""
    discount = Hyperbolic(numbers["k"]) if "k" in names else Exponential(0.9)
    chooses = Softmax(numbers["beta"], numbers["lapse"] if "lapse" in names else 0.0)
    return PlanningMind(world.purpose, plans=Planning("hard", horizon=10, discount=discount), chooses=chooses)


if __name__ == "__main__":
    main()
