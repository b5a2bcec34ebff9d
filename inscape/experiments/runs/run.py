"""A run is a folder: its settings, metrics, TensorBoard events, checkpoints and recorded episodes.

runs/<name>/settings.json             everything needed to run it again
runs/<name>/manifest.json             hashes of these files and the maker's signature, see `…runs.storage.manifest`
runs/<name>/code/                     copies of the files that the agent and the task came from
runs/<name>/metrics.jsonl             one JSON object per line, "steps" always among its keys
runs/<name>/metrics.sums              checksums of its rows since the last checkpoint, see `…runs.storage.row_sums`
runs/<name>/restarts.jsonl            copies of environments in worker processes that were made again, and why
runs/<name>/lock.json                 which process trains it, while one does, see `…runs.storage.lock`
runs/<name>/events.out.tfevents.*     the same for TensorBoard
runs/<name>/checkpoints/step-<n>/     see `inscape.experiments.runs.storage.checkpoints`
runs/<name>/best/step-<n>/            the model of the best evaluation, where it is kept, see `…runs.storage.best`
runs/<name>/videos/step-<n>.mp4       episodes while it learned, where they are recorded
runs/<name>/episodes/<name>.npz       trajectories: arrays without pickle, the rest as JSON inside
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inscape import trust
from inscape.errors import UsageError
from inscape.experiments.runs.html import run_html
from inscape.experiments.runs.loading import agent_of, load_state
from inscape.experiments.runs.settings import SETTINGS, RunSettings, run_name
from inscape.experiments.runs.statistics import Interval
from inscape.experiments.runs.storage import checkpoints
from inscape.experiments.runs.storage.best import BestEvaluation, load_best, remove_best, save_best
from inscape.experiments.runs.storage.code import CODE, copy_code, edits
from inscape.experiments.runs.storage.episodes import EPISODES, load_covered, save_trajectories
from inscape.experiments.runs.storage.events import EventsFile
from inscape.experiments.runs.storage.files import replacing, write_text, writing
from inscape.experiments.runs.storage.lock import RunLock
from inscape.experiments.runs.storage.manifest import MANIFEST, Entry, HashedPrefix, Manifest
from inscape.experiments.runs.storage.metrics import (
    METRICS,
    MetricColumns,
    as_number,
    check_prefix,
    last_values,
    plain_value,
    read_columns,
    read_rows,
)
from inscape.experiments.runs.storage.row_sums import SUMS, append_sum, begin_sums, check_sums

if TYPE_CHECKING:
    from inscape.agents.interface import Agent
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task
    from inscape.experiments.tracking.trackers import Tracking

EVALUATION, RESTARTS = "evaluation.json", "restarts.jsonl"


CHECKED_BYTES = 1 << 20
"""Metrics up to this size are checked whole where only their end is shown."""


class Run:
    """A trained agent and how it was trained: a run folder, or one in memory (`UnsavedRun`).

    `train` and `open_run` return one. In a notebook it shows itself: agent, world, learning curve, folder.

    Attributes:
        folder: the folder; None of a run in memory.
        settings: its `RunSettings`.
        is_best: whether its agent is that of the best evaluation (`best`), not the newest.
        trained_steps: steps the call to `train` that returned this run took; 0 when the run had come to its end before.
    """

    def __init__(self, path: Path | None, settings: RunSettings) -> None:
        self.folder, self.settings = path, settings
        self.trained_steps = 0
        self._lock: RunLock | None = None
        self._made: list[Path] = []
        self._events: EventsFile | None = None
        self._hashed = HashedPrefix(Path() if path is None else path / METRICS)
        self.is_best = False  # whether `agent` is that of the best evaluation
        self._held: tuple[Agent, Task] | None = None
        self._tracking: Tracking | None = None

    def __repr__(self) -> str:
        place = "in memory" if self.folder is None else repr(str(self.folder))
        return f"Run({self.settings.agent} in {self.settings.task.get('name')}, {self.settings.steps:,} steps, {place})"

    def _repr_html_(self) -> str:
        return run_html(self)

    def __getstate__(self) -> dict[str, Any]:
        """Returns what a run is; a folder's agent is loaded, and its files are opened, again."""
        opened: dict[str, Any] = {"_events": None, "_hashed": None, "_made": [], "_tracking": None}
        return vars(self) | opened | ({} if self.folder is None else {"_held": None})

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._hashed = HashedPrefix(Path() if self.folder is None else self.folder / METRICS)

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
        row = {key: plain_value(value) for key, value in metrics.items()}
        line = f"{json.dumps(row)}\n".encode()
        with writing(self.path / METRICS), (self.path / METRICS).open("ab") as file:
            if not (self.path / SUMS).exists():
                begin_sums(self.path, file.tell())
            file.write(line)
        with writing(self.path / SUMS):
            append_sum(self.path, line)
        self._log_events(row)

    def log_restarts(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Appends what went wrong with copies of environments in worker processes: `copy`, `seed`, `step`, `message`.

        Raises:
            UsageError: the disk is full, or the folder cannot be written any more.
        """
        with writing(self.path / RESTARTS), (self.path / RESTARTS).open("a") as file:
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

    def latest(self, keys: Iterable[str]) -> dict[str, float]:
        """Returns the last number logged under each key.

        A file up to `CHECKED_BYTES` is read and checked whole; of a longer one the end alone is, unchecked
        (`last_values`).

        Raises:
            UsageError: a short file is damaged.
        """
        path, wanted = self.path / METRICS, tuple(keys)
        if not path.is_file() or path.stat().st_size > CHECKED_BYTES:
            return last_values(path, wanted)
        columns = self.metric_columns(wanted)
        return {key: float(columns[key].values[-1]) for key in wanted if len(columns[key].values)}

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
        self._hashed = HashedPrefix(self.path / METRICS)
        (self.path / SUMS).unlink(missing_ok=True)  # of rows that will be logged again
        with writing(self.path / METRICS), replacing(self.path / METRICS) as file:
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
        if self._tracking is not None:
            self._tracking.log(row)
        values = {tag: value for tag, value in row.items() if tag != "steps" and isinstance(value, int | float)}
        (self._events or self._open_events()).add(int(row.get("steps", 0)), values)

    def _open_events(self) -> EventsFile:
        self._events = EventsFile(self.path)
        return self._events

    def _flush(self) -> None:
        with writing(self.path / METRICS), (self.path / METRICS).open("a") as file:
            os.fsync(file.fileno())
        if self._events is not None:
            self._events.flush()

    def track(self, modules: Mapping[str, Any]) -> None:
        """Sends the rows that are logged from now on to trackers too, until `close` (`tracking.require_trackers`).

        Raises:
            UsageError: a tracker refuses to begin.
        """
        if modules:
            from inscape.experiments.tracking.trackers import Tracking

            self._tracking = Tracking(modules, self)

    def _end_tracking(self) -> None:
        tracking, self._tracking = self._tracking, None
        if tracking is not None:
            tracking.close()

    def close(self) -> None:
        """Writes what is left of the TensorBoard events, and ends the trackers."""
        self._end_tracking()
        events, self._events = self._events, None
        if events is not None:
            events.flush()

    def discard(self) -> None:
        """Removes what `create_run` made here, for a start that was refused; folders that hold anything else stay."""
        self._events = None
        self._end_tracking()
        self.release()
        for checkpoint in checkpoints.checkpoint_folders(self.path):
            checkpoints.remove_checkpoint(checkpoint)
        remove_best(self.path)
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

    def save_checkpoint(
        self,
        state: dict[str, Any],
        steps: int,
        *,
        finished: bool = False,
        keep: int = 3,
        more: Mapping[str, Any] | None = None,
    ) -> Path:
        """Saves the agent's state as `checkpoints/step-<steps>` and removes all but the newest `keep`.

        `more`: what else its metadata hold beside `steps` and `finished`.
        """
        folder = self.path / "checkpoints" / f"step-{steps}"
        if self._lock is not None:
            self._lock.require()
        self._flush()  # a checkpoint never knows of more than the metrics on the disk
        manifest = Manifest.read(self.path)
        if (entry := self._hashed.entry()) is not None:
            manifest.files[METRICS] = entry
            manifest.write()
            with writing(self.path / SUMS):
                begin_sums(self.path, entry.size)
        checkpoints.save_checkpoint(folder, state, {**(more or {}), "steps": steps, "finished": finished})
        for old in checkpoints.checkpoint_folders(self.path)[:-keep]:
            checkpoints.remove_checkpoint(old)
        checkpoints.remove_leftovers(self.path)
        return folder

    def load_latest(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Returns `(state, metadata)` of the newest checkpoint, or None if there is none yet; of `best`, the best's."""
        return load_best(self.path) if self.is_best else self._newest()

    def _newest(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        folder = checkpoints.latest_checkpoint(self.path)
        if folder is None:
            return None
        state, metadata = checkpoints.load_checkpoint(folder)
        checkpoints.require_metadata(folder, metadata)
        return state, metadata

    @property
    def finished(self) -> bool:
        """Whether the newest checkpoint is that of a run that came to its end. A damaged one raises `UsageError`."""
        latest = self._newest()
        return latest is not None and bool(latest[1]["finished"])

    @property
    def stopped(self) -> str | None:
        """Why training ended before its steps were taken: what `Training.stop` was given; None where it did not."""
        latest = self._newest()
        reason = None if latest is None else latest[1].get("stopped")
        return reason if reason is None else str(reason)

    @property
    def steps_taken(self) -> int:
        """Environment steps that its newest checkpoint is from; 0 where there is none."""
        latest = self._newest()
        return 0 if latest is None else int(latest[1]["steps"])

    def save_best(self, state: dict[str, Any], steps: int, return_mean: float) -> None:
        """Keeps a state as that of the best evaluation so far, in place of the one before."""
        if self._lock is not None:
            self._lock.require()
        save_best(self.path, state, steps, return_mean)

    def best_evaluation(self) -> BestEvaluation | None:
        """Returns which evaluation the best model is from: `steps`, `return_mean`; None where none is kept."""
        kept = load_best(self.path)
        return None if kept is None else BestEvaluation(kept[1]["steps"], kept[1]["return_mean"])

    @property
    def best(self) -> Run:
        """The run with the agent of its best evaluation in place of the newest; `open_run("RUN/best")` too.

        Raises:
            UsageError: none was kept: `train(…, keep_best=True)` does.
        """
        if self.best_evaluation() is None:
            raise UsageError(
                f"{self.name} keeps no best model", expected="a run that was trained with keep_best=True (--keep-best)",
                hint="leave out best (--best) for its newest",
            )  # fmt: skip
        other = copy.copy(self)
        other.is_best, other._lock, other._events, other._tracking = True, None, None, None
        if self._held is not None:  # its agent may have no name to be made again by
            agent = copy.deepcopy(self._held[0])
            latest = other.load_latest()
            assert latest is not None
            if self.folder is None:
                agent.load_state_dict(latest[0])  # type: ignore[attr-defined]
            else:
                load_state(self, agent, latest[0])
            other.hold(agent, self._held[1])
        return other

    # episodes --------------------------------------------------------------------------------------------------

    def save_episodes(self, name: str, trajectories: Sequence[Trajectory]) -> Path:
        """Stores trajectories as `episodes/<name>.npz`."""
        with Manifest.read(self.path).replacing(f"{EPISODES}/{name}.npz"):
            return save_trajectories(self.path / EPISODES / f"{name}.npz", trajectories)

    def episodes(self, name: str | None = None) -> list[Trajectory]:
        """Returns the trajectories stored under `name`, or all of them in order of name."""
        paths = sorted((self.path / EPISODES).glob("*.npz")) if name is None else [self.path / EPISODES / f"{name}.npz"]
        return load_covered(self.path, paths, whole=name is None)

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
                lines += [f"{entry['path']} ({name}):", *edits(self.path, entry)]
        return lines

    def accept_code(self, code: dict[str, dict[str, str]]) -> None:
        """Goes on with the files of agent and task as they are now."""
        copy_code(self.path, code, self._write_settings(replace(self.settings, code=code)))

    def take_options(self, during: dict[str, Any]) -> None:
        """Goes on with other things to be done while it learns (`RunSettings.during`)."""
        if during != self.settings.during:
            self._write_settings(replace(self.settings, during=during))

    def _write_settings(self, settings: RunSettings) -> Manifest:
        self.settings, manifest = settings, Manifest.read(self.path)
        with manifest.replacing(SETTINGS):
            write_text(self.path / SETTINGS, json.dumps(self.settings.to_json(), indent=2) + "\n")
        return manifest
