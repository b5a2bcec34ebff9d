"""A run is a folder: its settings, metrics, TensorBoard events, checkpoints and recorded episodes.

runs/<name>/settings.json             everything needed to run it again
runs/<name>/manifest.json             hashes of these files and the maker's signature, see `…runs.manifest`
runs/<name>/code/                     copies of the files that the agent and the task came from
runs/<name>/metrics.jsonl             one JSON object per line, "steps" always among its keys
runs/<name>/metrics.sums              checksums of its rows since the last checkpoint, see `…runs.row_sums`
runs/<name>/restarts.jsonl            copies of environments in worker processes that were made again, and why
runs/<name>/lock.json                 which process trains it, while one does, see `…runs.lock`
runs/<name>/events.out.tfevents.*     the same for TensorBoard
runs/<name>/checkpoints/step-<n>/     see `inscape.experiments.runs.checkpoints`
runs/<name>/episodes/<name>.npz       trajectories: arrays without pickle, the rest as JSON inside
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import math
import os
import re
import struct
import sys
import time
import tokenize
import uuid
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape import trust
from inscape.agents.in_hand import IN_HAND
from inscape.envs.loading import find_again
from inscape.envs.tasks.arguments import require_json
from inscape.errors import UsageError, closest, printable
from inscape.experiments.runs import checkpoints
from inscape.experiments.runs.files import replacing, write_text
from inscape.experiments.runs.html import run_html
from inscape.experiments.runs.loading import agent_of
from inscape.experiments.runs.lock import LOCK, RunLock
from inscape.experiments.runs.manifest import MANIFEST, Entry, Manifest
from inscape.experiments.runs.metrics import MetricColumns, as_number, check_prefix, read_columns, read_rows
from inscape.experiments.runs.row_sums import SUMS, append_sum, begin_sums, check_sums
from inscape.experiments.runs.statistics import Interval

if TYPE_CHECKING:
    from inscape.agents.interface import Agent
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task

SETTINGS, METRICS, EPISODES, EVALUATION = "settings.json", "metrics.jsonl", "episodes", "evaluation.json"
RESTARTS = "restarts.jsonl"
CODE = "code"
NEVER_STORED = ("trust",)
"""Settings of agents that hold for one command only: given again each time, and ignored where a file has them."""
DEFAULT_ROOT = Path("runs")
EVENTS_SECONDS = 5.0
"""TensorBoard events reach the disk this often; rows of metrics, which resuming reads, at once."""


@dataclass(frozen=True)
class RunSettings:
    """What a run does: enough to run it again, and to refuse to resume it as something else."""

    agent: str
    """Agent as it was asked for: a name, `file.py:Class` or `package.module:Class`."""

    task: dict[str, Any]
    """The task, as `Task.to_json()` gives it."""

    seed: int
    """Seed of everything random in the run."""

    steps: int
    """Environment steps in total."""

    device: str = "cpu"
    """Where tensors live."""

    agent_settings: dict[str, Any] = field(default_factory=dict)
    """Every setting of the agent, defaults included."""

    evaluate_every: int = 0
    """Steps between two points of the learning curve; a setting because evaluating may use the agent's generator."""

    evaluate_episodes: int = 10
    """Episodes of each such evaluation."""

    versions: dict[str, str] = field(default_factory=dict)
    """Versions of Python and of the packages results depend on; not compared on resume."""

    code: dict[str, dict[str, str]] = field(default_factory=dict)
    """For each name of code in agent and task, its file's absolute `path` and `sha256`; compared on resume by these."""

    def to_json(self) -> dict[str, Any]:
        """Returns the settings as JSON values."""
        return asdict(self)

    def code_names(self) -> list[str]:
        """Returns the names in agent, task and settings whose making runs files or modules that are not Inscape's."""
        return [*trust.agent_code_names(self.agent, self.agent_settings), *trust.task_code_names(self.task)]

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> RunSettings:
        """Returns the settings stored by `to_json`, the agent's by their present names where some were renamed since.

        Raises:
            UsageError: a key is missing or unknown, or a value of another type.
        """
        from inscape.agents.registry import current_agent_settings

        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(document) - known):
            raise UsageError(f"unknown run setting {unknown[0]!r}", expected=", ".join(sorted(known)))
        try:
            settings = cls(**document)
        except TypeError as error:
            raise UsageError(f"incomplete run settings: {error}", expected=", ".join(sorted(known))) from error
        settings._require_types()
        stored = {name: value for name, value in settings.agent_settings.items() if name not in NEVER_STORED}
        return replace(settings, agent_settings=current_agent_settings(settings.agent, stored))

    def _require_types(self) -> None:
        """Raises UsageError unless every value is of its type: the settings come from a file."""
        for name, kind in _TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise UsageError(
                    f"run setting {name!r} is {_cut(value)}", expected=f"a {_JSON_NAMES[kind]}", hint="train again"
                )
        for name, least in (("seed", 0), ("steps", 1), ("evaluate_every", 0), ("evaluate_episodes", 1)):
            if not least <= getattr(self, name) < MOST:
                raise UsageError(
                    f"run setting {name!r} is {_cut(getattr(self, name))}", expected=f"{least} to {MOST - 1:,}",
                    hint="train again",
                )  # fmt: skip
        if not isinstance(self.task.get("name"), str) or not isinstance(self.task.get("settings", {}), dict):
            raise UsageError(
                f"run setting 'task' is {_cut(self.task)}",
                expected='{"name": "WORLD", "settings": {…}}',
                hint="train again",
            )
        if (wild := next(_wild_strings(self.to_json()), None)) is not None:
            raise UsageError(
                f"the run settings hold control characters: {ascii(wild)[:60]}",
                expected="printable text",
                hint="train again",
            )
        for name, entry in self.code.items():
            if not isinstance(entry, dict) or not all(
                isinstance(value := entry.get(key), str) and re.fullmatch(pattern, value)
                for key, pattern in (("path", r"[^\0]+"), ("sha256", "[0-9a-f]{64}"))
            ):
                raise UsageError(
                    f"run setting 'code' has {_cut(entry)} for {name!r}", expected="path and sha256", hint="train again"
                )

    def differences(self, other: RunSettings) -> list[str]:
        """Returns one line per setting that differs (`name: this -> other`), versions and the content of code aside.

        A file is the same by whatever path it is named.
        """
        mine, others = flat_settings(self.to_json()), flat_settings(other.to_json())
        names = differing(trust.absolute_names(self.to_json()), trust.absolute_names(other.to_json()))
        return [
            f"{name}: {_show(mine, name)} -> {_show(others, name)}"
            for name in names
            if not name.startswith(("versions", "code"))
        ]


_TYPES: dict[str, type] = {
    "agent": str, "task": dict, "seed": int, "steps": int, "device": str, "agent_settings": dict,
    "evaluate_every": int, "evaluate_episodes": int, "versions": dict, "code": dict,
}  # fmt: skip
MOST = 2**62
"""Beyond any seed, and any number of steps."""
_JSON_NAMES = {str: "string", int: "whole number", dict: "JSON object"}


def _wild_strings(document: Any) -> Iterator[str]:
    """Yields the strings of a JSON value that could command a terminal."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and printable(value) != value:
            yield value
        elif isinstance(value, Mapping):
            waiting += [*value.values(), *value.keys()]
        elif isinstance(value, list | tuple):
            waiting += value


def _cut(value: Any) -> str:
    text = json.dumps(value) if not isinstance(value, int) or abs(value) < MOST else "a number beyond 2**62"
    return text if len(text) <= 60 else text[:57] + "..."


def differing(mine: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Returns the names of the settings that differ, sorted, those inside others as `outer.inner`."""
    one, other = flat_settings(dict(mine)), flat_settings(dict(others))
    return [name for name in sorted(set(one) | set(other)) if not _equal(one.get(name, ...), other.get(name, ...))]


def flat_settings(value: Any, name: str = "") -> dict[str, Any]:
    """Returns settings by name, those inside others as `outer.inner`."""
    if isinstance(value, dict):
        return {
            k: v
            for key, item in value.items()
            for k, v in flat_settings(item, f"{name}.{key}" if name else key).items()
        }
    return {name: list(value) if isinstance(value, tuple) else value}


def _equal(left: Any, right: Any) -> bool:
    both_nan = isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right)
    return both_nan or bool(left == right)


def _show(settings: dict[str, Any], name: str) -> str:
    return repr(settings[name]) if name in settings else "(not set)"


def installed_versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for package in ("inscape", "numpy", "numba", "torch", "gymnasium", "stable-baselines3"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # a source tree that was not installed, or an optional package
            found[package] = "not installed"
    return found


class Run:
    """A trained agent and how it was trained: a run folder, or one in memory (`UnsavedRun`).

    `train` and `open_run` return one. In a notebook it shows itself: agent, world, learning curve, folder.

    Attributes:
        folder: the folder; None of a run in memory.
        settings: its `RunSettings`.
        trained_steps: steps the call to `train` that returned this run took; 0 when the run had come to its end before.
    """

    def __init__(self, path: Path | None, settings: RunSettings) -> None:
        self.folder, self.settings = path, settings
        self.trained_steps = 0
        self._lock: RunLock | None = None
        self._made: list[Path] = []
        self._events: _Events | None = None
        self._hashed = _Prefix(Path() if path is None else path / METRICS)
        self._held: tuple[Agent, Task] | None = None

    def __repr__(self) -> str:
        place = "in memory" if self.folder is None else repr(str(self.folder))
        return f"Run({self.settings.agent} in {self.settings.task.get('name')}, {self.settings.steps:,} steps, {place})"

    def _repr_html_(self) -> str:
        return run_html(self)

    def __getstate__(self) -> dict[str, Any]:
        """Returns what a run is; a folder's agent is loaded, and its files are opened, again."""
        opened: dict[str, Any] = {"_events": None, "_hashed": None, "_made": []}
        return vars(self) | opened | ({} if self.folder is None else {"_held": None})

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._hashed = _Prefix(Path() if self.folder is None else self.folder / METRICS)

    @property
    def path(self) -> Path:
        """The folder.

        Raises:
            UsageError: the run is in memory.
        """
        if self.folder is None:
            raise UsageError(
                f"{self!r} has no folder",
                expected="a run that was given one: train(…, out=FOLDER)",
                hint="run.save(FOLDER)",
            )
        return self.folder

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    # which process writes --------------------------------------------------------------------------------------

    def lock(self) -> None:
        """Takes the run for this process alone, until `release`.

        Raises:
            UsageError: another process trains it.
        """
        self._lock = self._lock or RunLock(self.path)

    def release(self) -> None:
        """Lets other processes train the run."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    # agent and task ----------------------------------------------------------------------------------------------

    def _usual_name(self) -> str:
        return run_name(self.settings)

    @property
    def agent(self) -> Agent:
        """The agent, as training or the last checkpoint left it; the same object each time.

        Raises:
            UsageError: see `load_agent`.
        """
        return self._live()[0]

    @property
    def task(self) -> Task:
        """What it was trained in."""
        return self._live()[1]

    @property
    def held(self) -> tuple[Agent, Task] | None:
        """Agent and task, where the run was trained in this process, or they were asked for already."""
        return self._held

    def hold(self, agent: Agent, task: Task) -> None:
        """Makes these the run's `agent` and `task`."""
        self._held = agent, task

    def _live(self) -> tuple[Agent, Task]:
        if self._held is None:
            self._held = agent_of(self)
        return self._held

    @property
    def signed(self) -> bool:
        """Whether this user made the run: its manifest bears their signature."""
        return Manifest.read(self.path).signed

    def require_trust(self) -> None:
        """Raises `UsageError` if making the agent or the task would run code, and the run is neither this user's nor
        trusted for this command."""
        trust.require_trust(self.settings.code_names(), self.path / SETTINGS)

    def trusted_settings(self) -> dict[str, Any]:
        """Returns the agent's settings, with `trust` where this user's signed run begins from a pickled file (`load`)
        that is still the one it began from."""
        settings = dict(self.settings.agent_settings)
        entry = self.settings.code.get(str(settings.get("load")))
        if entry is None or not self.signed:
            return settings
        for place in (str(settings["load"]), entry["path"]):
            if any(found["sha256"] == entry["sha256"] for found in trust.file_record(place).values()):
                return {**settings, "load": place, "trust": True}
        return settings

    # metrics ---------------------------------------------------------------------------------------------------

    def log(self, metrics: dict[str, float]) -> None:
        """Appends one row of metrics, `"steps"` among them; it is on its way to the disk when this returns.

        Raises:
            UsageError: the disk is full, or the folder cannot be written any more.
        """
        row = {key: _plain(value) for key, value in metrics.items()}
        line = f"{json.dumps(row)}\n".encode()
        with _writing(self.path / METRICS), (self.path / METRICS).open("ab") as file:
            if not (self.path / SUMS).exists():
                begin_sums(self.path, file.tell())
            file.write(line)
        with _writing(self.path / SUMS):
            append_sum(self.path, line)
        self._log_events(row)

    def log_restarts(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Appends what went wrong with copies of environments in worker processes: `copy`, `seed`, `step`, `message`.

        Raises:
            UsageError: the disk is full, or the folder cannot be written any more.
        """
        with _writing(self.path / RESTARTS), (self.path / RESTARTS).open("a") as file:
            file.writelines(json.dumps(dict(fault)) + "\n" for fault in faults)

    def metrics(self) -> list[dict[str, Any]]:
        """Returns the rows logged so far. A last row cut short by a kill is left out; any other is refused.

        Some kilobyte per row: for a long run's curves take `metric_columns`.
        """
        check_sums(self.path / METRICS)
        return [row for rows, _ in read_rows(self.path / METRICS, self._covered_metrics()) for row in rows]

    def metric_columns(self, keys: Iterable[str]) -> MetricColumns:
        """Returns the numbers logged so far under `keys`, one array per key, from one pass over the file."""
        check_sums(self.path / METRICS)
        return read_columns(self.path / METRICS, keys, self._covered_metrics())

    def _covered_metrics(self) -> Entry | None:
        return Manifest.read(self.path).files.get(METRICS)

    def truncate_metrics(self, steps: int) -> None:
        """Forgets the rows after `steps`: what a resumed run will log again. Rows without steps stay from step 0 on."""
        for leftover in self.path.glob(".*.writing-*"):  # of a process killed while it wrote
            leftover.unlink(missing_ok=True)
        manifest = Manifest.read(self.path)
        covered = manifest.files.pop(METRICS, None)
        if covered is not None:
            check_prefix(self.path / METRICS, covered)
            manifest.write()  # killed before the next lines end, the file is not covered, and right
        self._hashed = _Prefix(self.path / METRICS)
        (self.path / SUMS).unlink(missing_ok=True)  # of rows that will be logged again
        with _writing(self.path / METRICS), replacing(self.path / METRICS) as file:
            # what follows the covered rows was logged after the last checkpoint, whatever steps it claims
            for rows, block in read_rows(self.path / METRICS, end=None if covered is None else covered.size):
                taken = [(as_number(row.get("steps")) or 0) <= steps for row in rows]
                lines = compress(block.split(b"\n"), taken)  # a last line cut short has no row
                file.writelines(line + b"\n" for line in lines)
        if covered is not None and (entry := self._hashed.entry()) is not None:
            manifest.files[METRICS] = entry
            manifest.write()
        self.close()
        self._open_events().restart(steps + 1)

    def evaluation(self) -> tuple[Interval, int] | None:
        """Returns the mean return after training with its interval, and the number of episodes; None before.

        Raises:
            UsageError: the file cannot be read, or something else is in it.
        """
        path = self.path / EVALUATION
        data = path.read_bytes() if path.is_file() else None
        Manifest.read(self.path).check(EVALUATION, data)
        if data is None:
            return None
        try:
            document = json.loads(data)
            returns = Interval(*(float(document[key]) for key in ("mean", "low", "high")))
            return returns, int(document.get("episodes", 0))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UsageError(
                f"cannot read {path}: {error}", expected="the JSON that inscape wrote", hint="remove that file"
            ) from error

    def write_evaluation(self, document: Mapping[str, Any]) -> None:
        """Writes the evaluation after training: `mean`, `low`, `high`, `episodes` and more."""
        with Manifest.read(self.path).replacing(EVALUATION):
            write_text(self.path / EVALUATION, json.dumps(document, indent=2) + "\n")

    def _log_events(self, row: dict[str, Any]) -> None:
        values = {tag: value for tag, value in row.items() if tag != "steps" and isinstance(value, int | float)}
        (self._events or self._open_events()).add(int(row.get("steps", 0)), values)

    def _open_events(self) -> _Events:
        self._events = _Events(self.path)
        return self._events

    def _flush(self) -> None:
        with _writing(self.path / METRICS), (self.path / METRICS).open("a") as file:
            os.fsync(file.fileno())
        if self._events is not None:
            self._events.flush()

    def close(self) -> None:
        """Writes what is left of the TensorBoard events."""
        events, self._events = self._events, None
        if events is not None:
            events.flush()

    def discard(self) -> None:
        """Removes what `create_run` made here, for a start that was refused; folders that hold anything else stay."""
        self._events = None
        self.release()
        for checkpoint in checkpoints.checkpoint_folders(self.path):
            checkpoints.remove_checkpoint(checkpoint)
        for path in (
            *(self.path / name for name in (SETTINGS, MANIFEST, METRICS, SUMS)),
            *self.path.glob("events.out.tfevents.*"), *self.path.glob(f"{CODE}/*"),
        ):  # fmt: skip
            path.unlink(missing_ok=True)
        for folder in (self.path / CODE, self.path / "checkpoints"):
            if folder.is_dir():
                folder.rmdir()
        for folder in self._made:
            if any(folder.iterdir()):
                return
            folder.rmdir()

    # checkpoints -----------------------------------------------------------------------------------------------

    def save_checkpoint(self, state: dict[str, Any], steps: int, *, finished: bool = False, keep: int = 3) -> Path:
        """Saves the agent's state as `checkpoints/step-<steps>` and removes all but the newest `keep`."""
        folder = self.path / "checkpoints" / f"step-{steps}"
        if self._lock is not None:
            self._lock.require()
        self._flush()  # a checkpoint never knows of more than the metrics on the disk
        manifest = Manifest.read(self.path)
        if (entry := self._hashed.entry()) is not None:
            manifest.files[METRICS] = entry
            manifest.write()
            with _writing(self.path / SUMS):
                begin_sums(self.path, entry.size)
        checkpoints.save_checkpoint(folder, state, {"steps": steps, "finished": finished})
        for old in checkpoints.checkpoint_folders(self.path)[:-keep]:
            checkpoints.remove_checkpoint(old)
        checkpoints.remove_leftovers(self.path)
        return folder

    def load_latest(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Returns `(state, metadata)` of the newest checkpoint, or None if there is none yet."""
        folder = checkpoints.latest_checkpoint(self.path)
        if folder is None:
            return None
        state, metadata = checkpoints.load_checkpoint(folder)
        checkpoints.require_metadata(folder, metadata)
        return state, metadata

    @property
    def finished(self) -> bool:
        """Whether the newest checkpoint is that of a run that came to its end. A damaged one raises `UsageError`."""
        latest = self.load_latest()
        return latest is not None and bool(latest[1]["finished"])

    # episodes --------------------------------------------------------------------------------------------------

    def save_episodes(self, name: str, trajectories: Sequence[Trajectory]) -> Path:
        """Stores trajectories as `episodes/<name>.npz`."""
        with Manifest.read(self.path).replacing(f"{EPISODES}/{name}.npz"):
            return save_trajectories(self.path / EPISODES / f"{name}.npz", trajectories)

    def episodes(self, name: str | None = None) -> list[Trajectory]:
        """Returns the trajectories stored under `name`, or all of them in order of name."""
        paths = sorted((self.path / EPISODES).glob("*.npz")) if name is None else [self.path / EPISODES / f"{name}.npz"]
        return _load_covered(self.path, paths, whole=name is None)

    # code ------------------------------------------------------------------------------------------------------

    def code_changes(self, now: Mapping[str, Mapping[str, str]]) -> list[str]:
        """Returns lines that say which files of agent and task were edited since the run was started, and how.

        Args:
            now: the `code` of the present settings.
        """
        current = {entry["path"]: entry["sha256"] for entry in now.values()}
        lines: list[str] = []
        for name, entry in self.settings.code.items():
            found = current.get(entry["path"])
            if found is not None and found != entry["sha256"]:
                lines += [f"{entry['path']} ({name}):", *self._edits(entry)]
        return lines

    def _edits(self, entry: Mapping[str, str]) -> list[str]:
        copy = self.path / CODE / _copy_name(entry)
        if copy.suffix != ".py":
            return ["  (not a text file)"]
        try:
            data, now = copy.read_bytes(), Path(entry["path"]).read_text(errors="replace")
        except OSError:
            return ["  (no copy of it as it was)"]
        Manifest.read(self.path).check(f"{CODE}/{copy.name}", data)
        before = data.decode(errors="replace").splitlines()
        diff = list(difflib.unified_diff(before, now.splitlines(), "as it was", "now", n=0, lineterm=""))[2:]
        more = [f"  … and {len(diff) - MOST_EDITS} more lines"] if len(diff) > MOST_EDITS else []
        return [f"  {line}" for line in diff[:MOST_EDITS]] + more

    def accept_code(self, code: dict[str, dict[str, str]]) -> None:
        """Goes on with the files of agent and task as they are now."""
        self.settings = replace(self.settings, code=code)
        manifest = Manifest.read(self.path)
        with manifest.replacing(SETTINGS):
            write_text(self.path / SETTINGS, json.dumps(self.settings.to_json(), indent=2) + "\n")
        self._copy_code(manifest)

    def _copy_code(self, manifest: Manifest) -> None:
        for entry in self.settings.code.values():
            source, copy = Path(entry["path"]), self.path / CODE / _copy_name(entry)
            if copy.suffix != ".py" or copy.exists() or source.stat().st_size > LARGEST_CODE:
                continue
            copy.parent.mkdir(exist_ok=True)
            with replacing(copy) as file:
                file.write(source.read_bytes())
            manifest.files[f"{CODE}/{copy.name}"] = Entry.of(copy.read_bytes())
        manifest.write()


MOST_EDITS = 20
"""Lines of a difference shown."""
LARGEST_CODE = 1 << 20
"""Bytes of a file that is copied into the run folder; of a larger one only the hash is kept."""


def _copy_name(entry: Mapping[str, str]) -> str:
    return f"{entry['sha256'][:12]}-{Path(entry['path']).name}"


class _Prefix:
    """Hash of what a growing file has held so far, each byte read once."""

    def __init__(self, path: Path) -> None:
        self._path, self._hash, self._bytes = path, hashlib.sha256(), 0

    def entry(self) -> Entry | None:
        """Returns the entry of the file as it is; None where there is none."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._bytes)
                while block := file.read(1 << 20):
                    self._hash.update(block)
                    self._bytes += len(block)
        except FileNotFoundError:
            return None
        return Entry(self._bytes, self._hash.copy().hexdigest())


def _load_covered(run: Path, paths: Sequence[Path], whole: bool) -> list[Trajectory]:
    """Returns the trajectories in files of a run folder, checked against the manifest; `whole`: none is missing."""
    manifest = Manifest.read(run)
    known = [name for name in manifest.files if name.startswith(f"{EPISODES}/")] if whole else []
    for name in sorted({*known, *(f"{EPISODES}/{path.name}" for path in paths)}):
        manifest.check(name, (run / name).read_bytes() if (run / name).is_file() else None)
    return [trajectory for path in paths for trajectory in load_trajectories(path)]


class _Events:
    """TensorBoard's file of events, written by the process itself: a full disk is an error where it is met, and not a
    traceback of TensorBoard's own thread."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        now = time.time()
        number = sum(1 for _ in folder.glob("events.out.tfevents.*"))  # TensorBoard reads files in order of name
        self.path = folder / f"events.out.tfevents.{int(now):010d}.{number:04d}.{uuid.uuid4().hex[:8]}"
        self._pending = io.BytesIO()
        self._due = now
        self._append(Event(wall_time=now, file_version="brain.Event:2"))

    def add(self, step: int, values: dict[str, float]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._append(Event(wall_time=time.time(), step=step, summary=summary))

    def restart(self, step: int) -> None:
        """Tells TensorBoard to drop what earlier files hold from `step` on."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        self._append(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))

    def _append(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        RecordWriter(self._pending).write(event.SerializeToString())
        if time.time() >= self._due:
            self.flush()

    def flush(self) -> None:
        data, self._pending = self._pending.getvalue(), io.BytesIO()
        self._due = time.time() + EVENTS_SECONDS
        with _writing(self.path), self.path.open("ab") as file:
            file.write(data)


def create_run(
    settings: RunSettings, path: str | Path | None = None, root: str | Path = DEFAULT_ROOT, locked: bool = False
) -> Run:
    """Makes a run folder and writes its settings.

    Args:
        settings: what the run does.
        path: the folder; None makes a fresh one under `root`, named after world, agent and seed.
        root: where fresh folders go.
        locked: whether this process keeps the run for itself (`Run.lock`).

    Raises:
        UsageError: the folder holds a run or other files already, or cannot be written.
    """
    while path is None:
        fresh = _fresh_folder(Path(root), settings)
        try:
            return create_run(settings, fresh, root, locked)
        except UsageError:
            if not ((fresh / SETTINGS).exists() or (fresh / LOCK).exists()):
                raise
            # else another process took the same name at the same time
    folder = Path(path)
    if (folder / SETTINGS).exists():
        raise UsageError(
            f"{folder} already holds a run", expected="a new folder", hint="--resume to go on with it, or another --out"
        )
    run = Run(folder, settings)
    run._made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run.lock()  # two processes may find it empty
        if (folder / SETTINGS).exists():
            raise UsageError(f"{folder} was just taken by another process", hint="another --out")
        for leftover in (
            *folder.glob(f".{SETTINGS}.writing-*"),
            *folder.glob(f".{MANIFEST}.writing-*"),
        ):  # of a process killed as it began
            leftover.unlink(missing_ok=True)
        if any(not file.name.lstrip(".").startswith(LOCK) for file in folder.iterdir()):
            raise UsageError(f"{folder} is not empty", expected="a new or empty folder", hint="another --out")
        manifest = Manifest(folder, signed=True)
        with manifest.replacing(SETTINGS):
            write_text(folder / SETTINGS, json.dumps(settings.to_json(), indent=2) + "\n")
        if settings.code:
            run._copy_code(manifest)
        if not locked:
            run.release()
    except UsageError:
        run.release()
        raise
    except OSError as error:
        run.release()
        raise UsageError(
            f"cannot write the run folder {folder}: {error.strerror or error}",
            expected="a folder that can be written",
            hint="another place with --out",
        ) from error
    return run


def open_run(path: str | Path, root: str | Path = DEFAULT_ROOT) -> Run:
    """Returns the run in a folder; `path` may also be its bare name under `root`.

    Raises:
        UsageError: there is no run, or its settings cannot be read.
    """
    folder = find_run(path, root)
    if folder is None:
        for place in _meant(path, root):
            if (place / MANIFEST).is_file():
                Manifest.read(place).check(SETTINGS, None)
        names = [folder.name for folder in run_folders(root)]
        hint = closest(str(path), names) if names else "inscape train AGENT WORLD makes one"
        raise UsageError(f"no run at {path}", expected=f"a folder with {SETTINGS}", hint=hint)
    manifest = Manifest.read(folder)
    try:
        data = (folder / SETTINGS).read_bytes()
        manifest.check(SETTINGS, data)
        document = json.loads(data)
    except UsageError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"cannot read {folder / SETTINGS}: {error}", expected="the JSON that inscape wrote", hint="train again"
        ) from error
    if not isinstance(document, dict):
        raise UsageError(f"{folder / SETTINGS} holds a {type(document).__name__}", expected="a JSON object")
    settings = RunSettings.from_json(document)
    if manifest.signed or trust.is_trusting():  # only then may the file say where code lies
        find_again(settings.code)
        settings = replace(
            settings,
            agent=trust.located(settings.agent, settings.code),
            task=trust.located(settings.task, settings.code),
        )
    if manifest.signed:
        trust.allow(settings.code_names())
    return Run(folder, settings)


def find_run(path: str | Path, root: str | Path = DEFAULT_ROOT) -> Path | None:
    """Returns the run folder that `path` means, a folder or a bare name under `root`, or None."""
    return next((folder for folder in _meant(path, root) if (folder / SETTINGS).is_file()), None)


def _meant(path: str | Path, root: str | Path) -> list[Path]:
    bare = Path(path).name == str(path)
    return [Path(path), *([Path(root) / path] if bare else [])]


def run_folders(root: str | Path = DEFAULT_ROOT) -> list[Path]:
    """Returns the run folders under `root` (two levels deep, as the demo groups its own), newest first.

    One whose settings are gone and whose manifest is there is among them: `open_run` says what is missing.
    """
    patterns = [f"{depth}/{name}" for name in (SETTINGS, MANIFEST) for depth in ("*", "*/*")]
    found = {path.parent: path for pattern in reversed(patterns) for path in Path(root).glob(pattern)}
    return sorted(found, key=lambda f: (-found[f].stat().st_mtime, f))


def run_name(settings: RunSettings) -> str:
    """Returns the name a fresh run gets: `<world>-<agent>-seed<seed>`, fit for a file name."""
    agent = settings.agent.removesuffix(IN_HAND)
    text = f"{settings.task.get('name', 'task')}-{agent}-seed{settings.seed}"
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in text.replace(".py:", "-"))


def matching_run(settings: RunSettings, root: str | Path = DEFAULT_ROOT) -> Path | None:
    """Returns the newest folder that `create_run` would have named for these settings, or None."""
    base, number = run_name(settings), 1
    folder: Path | None = None
    while (candidate := Path(root) / _numbered(base, number)).exists():
        folder, number = candidate, number + 1
    return folder


def _fresh_folder(root: Path, settings: RunSettings) -> Path:
    base, number = run_name(settings), 1
    while (root / _numbered(base, number)).exists():
        number += 1
    return root / _numbered(base, number)


def _numbered(base: str, number: int) -> str:
    return base if number == 1 else f"{base}-{number}"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Reports as `UsageError` what kept a file of a run from being written."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}",
            expected="a folder that can be written, with room on its disk",
            hint="make room, then go on: inscape train --resume RUN",
        ) from error


def _plain(value: Any) -> Any:
    return (
        value.item() if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0) else value
    )


# --- trajectories ---------------------------------------------------------------------------------------------------

_ARRAYS = ("observations", "actions", "rewards", "action_masks")
_PLAIN = ("terminated", "truncated", "task", "agent", "seed")


MINARI = "minari:"
"""Prefix of the name of a Minari data set, where else a file of episodes is named."""


def names_episodes(source: str) -> bool:
    """Returns whether it names recorded episodes: an `.npz`, or a Minari data set."""
    return source.endswith(".npz") or source.startswith(MINARI)


def save_trajectories(path: str | Path, trajectories: Iterable[Trajectory]) -> Path:
    """Stores trajectories in one `.npz` (no pickle: what is not an array is JSON in it) and returns its path.

    `minari:NAME` makes a Minari data set of them instead.
    """
    if str(path).startswith(MINARI):
        from inscape.envs.data.minari import trajectories_to_minari

        with warnings.catch_warnings():
            # that a set to be published should name its author
            warnings.filterwarnings("ignore", category=UserWarning, module="minari")
            return Path(trajectories_to_minari(list(trajectories), str(path).removeprefix(MINARI)).spec.data_path)
    path = Path(path)
    arrays: dict[str, np.ndarray] = {}
    plain = []
    for index, trajectory in enumerate(trajectories):
        for name in _ARRAYS:
            if (value := getattr(trajectory, name)) is not None:
                arrays[f"{index}/{name}"] = np.asarray(value)
        if trajectory.states is not None:
            arrays[f"{index}/states.floats"] = trajectory.states.floats
            arrays[f"{index}/states.ints"] = trajectory.states.ints
        plain.append({name: _plain(getattr(trajectory, name)) for name in _PLAIN})
    for values in plain:
        require_json((values["task"] or {}).get("settings"), str((values["task"] or {}).get("name")))
    said = json.dumps(plain).encode()
    arrays["json"] = np.frombuffer(said, dtype=np.uint8)
    code = json.dumps(trust.code_record(_episode_code(plain))).encode()
    arrays["code"] = np.frombuffer(code, dtype=np.uint8)
    arrays["signature"] = np.frombuffer(trust.sign("episodes", said + b"\n" + code).encode(), dtype=np.uint8)
    temporary = path.with_name(f".{path.name}.writing-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}", hint="another place") from error
    return path


def load_trajectories(path: str | Path) -> list[Trajectory]:
    """Returns the trajectories stored in a `.npz`, in all of a folder's in order of name, or in `minari:NAME`.

    Raises:
        UsageError: there are none, or the file is damaged or not an episode file.
    """
    if str(path).startswith(MINARI):
        from inscape.envs.data.minari import trajectories_from_minari

        return trajectories_from_minari(str(path).removeprefix(MINARI))
    path = Path(path)
    if path.is_dir():
        if (path / MANIFEST).is_file() and (path / EPISODES).is_dir():
            return _load_covered(path, sorted((path / EPISODES).glob("*.npz")), whole=True)
        files = sorted((path / EPISODES).glob("*.npz")) or sorted(path.glob("*.npz"))
        if not files:
            raise UsageError(f"no episodes in {path}", expected="*.npz in it or in its episodes/")
        return [trajectory for file in files for trajectory in load_trajectories(file)]
    try:
        if not zipfile.is_zipfile(path):  # what NumPy says of it would be advice to load it unsafely
            raise zipfile.BadZipFile("no such file" if not path.exists() else "it is no .npz")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        plain = _described(arrays)
        return [_trajectory(arrays, index, values) for index, values in enumerate(plain)]
    except (
        UsageError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        RecursionError,
        NotImplementedError,
        MemoryError,
        OverflowError,
        SyntaxError,
        struct.error,
        tokenize.TokenError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:  # fmt: skip  what NumPy and zipfile raise at damaged archives
        raise UsageError(
            f"cannot read episodes from {path}: {error}",
            expected="an .npz that inscape wrote, or a run folder",
            hint="inscape evaluate RUN --save-episodes FILE.npz records some",
        ) from error


def _episode_code(plain: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for values in plain for name in trust.task_code_names(values["task"] or {})))


def _described(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Returns what a file of episodes says beside its arrays. If this user signed it, the code it names may run."""
    said = arrays["json"].tobytes()
    plain: list[dict[str, Any]] = json.loads(said)
    code, signature = (arrays[key].tobytes() if key in arrays else b"" for key in ("code", "signature"))
    for values in plain:
        if not isinstance(values["task"], dict | None) or not isinstance(values["agent"], str):
            raise TypeError("its task is no JSON object, or its agent no text")
    signed = trust.is_signed("episodes", said + b"\n" + code, signature.decode("ascii", "replace"))
    if code and (signed or trust.is_trusting()):
        record = json.loads(code)
        find_again(record)
        plain = [{**values, "task": trust.located(values["task"], record)} for values in plain]
    if signed:
        trust.allow(_episode_code(plain))
    return plain


def _trajectory(arrays: dict[str, np.ndarray], index: int, values: dict[str, Any]) -> Trajectory:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.law.states import States

    states = None
    if f"{index}/states.floats" in arrays:
        states = States(arrays[f"{index}/states.floats"], arrays[f"{index}/states.ints"])
    trajectory = Trajectory(
        observations=arrays[f"{index}/observations"],
        actions=arrays[f"{index}/actions"],
        rewards=arrays[f"{index}/rewards"],
        action_masks=arrays.get(f"{index}/action_masks"),
        states=states,
        **{name: values[name] for name in _PLAIN},
    )
    trajectory.require_whole()
    return trajectory
