"""Laws of motion recovered as equations from 200 transitions of random play, against the laws themselves.

For each world and seed: whether every variable has an equation; the largest relative error of a printed coefficient
where the equation has the law's own form; and the largest error of one step from 10,000 states drawn far beyond those
seen, in units of the largest change there.

python -m benchmarks.equations [--seeds 10] [--transitions 200] [--worlds CartPole Pendulum ...]
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

from inscape import rollout
from inscape.envs.data.trajectory import Trajectory
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.world_models.learned.equations.model import EquationModel

# half-widths of the states at which laws are compared
FAR = {
    "CartPole": (2.0, 3.0, np.pi, 6.0),
    "Pendulum": (np.pi, 6.0),
    "MountainCar": (0.5, 0.05),
    "MountainCarContinuous": (0.5, 0.05),
    "CartPoleSwingUp": (2.0, 3.0, np.pi, 6.0),
}
# coefficients that a form of the law has, in steps: CartPole solved for the cart first, as it is found
PRINTED = {
    "CartPole": {
        "x": {"x_dot": 0.02},
        "theta": {"theta_dot": 0.02},
        "x_dot": {
            "u": 0.02 * (4 / 3) * (10 / 1.1) / (4 / 3 - 0.1 / 1.1),
            "sin_theta * theta_dot * theta_dot": 0.02 * (4 / 3) * (0.05 / 1.1) / (4 / 3 - 0.1 / 1.1),
            "sin_theta * cos_theta": -0.02 * 9.8 * (0.1 / 1.1) / (4 / 3 - 0.1 / 1.1),
        },
        "theta_dot": {"sin_theta": 0.02 * 9.8 / (0.5 * 4 / 3), "cos_theta * d_x_dot": -1 / (0.5 * 4 / 3)},
    },
    "Pendulum": {"theta_dot": {"u": 0.15, "sin_theta": 0.75}, "theta": {"next_theta_dot": 0.05}},
    "MountainCar": {"x_dot": {"u0": 0.001, "cos3_x": -0.0025}, "x": {"next_x_dot": 1.0}},
    "MountainCarContinuous": {"x_dot": {"u": 0.0015, "cos3_x": -0.0025}, "x": {"next_x_dot": 1.0}},
}


def episodes_of(world: str, transitions: int, seed: int) -> list[Trajectory]:
    """Returns random play of so many transitions, the last episode cut."""
    found: list[Trajectory] = []
    left = transitions
    for number in range(transitions):
        (episode,) = rollout("random", world, episodes=1, seed=1000 * seed + number)
        length = min(left, len(episode))
        whole = length == len(episode)
        found.append(
            Trajectory(
                episode.observations[: length + 1], episode.actions[:length], episode.rewards[:length],
                whole and episode.terminated, not (whole and episode.terminated),
            )
        )  # fmt: skip
        left -= length
        if not left:
            break
    return found


def largest_error(model: EquationModel, world: str) -> float:
    """Returns the largest relative error of a coefficient; NaN where an equation has another form than printed."""
    data, system = model._system()
    names, codes = [v.name for v in data.variables], model._codes()
    errors = [0.0]
    for equation in system.equations:
        wanted = PRINTED[world].get(names[equation.variable], {})
        found = {t.text(names, codes): c for t, c in zip(equation.terms, equation.coefficients.tolist(), strict=True)}
        if wanted.keys() != found.keys():
            return float("nan")
        errors += [abs(found[name] / value - 1) for name, value in wanted.items()]
    return max(errors)


def far_error(model: EquationModel, world: str, count: int = 10_000) -> float:
    """Returns the largest error of a step from states far from those seen, relative to the largest change there."""
    law = resolve_task(world).world
    assert law is not None
    rng = np.random.default_rng(0)
    states = law.pack([tuple(row) for row in (rng.uniform(-1, 1, (count, len(FAR[world]))) * FAR[world]).tolist()])
    space = law.action_space
    actions = rng.integers(0, space.n, count) if not law.continuous else rng.uniform(space.low, space.high, (count, 1))
    before, truth = law.observe(states), law.observe(law.outcomes(states, actions)[1])
    off = np.abs(model.predict_next(before, actions) - truth).max(axis=0)
    return float((off / np.abs(truth - before).max(axis=0)).max())


def main() -> None:
    """Prints a row for each world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--transitions", type=int, default=200)
    parser.add_argument("--worlds", nargs="+", default=list(FAR), choices=list(FAR))
    given = parser.parse_args()
    print(f"{given.transitions} transitions, {given.seeds} seeds, load {os.getloadavg()[0]:.1f}\n")
    print("| world | found | form of the law | coefficients within | one step far away within | seconds |")
    print("|---|---:|---:|---:|---:|---:|")
    for world in given.worlds:
        found, forms, worst, far = 0, 0, 0.0, []
        began = time.process_time()
        for seed in range(given.seeds):
            model = EquationModel.for_task(world)
            try:
                list(model.learn(episodes_of(world, given.transitions, seed)))
            except UsageError as error:
                print(f"{world} seed {seed}: {str(error).splitlines()[0]}")
                continue
            found += 1
            far.append(far_error(model, world))
            if world in PRINTED and np.isfinite(error := largest_error(model, world)):
                forms, worst = forms + 1, max(worst, error)
        took = (time.process_time() - began) / given.seeds
        form = f"{forms} of {given.seeds}" if world in PRINTED else "–"
        within = f"{worst:.1e}" if forms else "–"
        away = f"{np.median(far):.1e}, at worst {max(far):.1e}" if far else "–"
        print(f"| {world} | {found} of {given.seeds} | {form} | {within} | {away} | {took:.1f} |", flush=True)


if __name__ == "__main__":
    main()
