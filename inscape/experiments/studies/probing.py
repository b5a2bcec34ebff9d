"""Tries an agent for a few seconds in a process of its own, which is ended where it takes too long."""

from __future__ import annotations

import json
import math
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

LEARN_SECONDS = 2.0
"""Time of learning after which an agent's speed is known."""
MARK = "inscape probe: "
PATIENCE = 3.0
"""Seconds by the clock for each of processor time, at most."""


@dataclass(frozen=True)
class Speeds:
    """How fast an agent is.

    Attributes:
        steps: environment steps learned a second; 0 for one that does not learn.
        first: seconds until it learned anything: a trial takes as long at least.
        decision: seconds a decision takes.
        length: steps of an episode.
    """

    steps: float
    first: float
    decision: float
    length: float


def probe(name: str, task: Task, seed: int, learns: bool, timeout: float) -> Speeds:
    """Returns how fast an agent is, compiling apart.

    Args:
        name, task, seed, learns: of the agent.
        timeout: seconds of processor time it has, and `PATIENCE` times as many by the clock: other work on the machine
            makes no agent slow.

    Raises:
        UsageError: it cannot learn or act in this task, or takes too long.
    """
    from inscape.trust import task_code_names

    payload = pickle.dumps((name, task, seed, learns, timeout, list(task_code_names(task.to_json()))))
    code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"
    try:
        ended = subprocess.run(
            [sys.executable, "-c", code], input=payload, capture_output=True, timeout=PATIENCE * timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"too slow: nothing within {PATIENCE * timeout:.0f} s") from None
    if ended.returncode == -signal.SIGXCPU:
        raise UsageError(f"too slow: nothing within {timeout:.0f} s of processor time")
    for line in ended.stdout.decode(errors="replace").splitlines():
        if line.startswith(MARK):
            found = json.loads(line.removeprefix(MARK))
            if "error" in found:
                raise UsageError(found["error"])
            return Speeds(**found)
    raise UsageError(f"its process ended (exit code {ended.returncode})")


def main() -> None:
    """The process: reads what to try, prints what was found."""
    from inscape.trust import allow

    name, task, seed, learns, seconds, allowed = pickle.loads(sys.stdin.buffer.read())
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    spent = sum(os.times()[:2])
    limit = math.ceil(spent + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    allow(allowed)
    try:
        found: dict[str, Any] = asdict(_speeds(name, task, seed, learns))
    except UsageError as error:
        first, *more = str(error).splitlines()
        expected = f"; expected: {error.expected.splitlines()[0]}" if error.expected else ""
        found = {"error": f"{first} {more[0].strip()}" if first.endswith(":") and more else first + expected}
    except Exception as error:  # a custom world or agent may raise anything: it costs the study one agent
        found = {"error": f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"}
    print(f"\n{MARK}{json.dumps(found)}", flush=True)


def _speeds(name: str, task: Task, seed: int, learns: bool) -> Speeds:
    from inscape.agents.registry import make_agent
    from inscape.agents.rollout import rollout
    from inscape.experiments.runs.loop import evaluated_casts

    agent: Any = make_agent(name, task, seed=seed)
    steps, first = _learned(agent, task) if learns else (0.0, 0.0)
    cast, _ = evaluated_casts(agent, task, seed)[0]
    rollout(cast, task, 1, seed)  # compiles
    began = time.perf_counter()
    (episode,) = rollout(cast, task, 1, seed + 1)
    return Speeds(steps, first, (time.perf_counter() - began) / max(1, len(episode)), float(len(episode)))


def _learned(agent: Any, task: Task) -> tuple[float, float]:
    began = time.perf_counter()
    first: tuple[float, int] | None = None
    steps, now = 0, began
    for metrics in agent.learn(task, 10_000_000):
        steps, now = int(metrics["steps"]), time.perf_counter()
        if first is None:
            first = now, steps
        elif now - first[0] > LEARN_SECONDS:
            break
    if first is None:
        raise UsageError("it learns nothing here")
    if steps > first[1]:
        speed = (steps - first[1]) / max(1e-9, now - first[0])
        return speed, min(first[0] - began, first[1] / speed)  # what was compiled is not compiled again
    return steps / max(1e-9, now - began), now - began
