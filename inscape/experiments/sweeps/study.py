"""A sweep's study: its trials in a journal file that several processes and machines write, each trial begun once.

Optuna samples, prunes and keeps the journal; what is here sees to it that a process may be killed at any moment. A
trial belongs to the worker that holds its lock (`RunLock`); that of a dead worker is begun again with the same
settings.

Source: Akiba, Sano, Yanase, Ohta & Koyama (2019), "Optuna: A Next-generation Hyperparameter Optimization Framework",
KDD; sampling by tree-structured Parzen estimators, Bergstra, Bardenet, Bengio & Kégl (2011), NeurIPS.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from inscape.errors import UsageError
from inscape.experiments.runs.storage.lock import RunLock, holder_of

JOURNAL = "journal.log"
WORKERS = "workers"
NAME = "sweep"
ATTEMPTS = 3
"""How often a trial is begun whose worker dies."""
PRUNERS = ("median", "halving", "none")


def require_optuna() -> ModuleType:
    """Returns the package.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UsageError(
            "sweeps need the package optuna", expected="it installed", hint='pip install "inscape[sweeps]"'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    module: ModuleType = optuna
    return module


class Guard:
    """One process at a time, by `flock`: freed by the system when its process is killed. Optuna takes it as the lock of
    its journal, too, whose last line it cuts off where a process was killed while writing it.

    Args:
        path: of the lock file.
        journal: whose last line is looked at; None for none.
    """

    def __init__(self, path: Path, journal: Path | None = None) -> None:
        self._path, self._journal = path, journal
        self._handle = -1

    def acquire(self) -> bool:
        """Waits for it."""
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(self._handle, fcntl.LOCK_EX)
        if self._journal is not None:
            _cut_torn_line(self._journal)
        return True

    def release(self) -> None:
        """Gives it free."""
        os.close(self._handle)

    def __enter__(self) -> Guard:
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


def _cut_torn_line(journal: Path) -> None:
    with suppress(FileNotFoundError), open(journal, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


class SweepStudy:
    """The study in a folder.

    Args:
        folder: of the sweep; it exists.
        pruner: one of `PRUNERS`.
        seed: of the sampler.
        limit: trials in all.
    """

    def __init__(self, folder: Path, pruner: str = "median", seed: int = 0, limit: int = 1) -> None:
        self.optuna = require_optuna()
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        self.folder, self.limit = folder, limit
        self._guard = Guard(folder / "begin.lock")
        journal = folder / JOURNAL
        lock: Any = Guard(folder / "journal.lock", journal)
        pruners = {
            "median": lambda: self.optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3),
            "halving": lambda: self.optuna.pruners.SuccessiveHalvingPruner(),
            "none": lambda: self.optuna.pruners.NopPruner(),
        }
        with self._guard, warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            storage = JournalStorage(JournalFileBackend(str(journal), lock_obj=lock))
            known = [one.study_name for one in storage.get_all_studies()]
            self.fresh = NAME not in known
            before = 0 if self.fresh else len(storage.get_all_trials(storage.get_study_id_from_name(NAME)))
            entropy = (seed * 1_000_003 + before * 7919 + (os.getpid() if before else 0)) % 2**32
            sampler = self.optuna.samplers.TPESampler(seed=entropy, n_startup_trials=8, multivariate=True)
            self.study = self.optuna.create_study(
                storage=storage, sampler=sampler, pruner=pruners[pruner](), study_name=NAME, direction="maximize",
                load_if_exists=True,
            )  # fmt: skip

    def begin(self, worker: str, first: Mapping[str, Any] | None) -> Any:
        """Returns the next trial, this worker's; None when as many as asked for are finished or under way.

        Args:
            worker: name of its lock's folder.
            first: parameters of the first trial; None to let it be sampled.
        """
        with self._guard:
            self._take_back()
            trials = self.study.get_trials(deepcopy=False)
            if not trials and first is not None:
                self.study.enqueue_trial(dict(first), user_attrs={"default": True})
            states = self.optuna.trial.TrialState
            if sum(map(_counts, trials)) + sum(t.state == states.RUNNING for t in trials) >= self.limit:
                return None
            trial = self.study.ask()
            trial.set_user_attr("worker", worker)
            return trial

    def running(self) -> int:
        """Returns how many trials live workers have; those of dead ones are to be begun again."""
        with self._guard:
            self._take_back()
            states = self.optuna.trial.TrialState
            return sum(t.state == states.RUNNING for t in self.study.get_trials(deepcopy=False))

    def _take_back(self) -> None:
        states = self.optuna.trial.TrialState
        for trial in self.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            worker = trial.user_attrs.get("worker")
            if worker is None or holder_of(self.folder / WORKERS / str(worker)) is None:
                # without a name its worker died between two lines of `begin`: whoever has the guard sees it
                params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
                self.give_back(trial.number, params, trial.user_attrs, died=worker is not None)

    def give_back(self, number: int, params: Mapping[str, Any], known: Mapping[str, Any], died: bool = False) -> None:
        """Ends a trial that came to no result and enqueues its settings again."""
        states = self.optuna.trial.TrialState
        attempts = int(known.get("attempts", 0)) + died
        trial_id = next(t._trial_id for t in self.study.get_trials(deepcopy=False) if t.number == number)
        if attempts >= ATTEMPTS:
            self.study._storage.set_trial_user_attr(trial_id, "error", f"its process died {attempts} times")
        elif params:
            kept = {name: known[name] for name in ("default",) if name in known}
            self.study.enqueue_trial(dict(params), user_attrs={**kept, "attempts": attempts, "again": number})
        self.study.tell(number, state=states.FAIL)

    def finished(self) -> list[Any]:
        """Returns the trials that came to their end: complete, pruned, or failed for a reason of their own."""
        return [t for t in self.study.get_trials(deepcopy=False) if _counts(t)]

    def complete(self) -> list[Any]:
        """Returns the trials that were trained to their end, the best first."""
        states = self.optuna.trial.TrialState
        return sorted(self.study.get_trials(deepcopy=False, states=(states.COMPLETE,)), key=lambda t: -t.value)


def _counts(trial: Any) -> bool:
    return trial.state.name in ("COMPLETE", "PRUNED") or (trial.state.name == "FAIL" and "error" in trial.user_attrs)


@contextmanager
def worker_lock(folder: Path) -> Iterator[str]:
    """Holds the lock of a new worker and yields its name."""
    name = f"{os.getpid()}-{secrets.token_hex(4)}"
    place = folder / WORKERS / name
    place.mkdir(parents=True)
    lock = RunLock(place)
    try:
        yield name
    finally:
        lock.release()
        shutil.rmtree(place, ignore_errors=True)


def wait_for_others(study: SweepStudy, deadline: float) -> None:
    """Waits until no worker, of whatever machine, has a trial, or until a time."""
    while study.running() and time.monotonic() < deadline:
        time.sleep(0.2)
