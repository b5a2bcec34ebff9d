"""rl_zoo3 with Optuna, run by `benchmarks/sweep_against_zoo.py` in an environment that has it.

    python zoo_sweep.py WORLD --steps N --seconds S --seeds K --out FILE

Searches for so many seconds with the zoo's command (its own search space, TPE, median pruner), trains what it found
with fresh seeds for as many steps, and evaluates that in Inscape. Writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import optuna
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from inscape.experiments import evaluate

FIRST_SEED = 5000
COPIES = 8
"""Of the environment: what the zoo's tuned settings have for most classic tasks."""


def search(world: str, steps: int, seconds: float, folder: Path) -> list[Any]:
    """Runs the zoo's command for so long, and returns the finished trials."""
    conf = folder / "conf.py"
    entry = {"n_timesteps": float(steps), "policy": "MlpPolicy", "n_envs": COPIES}
    conf.write_text(f"hyperparams = {{{f'inscape/{world}-v0'!r}: {entry!r}}}\n")
    storage = f"sqlite:///{folder / 'study.db'}"
    command = [
        sys.executable, "-m", "rl_zoo3.train", "--algo", "ppo", "--env", f"inscape/{world}-v0", "--gym-packages",
        "inscape", "--device", "cpu", "--conf-file", str(conf), "-f", str(folder / "logs"), "-optimize", "--n-trials",
        "100000", "--n-startup-trials", "5", "--n-evaluations", "5", "--eval-episodes", "10", "--sampler", "tpe",
        "--pruner", "median", "--storage", storage, "--study-name", "study", "--no-optim-plots", "--seed", "0",
        "--num-threads", "1", "--verbose", "0",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, process_group=0)
        try:
            running.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    try:
        study = optuna.load_study(storage=storage, study_name="study")
    except (KeyError, ValueError) as error:
        raise SystemExit(f"no study: {error}\n{(folder / 'log').read_text()[-2000:]}") from error
    return [trial for trial in study.get_trials() if trial.state.is_finished()]


def trained(world: str, steps: int, seed: int, settings: dict[str, Any]) -> float:
    env = make_vec_env(lambda: gym.make(f"inscape/{world}-v0"), n_envs=COPIES, seed=seed)
    model = PPO("MlpPolicy", env, seed=seed, device="cpu", **settings)
    model.learn(steps)
    return evaluate(model, world, episodes=100, seed=seed).mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        began = time.monotonic()
        trials = search(given.world, given.steps, given.seconds, Path(folder))
        took = time.monotonic() - began
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    found: dict[str, Any] = {"seconds": took, "complete": len(complete), "pruned": len(trials) - len(complete)}
    seeds = range(FIRST_SEED, FIRST_SEED + given.seeds)
    best = max(complete, key=lambda trial: trial.value, default=None)
    settings = {} if best is None else HYPERPARAMS_CONVERTER["ppo"](best.params)
    found["searched"] = None if best is None else best.value
    found["scores"] = [trained(given.world, given.steps, seed, dict(settings)) for seed in seeds]
    found["settings"] = str(settings)
    given.out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
