"""The sequence model against the exact filter: excess code length on held-out episodes, and beliefs read from it.

Worlds whose state is hidden: Mess3 twice (the best possible predictor has 1.570934 and 1.144717 bits a symbol), Tiger,
CheeseMaze and TMaze under random actions. Excess: the model's bits less the exact filter's on the same episodes, a
step, with the standard error over episodes. A model that seems better than the filter by more than 4.5 of them has seen
what it should not. Probe: R² of a linear map from its activations to the filter's belief.

python -m benchmarks.sequence_bits [--seeds 3] [--only Mess3 …] [--steps 1000000] [--held-out 100000]
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

from inscape import make_world, rollout
from inscape.world_models import BeliefFilter, SequenceModel, SequenceSettings, belief_probe, fit_model

ROWS = {
    "Mess3": ({}, SequenceSettings(32, 2, 2, 16, 2000, 128, 5e-3, held_out=0.0)),
    "Mess3 x=.05 a=.85": ({"x": 0.05, "a": 0.85}, SequenceSettings(32, 2, 2, 32, 3000, 64, 5e-3, held_out=0.0)),
    "Tiger": ({}, SequenceSettings(32, 2, 2, 48, 2000, 64, 5e-3, held_out=0.0)),
    "CheeseMaze": ({}, SequenceSettings(48, 2, 4, 64, 3000, 64, 4e-3, held_out=0.0)),
    "TMaze": ({}, SequenceSettings(48, 2, 4, 96, 3000, 48, 4e-3, held_out=0.0)),
}
BARS = {"Mess3": 0.0004, "Mess3 x=.05 a=.85": 0.001}


def main() -> None:
    """Prints a line for each world and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--steps", type=int, default=1_000_000, help="to learn from")
    parser.add_argument("--held-out", type=int, default=100_000, help="steps to judge by")
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}")
    print(f"{'world':20}{'seed':>5}{'exact':>10}{'model':>10}{'excess':>11}{'s.e.':>10}{'R²':>8}{'s':>7}   bar")
    for name in given.only:
        settings, sizes = ROWS[name]
        world = make_world(name.split()[0], **settings)
        exact = BeliefFilter.from_world(world)
        for seed in range(given.seeds):
            row(name, world, exact, sizes, seed, given.steps, given.held_out)


def row(
    name: str, world: object, exact: BeliefFilter, sizes: SequenceSettings, seed: int, steps: int, held_out: int
) -> None:
    """Trains and judges one model, and prints its line."""
    learned, judged = episodes(world, steps, 2 * seed + 1), episodes(world, held_out, 2 * seed + 2)
    began = time.process_time()
    model = SequenceModel.for_task(world, sizes, seed)
    fit_model(model, learned)
    spent = time.process_time() - began
    theirs = np.array([exact.filter(e.observations, e.actions, e.terminated).log_likelihood[1:].sum() for e in judged])
    ours = np.array([model.log_prob(e) for e in judged])
    lengths = np.array([len(e) for e in judged])
    excess = (theirs - ours) / np.log(2)
    mean = excess.sum() / lengths.sum()
    error = np.sqrt(((excess - mean * lengths) ** 2).sum()) / lengths.sum()
    probe = belief_probe(model, world, judged[: max(2, len(judged) // 2)])  # type: ignore[arg-type]
    bits = -theirs.sum() / lengths.sum() / np.log(2)
    verdict = "LEAK" if mean < -4.5 * error else ""
    if name in BARS:
        verdict = verdict or ("met" if mean <= BARS[name] and probe.r_squared >= 0.95 else "NOT MET")
    print(
        f"{name:20}{seed:5}{bits:10.6f}{bits + mean:10.6f}{mean:11.6f}{error:10.6f}{probe.r_squared:8.4f}{spent:7.0f}",
        f"  {verdict}",
        flush=True,
    )


def episodes(world: object, steps: int, seed: int) -> list:  # type: ignore[type-arg]
    """Returns episodes of random play with that many steps together."""
    made: list = []  # type: ignore[type-arg]
    total, part = 0, 0
    while total < steps:
        more = rollout("random", world, 1000 if not made else max(2, len(made)), 1000 * seed + part)
        for episode in more:
            if total < steps:
                made.append(episode)
                total += len(episode)
        part += 1
    return made


if __name__ == "__main__":
    main()
