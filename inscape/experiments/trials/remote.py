"""What runs on another machine of a cluster: one trial, with the code that it needs and its folder where that is seen.

A trial names files: those of its world, agent and measures, with the modules beside them, and the folder of its run.
Where a machine shares the disk, all are there, and a trial runs as in a worker process of the first machine. Where it
does not, the code comes with the order, is written to a temporary folder and loaded from there; a run folder cannot be
kept then, and the result says so by having none.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import inscape
from inscape.envs.loading import find_again, stand_in
from inscape.experiments.runs.storage.lock import LOCK, STALE_SECONDS, Holder, holder_of
from inscape.experiments.trials.jobs import Job
from inscape.experiments.trials.trial import Trial, TrialResult, folder_name
from inscape.experiments.trials.worker import failed, perform

LOCK_SECONDS = STALE_SECONDS + 30.0
"""How long is waited for a run folder whose process has died with its machine: it is taken for dead after a while."""


@dataclass(frozen=True)
class Order:
    """A trial for another machine; its world is sent apart, once for all its trials.

    Attributes:
        trial: what to run.
        root: where its run folder goes, absolute; None keeps none.
        token: of the lock in the folder above it, by which another machine knows that it sees the same folder.
        cwd: folder from which relative names of files are meant.
        path: where modules are looked for on the first machine.
        files: absolute path → content, of the code.
        until: time (seconds since 1970) after which it is not begun; None for no limit.
        version: of Inscape.
    """

    trial: Trial
    root: Path | None = None
    token: str | None = None
    cwd: str = ""
    path: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    until: float | None = None
    version: str = inscape.__version__


def order_of(job: Job, until: float | None, contents: dict[str, bytes]) -> Order:
    """Returns the order for a job.

    Args:
        job: what to run.
        until: see `Order`.
        contents: of files that were read before, by their paths; what is read now is added.
    """
    paths = {record["path"] for record in job.trial.code.values()}
    for path in paths - contents.keys():
        with suppress(OSError):
            contents[path] = Path(path).read_bytes()
    files = {path: contents[path] for path in sorted(paths & contents.keys())}
    root = None if job.root is None else job.root.absolute()
    token = None if root is None else _token(root)
    return Order(job.trial, root, token, str(Path.cwd()), tuple(filter(None, sys.path)), files, until)


def perform_order(order: Order, payload: bytes) -> TrialResult | None:
    """Runs a trial and returns its result, also where it fails; None where its time was over.

    Args:
        order: what to run.
        payload: its world, pickled, and names of code that may run.
    """
    if order.until is not None and time.time() > order.until:
        return None
    if order.version != inscape.__version__:
        error = f"this machine has Inscape {inscape.__version__}, the one that runs the experiment {order.version}"
        return failed(order.trial, f"{error}\n  try: the same version on all of them")
    for path, data in order.files.items():
        if _loaded.setdefault(path, data) != data:  # only where one connection to a cluster outlives an experiment
            found = f"{path} was edited since this process of the cluster loaded it"
            return failed(order.trial, f"{found}\n  try: ray.shutdown(), then the experiment again")
    if os.path.isdir(order.cwd):
        os.chdir(order.cwd)
    sys.path += [folder for folder in order.path if folder not in sys.path and os.path.isdir(folder)]
    root = order.root
    if not _bring(order):
        root = None
    if root is not None:
        if _token(root) != order.token:
            root = None
        else:
            _wait_for(root / folder_name(order.trial))
    return perform(order.trial, payload, root)


def _token(root: Path) -> str | None:
    try:
        holder = Holder.read(root.parent / LOCK)
    except OSError:
        return None
    return None if holder is None else holder.token


def _bring(order: Order) -> bool:
    """Makes the code there; returns whether it was."""
    missing = {path: data for path, data in order.files.items() if not _is(Path(path), data)}
    if not missing:
        return True
    digest = hashlib.sha256()
    for path, data in sorted(order.files.items()):
        digest.update(path.encode() + b"\0" + hashlib.sha256(data).digest())
    name = digest.hexdigest()
    if name not in _brought:
        _brought[name] = tempfile.TemporaryDirectory(prefix="inscape-code-")
        for path, data in order.files.items():
            copy = _copy(name, path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(data)
    for named, record in order.trial.code.items():
        if (path := record["path"]) in order.files:
            spellings = {path, named, named.rpartition(":")[0]}
            spellings |= {os.path.join(order.cwd, spelling) for spelling in spellings}
            for spelling in filter(None, spellings):
                stand_in(spelling, _copy(name, path), path)
    find_again({named: {"path": str(_copy(name, record["path"]))} for named, record in order.trial.code.items()})
    return False


def _copy(name: str, path: str) -> Path:
    return Path(_brought[name].name, *Path(path).parts[1:])


_loaded: dict[str, bytes] = {}
"""Path → content, of the code of all orders so far."""
_brought: dict[str, tempfile.TemporaryDirectory[str]] = {}
"""Folders with code that came with orders, removed when the process ends."""


def _is(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _wait_for(folder: Path) -> None:
    """Waits while a process that has died with its machine still seems to have the run folder."""
    end = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < end and holder_of(folder) is not None:
        time.sleep(0.2)
