"""Imitation beside the `imitation` library: `python benchmarks/imitation.py [--imitation PYTHON]`.

An expert's recorded episodes are imitated by `clone`, `dagger`, `airl` and its form `gail`; the library takes the same
episodes (its DAgger asks an expert policy of its own kind, and is not run). Mean return of the greedy policy over
episodes, mean over seeds, and processor time. PYTHON is that of an environment with `imitation` 1.0.1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from inscape import make_agent, resolve_task, rollout
from inscape.theory_of_mind.imitation.dagger import DAgger

PEER = Path(__file__).parent / "peers" / "imitation_library.py"
TASKS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "CartPole": ("CartPole-v1", {}, "", {}),
    "CliffWalking": ("CliffWalking-v0", {"max_episode_steps": 200}, "value-iteration", {}),
    "FrozenLake": ("FrozenLake-v1", {}, "value-iteration", {}),
}
CLONE_STEPS, BATCH = 1_000, 256


class Balancer:
    """Balances CartPole: a linear rule in angle and angular velocity."""

    name = "balancer"

    def act(self, observation: np.ndarray, action_mask: np.ndarray | None = None) -> np.ndarray:
        return (observation @ np.array([0.05, 0.1, 1.0, 0.5]) > 0).astype(np.int64)


def mean_return(agent: Any, task: Any, episodes: int) -> float:
    return float(np.mean([one.rewards.sum() for one in rollout(agent, task, episodes, seed=10_000)]))


def ours(task: Any, expert: Any, shown: Any, given: argparse.Namespace, seed: int) -> dict[str, tuple[float, float]]:
    """Returns mean return and seconds of every method."""
    found = {}
    for method in given.methods:
        name, form = ("airl", {"form": method}) if method in ("airl", "gail") else (method, {})
        if method == "dagger":
            agent: Any = DAgger(task, seed=seed, expert=expert)
        else:
            agent = make_agent(name, task, seed=seed, settings=form)
            agent.demonstrate(shown)
        began = time.process_time()
        for _ in agent.learn(task, {"clone": CLONE_STEPS, "dagger": 4_096}.get(method, given.steps)):
            pass
        seconds = time.process_time() - began
        found[method] = (mean_return(agent, task, given.episodes), seconds)
    return found


def library(python: str, name: str, options: dict[str, Any], shown: Any, given: argparse.Namespace, seed: int) -> Any:
    """Returns the same of the library, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "episodes.npz"
        np.savez(
            file, lengths=[len(one) for one in shown], terminated=[bool(one.terminated) for one in shown],
            observations=np.concatenate([one.observations for one in shown]),
            actions=np.concatenate([one.actions for one in shown]),
        )  # fmt: skip
        told = {
            "env": name, "options": options, "file": str(file), "seed": seed, "steps": given.steps, "batch": BATCH,
            "methods": [m for m in given.methods if m != "dagger"], "clone_steps": CLONE_STEPS,
            "episodes": given.episodes,
        }  # fmt: skip
        done = subprocess.run([python, str(PEER), json.dumps(told)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the library failed on {name}:\n{done.stderr[-2000:]}")
    return {m: (row["return"], row["seconds"]) for m, row in json.loads(done.stdout.splitlines()[-1]).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--imitation", help="Python of an environment with the library imitation")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument(
        "--methods", nargs="+", choices=("clone", "dagger", "airl", "gail"), default=["clone", "dagger", "airl", "gail"]
    )
    parser.add_argument("--shown", type=int, default=50, help="episodes that the expert plays")
    parser.add_argument("--steps", type=int, default=50_000, help="environment steps of adversarial imitation")
    parser.add_argument("--episodes", type=int, default=100, help="episodes of an evaluation")
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    for label in given.tasks:
        name, options, kind, settings = TASKS[label]
        task = resolve_task(label if kind else name)
        expert = make_agent(kind, task, settings=settings) if kind else Balancer()
        rows: dict[str, list[Any]] = {}
        for seed in range(given.seeds):
            shown = rollout(expert, task, given.shown, seed=seed)
            for method, row in ours(task, expert, shown, given, seed).items():
                rows.setdefault(f"{method}", []).append(row)
            if given.imitation:
                for method, row in library(given.imitation, name, options, shown, given, seed).items():
                    rows.setdefault(f"{method}, imitation 1.0.1", []).append(row)
        print(f"{label}: expert {mean_return(expert, task, given.episodes):.2f}")
        for method, found in rows.items():
            each = np.array(found)
            print(
                f"  {method}: return {each[:, 0].mean():.2f} ({each[:, 0].min():.2f} to {each[:, 0].max():.2f}), "
                f"{each[:, 1].mean():.1f} s of processor time",
                flush=True,
            )


if __name__ == "__main__":
    main()
