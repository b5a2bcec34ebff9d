"""Runs in short, for a list: read from the ends of their files and from places between, whatever their size."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.runs.folders import open_run, run_folders
from inscape.experiments.runs.run import EVALUATION
from inscape.experiments.runs.settings import SETTINGS
from inscape.experiments.runs.storage.lock import LOCK, Holder
from inscape.experiments.runs.storage.metrics import METRICS, as_number
from inscape.experiments.serving.server import NotFoundError
from inscape.experiments.trials.results import RESULTS

CURVES = ("evaluation/return_mean", "episode_return")
"""Metrics of which the first that is found is the small curve beside a run."""

WHOLE_BYTES = 1 << 17
"""Metrics files up to this size are read in whole."""

PLACES, PLACE_BYTES = 40, 2048
"""Of larger ones so many places are read, each of so many bytes, and the last `TAIL_BYTES`."""

TAIL_BYTES = 1 << 15
POINTS = 60
"""Points of a small curve at most."""


@dataclass(frozen=True)
class Summary:
    """A run in one line.

    Attributes:
        id: its folder relative to the root, with slashes.
        agent, world, seed: what runs where.
        steps: done so far; total: in all.
        last: its evaluation after training, else the last return that was logged; None for none.
        curve: `(steps, values)` of a small picture.
        live: whether a process trains it now.
        changed: when its metrics were last written, in seconds since 1970.
        damage: what is wrong with it; "" for nothing.
    """

    id: str
    agent: str = ""
    world: str = ""
    seed: int | None = None
    steps: int = 0
    total: int = 0
    last: float | None = None
    curve: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    live: bool = False
    changed: float = 0.0
    damage: str = ""


class RunList:
    """The runs and experiments under a folder. What was read is kept until a file's size or time changes.

    Args:
        root: the folder; it exists.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._kept: dict[Path, tuple[Any, Summary]] = {}

    def folders(self) -> dict[str, Path]:
        """Returns the run folders by id, newest first; the root itself, where it is a run."""
        if (self.root / SETTINGS).is_file():
            return {self.root.resolve().name: self.root}
        found = {folder.relative_to(self.root).as_posix(): folder for folder in run_folders(self.root)}
        for experiment in self.experiments().values():  # their runs lie one folder deeper
            inner = experiment / "runs"
            found |= {folder.relative_to(self.root).as_posix(): folder for folder in run_folders(inner)}
        return found

    def experiments(self) -> dict[str, Path]:
        """Returns the folders with results of experiments by id."""
        found = [self.root] if (self.root / RESULTS).is_file() else []
        found += sorted(path.parent for path in self.root.glob(f"*/{RESULTS}"))
        return {(f.resolve() if f == self.root else f.relative_to(self.root)).name: f for f in found}

    def folder(self, name: Any, among: Callable[[], dict[str, Path]] | None = None) -> Path:
        """Returns the folder of an id that is listed; what is given is never made a path.

        Raises:
            NotFoundError: it is not listed.
        """
        found = (among or self.folders)().get(str(name))
        if found is None:
            raise NotFoundError(f"there is no run {str(name)[:200]!r} any more", hint="it may have been removed")
        return found

    def summaries(self) -> list[Summary]:
        """Returns all runs in short, newest first."""
        folders = self.folders()
        self._kept = {folder: kept for folder, kept in self._kept.items() if folder in set(folders.values())}
        return [self._summary(name, folder) for name, folder in folders.items()]

    def fingerprint(self) -> list[Any]:
        """Returns what changes whenever `summaries` would: names, sizes and times."""
        return [[name, _stamp(folder)] for name, folder in self.folders().items()]

    def _summary(self, name: str, folder: Path) -> Summary:
        stamp = _stamp(folder)
        kept = self._kept.get(folder)
        if kept is None or kept[0] != stamp:
            self._kept[folder] = kept = (stamp, _read(name, folder))
        return kept[1]


def _stamp(folder: Path) -> list[Any]:
    """Returns sizes and times of the files a summary is read from, and whether a process has the run."""
    stamps: list[Any] = []
    for name in (SETTINGS, METRICS, EVALUATION):
        try:
            found = os.stat(folder / name)
            stamps.append([found.st_size, found.st_mtime_ns])
        except OSError:
            stamps.append(None)
    return [*stamps, is_live(folder)]


def is_live(folder: Path) -> bool:
    """Returns whether a process trains a run now."""
    try:
        holder = Holder.read(folder / LOCK)
        return holder is not None and holder.is_alive(time.time() - os.stat(folder / LOCK).st_mtime)
    except OSError:
        return False


def _read(name: str, folder: Path) -> Summary:
    try:
        run = open_run(folder)
        final = run.evaluation()
        rows, changed = sampled_rows(folder / METRICS)
    except (UsageError, OSError) as error:
        return Summary(name, damage=str(getattr(error, "found", error)))
    settings = run.settings
    steps, values = curve_of(rows)
    reached = [value for row in rows if (value := _finite(as_number(row.get("steps")))) is not None]
    last = _finite(final[0].estimate) if final is not None else values[-1] if values else None
    count = min(len(steps), POINTS)
    picked: list[int] = np.unique(np.linspace(0, len(steps) - 1, count).astype(int)).tolist() if count else []
    return Summary(
        name, settings.agent, str(settings.task.get("name")), settings.seed, int(max(reached, default=0)),
        settings.steps, last, ([steps[k] for k in picked], [values[k] for k in picked]), is_live(folder), changed,
    )  # fmt: skip


def curve_of(rows: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Returns steps and values of the first metric of `CURVES` that rows hold."""
    for key in CURVES:
        points = [
            (at, value)
            for row in rows
            if (value := _finite(as_number(row.get(key)))) is not None
            and (at := _finite(as_number(row.get("steps")))) is not None
        ]
        if points:
            return [at for at, _ in points], [value for _, value in points]
    return [], []


def sampled_rows(path: Path) -> tuple[list[dict[str, Any]], float]:
    """Returns rows of a metrics file in order, and when it was written: all of a small one, of a large one some.

    Lines that the places begin or end within are left out, and so is a last line that is being written.

    Raises:
        UsageError: a line is no JSON object.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            size = found.st_size
            if size <= WHOLE_BYTES:
                return _rows(file.read(), path, whole=True), found.st_mtime
            rows: list[dict[str, Any]] = []
            for place in np.linspace(0, size - TAIL_BYTES, PLACES, endpoint=False).astype(int).tolist():
                file.seek(place)
                rows += _rows(file.read(PLACE_BYTES), path, whole=place == 0)
            file.seek(size - TAIL_BYTES)
            return rows + _rows(file.read(), path, whole=False), found.st_mtime
    except FileNotFoundError:
        return [], 0.0


def _rows(block: bytes, path: Path, whole: bool) -> list[dict[str, Any]]:
    begin = 0 if whole else block.find(b"\n") + 1
    lines = block[begin : block.rfind(b"\n") + 1].split(b"\n")[:-1]
    try:
        rows = [json.loads(line) for line in lines]
    except (ValueError, RecursionError) as error:
        raise UsageError(f"a line of {path.name} is damaged: {error}", expected="what inscape wrote") from error
    if not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"a line of {path.name} is no object", expected="the file that inscape wrote")
    return rows


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
