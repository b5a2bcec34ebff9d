"""Ways of copying an object, and what a copied environment is asked to do."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np

WAYS: dict[str, Callable[[Any], Any]] = {
    **{f"pickle {p}": lambda value, p=p: pickle.loads(pickle.dumps(value, p)) for p in (2, 3, 4, 5)},
    "cloudpickle": lambda value: cloudpickle.loads(cloudpickle.dumps(value)),
    "deepcopy": copy.deepcopy,
}


def in_a_new_process(value: Any, code: str, *, dump: Callable[[Any], bytes] = pickle.dumps) -> str:
    """Returns what `code` prints in a process started afresh, where `value` is what was pickled."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "NUMBA_DISABLE_JIT": "1"}
    program = f"import pickle, sys\nvalue = pickle.load(sys.stdin.buffer)\n{code}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        input=dump(value), capture_output=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def played(env: Any, actions: list[Any]) -> list[Any]:
    """Returns what an environment answers to some actions, as lists."""
    return [plain(env.step(action)) for action in actions]


def played_in_turn(env: Any, steps: int) -> list[Any]:
    """Returns what an AEC environment says of `steps` turns, each taking the last legal action."""
    answers = []
    for _ in range(steps):
        observation, *rest = env.last()
        over = rest[1] or rest[2]
        mask = rest[3].get("action_mask")
        last = env.action_space(env.agent_selection).n - 1
        action = None if over else last if mask is None else int(np.flatnonzero(mask)[-1])
        answers.append(plain((env.agent_selection, observation, *rest)))
        env.step(action)
    return answers


def plain(value: Any) -> Any:
    """Returns nested values with lists for arrays, to be compared."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items() if key != "episode"}
    if isinstance(value, (tuple, list)):
        return [plain(entry) for entry in value]
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
