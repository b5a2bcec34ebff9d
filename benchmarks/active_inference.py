"""Active inference against pymdp in its T-maze: `python benchmarks/active_inference.py --pymdp PYTHON`.

PYTHON is that of an environment with `inferactively-pymdp` (1.0) installed; without it, only ours is measured. The same
posterior over policies is expected, at the start and after the cue, and times per step: the belief brought up to date,
every policy judged, an action chosen. Processor time, one after the other, three times; medians are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np

from inscape import resolve_task
from inscape.world_models import ActiveInference, BeliefModel

HERE = Path(__file__).parent
MAZE = HERE.parent / "examples" / "pomdp" / "tmaze.pomdp"
CUE, CUE_LEFT, ROUNDS, STEPS = 3, 5, 3, 2000


def ours(depth: int) -> tuple[list[np.ndarray], float]:
    """Returns the posteriors at the start and after the cue, and seconds per step."""
    world = resolve_task(str(MAZE)).world
    model, planner = BeliefModel.from_world(world), ActiveInference(depth=depth, precision=16.0)
    start = model.init(world.observe(world.sample_initial(1, np.random.default_rng(0))))
    action, observed = np.array([CUE]), np.array([CUE_LEFT])
    after = model.update(start, action, observed)
    posteriors = [planner.posterior(model, belief).probability[0] for belief in (start, after)]
    rng = np.random.default_rng(0)
    began = time.process_time()
    for _ in range(STEPS):
        belief = model.update(start, action, observed)
        planner.plan(model, belief, rng)
    return posteriors, (time.process_time() - began) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pymdp", help="Python of an environment with inferactively-pymdp")
    given = parser.parse_args()
    for depth in (1, 2, 3):
        mine, theirs = [], []
        for _ in range(ROUNDS):
            mine.append(ours(depth))
            if given.pymdp:
                done = subprocess.run(
                    [given.pymdp, str(HERE / "peers" / "pymdp_tmaze.py"), str(depth)],
                    capture_output=True, text=True, check=True, env={**os.environ, "JAX_PLATFORMS": "cpu"},
                )  # fmt: skip
                theirs.append(json.loads(done.stdout.splitlines()[-1]))
        seconds = float(np.median([s for _, s in mine]))
        print(f"policies of {depth} actions: {seconds * 1e6:.0f} µs per step")
        for name in theirs[0] if theirs else ():
            slower = float(np.median([run[name]["seconds"] for run in theirs])) / seconds
            off = max(
                np.abs(a - np.array(b)).max() for a, b in zip(mine[0][0], theirs[0][name]["posteriors"], strict=True)
            )
            print(f"  pymdp ({name}): {slower:.1f} × as long; posteriors differ by {off:.1e}")


if __name__ == "__main__":
    main()
