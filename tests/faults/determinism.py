"""The same numbers from any number of copies, processes and threads, under any hash seed, on any day."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.faults.rows import Row, first

PROGRAM = """
import hashlib, sys
import numpy as np
agent, world, steps, workers = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
from inscape.envs.tasks.resolve import resolve_task
from inscape.experiments import train
from inscape.experiments.runs.storage.checkpoints import save_checkpoint
settings = {"ppo": {"num_envs": 4, "num_steps": 16, "epochs": 2, "hidden": (8,)},
            "dqn": {"num_envs": 4, "learning_starts": 64, "hidden": (8,), "buffer_size": 500},
            "sb3:ppo": {"num_envs": 4, "num_steps": 16, "batch_size": 16, "epochs": 1}}.get(agent, {})
run = train(agent, resolve_task(world), steps, seed=3, settings=settings, progress=False, workers=workers or None)
def flat(value):
    if isinstance(value, dict):
        for key in value:
            yield str(key)
            yield from flat(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from flat(item)
    else:
        yield np.asarray(value).tobytes() if hasattr(value, "shape") else repr(value)
digest = hashlib.sha256()
rows = [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics()]
for part in flat([run.agent.state_dict(), rows]):
    digest.update(part if isinstance(part, bytes) else part.encode())
print(digest.hexdigest())
"""
HASHES = ("0", "1", "12345", "random")
THREADS = ("1", "2")


def determinism(short: bool, place: Path) -> list[Row]:
    rows = []
    jobs = [("q-learning", "FrozenLake", "5000"), ("ppo", "CartPole", "512")]
    jobs += [] if short else [("dqn", "CartPole", "512"), ("sb3:ppo", "CartPole", "512"), ("mcts", "FrozenLake", "300")]
    for agent, world, steps in jobs:
        variants = [{"PYTHONHASHSEED": h, "OMP_NUM_THREADS": t} for h in HASHES[: 2 if short else 4] for t in THREADS]
        digests = [_run(agent, world, steps, 0, variant) for variant in variants]
        wrong = [str(v) for v, d in zip(variants, digests, strict=True) if d != digests[0]]
        rows.append(Row(f"hash seeds and threads, each a process: {agent} in {world}", len(variants), len(wrong),
                        "other weights or numbers", first(wrong)))  # fmt: skip
    numbers = (0, 2) if short else (0, 1, 2, 4)
    digests = [_run("ppo", "CartPole-v1", "512", number, {}) for number in numbers]
    wrong = [str(number) for number, digest in zip(numbers, digests, strict=True) if digest != digests[0]]
    rows.append(Row("worker processes 0, 1, 2, 4: ppo in CartPole-v1", len(numbers), len(wrong),
                    "other weights or numbers", first(wrong)))  # fmt: skip
    rows.append(_copies(50 if short else 500))
    return rows


def _run(agent: str, world: str, steps: str, workers: int, variant: dict[str, str]) -> str:
    environment = {**os.environ, **variant, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, agent, world, steps, str(workers)],
        env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    return done.stdout.strip() or f"failed: {done.stderr[-300:]}"


def _copies(steps: int) -> Row:
    """Copy i of a seed steps alike, however many copies there are beside it."""
    from inscape.envs.tasks.resolve import resolve_task

    wrong, count = [], 0
    for world in ("CartPole", "FrozenLake", "FourGoals", "Taxi"):
        task = resolve_task(world)
        few, many = task.vector_env(2), task.vector_env(64)
        seen = [env.reset(seed=5)[0] for env in (few, many)]
        rng = np.random.default_rng(0)
        for t in range(steps):
            if not np.array_equal(seen[0], seen[1][:2]):
                wrong.append(f"{world} at step {t}")
                break
            actions = rng.integers(task.action_space.n, size=64)  # type: ignore[attr-defined]
            seen = [few.step(actions[:2])[0], many.step(actions)[0]]
            count += 1
        few.close()
        many.close()
    return Row("steps of 2 copies beside those of 64", count, len(wrong), "another observation", first(wrong))
