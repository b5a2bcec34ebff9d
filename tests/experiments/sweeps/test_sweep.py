"""Sweeps: search spaces, trials each once whatever dies, the best confirmed and kept as the user's preset."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from inscape.agents import default_settings, make_agent
from inscape.agents.presets import Preset, own_preset, own_preset_path, presets_in_use, save_own_preset
from inscape.agents.registry import settings_class
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError
from inscape.experiments import Callback, sweep, train
from inscape.experiments.cli import main
from inscape.experiments.sweeps import worker
from inscape.experiments.sweeps.space import SHIPPED, TABULAR, require_space, shipped_space
from inscape.experiments.sweeps.study import JOURNAL, SweepStudy, worker_lock

SMALL: dict[str, Any] = {"steps": 1000, "verbose": False, "search": {"gamma": [0.9, 0.99], "epsilon_end": [0.05, 0.1]}}


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


WITH_SPACES = [*TABULAR, *(name for name in tomllib.loads(SHIPPED.read_text()) if name != "tabular")]


def test_agent_without_a_search_space_is_named_with_what_to_do() -> None:
    with pytest.raises(UsageError, match="--search"):
        sweep("self-play", "TicTacToe", trials=1, verbose=False)


@pytest.mark.parametrize("agent", WITH_SPACES)
def test_shipped_spaces_fit_the_settings_and_hold_the_defaults(agent: str) -> None:
    space = shipped_space(agent)
    cls = settings_class(agent)
    assert cls is not None
    require_space(space, agent, cls, cls())
    if agent != "sac" and not agent.startswith("sb3:"):  # whose defaults are None, or larger than what is tried
        missing = [name for name, one in space.items() if one.parameter(getattr(cls(), name)) is None]
        assert not missing


def test_sweep_finds_the_better_of_two_settings_and_goes_on(own_folder: Path) -> None:
    # a step size of 1e-9 learns nothing
    given: dict[str, Any] = {"steps": 6000, "verbose": False, "search": {"learning_rate": [1e-9, 1.0]}}
    found = sweep("q-learning", "FrozenLake-firm", trials=3, confirm=1, out="found", **given)
    assert found.default.score is not None and found.best.score is not None
    assert found.best.score >= found.default.score
    assert all(one.score is not None and one.score <= found.best.score for one in found.candidates)
    trials = SweepStudy(own_folder / "found").study.get_trials()
    again = sweep("q-learning", "FrozenLake-firm", trials=3, confirm=1, out="found", **given)
    assert again.complete + again.pruned == 3
    assert SweepStudy(own_folder / "found").study.get_trials() == trials
    assert [one.scores for one in again.candidates] == [one.scores for one in found.candidates]


def test_trial_of_a_dead_worker_is_begun_again_with_its_settings(tmp_path: Path) -> None:
    study = SweepStudy(tmp_path, limit=2)
    with worker_lock(tmp_path) as alive:
        own = study.begin(alive, {"x": 0.25})
        assert own.suggest_float("x", 0, 1) == 0.25
        lost = study.begin("dead", None)
        value = lost.suggest_float("x", 0, 1)
        again = study.begin(alive, None)  # two are asked for, and one of those under way is dead
        assert again.suggest_float("x", 0, 1) == value
        assert study.begin(alive, None) is None
    study.study.tell(own, 1.0)
    assert [t.params["x"] for t in study.complete()] == [0.25]


def test_journal_with_a_torn_line_goes_on(tmp_path: Path) -> None:
    study = SweepStudy(tmp_path, limit=3)
    with worker_lock(tmp_path) as name:
        study.study.tell(study.begin(name, None), 1.0)
    with open(tmp_path / JOURNAL, "ab") as file:
        file.write(b'{"op_code": 4, "worker')
    study = SweepStudy(tmp_path, limit=3)
    with worker_lock(tmp_path) as name:
        study.study.tell(study.begin(name, None), 2.0)
    assert [t.value for t in SweepStudy(tmp_path).complete()] == [2.0, 1.0]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("gamma = 0.9\nlerning_rate = [0.1]\n", "line 2", "learning_rate"),
        ("gamma = 0.9\n\nlearning_rate = {choices = []}", "line 3", "no values"),
        ("gamma = {low = 0.9}", "line 1", "no values"),
        ("gamma = {low = 0.9, high = 0.1}", "line 1", "low below high"),
        ("learning_rate = {low = 0, high = 0.1, log = true}", "line 1", "above 0"),
        ("gamma = [0.9, 7.0]", "line 1", "gamma"),
        ("gamma = {lo = 0.9, high = 1}", "line 1", "low"),
        ("", "", "without settings"),
        ("gamma = ", "", "TOML"),
    ],
)
def test_bad_search_spaces_are_named_with_their_line(tmp_path: Path, text: str, line: str, said: str) -> None:
    file = tmp_path / "space.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        sweep("q-learning", "FrozenLake", trials=1, search=file, verbose=False)
    assert line in str(error.value) and said in str(error.value)


@pytest.mark.parametrize(
    "given",
    [
        {"jobs": 0},
        {"trials": 0},
        {"minutes": 0},
        {"minutes": float("nan")},
        {"pruner": "best"},
        {"seeds": 0},
        {"steps": 0},
    ],
)
def test_numbers_out_of_range_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        sweep("q-learning", "FrozenLake", **{**SMALL, **given})


def test_time_too_short_for_one_trial_says_the_least() -> None:
    with pytest.raises(UsageError, match=r"too little for one trial.*\n.*at least .* minutes"):
        sweep("q-learning", "FrozenLake", minutes=0.0001, steps=10_000_000, verbose=False)


def test_folder_of_another_sweep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(UsageError, match="something else"):
        sweep("q-learning", "FrozenLake", trials=1, out=tmp_path / "other", **SMALL)
    sweep("q-learning", "FrozenLake", trials=1, confirm=0, out=tmp_path / "own", **SMALL)
    with pytest.raises(UsageError, match=r"another sweep: world\.name"):
        sweep("q-learning", "FourGoals", trials=1, out=tmp_path / "own", **SMALL)
    what = tmp_path / "own" / "sweep.json"
    what.write_text(json.dumps({**json.loads(what.read_text()), "format": 99}))
    with pytest.raises(UsageError, match="another version"):
        sweep("q-learning", "FrozenLake", trials=1, out=tmp_path / "own", **SMALL)


def test_failing_settings_cost_no_other_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: Any, settings: Any, **others: Any) -> Any:
        if settings["gamma"] == 0.9:
            raise RuntimeError("diverged")
        return train(*arguments, settings=settings, **others)

    monkeypatch.setattr(worker, "train", failing)
    given: dict[str, Any] = {"steps": 500, "verbose": False, "seed": 1, "search": {"gamma": [0.9, 0.99]}}
    found = sweep("q-learning", "FrozenLake", trials=8, confirm=0, **given)
    assert found.complete + found.pruned + found.failed == 8 and found.complete >= 1 and found.failed >= 1
    assert found.errors == ("RuntimeError: diverged",)
    with pytest.raises(UsageError, match="all 2 trials failed"):
        sweep("q-learning", "FrozenLake", trials=2, steps=500, search={"gamma": [0.9]}, verbose=False)


def test_own_preset_is_taken_only_signed_and_of_the_right_types(own_folder: Path) -> None:
    task = as_task("FrozenLake")
    path = save_own_preset("q-learning", task, Preset(1234, {"gamma": 0.5}))
    settings, preset = default_settings("q-learning", task)
    assert settings.gamma == 0.5 and preset is not None and preset.steps == 1234
    assert make_agent("q-learning", task).settings.gamma == 0.5
    assert own_preset("q-learning", as_task("FourGoals")) is None
    with presets_in_use("none"):
        assert default_settings("q-learning", task)[0].gamma == 0.99
    document = json.loads(path.read_text())
    document["preset"]["settings"]["gamma"] = 0.1
    path.write_text(json.dumps(document))
    assert own_preset("q-learning", task) is None and default_settings("q-learning", task)[0].gamma == 0.99
    for damage in (b"", b"[]", b"{", b'{"preset": 3}'):
        path.write_bytes(damage)
        assert own_preset("q-learning", task) is None
    save_own_preset("q-learning", task, Preset(1234, {"gamma": 7.0}))  # signed, and no value that the agent takes
    assert default_settings("q-learning", task)[0].gamma == 0.99
    assert own_preset_path("q-learning", task) == path


def test_command_saves_a_preset_and_train_says_it_uses_it(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("space.toml").write_text("learning_rate_power = [0.0]\nlearning_rate = {low = 0.2, high = 0.6}\n")
    line = "sweep q-learning FrozenLake-firm --trials 2 --steps 4000 --confirm 0 --search space.toml"
    assert main(line.split()) == 0
    said = capsys.readouterr().out
    assert "trials complete" in said
    task = as_task("FrozenLake-firm")
    save_own_preset("q-learning", task, Preset(2000, {"gamma": 0.97}))
    assert main(["train", "q-learning", "FrozenLake-firm", "--evaluate-every", "0", "--final-episodes", "0"]) == 0
    assert "your own preset" in capsys.readouterr().out
    assert (
        main(["train", "q-learning", "FrozenLake-firm", "--no-preset", "--steps", "900", "--final-episodes", "0"]) == 0
    )
    assert "preset" not in capsys.readouterr().out
    assert main(["sweep", "q-learning", "FrozenLake", "--jobs", "0"]) == 2


class Noting(Callback):
    def __init__(self, until: int) -> None:
        self.calls: list[str] = []
        self.until = until

    def on_start(self, training: Any) -> None:
        self.calls.append(f"start {training.steps}")

    def on_step(self, training: Any, metrics: Any) -> None:
        if training.steps >= self.until:
            training.stop("enough")

    def on_evaluation(self, training: Any, metrics: Any) -> None:
        self.calls.append(f"evaluation {metrics['steps']}")

    def on_end(self, training: Any) -> None:
        self.calls.append(f"end {training.steps}")


def test_callbacks_see_training_and_may_stop_it() -> None:
    noting = Noting(until=4000)
    run = train("q-learning", "FrozenLake", 20_000, evaluate_every=2000, verbose=False, on=[noting])
    assert noting.calls == ["start 0", "evaluation 0", "evaluation 2000", "evaluation 4000", "end 4000"]
    assert run.metrics()[-1]["steps"] == 4000
    for wrong in (noting, [3], [Noting]):
        with pytest.raises(UsageError, match="callback"):
            train("q-learning", "FrozenLake", 2000, verbose=False, on=wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_killed_sweeps_lose_no_trial_and_repeat_none(own_folder: Path) -> None:
    line = [
        sys.executable,
        "-m",
        "inscape",
        "sweep",
        "q-learning",
        "FrozenLake8x8",
        "--trials",
        "12",
        "--steps",
        "20000",
    ]
    line += ["--jobs", "2", "--confirm", "1", "--out", "killed", "--pruner", "none"]
    for wait in (5, 7, 9, 6):
        running = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(wait)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        time.sleep(1.0)
    assert subprocess.run(line, capture_output=True).returncode == 0
    study = SweepStudy(own_folder / "killed", limit=12)
    assert len(study.finished()) == 12 and not study.running()
    again = [t.user_attrs["again"] for t in study.finished() if "again" in t.user_attrs]
    assert len(set(again)) == len(again)  # what was lost was begun again once
    values = [json.dumps(t.params, sort_keys=True) for t in study.finished()]
    assert len(set(values)) == 12
