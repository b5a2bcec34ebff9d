"""A run is a folder: its settings, metrics, TensorBoard events, checkpoints and recorded episodes.

runs/<name>/settings.json             everything needed to run it again
runs/<name>/metrics.jsonl             one JSON object per line, "steps" always among its keys
runs/<name>/events.out.tfevents.*     the same for TensorBoard
runs/<name>/checkpoints/step-<n>/     see `inscape.experiments.runs.checkpoints`
runs/<name>/episodes/<name>.npz       trajectories: arrays without pickle, the rest as JSON inside
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
import time
import uuid
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import compress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError, closest
from inscape.experiments.runs import checkpoints
from inscape.experiments.runs.metrics import MetricColumns, as_number, read_columns, read_rows
from inscape.experiments.runs.statistics import Interval

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory

SETTINGS, METRICS, EPISODES, EVALUATION = "settings.json", "metrics.jsonl", "episodes", "evaluation.json"
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

    def to_json(self) -> dict[str, Any]:
        """Returns the settings as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> RunSettings:
        """Returns the settings stored by `to_json`, the agent's by their present names where some were renamed since.

        Raises:
            UsageError: a key is missing or unknown.
        """
        from inscape.agents.registry import current_agent_settings

        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(document) - known):
            raise UsageError(f"unknown run setting {unknown[0]!r}", expected=", ".join(sorted(known)))
        try:
            settings = cls(**document)
        except TypeError as error:
            raise UsageError(f"incomplete run settings: {error}", expected=", ".join(sorted(known))) from error
        return replace(settings, agent_settings=current_agent_settings(settings.agent, settings.agent_settings))

    def differences(self, other: RunSettings) -> list[str]:
        """Returns one line per setting that differs (`name: this -> other`), versions aside."""
        mine, others = _flat(self.to_json()), _flat(other.to_json())
        names = differing(self.to_json(), other.to_json())
        return [
            f"{name}: {_show(mine, name)} -> {_show(others, name)}"
            for name in names
            if not name.startswith("versions.")
        ]


def differing(mine: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Returns the names of the settings that differ, sorted, those inside others as `outer.inner`."""
    one, other = _flat(dict(mine)), _flat(dict(others))
    return [name for name in sorted(set(one) | set(other)) if not _equal(one.get(name, ...), other.get(name, ...))]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{name}.{key}" if name else key).items()}
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
    """One run folder. Made by `create_run`, found by `open_run`.

    Attributes:
        path: the folder.
        settings: its `RunSettings`.
        trained_steps: steps the call to `train` that returned this run took; 0 when the run had come to its end before.
    """

    def __init__(self, path: Path, settings: RunSettings) -> None:
        self.path, self.settings = path, settings
        self.trained_steps = 0
        self._made: list[Path] = []
        self._events: _Events | None = None

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    # metrics ---------------------------------------------------------------------------------------------------

    def log(self, metrics: dict[str, float]) -> None:
        """Appends one row of metrics, `"steps"` among them; it is on its way to the disk when this returns.

        Raises:
            UsageError: the disk is full, or the folder cannot be written any more.
        """
        row = {key: _plain(value) for key, value in metrics.items()}
        with _writing(self.path / METRICS), (self.path / METRICS).open("a") as file:
            file.write(json.dumps(row) + "\n")
        self._log_events(row)

    def metrics(self) -> list[dict[str, Any]]:
        """Returns the rows logged so far. A last row cut short by a kill is left out; any other is refused.

        Some kilobyte per row: for a long run's curves take `metric_columns`.
        """
        return [row for rows, _ in read_rows(self.path / METRICS) for row in rows]

    def metric_columns(self, keys: Iterable[str]) -> MetricColumns:
        """Returns the numbers logged so far under `keys`, one array per key, from one pass over the file."""
        return read_columns(self.path / METRICS, keys)

    def truncate_metrics(self, steps: int) -> None:
        """Forgets the rows after `steps`: what a resumed run will log again. Rows without steps stay from step 0 on."""
        for leftover in self.path.glob(".*.writing-*"):  # of a process killed while it wrote
            leftover.unlink(missing_ok=True)
        with _writing(self.path / METRICS), _replacing(self.path / METRICS) as file:
            for rows, block in read_rows(self.path / METRICS):
                taken = [(as_number(row.get("steps")) or 0) <= steps for row in rows]
                lines = compress(block.split(b"\n"), taken)  # a last line cut short has no row
                file.writelines(line + b"\n" for line in lines)
        self.close()
        self._open_events().restart(steps + 1)

    def evaluation(self) -> tuple[Interval, int] | None:
        """Returns the mean return after training with its interval, and the number of episodes; None before.

        Raises:
            UsageError: the file cannot be read, or something else is in it.
        """
        path = self.path / EVALUATION
        if not path.is_file():
            return None
        try:
            document = json.loads(path.read_text())
            returns = Interval(*(float(document[key]) for key in ("mean", "low", "high")))
            return returns, int(document.get("episodes", 0))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise UsageError(
                f"cannot read {path}: {error}", expected="the JSON that inscape wrote", hint="remove that file"
            ) from error

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
        for path in (self.path / SETTINGS, *self.path.glob("events.out.tfevents.*")):
            path.unlink(missing_ok=True)
        for folder in self._made:
            if any(folder.iterdir()):
                return
            folder.rmdir()

    # checkpoints -----------------------------------------------------------------------------------------------

    def save_checkpoint(self, state: dict[str, Any], steps: int, *, finished: bool = False, keep: int = 3) -> Path:
        """Saves the agent's state as `checkpoints/step-<steps>` and removes all but the newest `keep`."""
        folder = self.path / "checkpoints" / f"step-{steps}"
        self._flush()  # a checkpoint never knows of more than the metrics on the disk
        checkpoints.save_checkpoint(folder, state, {"steps": steps, "finished": finished})
        for old in checkpoints.checkpoint_folders(self.path)[:-keep]:
            checkpoints.remove_checkpoint(old)
        checkpoints.remove_leftovers(self.path)
        return folder

    def load_latest(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Returns `(state, metadata)` of the newest checkpoint, or None if there is none yet."""
        folder = checkpoints.latest_checkpoint(self.path)
        return None if folder is None else checkpoints.load_checkpoint(folder)

    @property
    def finished(self) -> bool:
        """Whether the newest checkpoint is that of a run that came to its end. A damaged one raises `UsageError`."""
        latest = self.load_latest()
        return latest is not None and bool(latest[1]["finished"])

    # episodes --------------------------------------------------------------------------------------------------

    def save_episodes(self, name: str, trajectories: Sequence[Trajectory]) -> Path:
        """Stores trajectories as `episodes/<name>.npz`."""
        return save_trajectories(self.path / EPISODES / f"{name}.npz", trajectories)

    def episodes(self, name: str | None = None) -> list[Trajectory]:
        """Returns the trajectories stored under `name`, or all of them in order of name."""
        paths = sorted((self.path / EPISODES).glob("*.npz")) if name is None else [self.path / EPISODES / f"{name}.npz"]
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


def create_run(settings: RunSettings, path: str | Path | None = None, root: str | Path = DEFAULT_ROOT) -> Run:
    """Makes a run folder and writes its settings.

    Args:
        settings: what the run does.
        path: the folder; None makes a fresh one under `root`, named after world, agent and seed.
        root: where fresh folders go.

    Raises:
        UsageError: the folder holds a run or other files already, or cannot be written.
    """
    folder = Path(path) if path is not None else _fresh_folder(Path(root), settings)
    if (folder / SETTINGS).exists():
        raise UsageError(
            f"{folder} already holds a run", expected="a new folder", hint="--resume to go on with it, or another --out"
        )
    run = Run(folder, settings)
    run._made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f".{SETTINGS}.writing-*"):  # of a process killed as it began
            leftover.unlink(missing_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty", expected="a new or empty folder", hint="another --out")
        write_text(folder / SETTINGS, json.dumps(settings.to_json(), indent=2) + "\n")
    except OSError as error:
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
        names = [folder.name for folder in run_folders(root)]
        hint = closest(str(path), names) if names else "inscape train AGENT WORLD makes one"
        raise UsageError(f"no run at {path}", expected=f"a folder with {SETTINGS}", hint=hint)
    try:
        document = json.loads((folder / SETTINGS).read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot read {folder / SETTINGS}: {error}", expected="the JSON that inscape wrote", hint="train again"
        ) from error
    if not isinstance(document, dict):
        raise UsageError(f"{folder / SETTINGS} holds a {type(document).__name__}", expected="a JSON object")
    return Run(folder, RunSettings.from_json(document))


def find_run(path: str | Path, root: str | Path = DEFAULT_ROOT) -> Path | None:
    """Returns the run folder that `path` means, a folder or a bare name under `root`, or None."""
    candidates = [Path(path)]
    if Path(path).name == str(path):
        candidates.append(Path(root) / path)
    return next((folder for folder in candidates if (folder / SETTINGS).is_file()), None)


def run_folders(root: str | Path = DEFAULT_ROOT) -> list[Path]:
    """Returns the run folders under `root` (two levels deep, as the demo groups its own), newest first."""
    found = [path.parent for pattern in (f"*/{SETTINGS}", f"*/*/{SETTINGS}") for path in Path(root).glob(pattern)]
    return sorted(found, key=lambda f: (-(f / SETTINGS).stat().st_mtime, f))


def run_name(settings: RunSettings) -> str:
    """Returns the name a fresh run gets: `<world>-<agent>-seed<seed>`, fit for a file name."""
    text = f"{settings.task.get('name', 'task')}-{settings.agent}-seed{settings.seed}"
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


def write_text(path: Path, text: str) -> None:
    """Writes a whole file in UTF-8 or none: beside its place, flushed, renamed."""
    with _replacing(path) as file:
        file.write(text.encode())


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yields a file that takes the place of `path` when all of it has been written and reached the disk."""
    temporary = path.with_name(f".{path.name}.writing-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    arrays["json"] = np.frombuffer(json.dumps(plain).encode(), dtype=np.uint8)
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
        files = sorted((path / EPISODES).glob("*.npz")) or sorted(path.glob("*.npz"))
        if not files:
            raise UsageError(f"no episodes in {path}", expected="*.npz in it or in its episodes/")
        return [trajectory for file in files for trajectory in load_trajectories(file)]
    try:
        if not zipfile.is_zipfile(path):  # what NumPy says of it would be advice to load it unsafely
            raise zipfile.BadZipFile("no such file" if not path.exists() else "it is no .npz")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        plain = json.loads(arrays["json"].tobytes())
        return [_trajectory(arrays, index, values) for index, values in enumerate(plain)]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"cannot read episodes from {path}: {error}",
            expected="an .npz that inscape wrote, or a run folder",
            hint="inscape evaluate RUN --save-episodes FILE.npz records some",
        ) from error


def _trajectory(arrays: dict[str, np.ndarray], index: int, values: dict[str, Any]) -> Trajectory:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.law.states import States

    states = None
    if f"{index}/states.floats" in arrays:
        states = States(arrays[f"{index}/states.floats"], arrays[f"{index}/states.ints"])
    return Trajectory(
        observations=arrays[f"{index}/observations"],
        actions=arrays[f"{index}/actions"],
        rewards=arrays[f"{index}/rewards"],
        action_masks=arrays.get(f"{index}/action_masks"),
        states=states,
        **{name: values[name] for name in _PLAIN},
    )
