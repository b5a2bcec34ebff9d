"""The latent model against exact filters: what it wastes on held-out episodes, and beliefs read from its state.

Mess3 twice, without stochastic variables (the code length is exact): excess over the exact filter on the same held-out
symbols, with its standard error; R² of a linear probe to the filter's beliefs. A linear-Gaussian world, with Gaussian
variables (the code length is a bound): the bound of 16 particles beside Kalman's evidence, both in nats a step, and the
plain bound, whose estimate is noisier.

python -m benchmarks.latent_bits [--seeds 3] [--only Mess3 …] [--steps 1000000] [--held-out 100000]
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time

import numpy as np

from benchmarks.sequence_bits import BARS, episodes
from inscape import make_world
from inscape.world_models import BeliefFilter, LatentModel, LatentSettings, LinearGaussian, belief_probe, fit_model

SYMBOLS = LatentSettings(
    recurrent=32, stochastic=0, width=32, layers=1, updates=1500, batch_size=128, length=48, learning_rate=1e-2,
    average=0.995, held_out=0.0, report_every=1500,
)  # fmt: skip
LINEAR = LatentSettings(
    recurrent=16, cell="linear", stochastic=2, classes=0, feedback=True, width=16, layers=0, updates=1500,
    batch_size=64, length=32, learning_rate=1e-2, average=0.99, held_out=0.0, report_every=1500, min_std=1e-3,
)  # fmt: skip
ROWS = {
    "Mess3": ({}, SYMBOLS),
    "Mess3 x=.05 a=.85": ({"x": 0.05, "a": 0.85}, dataclasses.replace(SYMBOLS, length=64)),
    "linear-Gaussian": ({}, LINEAR),
    "linear-Gaussian, no feedback": ({}, dataclasses.replace(LINEAR, feedback=False, stochastic=4)),
}


def main() -> None:
    """Prints a line for each world and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--steps", type=int, default=1_000_000, help="to learn from")
    parser.add_argument("--held-out", type=int, default=100_000, help="steps to judge by")
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}")
    for name in given.only:
        settings, sizes = ROWS[name]
        for seed in range(given.seeds):
            if name.startswith("linear"):
                linear_row(name, sizes, seed)
            else:
                symbol_row(name, settings, sizes, seed, given.steps, given.held_out)


def symbol_row(
    name: str, settings: dict[str, float], sizes: LatentSettings, seed: int, steps: int, held_out: int
) -> None:
    """Trains and judges one model of Mess3, and prints its line."""
    world = make_world("Mess3", **settings)
    exact = BeliefFilter.from_world(world)
    learned, judged = episodes(world, steps, 2 * seed + 1), episodes(world, held_out, 2 * seed + 2)
    began = time.process_time()
    model = LatentModel.for_task(world, sizes, seed)
    fit_model(model, learned)
    spent = time.process_time() - began
    theirs = np.array([exact.filter(e.observations, e.actions, e.terminated).log_likelihood[1:].sum() for e in judged])
    ours = np.array([model.log_prob(e) for e in judged])
    lengths = np.array([len(e) for e in judged])
    excess = (theirs - ours) / np.log(2)
    mean = excess.sum() / lengths.sum()
    error = np.sqrt(((excess - mean * lengths) ** 2).sum()) / lengths.sum()
    probe = belief_probe(model, world, judged[: max(2, len(judged) // 2)]).r_squared
    verdict = "LEAK" if mean < -4.5 * error else "met" if mean <= BARS[name] and probe >= 0.95 else "NOT MET"
    print(
        f"{name:30}seed {seed}  excess {mean:9.6f} ± {error:.6f} bits a symbol  R² {probe:.4f}  {spent:4.0f} s  ",
        verdict,
        flush=True,
    )


def linear_row(name: str, sizes: LatentSettings, seed: int) -> None:
    """Trains and judges one model of a linear-Gaussian world, and prints its line."""
    world = LinearGaussian.stable(states=3, actions=1, observations=2, seed=seed)
    learned, judged = world.episodes(500, 200, seed=2 * seed + 1), world.episodes(50, 200, seed=2 * seed + 2)
    began = time.process_time()
    model = LatentModel(world.observation_space, world.action_space, sizes, seed)
    fit_model(model, learned)
    spent = time.process_time() - began
    tight = LatentModel(world.observation_space, world.action_space, dataclasses.replace(sizes, samples=16), seed)
    tight.load_state_dict(model.state_dict())
    steps = sum(len(episode) for episode in judged)
    exact, bound, plain = (
        sum(one.log_prob(episode) for episode in judged) / steps for one in (world, tight, model)
    )  # fmt: skip
    below = (exact - bound) / abs(exact)
    verdict = "met" if 0 <= below <= 0.01 else "NOT MET"
    print(
        f"{name:30}seed {seed}  evidence {exact:.5f}  bound {bound:.5f} nats a step, {100 * below:.3f} % below  "
        f"one particle {plain:.5f}  {spent:4.0f} s  {verdict}",
        flush=True,
    )


if __name__ == "__main__":
    main()
