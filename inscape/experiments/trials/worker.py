"""A worker process of an experiment: runs one trial after another, until it is told to end or its parent is gone."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from inscape.errors import UsageError, exits_as_errors
from inscape.experiments.trials.trial import Trial, TrialResult, run_trial

LAST_LINES = 6
"""Lines of a traceback that a failed trial keeps."""


def main(connection: int, life_line: int) -> None:
    """Runs trials that come over a connection.

    Args:
        connection: file descriptor of the connection with the parent.
        life_line: of a pipe that is closed when the parent is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal: the parent decides
    threading.Thread(target=_end_with, args=(life_line,), daemon=True).start()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parent = Connection(connection)
    while True:
        try:
            order = pickle.loads(parent.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)
        if order is None:
            sys.stdout.flush()
            os._exit(0)  # leaving as usual would wait for threads of other people's code
        parent.send_bytes(pickle.dumps(perform(*order)))


def _end_with(life_line: int) -> None:
    os.read(life_line, 1)
    os._exit(0)


def perform(trial: Trial, payload: bytes, root: Path | None) -> TrialResult:
    """Runs a trial and returns its result, also where it fails: a trial costs no other.

    Args:
        trial: what to run.
        payload: `payload_of` its world.
        root: where its run folder goes; None keeps none.
    """
    from inscape.trust import allow, trusting

    try:
        task, allowed, trusted = _opened(payload)
        allow(allowed)
        with trusting(trusted), exits_as_errors(f"trial {trial.name}"):
            return run_trial(trial, task, trial.agent, root)
    except UsageError as error:
        return failed(trial, str(error))
    except Exception as error:
        lines = traceback.format_exc().strip().splitlines()
        return failed(trial, "\n".join([f"{type(error).__name__}: {error}", *lines[-LAST_LINES:-1]]))


def _opened(payload: bytes) -> tuple[Any, list[str], bool]:
    """Returns what a payload holds: world, names of code that may run, whether all code may (`--trust`).

    A world is kept for trials that follow, with the tables and kernels it has made; a third-party environment, which
    may hold anything, is made anew.
    """
    if payload in _worlds:
        return _worlds[payload]
    task, allowed, trusted = pickle.loads(payload)
    if task.world is not None:
        while len(_worlds) >= MOST_WORLDS:
            _worlds.pop(next(iter(_worlds)))
        _worlds[payload] = task, allowed, trusted
    return task, allowed, trusted


MOST_WORLDS = 4
_worlds: dict[bytes, tuple[Any, list[str], bool]] = {}


def failed(trial: Trial, error: str, attempts: int = 1) -> TrialResult:
    """Returns the result of a trial that came to nothing."""
    return TrialResult(
        trial.id, trial.agent_label, trial.world_label, trial.seed, settings=dict(trial.settings), error=error,
        attempts=attempts,
    )  # fmt: skip


def payload_of(task: Any, allowed: list[str]) -> bytes:
    """Returns a world for a worker process, which trusts what this command does.

    Raises:
        UsageError: it cannot be sent to another process.
    """
    from inscape.trust import is_trusting

    try:
        return pickle.dumps((task, allowed, is_trusting()), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # whatever pickling somebody's object raises
        raise UsageError(f"{task.name} cannot be sent to another process: {error}") from error
