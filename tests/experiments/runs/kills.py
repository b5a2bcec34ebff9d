"""Lives cut short by SIGKILL: a run is begun, killed at random moments, resumed in a fresh process each time, ended.

Importing torch takes seconds, and twenty kills of twenty agents would spend most of their time on it. So a server
imports everything once and forks a child for each life. The server never computes: a fork of a process whose threads
(OpenMP, torch) have started would not work. Every life is a process of its own that builds its agent and resumes from
the disk, as `inscape train --resume` does.

A child counts in shared memory what it does, so that kills can be aimed: into the k-th stretch of learning (collecting
and updating, between two yields), or into the k-th checkpoint being saved; where exactly is left to chance.

    python -m tests.experiments.runs.kills       one JSON object per line in, one per line out
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

YIELDS, SAVES, SAVING_SECONDS, IS_SAVING, INTERVALS = range(5)
"""What a child counts: yields of `learn`, checkpoints begun, the time these took, whether it is saving; from INTERVALS
on, the time until each yield."""
MOST_INTERVALS = 1000
SAVED = 9
"""Exit code of a life that came to its end."""


class Lives:
    """A server of lives, from the tests' side."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        self.server = subprocess.Popen(
            [sys.executable, "-m", "tests.experiments.runs.kills"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def live(self, job: Mapping[str, Any], kill: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Runs `train` with the arguments of a job, to its end or to a kill, and returns what happened.

        Args:
            job: `agent`, `world`, `steps` and the keyword arguments of `train`.
            kill: `{"count": YIELDS or SAVES, "number": k, "seconds": s}`: s seconds after the k-th such event; with
                k = 0 after the start of the life.
        """
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps({"job": dict(job), "kill": kill}) + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        assert answer, "the server of lives is gone"
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(timeout=60)


def whole_life(lives: Lives, job: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Runs a job in `out` without a kill, and without checkpoints but the last; returns what happened."""
    found = lives.live({**job, "out": str(out), "checkpoint_seconds": 1e9})
    assert found["ended"], found["said"]
    return found


def kill_often(
    lives: Lives, job: Mapping[str, Any], out: Path, kills: int, rng: np.random.Generator, whole: Mapping[str, Any]
) -> dict[str, int]:
    """Runs a job in `out` to its end, with `kills` kills on the way; every yield is followed by a checkpoint.

    The kills fall into learning and saving by turns, three to one, spread over the whole run: each life is cut within
    the next few yields after it goes on. `whole` is what `whole_life` gave for this job.

    Returns:
        how often it was killed, and how often while saving. Fewer kills than asked for, if the machine was so busy that
        they came late and the run ended first.
    """
    yields = int(whole["counts"][YIELDS])
    # the first interval may hold compilation, a few others an evaluation
    learning = float(np.median(whole["counts"][INTERVALS + 1 : INTERVALS + yields]))
    saving = whole["counts"][SAVING_SECONDS] / whole["counts"][SAVES]
    job = {**job, "out": str(out), "checkpoint_steps": 1}
    done = while_saving = saved = 0
    starting = 0.0
    while done < kills:
        most = max(1, int(1.6 * (yields - saved) / (kills - done + 1)))
        aim = SAVES if done % 4 == 3 else YIELDS
        number = int(rng.integers(1, most + 1)) - (aim == YIELDS and done > 0)
        longest = saving if aim == SAVES else learning + saving if number else starting
        seconds = float(rng.uniform(0, longest))
        resume = (out / "settings.json").exists()
        found = lives.live({**job, "resume": resume}, {"count": aim, "number": number, "seconds": seconds})
        if found["ended"]:
            break
        assert found["killed"], found["said"]
        if found["counts"][YIELDS]:
            starting = found["counts"][INTERVALS]  # of a life that found its kernels compiled
        done += 1
        saved += int(found["counts"][SAVES])
        while_saving += int(found["counts"][IS_SAVING])
    ended = lives.live({**job, "resume": True})
    assert ended["ended"], ended["said"]
    return {"kills": done, "while_saving": while_saving}


# --- the server ------------------------------------------------------------------------------------------------------


def serve() -> None:
    import safetensors.numpy
    import stable_baselines3
    import tensorboard.compat.proto.event_pb2
    import tensorboard.summary.writer.record_writer
    import torch

    import inscape.agents.registry
    import inscape.experiments.runs.training

    del safetensors, stable_baselines3, tensorboard, torch, inscape
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_one_life(request["job"], request["kill"])), flush=True)


def _one_life(job: dict[str, Any], kill: dict[str, Any] | None) -> dict[str, Any]:
    counts = np.frombuffer(mmap.mmap(-1, 8 * (INTERVALS + MOST_INTERVALS)), np.float64)  # shared
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(job, counts, writing)
    os.close(writing)
    if kill is not None:
        _kill(child, kill, counts)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return {
        "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
        "ended": os.WIFEXITED(status) and os.WEXITSTATUS(status) == SAVED,
        "counts": counts.tolist(),
        "said": said,
    }


def _kill(child: int, kill: dict[str, Any], counts: np.ndarray) -> None:
    """Waits for the moment and kills the child; a child that ends before it is left to end."""
    while counts[kill["count"]] < kill["number"]:
        if _over(child):
            return
        time.sleep(0.0002)
    until = time.monotonic() + kill["seconds"]
    while time.monotonic() < until:
        time.sleep(min(0.0002, kill["seconds"]))
    if not _over(child):
        os.kill(child, signal.SIGKILL)


def _over(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _child(job: dict[str, Any], counts: np.ndarray, writing: int) -> None:
    """Trains, and leaves without returning: what the server has open is not the child's to close."""
    import traceback

    try:
        _train(job, counts)
    except BaseException:
        os.write(writing, traceback.format_exc().encode())
        os._exit(1)
    os._exit(SAVED)


def _train(job: dict[str, Any], counts: np.ndarray) -> None:
    from inscape.envs.tasks.resolve import resolve_task
    from inscape.experiments.runs.run import Run
    from inscape.experiments.runs.training import train

    since = [time.monotonic()]
    save, save_best = Run.save_checkpoint, Run.save_best

    def on_yield(agent: Any, metrics: Mapping[str, float]) -> None:
        counts[INTERVALS + int(counts[YIELDS])] = time.monotonic() - since[0]
        counts[YIELDS] += 1
        since[0] = time.monotonic()

    def noted(saving: Any) -> Any:
        def saved(run: Run, *arguments: Any, **options: Any) -> Any:
            begun = time.monotonic()
            counts[IS_SAVING] = 1
            counts[SAVES] += 1
            answer = saving(run, *arguments, **options)
            counts[IS_SAVING] = 0
            since[0] = time.monotonic()
            counts[SAVING_SECONDS] += since[0] - begun
            return answer

        return saved

    Run.save_checkpoint = noted(save)  # type: ignore[method-assign]
    Run.save_best = noted(save_best)  # type: ignore[method-assign]
    task = resolve_task(job.pop("world"))
    train(job.pop("agent"), task, job.pop("steps"), progress=False, on_yield=on_yield, **job)


if __name__ == "__main__":
    serve()
