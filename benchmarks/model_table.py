"""World models beside each other, model × world: held-out bits, regret, samples, seconds; and the leak test.

Every model learns from the same random play and is scored on the same held-out random play, beside the exact filter.
Leak test: no model may need fewer bits than the filter of the true law by more than 4.5 standard errors of the paired
difference; and with more data its bits fall towards the filter's.

python -m benchmarks.model_table [--steps 3000] [--models "tabular;factored"] [--worlds FrozenLake] [--write PAGE.md]
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inscape import make_world, rollout
from inscape.agents.learning.model_settings import ModelLearningSettings
from inscape.agents.models.collecting import Collector
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError
from inscape.world_models import BeliefFilter, fit_model, make_model, regret

WORLDS = ("FrozenLake", "RiverSwim", "Chain", "FourGoals", "CliffWalking", "Tiger", "CheeseMaze", "TMaze", "Mess3")
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "tabular": ("tabular", {}),
    "tabular, sparse": ("tabular", {"prior": "sparse"}),
    "factored": ("factored", {}),
    "context-tree": ("context-tree", {"depth": 16}),
    "sequence": ("sequence", {"updates": 300, "context": 32, "width": 32, "layers": 1}),
}
SIZES = 3
HELD_OUT = 4_000
LIMIT = 4.5
MARK = "<!-- model table -->"


@dataclass(frozen=True)
class Row:
    """One model in one world: bits a step at sizes that grow, the filter's, how far below it, regret, seconds."""

    world: str
    model: str
    steps: int
    curve: tuple[float, ...]
    filtered: float
    z: float
    regret: float
    seconds: float

    @property
    def leaks(self) -> bool:
        return self.z < -LIMIT


def main() -> int:
    """Prints the table; 1 if a model leaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3_000)
    parser.add_argument("--models", default=";".join(MODELS), help="names with ; between")
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--write", default="", help="put the table into this page")
    given = parser.parse_args()
    began, rows = time.process_time(), []
    lines = [
        "| world | model | steps | bits a step | the exact filter's | z | regret | seconds |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for world in given.worlds.split(","):
        for name in given.models.split(";"):
            row = scored(world, name, given.steps)
            if row is None:
                continue
            rows.append(row)
            lost = "" if math.isnan(row.regret) else f"{row.regret:.3g}"
            curve = " → ".join(f"{value:.3f}" for value in row.curve)
            cells = (
                world,
                name,
                f"{row.steps:,}",
                curve,
                f"{row.filtered:.3f}",
                f"{row.z:+.1f}",
                lost,
                f"{row.seconds:.1f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    leaking = [row for row in rows if row.leaks]
    summary = (
        f"{len(rows)} rows, {len(leaking)} below the filter by more than {LIMIT} standard errors; "
        f"{time.process_time() - began:.0f} s of processor time, load {os.getloadavg()[0]:.1f}"
    )
    print(summary)
    if given.write:
        page = Path(given.write)
        before, _, rest = page.read_text(encoding="utf-8").partition(MARK)
        after = rest.partition(MARK)[2]
        table = "\n".join(lines)
        page.write_text(f"{before}{MARK}\n{table}\n\n{summary}.\n{MARK}{after}", encoding="utf-8")
    return 1 if leaking else 0


def scored(name: str, model_name: str, steps: int) -> Row | None:
    """Returns the row of a model in a world; None where it does not take it."""
    world = make_world(name)
    task = as_task(world)
    spec, settings = MODELS.get(model_name, (model_name, {}))
    try:
        make_model(spec, task, **settings)
    except UsageError:
        return None
    began = time.process_time()
    episodes = Collector(task, None, ModelLearningSettings(), 0.99, 1).round(steps)
    held_out, count = [], 0
    while count < HELD_OUT:
        part = rollout("random", task, 50, seed=1_000_000 + count)
        held_out += part
        count += sum(map(len, part))
    exact = BeliefFilter.from_world(world)
    reference = np.array([log_evidence(exact, one) for one in held_out]) / math.log(2)
    curve, model = [], None
    for part in range(SIZES):
        size = max(1, len(episodes) >> 2 * (SIZES - 1 - part))
        model = make_model(spec, task, **settings)
        fit_model(model, episodes[:size])
        spent = -np.array([model.log_prob(one) for one in held_out]) / math.log(2)
        curve.append(float(spent.sum() / count))
    difference = spent + reference
    error = float(np.std(difference, ddof=1) * math.sqrt(len(held_out)))
    z = float(difference.sum() / error) if error > 0 else 0.0
    lost = math.nan
    if callable(getattr(model, "tabular", None)):
        with contextlib.suppress(UsageError):  # the world hides its state
            lost = regret(model, world, 0.95).regret
    return Row(
        name, model_name, steps, tuple(curve), float(-reference.sum() / count), z, lost, time.process_time() - began
    )


def log_evidence(exact: BeliefFilter, episode: Any) -> float:
    """Returns log P of what was observed and whether it ended, given the actions, under the true law."""
    found = exact.filter(episode.observations, episode.actions, episode.terminated)
    return float(np.sum(found.log_likelihood[1:]))


if __name__ == "__main__":
    raise SystemExit(main())
