"""EnvPool's CartPole: the fastest of its synchronous and of its asynchronous settings, prepared actions."""

from __future__ import annotations

from functools import partial
from typing import Any

import envpool
import numpy as np
from serving import Call, fastest, serve

SYNCHRONOUS = ((64, 1), (64, 2), (1024, 1), (1024, 2), (4096, 2), (16384, 2))  # copies, threads
ASYNCHRONOUS = ((64, 32, 2), (1024, 512, 2), (8192, 4096, 2))  # copies, copies per batch, threads
LOOK = 0.3  # seconds


def synchronous(env: Any, actions: np.ndarray) -> int:
    for row in actions:
        env.step(row)
    return actions.size


def asynchronous(env: Any, actions: np.ndarray) -> int:
    for row in actions:
        info = env.recv()[-1]
        env.send(row, info["env_id"])
    return actions.size


def calls() -> dict[str, Call]:
    rng = np.random.default_rng(0)
    one: dict[str, Call] = {}
    for copies, threads in SYNCHRONOUS:
        env = envpool.make_gymnasium("CartPole-v1", num_envs=copies, num_threads=threads, seed=0)
        env.reset()
        actions = rng.integers(0, 2, (16, copies)).astype(np.int32)
        one[f"EnvPool, best sync: {copies:,} copies, threads: {threads}"] = partial(synchronous, env, actions)
    two: dict[str, Call] = {}
    for copies, batch, threads in ASYNCHRONOUS:
        env = envpool.make_gymnasium("CartPole-v1", num_envs=copies, batch_size=batch, num_threads=threads, seed=0)
        env.async_reset()
        actions = rng.integers(0, 2, (16, batch)).astype(np.int32)
        two[f"EnvPool, best async: {copies:,} copies, batches of {batch:,}"] = partial(asynchronous, env, actions)
    return dict([fastest(one, LOOK), fastest(two, LOOK)])


if __name__ == "__main__":
    serve(calls)
