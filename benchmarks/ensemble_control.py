"""Measures control by a learned ensemble: `python -m benchmarks.ensemble_control [CartPole] [--seeds 20] [--steps 50]`.

CartPole: PETS takes so many environment steps in all (exploration counted), is frozen, and plays one fresh episode of
at most 500 steps; `--known` hands in the rule by which the task ends and leaves the reward to be learned. Pendulum:
returns over `--episodes` starts, beside those of iCEM in the law itself on the same starts. With `--model equations`
the law is found in so many steps of random play instead, and planned in by iCEM.
"""

from __future__ import annotations

import argparse
import os
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

from benchmarks.equations import episodes_of  # noqa: E402
from inscape import make_agent, resolve_task, rollout  # noqa: E402
from inscape.agents import PETS, PETSSettings  # noqa: E402
from inscape.agents.interface import Agent  # noqa: E402
from inscape.agents.presets import PRESETS  # noqa: E402
from inscape.world_models.learned.equations.model import EquationModel  # noqa: E402


def cartpole_ended(observations: np.ndarray) -> np.ndarray:
    """Returns `[N]` bool: CartPole's own rule."""
    return np.asarray((np.abs(observations[:, 0]) > 2.4) | (np.abs(observations[:, 2]) > 12 * np.pi / 180))


def trained(world: str, steps: int, seed: int, known: bool) -> tuple[PETS, float]:
    """Returns the agent after so many steps, and the processor time that took."""
    began = time.process_time()
    preset = PRESETS.get("pets", {}).get(world.lower())
    agent = PETS(
        resolve_task(world), seed, PETSSettings(**(preset.settings if preset else {})),
        termination=cartpole_ended if known and world == "CartPole" else None,
    )  # fmt: skip
    for _ in agent.learn(resolve_task(world), steps):
        pass
    return agent, time.process_time() - began


def by_equations(world: str, steps: int, seed: int, known: bool) -> tuple[Agent, float]:
    """Returns an agent that plans (iCEM) in the equations found in so many random steps, and the time that took.

    Where the task ends is handed in with `known`, else it is what those steps have met.
    """
    began = time.process_time()
    ends = {"x": (-2.4, 2.4), "theta": (-12 * np.pi / 180, 12 * np.pi / 180)} if known and world == "CartPole" else None
    model = EquationModel.for_task(world, ends=ends)
    list(model.learn(episodes_of(world, steps, seed)))
    preset = PRESETS["icem"].get(world.lower())  # the planner that the true law is planned in with
    settings = preset.settings if preset else {}
    return make_agent("icem", model.world(), seed=seed, settings=settings), time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("world", nargs="?", default="CartPole", choices=("CartPole", "Pendulum"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--model", default="ensemble", choices=("ensemble", "equations"))
    parser.add_argument("--known", action="store_true", help="hand in the rule by which CartPole ends")
    parser.add_argument("--episodes", type=int, help="played after learning: CartPole 1, Pendulum 200")
    given = parser.parse_args()
    episodes = given.episodes or (1 if given.world == "CartPole" else 200)
    reference = None
    if given.world == "Pendulum":
        planned = rollout(make_agent("icem", "Pendulum"), "Pendulum", episodes, seed=1_000)
        reference = float(np.mean([episode.total_reward for episode in planned]))
        print(f"iCEM in the law on the same {episodes} starts: {reference:.1f}", flush=True)
    means = []
    for seed in range(given.first, given.first + given.seeds):
        made = trained if given.model == "ensemble" else by_equations
        agent, learning = made(given.world, given.steps, seed, given.known)
        began = time.process_time()
        start = 1_000 + (seed if given.world == "CartPole" else 0)
        played = rollout(agent, given.world, episodes, seed=start)
        means.append(float(np.mean([episode.total_reward for episode in played])))
        print(f"seed {seed}: {means[-1]:.1f}; learning {learning:.1f} s, playing {time.process_time() - began:.1f} s",
              flush=True)  # fmt: skip
    found = np.array(means)
    if reference is None:
        print(f"{(found >= 500).sum()} of {len(found)} seeds reach 500 from {given.steps} steps, termination "
              f"{'handed in' if given.known else 'learned'}; load {os.getloadavg()[0]:.1f}")  # fmt: skip
    else:
        worse = (reference - found) / abs(reference)
        print(f"Pendulum from {given.steps} steps: mean {found.mean():.1f}, {found.min():.1f} to {found.max():.1f}")
        print(
            f"worse than iCEM in the law by {worse.mean():.1%}, at most {worse.max():.1%}"
            f"; load {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()
