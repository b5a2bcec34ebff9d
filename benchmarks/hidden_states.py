"""Measures what the planning issue asks of hidden states: `python benchmarks/hidden_states.py [WORLD ...]`.

For each world: the bounds of point-based value iteration, with its processor time; then what POMCP earns, with exact
beliefs and with particles: one search at each belief that it comes to, and the value of that policy by a linear system
over those beliefs, with nothing sampled but searches and particles; mean and standard error over seeds.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from inscape import resolve_task
from inscape.world_models import POMCP, BeliefModel, BeliefSolution, ParticleModel, point_based

FILES = Path(__file__).parents[1] / "examples" / "pomdp"
NEGLIGIBLE = 1e-5
"""Discounted probability of coming to a belief, below which its value is taken from the lower bound."""


def policy_value(
    solution: BeliefSolution, planner: POMCP, seed: int = 0, particles: ParticleModel | None = None
) -> tuple[float, int]:
    """Returns the value of the start under a planner that searches once at each belief, and how many beliefs.

    With `particles`, it searches from what the particles hold after the history that led to the belief first.
    """
    problem, model = solution.problem, solution.problem.model
    world = model.filter.world
    keys: dict[bytes, int] = {}
    waiting: list[tuple[np.ndarray, float, Any]] = []
    rows: list[Any] = []

    def particles_at(observation: np.ndarray) -> Any:
        return particles.init(observation[None])

    def particles_after(before: Any, actions: np.ndarray, observation: np.ndarray) -> Any:
        return particles.update(before, actions, observation)

    def number(belief: np.ndarray, reach: float, rough: Any) -> int:
        key = model.keys(belief[None])[0]
        if key not in keys:
            keys[key] = len(keys)
            waiting.append((belief, reach, rough() if particles else None))
        return keys[key]

    seen = np.unique(world.observe(world.dynamics().states[model.tables.initial > 0]), axis=0)
    starts = model.init(seen)
    share = np.array([model.tables.initial[np.isin(model.filter.percepts, model.filter.percepts_of(seen[[k]]))].sum()
                      for k in range(len(seen))])  # fmt: skip
    first = [number(b, p, partial(particles_at, o)) for b, p, o in zip(starts, share, seen, strict=True)]
    percepts = model.filter.distinct_observations
    while waiting:
        belief, reach, rough = waiting.pop(0)
        if reach < NEGLIGIBLE:
            rows.append((float(solution.values(belief[None])[0]), [], []))
            continue
        given = (particles, rough) if particles else (model, belief[None])
        plan = planner.plan(*given, np.random.default_rng([seed, len(rows)]))
        p, after, reward, on = model.outcomes(belief[None], plan.actions)
        going = np.flatnonzero(p[0] * on[0] > 0)
        mass = problem.gamma * p[0, going] * on[0, going]
        to = []
        for k, m in zip(going, mass, strict=True):
            observed = percepts[[model.filter.percepts[int(after[k].argmax())]]]
            to.append(number(after[k], reach * m, partial(particles_after, rough, plan.actions, observed)))
        rows.append((float(p[0] @ reward[0]), to, mass))
    system = np.eye(len(rows))
    for i, (_, to, mass) in enumerate(rows):
        np.subtract.at(system[i], to, mass)
    values = np.linalg.solve(system, np.array([row[0] for row in rows]))
    return float(share @ values[first]), len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("worlds", nargs="*", default=["Tiger", "CheeseMaze", *map(str, sorted(FILES.glob("*.pomdp")))])
    parser.add_argument("--simulations", type=int, default=50_000)
    parser.add_argument("--particles", type=int, default=50_000)
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    for name in given.worlds:
        world = resolve_task(name).world
        BeliefModel.from_world(world)  # enumerated before the clock starts
        began = time.process_time()
        solution = point_based(name, tolerance=1e-3)
        print(f"{Path(name).stem}: {solution.lower:.5f} to {solution.upper:.5f}, gap {solution.gap:.1e}, "
              f"{len(solution)} vectors, {solution.trials} trials, "
              f"{time.process_time() - began:.2f} s", flush=True)  # fmt: skip
        planner = POMCP(num_simulations=given.simulations, gamma=solution.problem.gamma, rollout="informed")
        for kind in ("exact beliefs", f"{given.particles:,} particles"):
            began = time.process_time()
            found = []
            for seed in range(given.seeds):
                rough = None if kind == "exact beliefs" else ParticleModel(world, given.particles, seed)
                found.append(policy_value(solution, planner, seed, rough))
            values = np.array([value for value, _ in found])
            off = 100 * (values / solution.lower - 1)
            error = 100 * values.std(ddof=1) / given.seeds**0.5 / abs(solution.lower)
            print(f"  POMCP, {kind}: {values.mean():.4f} ({off.mean():+.2f} % ± {error:.2f} %, worst {off.min():+.2f} "
                  f"%), {given.seeds} seeds, {np.mean([n for _, n in found]):.0f} beliefs, "
                  f"{time.process_time() - began:.1f} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
