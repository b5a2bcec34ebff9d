"""Adapters of experiment trackers, by name; each is imported only when it is asked for, and configured as it always is
(WANDB_MODE, MLFLOW_TRACKING_URI, …)."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from inscape.errors import UsageError, closest

PROJECT = "inscape"


class Tracker(Protocol):
    """What an adapter does."""

    def log(self, steps: int, values: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class _Wandb:
    def __init__(self, wandb: Any, name: str, folder: str | None, config: dict[str, Any]) -> None:
        self._run = wandb.init(project=PROJECT, name=name, dir=folder, config=config, reinit="create_new")

    def log(self, steps: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=steps)

    def close(self) -> None:
        self._run.finish()


class _Mlflow:
    def __init__(self, mlflow: Any, name: str, folder: str | None, config: dict[str, Any]) -> None:
        self._client, self._metric = mlflow.MlflowClient(), mlflow.entities.Metric
        known = self._client.get_experiment_by_name(PROJECT)
        experiment = self._client.create_experiment(PROJECT) if known is None else known.experiment_id
        self._run = self._client.create_run(experiment, run_name=name).info.run_id
        params = [mlflow.entities.Param(key, str(value)[:500]) for key, value in config.items()]
        self._client.log_batch(self._run, params=params)

    def log(self, steps: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [self._metric(key, float(value), now, steps) for key, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self) -> None:
        self._client.set_terminated(self._run)


class _Trackio:
    def __init__(self, trackio: Any, name: str, folder: str | None, config: dict[str, Any]) -> None:
        self._trackio = trackio
        trackio.init(project=PROJECT, name=name, config=config)

    def log(self, steps: int, values: Mapping[str, float]) -> None:
        self._trackio.log(dict(values), step=steps)

    def close(self) -> None:
        self._trackio.finish()


TRACKERS: dict[str, Callable[[Any, str, str | None, dict[str, Any]], Tracker]] = {
    "wandb": _Wandb, "mlflow": _Mlflow, "trackio": _Trackio,
}  # fmt: skip


def require_trackers(names: str | Sequence[str] | None) -> dict[str, Any]:
    """Returns name → module of the trackers that are named, a text with commas between them or a sequence.

    Raises:
        UsageError: there is no such tracker, or it is not installed.
    """
    given = names.split(",") if isinstance(names, str) else (names or ())
    found = {}
    for name in (one.strip() for one in given):
        if name not in TRACKERS:
            raise UsageError(f"tracker {name!r}", expected=", ".join(TRACKERS), hint=closest(name, TRACKERS))
        try:
            found[name] = importlib.import_module(name)
        except ImportError as error:
            raise UsageError(
                f"tracker {name} cannot be imported: {error}", expected="it installed",
                hint=f'pip install "{"mlflow-skinny" if name == "mlflow" else name}"',
            ) from error  # fmt: skip
    return found


class Tracking:
    """The trackers of a run. One that fails is dropped with a warning: training goes on, the run's own files hold all.

    Args:
        modules: of `require_trackers`.
        run: the `Run` that is tracked.

    Raises:
        UsageError: a tracker refuses to begin.
    """

    def __init__(self, modules: Mapping[str, Any], run: Any) -> None:
        s, folder = run.settings, None if run.folder is None else str(run.folder)
        config = {"agent": s.agent, "world": str(s.task.get("name")), "seed": s.seed, "steps": s.steps}
        config |= {f"agent.{key}": value for key, value in s.agent_settings.items()}
        self._trackers: dict[str, Tracker] = {}
        for name, module in modules.items():
            try:
                self._trackers[name] = TRACKERS[name](module, run.name, folder, config)
            except Exception as error:  # whatever a tracker raises that cannot begin
                self.close()
                raise UsageError(
                    f"tracker {name} does not begin: {type(error).__name__}: {str(error)[:300]}",
                    expected="a tracker that is configured", hint="leave out --track, or see its documentation",
                ) from error  # fmt: skip

    def log(self, row: Mapping[str, Any]) -> None:
        """Sends a row of metrics."""
        values = {k: v for k, v in row.items() if k != "steps" and isinstance(v, int | float)}
        self._each(lambda tracker: tracker.log(int(row.get("steps", 0)), values))

    def close(self) -> None:
        """Ends what was begun."""
        self._each(lambda tracker: tracker.close())
        self._trackers.clear()

    def _each(self, do: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                do(tracker)
            except Exception as error:  # whatever a tracker raises: a network that is gone ends no training
                del self._trackers[name]
                logging.getLogger("inscape").warning("Tracker %s is dropped: %s: %s", name, type(error).__name__, error)
