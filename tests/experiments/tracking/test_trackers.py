"""Trackers get what the run logs. wandb (offline) and mlflow (a folder) are the real packages where they are installed;
stand-ins for all three, which note what is called, run everywhere."""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest

from inscape import resolve_task
from inscape.errors import UsageError
from inscape.experiments import Run, open_run, train
from inscape.experiments.cli import main
from inscape.experiments.tracking import trackers


class Calls:
    """A package that notes what is called in it."""

    def __init__(self, fail: str = "") -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.config: dict[str, Any] = {}
        self.ended, self.fail = 0, fail

    # wandb and trackio
    def init(self, project: str, name: str, config: dict[str, Any], **_: Any) -> Calls:
        if self.fail == "init":
            raise ConnectionError("no such host")
        self.config = config
        return self

    def log(self, values: dict[str, float], step: int) -> None:
        if self.fail == "log" and len(self.rows) == 2:
            raise ConnectionError("the network is gone")
        self.rows.append((step, values))

    def finish(self) -> None:
        self.ended += 1

    # mlflow
    entities = types.SimpleNamespace(Metric=lambda *a: ("metric", *a), Param=lambda *a: ("param", *a))

    def MlflowClient(self) -> Calls:
        return self

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return "1"

    def create_run(self, experiment: str, run_name: str) -> Any:
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r"))

    def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
        self.config |= {key: value for _, key, value in params}
        if metrics:
            self.rows.append((metrics[0][4], {key: value for _, key, value, _, _ in metrics}))

    def set_terminated(self, run: str) -> None:
        self.ended += 1


def tracked(name: str, calls: Calls, patch: pytest.MonkeyPatch, out: Path | None) -> Run:
    patch.setitem(sys.modules, name, calls)
    return train("q-learning", resolve_task("FrozenLake"), 500, out=out, progress=False, track=name, report_every=100)


@pytest.mark.parametrize("name", trackers.TRACKERS)
@pytest.mark.parametrize("saved", [True, False])
def test_a_tracker_gets_what_is_logged(name: str, saved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls()
    run = tracked(name, calls, monkeypatch, tmp_path / "run" if saved else None)
    logged = [(int(row.pop("steps")), row) for row in run.metrics()]
    assert len(logged) > 5 and calls.rows == logged and calls.ended == 1
    assert calls.config["agent"] == "q-learning" and str(calls.config["seed"]) == "0"


def test_a_tracker_that_fails_is_dropped_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = tracked("wandb", Calls("log"), monkeypatch, tmp_path / "run")
    assert run.finished and "Tracker wandb is dropped: ConnectionError: the network is gone" in caplog.text
    assert caplog.text.count("dropped") == 1


def test_trackers_that_cannot_begin_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"train q-learning FrozenLake --steps 100 --out {tmp_path / 'run'} --track"
    assert main([*line.split(), "wndb"]) == 2
    assert "did you mean 'wandb'" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "wandb", None)
        assert main([*line.split(), "wandb"]) == 2
    assert 'pip install "wandb"' in capsys.readouterr().err
    with pytest.raises(UsageError, match="wandb does not begin: ConnectionError: no such host"):
        tracked("wandb", Calls("init"), monkeypatch, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_mlflow_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = train("q-learning", "FrozenLake", 500, out=tmp_path / "run", progress=False, track="mlflow", report_every=100)
    client = mlflow.MlflowClient((tmp_path / "store").as_uri())
    [found] = client.search_runs([client.get_experiment_by_name("inscape").experiment_id])
    assert found.data.params["agent"] == "q-learning" and found.info.status == "FINISHED"
    history = client.get_metric_history(found.info.run_id, "evaluation/return_mean")
    logged = [(row["steps"], row["evaluation/return_mean"]) for row in run.metrics() if "evaluation/return_mean" in row]
    assert [(point.step, point.value) for point in history] == logged


@pytest.mark.slow
def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    train("q-learning", "FrozenLake", 500, out=tmp_path / "run", progress=False, track="wandb", report_every=100)
    [stored] = (tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb")
    late = time.monotonic() + 20.0  # wandb's own process writes the file
    while b"evaluation/return_mean" not in stored.read_bytes() and time.monotonic() < late:
        time.sleep(0.1)
    assert b"evaluation/return_mean" in stored.read_bytes()
    assert open_run(tmp_path / "run").finished
