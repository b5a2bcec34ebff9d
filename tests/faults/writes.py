"""Errors of the file system at every call, and a disk that is full after any number of bytes.

`io.open`, the writes to what it opens, `os.fsync`, `os.rename`, `os.replace`, `os.mkdir` and `os.unlink` are counted
while a run is trained, evaluated and recorded; then the same is done once for each call, which fails. What is left is
resumed without faults and must end as a run that met none. A full disk is the system's limit on the size of a file
(RLIMIT_FSIZE), which cuts a write in the middle.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from inscape.errors import UsageError
from inscape.experiments.cli import main
from inscape.experiments.runs.folders import open_run
from inscape.experiments.trials.results import ResultsFile
from inscape.experiments.trials.trial import TrialResult
from tests.experiments.runs import damages
from tests.faults.rows import Row, first

LINE = (
    "train q-learning FourGoals --world.map A.S/.#B --steps 300 --report-every 100 --evaluate-every 100 "
    "--evaluate-episodes 1 --final-episodes 1 --gamma 0.9 --out run"
)
WRITING = ("w", "a", "x", "+")


class Faults:
    """Counts calls that change the disk below a folder; the one of number `at` fails."""

    def __init__(self, folder: Path, at: int = -1, code: int = errno.ENOSPC) -> None:
        self.folder, self.at, self.code, self.count = str(folder.resolve()), at, code, 0

    def call(self, path: Any) -> None:
        try:
            where = os.path.abspath(os.fspath(path))
        except TypeError:  # a file descriptor
            where = self.folder
        if not where.startswith(self.folder):
            return
        self.count += 1
        if self.count - 1 == self.at:
            raise OSError(self.code, os.strerror(self.code), where)

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(path: Any, *arguments: Any, **options: Any) -> Any:
            self.call(path)
            return function(path, *arguments, **options)

        return wrapped

    def open(self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **options: Any) -> Any:
        if not isinstance(file, (str, Path)) or not any(letter in mode for letter in WRITING):
            return _OPEN(file, mode, buffering, *rest, **options)
        self.call(file)
        faults = self

        class Faulty(io.FileIO):
            def write(self, data: Any) -> int:
                faults.call(file)
                return super().write(data)

        raw = Faulty(str(file), mode.replace("b", "").replace("t", ""))
        if "b" in mode:
            return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        encoding = options.get("encoding") or (rest[0] if rest else None) or "utf-8"
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding)

    @contextlib.contextmanager
    def injected(self) -> Iterator[None]:
        names = ("fsync", "rename", "replace", "mkdir", "unlink")
        with contextlib.ExitStack() as stack:
            for name in names:
                stack.enter_context(mock.patch.object(os, name, self.wrap(getattr(os, name))))
            stack.enter_context(mock.patch.object(io, "open", self.open))
            yield


_OPEN = io.open


def writes(short: bool, place: Path) -> list[Row]:
    with damages.within(place):
        assert _train(LINE) == (0, "")
        expected = _learned(Path("run"))
        shutil.rmtree("run")
        counting = Faults(place)
        with counting.injected():
            assert _train(LINE) == (0, "")
        shutil.rmtree("run")
        every = range(0, counting.count, 17 if short else 1)
        wrong: list[str] = []
        refused = 0
        for code in (errno.ENOSPC,) if short else (errno.ENOSPC, errno.EIO):
            for at in every:
                faults = Faults(place, at, code)
                with faults.injected():
                    found, told = _train(LINE)
                refused += found == 2
                wrong += _checked(f"call {at} fails with {errno.errorcode[code]}", found, told, expected)
        calls = len(every) * (1 if short else 2)
        rows = [
            Row(
                "errors of the file system at each call of a training (no room, broken)", calls, len(wrong),
                "a traceback, a run that cannot be resumed, or another end", first(wrong, f"{refused:,} refused"),
            ),
            _full(short, expected),
            _results(short),
        ]  # fmt: skip
    return rows


def _train(words: str) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            return main(words.split()), err.getvalue()
    except BaseException as error:
        return -1, f"{type(error).__name__}: {error}"


def _learned(folder: Path) -> tuple[str, Any]:
    run = open_run(folder)
    return repr(run.load_latest()), [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics()]


def _checked(what: str, code: int, told: str, expected: Any) -> list[str]:
    """Returns what is wrong after a fault, and removes the run."""
    wrong = []
    if code not in (0, 2) or "Traceback" in told or (code == 2 and "inscape: " not in told):
        wrong.append(f"{what}: exit {code}, {told[-200:]}")
    run = Path("run")
    resumed = (run / "settings.json").exists()
    if not resumed:
        shutil.rmtree(run, ignore_errors=True)
    again, said = _train("train --resume run --final-episodes 0" if resumed else LINE)
    try:
        if again != 0:
            wrong.append(f"{what}: afterwards exit {again}, {said[-200:]}")
        elif _learned(run) != expected:
            wrong.append(f"{what}: another end")
    except UsageError as error:
        wrong.append(f"{what}: {error}")
    shutil.rmtree(run, ignore_errors=True)
    return wrong


def _full(short: bool, expected: Any) -> Row:
    assert _train(LINE) == (0, "")
    sizes = sorted({path.stat().st_size for path in Path("run").rglob("*") if path.is_file()})
    shutil.rmtree("run")
    limits = sorted({max(0, size + by) for size in sizes for by in ((-1,) if short else (-1, -40, 3, -size // 2))})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    wrong: list[str] = []
    refused = 0
    for limit in limits:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            code, told = _train(LINE)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        refused += code == 2
        wrong += _checked(f"files of at most {limit} bytes", code, told, expected)
    note = first(wrong, f"{refused:,} refused")
    return Row("a disk that takes no more after so many bytes of a file", len(limits), len(wrong),
               "a traceback, a run that cannot be resumed, or another end", note)  # fmt: skip


def _results(short: bool) -> Row:
    """Results of an experiment: what was appended before a fault is there after it."""
    place, wrong, count = Path("experiment").resolve(), [], 0
    for at in range(0, 60, 7 if short else 1):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        faults, kept = Faults(place, at), []
        with faults.injected():
            file = ResultsFile(place)
            for k in range(20):
                result = TrialResult(f"{k:016x}", "agent", "world", k, float(k))
                try:
                    file.append(result)
                except UsageError:
                    continue
                except Exception as error:
                    wrong.append(f"call {at}: {type(error).__name__}: {error}")
                    continue
                kept.append(result)
            with contextlib.suppress(OSError):
                file.close()
        count += 1
        found = ResultsFile(place).read()
        wrong += [f"call {at}: {r.id} is gone" for r in kept if found.get(r.id) != r]
    return Row("the same while results of an experiment are written", count, len(wrong), "a result that is gone",
               first(wrong))  # fmt: skip
