"""Desires and beliefs inferred from paths on a campus, against what people said: Baker et al. (2017), experiment 1.

People saw 73 paths past food trucks and rated how much the student likes each truck, and what the student believed to
be parked at the hidden spot. Minds with every combination of rewards and prior beliefs are weighed by the paths; mean
rewards and mean prior beliefs are correlated with the people's mean ratings, and so are those of lesioned minds: ones
that know what is parked (TrueBelief), and ones to whom steps cost nothing (NoCost).

The data are the authors' (github.com/clbaker/BToM, folder BeliefDesireInference/data: stimuli.mat, human_data.mat) and
not part of this project.

python benchmarks/food_truck_ratings.py FOLDER [--levels 3] [--priors 2] [--beta 2.5]
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from inscape import make_world
from inscape.theory_of_mind import Filtering, Observer, Planning, PlanningMind, Sees, Softmax

MAPS = {1: "both", 2: "east", 3: "west"}
LEFT_OUT = (11, 12, 22, 71, 72)  # paths the authors call irrational, numbered from 1
CONTENTS = (2, 3, 0)  # at the hidden spot: Lebanese, Mexican, nothing
SPACE = 0.075  # priors are drawn this much towards even ones, as the authors do


class Prior:
    """A prior belief about the hidden spot."""

    def __init__(self, weights: tuple[float, ...]) -> None:
        self.weights = np.array(weights) * (1 - SPACE) + SPACE / 3
        self.__name__ = "/".join(f"{w:.2f}" for w in self.weights)

    def __call__(self, state: Any) -> float:
        return float(self.weights[CONTENTS.index(state.second)])


def main() -> None:
    """Prints the correlations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--levels", type=int, default=3, help="rewards of each truck, from -20 to 100")
    parser.add_argument("--priors", type=int, default=2, help="steps along an edge of the simplex of prior beliefs")
    parser.add_argument("--beta", default="2.5")
    given, began = parser.parse_args(), time.process_time()
    stimuli = loadmat(given.folder / "stimuli.mat", squeeze_me=True, struct_as_record=False)["scenario"]
    people = loadmat(given.folder / "human_data.mat", squeeze_me=True)
    kept = [n for n in range(len(stimuli)) if n + 1 not in LEFT_OUT]
    desires, beliefs = people["des_inf_mean"][:, kept], people["bel_inf_mean_norm"][:, kept]
    steps = range(given.priors + 1)
    corners = [(a, b, given.priors - a - b) for a, b in itertools.product(steps, steps) if a + b <= given.priors]
    priors = [Prior(tuple(np.array(corner) / given.priors)) for corner in corners]
    rewards = list(itertools.product(np.linspace(-20.0, 100.0, given.levels), repeat=3))
    for beta in map(float, given.beta.split(",")):
        print(f"β = {beta:g}, {len(rewards)} rewards × {len(priors)} priors, correlation with people's ratings:")
        for name, cost, believes in (
            ("BToM", 1.0, [Filtering(prior) for prior in priors]), ("NoCost", 0.0, [Filtering(p) for p in priors]),
            ("TrueBelief", 1.0, [Sees()]),
        ):  # fmt: skip
            wanted, believed = inferred([stimuli[n] for n in kept], rewards, believes, cost, beta)
            print(
                f"  {name}: desires {np.corrcoef(wanted.ravel(), desires.ravel())[0, 1]:.3f}, "
                f"beliefs {np.corrcoef(believed.ravel(), beliefs.ravel())[0, 1]:.3f}",
                flush=True,
            )
    print(f"load {os.getloadavg()[0]:.1f}; {time.process_time() - began:.0f} s of processor time")


def inferred(
    stimuli: list[Any], rewards: list[tuple[float, ...]], believes: list[Any], cost: float, beta: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `([3, N] mean rewards of the trucks, [3, N] mean prior beliefs)` after each of N paths."""
    logs = np.empty((len(stimuli), len(rewards), len(believes)))
    for number, name in MAPS.items():
        world = make_world("FoodTrucks", map=name, parked="K?")
        here = [n for n, one in enumerate(stimuli) if one.condition[0] == number]
        for r, reward in enumerate(rewards):
            purpose = world.Purpose(*reward, cost)
            minds = [
                PlanningMind(purpose, believes=one, plans=Planning("hard"), chooses=Softmax(beta)) for one in believes
            ]
            watch = Observer(world, minds, gamma=0.99, sees=lambda state: (state.cell, state.first, state.second))
            for n in here:
                logs[n, r] = log_likelihoods(watch, stimuli[n])
    weights = np.exp(logs - logs.max(axis=(1, 2), keepdims=True))
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    wanted = np.einsum("nrb,rk->kn", weights, np.array(rewards))
    if isinstance(believes[0], Sees):  # it knows what is parked
        return wanted, np.array([np.eye(3)[one.condition[1] - 1] for one in stimuli]).T
    return wanted, np.einsum("nrb,bk->kn", weights, np.array([one.prior.weights for one in believes]))


def log_likelihoods(watch: Any, stimulus: Any) -> np.ndarray:
    """Returns `[G]` log P(path | mind), up to a constant: actions are not seen, only where they lead."""
    watch.reset()
    second = CONTENTS[stimulus.condition[1] - 1]
    looks = [(cell_of(int(place)), 1, second) for place in stimulus.path]
    for look, following in itertools.pairwise(looks):
        watch.update(look, None, following)
    return np.asarray(watch.log_posterior() + watch.log_evidence())


def cell_of(place: int) -> int:
    """Returns the cell of one of the authors' places: they count from the lower left, and 76 is gone."""
    row, column = divmod(place - 1, 15)
    return 75 if place == 76 else (4 - row) * 15 + column


if __name__ == "__main__":
    main()
