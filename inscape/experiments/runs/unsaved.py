"""A run without a folder: what training in a notebook returns, unless it is given one. `save` makes one of it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inscape.errors import UsageError
from inscape.experiments.runs.folders import create_run
from inscape.experiments.runs.loading import require_saving
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.settings import RunSettings
from inscape.experiments.runs.statistics import Interval
from inscape.experiments.runs.storage.best import BestEvaluation
from inscape.experiments.runs.storage.metrics import Column, MetricColumns, as_number, plain_value

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory


class UnsavedRun(Run):
    """A run in memory: settings, metrics, evaluation and episodes as a run folder has them; the agent is its own state.

    `path` raises `UsageError`; `folder` is None.
    """

    def __init__(self, settings: RunSettings) -> None:
        super().__init__(None, settings)
        self._rows: list[dict[str, Any]] = []
        self._evaluation: dict[str, Any] | None = None
        self._episodes: dict[str, list[Trajectory]] = {}
        self._finished = False
        self._steps = 0
        self._stopped: str | None = None
        self._best: tuple[dict[str, Any], dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        """World, agent and seed: it has no folder whose name it could have."""
        return self._usual_name()

    @property
    def signed(self) -> bool:
        """True: nobody else made it."""
        return True

    @property
    def finished(self) -> bool:
        """Whether training came to its end."""
        return self._finished

    @property
    def stopped(self) -> str | None:
        """Why training ended before its steps were taken; None where it did not."""
        return self._stopped

    @property
    def steps_taken(self) -> int:
        """Environment steps that its agent has learned."""
        return self._steps

    def require_trust(self) -> None:
        """Does nothing: agent and world are there already."""

    def trusted_settings(self) -> dict[str, Any]:
        return dict(self.settings.agent_settings)

    def save(self, folder: str | Path) -> Run:
        """Writes the run as a folder, its agent as the last checkpoint, and returns the run in it.

        Raises:
            UsageError: the folder is not new or empty; or the agent has no `state_dict`.
        """
        require_saving(self.agent, self.settings.agent)
        run = create_run(self.settings, folder)
        for row in self._rows:
            run.log(row)
        more = {} if self._stopped is None else {"stopped": self._stopped}
        state = self.agent.state_dict()  # type: ignore[attr-defined]
        run.save_checkpoint(state, self._steps, finished=self._finished, more=more)
        if self._best is not None:
            run.save_best(self._best[0], *_best_evaluation(self._best[1]))
        if self._evaluation is not None:
            run.write_evaluation(self._evaluation)
        for name, trajectories in self._episodes.items():
            run.save_episodes(name, trajectories)
        run.close()
        run.hold(self.agent, self.task)
        run.trained_steps = self.trained_steps
        return run

    def log(self, metrics: dict[str, float]) -> None:
        self._rows.append({key: plain_value(value) for key, value in metrics.items()})
        if self._tracking is not None:
            self._tracking.log(self._rows[-1])

    def metrics(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._rows]

    def metric_columns(self, keys: Iterable[str]) -> MetricColumns:
        columns = {}
        for key in keys:
            numbers = [
                (row, number)
                for row, known in enumerate(self._rows)
                if (number := as_number(known.get(key))) is not None
            ]
            rows = np.array([row for row, _ in numbers], np.int64)
            columns[key] = Column(rows, np.array([number for _, number in numbers], np.float64))
        return MetricColumns(len(self._rows), columns)

    def latest(self, keys: Iterable[str]) -> dict[str, float]:
        columns = self.metric_columns(keys).columns
        return {key: float(column.values[-1]) for key, column in columns.items() if len(column.values)}

    def evaluation(self) -> tuple[Interval, int] | None:
        if self._evaluation is None:
            return None
        known = self._evaluation
        return Interval(known["mean"], known["low"], known["high"]), int(known.get("episodes", 0))

    def write_evaluation(self, document: Mapping[str, Any]) -> None:
        """Keeps the evaluation after training."""
        self._evaluation = dict(document)

    def close(self) -> None:
        """Ends the trackers: nothing else is open."""
        self._end_tracking()

    def discard(self) -> None:
        """Forgets what was logged."""
        self._end_tracking()
        self._rows.clear()

    def save_checkpoint(
        self,
        state: dict[str, Any],
        steps: int,
        *,
        finished: bool = False,
        keep: int = 3,
        more: Mapping[str, Any] | None = None,
    ) -> Path:
        raise UsageError("a checkpoint of a run that has no folder", expected="run.save(FOLDER) first")

    def load_latest(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        if self.is_best:
            return self._best
        state = self.agent.state_dict()  # type: ignore[attr-defined]
        return state, {"steps": self._steps, "finished": self._finished, "stopped": self._stopped}

    def reached(self, steps: int, finished: bool, stopped: str | None = None) -> None:
        """Notes how far the agent has come, and why it was stopped there."""
        self._steps, self._finished, self._stopped = steps, finished, stopped

    def save_best(self, state: dict[str, Any], steps: int, return_mean: float) -> None:
        """Keeps a copy of a state as that of the best evaluation so far."""
        self._best = copy.deepcopy(state), {"steps": steps, "finished": False, "return_mean": float(return_mean)}

    def best_evaluation(self) -> BestEvaluation | None:
        return None if self._best is None else _best_evaluation(self._best[1])

    def save_episodes(self, name: str, trajectories: Sequence[Trajectory]) -> Path:
        """Keeps trajectories under a name; there is no file whose path could be returned."""
        self._episodes[name] = list(trajectories)
        return Path(name)

    def episodes(self, name: str | None = None) -> list[Trajectory]:
        names = sorted(self._episodes) if name is None else [name]
        return [trajectory for one in names for trajectory in self._episodes[one]]

    def code_changes(self, now: Mapping[str, Mapping[str, str]]) -> list[str]:
        return []

    def accept_code(self, code: dict[str, dict[str, str]]) -> None:
        self.settings = replace(self.settings, code=code)

    def truncate_metrics(self, steps: int) -> None:
        self._rows = [row for row in self._rows if (as_number(row.get("steps")) or 0) <= steps]


def _best_evaluation(metadata: Mapping[str, Any]) -> BestEvaluation:
    return BestEvaluation(metadata["steps"], metadata["return_mean"])
