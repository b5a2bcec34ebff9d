import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.loop import TrainingInterrupted
from inscape.experiments.runs.resuming import load_agent
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.storage.checkpoints import checkpoint_folders
from inscape.experiments.runs.training import train
from tests.experiments.runs.storage.test_checkpoints import assert_same

WALKER = '''
"""An agent that counts, drawing random numbers as it goes; at `INTERRUPT` steps it presses Ctrl-C."""
import os
import signal
from dataclasses import dataclass
import numpy as np

class Walker:
    @dataclass(frozen=True)
    class Settings:
        rate: float = 0.1
        report: int = 100

    def __init__(self, task, seed=0, settings=Settings()):
        self.settings, self.rng, self.steps, self.total = settings, np.random.default_rng(seed), 0, 0.0

    def act(self, observation):
        return self.rng.integers(0, 4, len(observation))

    def learn(self, task, steps):
        while self.steps < steps:
            self.steps += self.settings.report
            self.total += self.settings.rate * self.rng.normal()
            for _ in range(os.environ.get("INTERRUPT", "").split(",").count(str(self.steps))):
                signal.raise_signal(signal.SIGINT)
            yield {"steps": float(self.steps), "total": self.total}

    def state_dict(self):
        return {"rng": self.rng.bit_generator.state, "steps": self.steps, "total": self.total}

    def load_state_dict(self, state):
        self.rng.bit_generator.state = state["rng"]
        self.steps, self.total = state["steps"], state["total"]

class Refusing(Walker):
    def learn(self, task, steps):
        raise ValueError("not this task")
        yield

class Forgetful:
    def __init__(self, task):
        pass
    def act(self, observation):
        return np.zeros(len(observation), int)
    def learn(self, task, steps):
        yield {"steps": float(steps)}

class Still:
    def act(self, observation):
        return np.zeros(len(observation), int)
'''


@pytest.fixture
def walker(tmp_path: Path) -> str:
    (tmp_path / "walker.py").write_text(WALKER)
    return f"{tmp_path / 'walker.py'}:Walker"


def run_walker(walker: str, out: Path, **changes: Any) -> Run:
    options: dict[str, Any] = {"seed": 1, "out": out, "evaluate_every": 500, "evaluate_episodes": 2, "progress": False}
    options |= changes
    return train(walker, resolve_task("FrozenLake"), options.pop("steps", 2000), **options)


def rows(run: Run) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]


def final_state(run: Run) -> Any:
    latest = open_run(run.path).load_latest()
    assert latest is not None
    assert latest[1]["finished"]
    return latest[0]


def test_a_run_holds_metrics_evaluations_a_checkpoint_and_complete_settings(walker: str, tmp_path: Path) -> None:
    run = run_walker(walker, tmp_path / "r", settings={"rate": 0.5})
    logged = [row["steps"] for row in rows(run) if "total" in row]
    evaluated = [row["steps"] for row in rows(run) if "evaluation/return_mean" in row]
    assert logged == list(range(100, 2001, 100))
    assert evaluated == [500, 1000, 1500, 2000]
    stored = json.loads((run.path / "settings.json").read_text())
    assert stored["agent_settings"] == {"rate": 0.5, "report": 100}
    assert stored["task"] == {"name": "FrozenLake", "settings": {}}
    assert {"python", "numpy", "gymnasium"} <= set(stored["versions"])
    assert list(run.path.glob("events.out.tfevents.*"))
    assert run.trained_steps == 2000
    assert run.finished


def test_settings_are_enough_to_run_it_again(walker: str, tmp_path: Path) -> None:
    first = run_walker(walker, tmp_path / "a")
    stored = open_run(first.path).settings
    second = train(
        stored.agent,
        resolve_task(stored.task["name"], stored.task["settings"]),
        stored.steps,
        seed=stored.seed,
        device=stored.device,
        settings=stored.agent_settings,
        evaluate_every=stored.evaluate_every,
        evaluate_episodes=stored.evaluate_episodes,
        out=tmp_path / "b",
        progress=False,
    )
    assert second.settings.differences(first.settings) == []
    assert rows(first) == rows(second)
    assert_same(final_state(first), final_state(second))


@pytest.mark.parametrize("interrupts", ["700", "700,1300", "100", "2000"])
def test_ctrl_c_leaves_a_checkpoint_and_resuming_is_exact(
    walker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupts: str
) -> None:
    whole = run_walker(walker, tmp_path / "whole")
    for count, stop in enumerate(interrupts.split(",")):
        monkeypatch.setenv("INTERRUPT", stop)
        with pytest.raises(TrainingInterrupted, match=rf"(?s){int(stop):,} of 2,000 steps.*inscape train --resume "):
            run_walker(walker, tmp_path / "parts", resume=count > 0)
    monkeypatch.delenv("INTERRUPT")
    parts = run_walker(walker, tmp_path / "parts", resume=True)
    assert rows(parts) == rows(whole)
    assert_same(final_state(parts), final_state(whole))


def test_a_second_ctrl_c_stops_at_once_and_the_last_checkpoint_counts(
    walker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_walker(walker, tmp_path / "whole")
    monkeypatch.setenv("INTERRUPT", "700,700")
    with pytest.raises(TrainingInterrupted, match="stopped at once; .* 600 of 2,000"):
        run_walker(walker, tmp_path / "parts", checkpoint_steps=200)
    monkeypatch.delenv("INTERRUPT")
    parts = run_walker(walker, tmp_path / "parts", resume=True)
    assert rows(parts) == rows(whole)
    assert_same(final_state(parts), final_state(whole))


def test_interrupt_handling_ends_with_training(walker: str, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    run_walker(walker, tmp_path / "r")
    assert signal.getsignal(signal.SIGINT) is before


def test_numbers_that_cannot_be_are_refused_before_learning(walker: str, tmp_path: Path) -> None:
    for changes, message in (
        ({"evaluate_every": -1}, "evaluate_every = -1"),
        ({"evaluate_episodes": 0}, "evaluate_episodes = 0"),
        ({"checkpoint_steps": 0}, "checkpoint_steps = 0"),
        ({"checkpoint_seconds": float("nan")}, "checkpoint_seconds = nan"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**70}, "seed 1180"),
    ):
        with pytest.raises(UsageError, match=message):
            run_walker(walker, tmp_path / "r", **changes)
    assert not (tmp_path / "r").exists()


def test_changed_settings_are_refused_with_their_differences(walker: str, tmp_path: Path) -> None:
    run_walker(walker, tmp_path / "r")
    with pytest.raises(UsageError, match=r"(?s)agent_settings\.rate: 0\.1 -> 0\.3.*steps: 2000 -> 3000"):
        run_walker(walker, tmp_path / "r", resume=True, steps=3000, settings={"rate": 0.3})
    with pytest.raises(UsageError, match=r"task\.settings\.slip: \(not set\) -> 0\.5"):
        train(
            walker, resolve_task("FrozenLake", {"slip": 0.5}), 2000, seed=1, out=tmp_path / "r", resume=True,
            evaluate_every=500, evaluate_episodes=2, progress=False,
        )  # fmt: skip


def test_a_finished_run_is_left_as_it_is(walker: str, tmp_path: Path) -> None:
    run = run_walker(walker, tmp_path / "r")
    before = rows(run)
    again = run_walker(walker, tmp_path / "r", resume=True)
    assert again.trained_steps == 0
    assert rows(again) == before


def test_resume_without_a_name_takes_the_newest_run_of_that_name(walker: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to resume"):
        run_walker(walker, None, root=tmp_path / "runs", resume=True)  # type: ignore[arg-type]
    for _ in range(2):
        newest = run_walker(walker, None, root=tmp_path / "runs")  # type: ignore[arg-type]
    assert run_walker(walker, None, root=tmp_path / "runs", resume=True).path == newest.path  # type: ignore[arg-type]


def test_checkpoints_by_steps_keep_the_last_three(walker: str, tmp_path: Path) -> None:
    run = run_walker(walker, tmp_path / "r", checkpoint_steps=300)
    assert [int(p.name.split("-")[1]) for p in checkpoint_folders(run.path)] == [1500, 1800, 2000]


def test_a_damaged_checkpoint_stops_a_resume_and_an_older_one_works(
    walker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_walker(walker, tmp_path / "whole")
    monkeypatch.setenv("INTERRUPT", "1300")
    with pytest.raises(TrainingInterrupted):
        run_walker(walker, tmp_path / "r", checkpoint_steps=400)
    monkeypatch.delenv("INTERRUPT")
    newest = checkpoint_folders(tmp_path / "r")[-1]
    (newest / "state.json").write_bytes((newest / "state.json").read_bytes()[:-5])
    with pytest.raises(UsageError, match="older checkpoint"):
        run_walker(walker, tmp_path / "r", resume=True)
    for path in newest.iterdir():
        path.unlink()
    newest.rmdir()
    resumed = run_walker(walker, tmp_path / "r", resume=True)
    assert rows(resumed) == rows(whole)


def test_what_cannot_be_trained_or_resumed_says_so(walker: str, tmp_path: Path) -> None:
    still, forgetful = walker.replace("Walker", "Still"), walker.replace("Walker", "Forgetful")
    with pytest.raises(UsageError, match="does not learn"):
        run_walker(still, tmp_path / "still")
    with pytest.raises(UsageError, match="0 training steps"):
        run_walker(walker, tmp_path / "none", steps=0)
    with pytest.raises(UsageError, match="no state_dict and no load_state_dict: what it learns would be lost"):
        run_walker(forgetful, tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_a_start_that_is_refused_leaves_nothing(walker: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="32 rows for the 3 players") as refused:  # met where learning begins
        train("dqn", resolve_task("Spread"), 64, root=tmp_path / "runs", settings={"num_envs": 32}, progress=False)
    assert "kept" not in str(refused.value)
    assert not (tmp_path / "runs").exists()
    refusing = walker.replace("Walker", "Refusing")
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b"):
        with pytest.raises(ValueError, match="not this task"):
            run_walker(refusing, out)
    assert not list((tmp_path / "empty").iterdir())
    assert not (tmp_path / "a").exists()


def test_load_agent_acts_on_as_the_trained_one(tmp_path: Path) -> None:
    task = resolve_task("FrozenLake")
    run = train("q-learning", task, 20_000, out=tmp_path / "q", evaluate_every=0, progress=False)
    agent, again = load_agent(run)
    assert again.name == "FrozenLake"
    assert_same(final_state(run)["tables"], agent.state_dict()["tables"])  # type: ignore[attr-defined]
    other, _ = load_agent(run.path, seed=99)
    observations = np.arange(16)
    assert np.array_equal(agent.act(observations), other.act(observations))  # greedy: the seed plays no part


KILLED = """
import sys
from inscape.envs.tasks.resolve import resolve_task
from inscape.experiments.runs.training import train
train("q-learning", resolve_task("FrozenLake"), 600_000, seed=5, out=sys.argv[1], resume=sys.argv[2] == "resume",
      settings={"report_every": 5_000}, evaluate_every=250_000, progress=False, checkpoint_steps=20_000)
"""


def checkpoints_of(child: subprocess.Popen[bytes], run: Path) -> Iterator[int]:
    deadline = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < deadline:
        folders = checkpoint_folders(run)
        yield int(folders[-1].name.split("-")[1]) if folders else 0
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.compiled(all=False)
def test_a_run_killed_at_any_moment_resumes_to_the_weights_of_one_never_killed(tmp_path: Path) -> None:
    script = [sys.executable, "-c", KILLED]
    subprocess.run([*script, str(tmp_path / "whole"), "start"], check=True)
    how = "start"
    for stop in (60_000, 300_000):
        child = subprocess.Popen([*script, str(tmp_path / "killed"), how])
        for reached in checkpoints_of(child, tmp_path / "killed"):
            if reached >= stop:
                os.kill(child.pid, signal.SIGKILL)
                break
        assert child.wait() == -signal.SIGKILL
        how = "resume"
    subprocess.run([*script, str(tmp_path / "killed"), "resume"], check=True)
    whole, killed = open_run(tmp_path / "whole"), open_run(tmp_path / "killed")
    assert_same(final_state(whole), final_state(killed))
    assert rows(whole) == rows(killed)
