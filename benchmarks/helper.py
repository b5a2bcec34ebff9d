"""What a helper that has to infer what is wanted is worth: certified bounds, steps saved, time per step of a live game.

    python benchmarks/helper.py [--seconds 60] [--episodes 1000]

The human's way of acting is fixed and stated in each row: it chooses by exp(β·Q) and does not model the helper (in
DoorHelper and HouseholdHelper it plans as if the helper acted at random; asked, it says what it wants with probability
0.95), or is "trusting": it plans as if the helper knew what it wants (in the kitchens, where nobody makes soup alone).
`short` is how far from the best the helper may be, (upper − lower)/|upper|, certified; `saved` the share of the steps
that a helper who knows the goal saves, in paired episodes of at most the world's time limit.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from inscape import make_world
from inscape.theory_of_mind import Answering, AssistanceProblem, Trusting, assistance_problem, minds_grid


@dataclass(frozen=True)
class Row:
    world: str
    settings: dict[str, Any]
    human: str
    beta: float
    gap: float
    """The gap between the bounds to reach, as a share of their size."""
    bar: float | None
    """The most that the helper may be short of the best; None: no bar."""
    gamma: float | None = None


ROWS = (
    Row("DoorHelper", {"map": "corridor"}, "Boltzmann", 50, 0.001, 0.01),
    Row("DoorHelper", {"map": "corridor"}, "Boltzmann", 200, 0.001, 0.01),
    Row("DoorHelper", {"map": "four-rooms"}, "Boltzmann", 200, 0.005, 0.03),
    Row("DoorHelper", {"map": "four-rooms"}, "Boltzmann", 100, 0.005, None),
    Row("HouseholdHelper", {}, "answering", 10, 0.001, 0.01),
    Row("HouseholdHelper", {}, "answering", 40, 0.001, 0.01),
    Row("HouseholdHelper", {"rooms": "kitchen, living room"}, "Boltzmann", 20, 0.001, 0.01),
    Row("Kitchen", {"map": "hatch-window", "cook_time": 1}, "trusting", 10, 0.005, None, 0.9),
    Row("KitchenOrders", {}, "trusting", 10, 0.005, None, 0.9),
)


def problem_of(row: Row) -> AssistanceProblem:
    world = make_world(row.world, **row.settings)
    goals = [goal for goal in world.goals if goal != "any soup"]
    if row.human == "trusting":
        minds: list[Any] = [Trusting(goal, row.beta) for goal in goals]
    else:
        minds = list(minds_grid(goals, [row.beta], ["hard"]))
        minds = [Answering(mind, 0.95) for mind in minds] if row.human == "answering" else minds
    return assistance_problem(world, minds, gamma=row.gamma)


def measured(row: Row, seconds: float, episodes: int) -> list[str]:
    began = time.process_time()
    problem = problem_of(row)
    helper = problem.solve(row.gap * abs(problem.knowing_value), seconds)
    spent = time.process_time() - began
    none, knowing = problem.waiting_value(), problem.knowing_value
    short = helper.gap / abs(helper.upper)
    steps = {}
    began = time.process_time()
    for name, who in (("none", problem.waiting()), ("helper", helper), ("knowing", problem.knowing())):
        steps[name] = problem.simulate(who, episodes, 0).lengths
        if name == "helper":
            per_step = (time.process_time() - began) / max(1, steps["helper"].sum())
        began = time.process_time()
    baseline = problem.simulate(problem.qmdp(), episodes, 0)
    ends = bool(problem.model.tables.terminal.any())
    saves, saved = (float((steps["none"] - steps[who]).mean()) for who in ("knowing", "helper"))
    share = f"{saved / saves:.1%}" if ends and saves > 0.2 else "–"
    verdicts = [] if row.bar is None else ["ok" if short <= row.bar else "MISSED"]
    verdicts += ["ok" if helper.lower >= none - 0.01 * abs(none) else "WORSE THAN NONE"]
    if row.world == "DoorHelper" and saves > 0.2:
        verdicts += ["ok" if saved >= 0.9 * saves else "MISSED STEPS"]
    settings = ", ".join(str(value) for value in row.settings.values()) or "default"
    return [
        f"{row.world} ({settings})", f"{row.human}, β = {row.beta:g}", f"{len(problem.model.tables):,}",
        f"{none:.4f}", f"{baseline.mean:.4f} ± {baseline.standard_error:.4f}",
        f"{helper.lower:.4f} to {helper.upper:.4f}", f"{short:.2%}", f"{knowing:.4f}",
        " / ".join(f"{steps[name].mean():.1f}" for name in ("none", "helper", "knowing")) if ends else "–", share,
        f"{spent:.1f}", f"{1e3 * per_step:.2f}", " ".join(verdicts),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="most seconds for the bounds of a row")
    parser.add_argument("--episodes", type=int, default=1000, help="simulated episodes")
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; times are processor time\n")
    titles = [
        "world", "human", "joint states", "no help", "QMDP", "helper: bounds", "short", "knowing helper",
        "steps: none / helper / knowing", "saved", "s to plan", "ms a step", "bars",
    ]  # fmt: skip
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    for row in ROWS:
        print("| " + " | ".join(measured(row, given.seconds, given.episodes)) + " |", flush=True)


if __name__ == "__main__":
    np.set_printoptions(suppress=True)
    main()
