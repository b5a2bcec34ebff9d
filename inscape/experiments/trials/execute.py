"""Runs trials in worker processes: what is finished is kept, a process that dies costs its own trial one attempt."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscape.errors import UsageError, whole_number
from inscape.experiments.runs.progress import Progress
from inscape.experiments.runs.storage.lock import RunLock
from inscape.experiments.trials import worker as child
from inscape.experiments.trials.engines import engine_of
from inscape.experiments.trials.jobs import ATTEMPTS, IN_NOTEBOOK, Engine, Job, LimitedJobs
from inscape.experiments.trials.named import code_of
from inscape.experiments.trials.results import Results, ResultsFile
from inscape.experiments.trials.trial import Trial, TrialResult
from inscape.experiments.trials.worker import failed, payload_of, perform

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

RUNS = "runs"
"""The folder of run folders in an experiment's folder."""


class ExperimentInterrupted(KeyboardInterrupt):
    """Ctrl-C during an experiment. The message says what is kept and how to go on."""


def run_trials(
    trials: Sequence[tuple[Trial, Task]],
    out: str | Path | None = None,
    jobs: int | None = None,
    *,
    verbose: bool = True,
    retry_failed: bool = True,
    title: str = "",
    engine: Engine | str | None = None,
    seconds: float | None = None,
) -> Results:
    """Runs those trials that have no result in `out` yet, and returns the results of all.

    Args:
        trials: each with its world.
        out: the experiment's folder; None keeps everything in memory.
        jobs: how many at once; None for one, on a cluster for as many as it has processors.
        verbose: show progress.
        retry_failed: run again what failed before.
        title: what progress is called.
        engine: what runs them: "local" or None for worker processes of this machine, "ray" or `RayEngine(address)`
            for a Ray cluster.
        seconds: time after which no further trial is begun; None for no limit.

    Raises:
        UsageError: a number of jobs below 1; there is no such engine, or it cannot be reached; the folder cannot be
            used, or another process uses it.
        ExperimentInterrupted: Ctrl-C; what is finished is kept.
    """
    jobs = None if jobs is None else whole_number("jobs =", jobs, 1, hint="--jobs 2")
    engine = engine_of(engine)
    folder = None if out is None else Path(out)
    if folder is None:
        return _run(trials, None, None, jobs, verbose, title, engine, {}, seconds)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}", hint="another --out") from error
    lock = RunLock(folder)
    file = ResultsFile(folder)
    try:
        before = {i: r for i, r in file.read().items() if r.finished or not retry_failed}
        if file.damaged and verbose:
            lines = ", ".join(map(str, file.damaged[:5]))
            print(f"{file.path}: damaged at line {lines}; those trials run again", file=sys.stderr)
        file.mend()
        return _run(trials, folder, file, jobs, verbose, title, engine, before, seconds)
    finally:
        with suppress(OSError):
            file.close()
        lock.release()


def _run(
    trials: Sequence[tuple[Trial, Task]],
    folder: Path | None,
    file: ResultsFile | None,
    jobs: int | None,
    verbose: bool,
    title: str,
    engine: Engine | None,
    before: dict[str, TrialResult],
    seconds: float | None,
) -> Results:
    found = dict(before)
    due = _due(trials, folder, found)
    wanted = {trial.id for trial, _ in trials}
    reused = len(wanted & found.keys())
    total, done, failures = len(due) + reused, reused, 0
    describe = title or "Trials"
    with Progress(describe, total, done=reused, enabled=verbose) as bar:
        try:
            for result in (engine or local)(_until(due, seconds), jobs):
                found[result.id] = result
                if file is not None:
                    file.append(result)
                failures += not result.finished
                note = f"{failures} failed" if failures else ""
                done += result.id in wanted
                bar.update(done, note)
        except KeyboardInterrupt:
            kept = "nothing is kept: no folder was given" if folder is None else (
                f"{len(found)} of {total} trials are in {folder}; the same command goes on"
            )  # fmt: skip
            raise ExperimentInterrupted(f"stopped; {kept}") from None
    results = [
        replace(found[trial.id], agent=trial.agent_label, world=trial.world_label)
        for trial, _ in trials
        if trial.id in found
    ]
    return Results(results, folder, reused)


def _until(due: Sequence[Job], seconds: float | None) -> Sequence[Job]:
    return due if seconds is None else LimitedJobs(due, time.monotonic() + seconds)


def _due(trials: Sequence[tuple[Trial, Task]], folder: Path | None, found: dict[str, TrialResult]) -> list[Job]:
    """Returns the jobs of trials without a result; trials of one identity are one job."""
    from inscape.trust import agent_code_names, task_code_names

    due: dict[str, Job] = {}
    payloads: dict[int, bytes] = {}
    for trial, task in trials:
        if trial.id in found or trial.id in due:
            continue
        if id(task) not in payloads:
            payloads[id(task)] = payload_of(task, list(task_code_names(trial.task)))
        payload = payloads[id(task)]
        if names := [*agent_code_names(trial.agent, trial.settings), *code_of(trial.measures)]:
            payload = payload_of(task, [*task_code_names(trial.task), *names])
        root = folder / RUNS if folder is not None and trial.keep == "runs" and trial.steps else None
        due[trial.id] = Job(trial, payload, root)
    return list(due.values())


def local(due: Sequence[Job], jobs: int | None) -> Iterable[TrialResult]:
    """Runs jobs in worker processes of this machine; what only this process can make, in this one."""
    here = [job for job in due if IN_NOTEBOOK in job.payload]
    elsewhere = [job for job in due if IN_NOTEBOOK not in job.payload]
    deadline = getattr(due, "deadline", None)
    yield from _in_processes(elsewhere, jobs or 1, deadline)
    for job in here:
        if deadline is None or time.monotonic() < deadline:
            yield perform(job.trial, job.payload, job.root)


def _in_processes(due: Sequence[Job], jobs: int, deadline: float | None) -> Iterable[TrialResult]:
    waiting = deque(due)
    busy: dict[Any, _Worker] = {}
    workers = [_Worker() for _ in range(min(jobs, len(due)))]
    try:
        idle = deque(workers)
        while waiting or busy:
            if deadline is not None and time.monotonic() >= deadline:
                waiting.clear()
            while waiting and idle:
                one = idle.popleft()
                one.begin(waiting.popleft())
                busy[one.connection] = one
            for ready in wait(list(busy)):
                one = busy.pop(ready)
                result = one.result()
                idle.append(one)
                job = one.job
                assert job is not None
                if result is not None:
                    yield replace(result, attempts=job.attempt)
                elif job.attempt < ATTEMPTS:
                    waiting.appendleft(replace(job, attempt=job.attempt + 1))
                else:
                    yield failed(job.trial, f"its process {one.ending} {ATTEMPTS} times", ATTEMPTS)
    finally:
        for one in workers:
            one.kill()


class _Worker:
    """A worker process; started when it is first needed, and again when it has died."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[bytes] | None = None
        self._life_line = -1
        self.connection: Any = None
        self.job: Job | None = None
        self.ending = ""

    def begin(self, job: Job) -> None:
        """Hands it a job."""
        self.job = job
        if self._running is None:
            self._start()
        with suppress(OSError):  # it has died: its result says so
            self.connection.send_bytes(pickle.dumps((job.trial, job.payload, job.root), pickle.HIGHEST_PROTOCOL))

    def result(self) -> TrialResult | None:
        """Returns what came of its job; None where the process has died."""
        try:
            result: TrialResult = pickle.loads(self.connection.recv_bytes())
            return result
        except (EOFError, OSError):
            self.ending = self._how_it_ended()
            self.kill()
            return None

    def _start(self) -> None:
        here, there = Pipe()
        life_line, self._life_line = os.pipe()
        handles = (there.fileno(), life_line)
        code = f"import sys; sys.path[:] = {sys.path!r}; from {child.__name__} import main; main{handles}"
        try:
            self._running = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.DEVNULL, pass_fds=handles, process_group=0
            )
        finally:
            there.close()
            os.close(life_line)
        self.connection = here

    def _how_it_ended(self) -> str:
        if self._running is None:
            return "was ended"
        try:
            code = self._running.wait(5.0)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        if code >= 0:
            return f"ended (exit code {code})"
        why = ", by the system for want of memory perhaps" if -code == signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-code).name}{why}"

    def kill(self) -> None:
        """Ends it with what it has started."""
        running, self._running = self._running, None
        if running is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        self.connection.close()
        os.close(self._life_line)
