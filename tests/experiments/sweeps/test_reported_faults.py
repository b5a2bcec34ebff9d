"""Faults that were reported of other tools for sweeps and training, replayed here: each survives or is refused.

What was reported where stands beside each test; nothing of their code is used. Slow: `make test-slow`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from inscape.errors import UsageError
from inscape.experiments import evaluate, open_run, sweep, train
from inscape.experiments.sweeps.study import SweepStudy

pytest.importorskip("optuna")
pytestmark = pytest.mark.slow
SHORT: dict[str, Any] = {"steps": 2000, "verbose": False}
ENVIRONMENT = """
import gymnasium as gym
class Odd(gym.Env):
    observation_space = action_space = gym.spaces.Discrete(2)
    episodes = 0
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episodes += 1
        return 0, {}
    def step(self, action):
        %s
"""


@pytest.fixture(autouse=True)
def _presets_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def odd(place: Path, step: str) -> str:
    place.write_text(ENVIRONMENT % step)
    return f"{place}:Odd"


def command(out: Path, *words: str) -> list[str]:
    head = [sys.executable, *words, "-m", "inscape", "sweep", "q-learning", "FrozenLake", "--no-save-preset"]
    return [*head, "--confirm", "0", "--out", str(out)]


class Dies:
    """A callback that ends the process's training at a step, as a kill does."""

    def on_step(self, training: Any, metrics: Any) -> None:
        if training.steps >= 4000:
            raise KeyError("killed")


@pytest.mark.parametrize("steps", [1, 5, 9])
def test_fewer_steps_than_evaluations(steps: int) -> None:
    """DLR-RM/rl-baselines3-zoo#238: ZeroDivisionError."""
    assert sweep("q-learning", "FrozenLake", trials=3, steps=steps, confirm=1, verbose=False).complete == 3


def test_the_same_sweep_twice_finds_the_same() -> None:
    """araffin/rl-baselines-zoo#108: trials that cannot be reproduced; the best of many noisy ones does not hold."""
    one, other = (sweep("q-learning", "FrozenLake", trials=4, confirm=2, seed=3, **SHORT) for _ in range(2))
    assert (one.settings, one.curve, one.best.scores) == (other.settings, other.curve, other.best.scores)
    assert len(one.best.scores) == 2


def test_trials_that_diverge_are_counted_and_end_nothing() -> None:
    """DLR-RM/rl-baselines3-zoo#107, #427."""
    space = {"learning_rate": [3e-4, 1e30], "num_envs": 4, "num_steps": 16, "hidden": [[8]]}
    found = sweep("ppo", "CartPole", trials=4, confirm=1, steps=600, search=space, verbose=False)
    assert found.complete > 0 and found.failed > 0
    assert "diverged" in found.errors[0]
    assert found.settings.get("learning_rate", 3e-4) == 3e-4


def test_choices_that_are_lists_come_back_as_they_were() -> None:
    """optuna/optuna: categorical choices that are no scalars change their type in storage."""
    space = {"hidden": [[4], [4, 4]], "num_envs": [2], "num_steps": [16]}
    found = sweep("ppo", "CartPole", trials=3, confirm=1, steps=200, search=space, verbose=False)
    assert {one.settings.get("hidden") for one in found.candidates} <= {(4,), (4, 4), None}


def test_trials_after_a_resume_are_not_the_first_again_and_another_space_is_refused(tmp_path: Path) -> None:
    """optuna/optuna: a seeded sampler begins anew; a study whose search space changed."""
    for trials in (4, 8):
        sweep("q-learning", "FrozenLake", trials=trials, confirm=0, out=tmp_path / "s", seed=1, **SHORT)
    made = SweepStudy(tmp_path / "s", "median", 1, 8).study.get_trials()
    assert len({json.dumps(one.params, sort_keys=True) for one in made}) == len(made) == 8
    with pytest.raises(UsageError, match="another sweep"):
        sweep("q-learning", "FrozenLake", trials=9, out=tmp_path / "s", seed=1, search={"gamma": [0.9, 0.99]}, **SHORT)
    journal = tmp_path / "s" / "journal.log"
    journal.write_bytes(journal.read_bytes()[:-37])  # of a process killed while it wrote
    assert sweep("q-learning", "FrozenLake", trials=9, confirm=0, out=tmp_path / "s", seed=1, **SHORT).complete > 0


def test_a_killed_sweep_begins_its_running_trial_again(tmp_path: Path) -> None:
    """optuna/optuna#485, #913, #3215, #6283: trials that stay in state RUNNING for ever."""
    line = [*command(tmp_path / "s"), "--trials", "4", "--steps", "300000"]
    running = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)
    time.sleep(6)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, timeout=300)
    states = [one.state.name for one in SweepStudy(tmp_path / "s", "median", 0, 4).study.get_trials()]
    assert sum(state in ("COMPLETE", "PRUNED") for state in states) == 4
    assert "RUNNING" not in states


def test_three_processes_make_no_more_trials_than_asked_for(tmp_path: Path) -> None:
    """optuna/optuna#1883."""
    line = [*command(tmp_path / "s"), "--trials", "6", "--steps", "2000"]
    running = [subprocess.Popen(line, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [one.wait(300) for one in running] == [0, 0, 0]
    assert len(SweepStudy(tmp_path / "s", "median", 0, 6).finished()) == 6


def test_returns_that_are_no_numbers_are_never_the_best(tmp_path: Path) -> None:
    """ray-project/ray: the best trial by a metric that is NaN."""
    step = 'return 1, float("nan") if self.episodes > 9 else 1.0, True, False, {}'
    with pytest.raises(UsageError, match="all 3 trials failed.*nan in copy"):
        sweep("q-learning", odd(tmp_path / "odd.py", step), trials=3, confirm=1, steps=300, verbose=False)


def test_a_sweep_whose_trials_all_failed_says_what_to_do_when_the_code_is_mended(tmp_path: Path) -> None:
    """ray-project/ray#30584: failed trials make the experiment impossible to go on with, silently."""
    options = {"trials": 2, "confirm": 0, "steps": 100, "out": tmp_path / "s", "verbose": False}
    with pytest.raises(UsageError, match="all 2 trials failed.*boom"):
        sweep("q-learning", odd(tmp_path / "odd.py", 'raise RuntimeError("boom")'), **options)
    mended = odd(tmp_path / "odd.py", "return 1, 1.0, True, False, {}")
    with pytest.raises(UsageError, match="another --out, or remove that folder"):
        sweep("q-learning", mended, **options)
    assert sweep("q-learning", mended, **{**options, "out": tmp_path / "t"}).complete == 2


def test_a_plateau_of_equal_returns_stops_and_a_threshold_beside_it_too() -> None:
    """Stable-Baselines-Team/stable-baselines3-contrib#92 (never stops); DLR-RM/stable-baselines3#1859 (both)."""
    options: dict[str, Any] = {"evaluate_every": 500, "evaluate_episodes": 2, "verbose": False, "report_every": 500}
    run = train("q-learning", "FrozenLake", 9000, patience=3, epsilon_end=1.0, learning_rate=0.0, **options)
    assert "3 evaluations in a row" in str(run.stopped)
    both = train("q-learning", "FrozenLake", 9000, patience=3, stop_at=0.0, keep_best=True, **options)
    assert "at least 0" in str(both.stopped)
    assert both.best_evaluation() is not None


def test_the_best_model_of_a_resumed_run_is_the_best_of_all_and_evaluates_as_it_did(tmp_path: Path) -> None:
    """DLR-RM/stable-baselines3#1551: another return afterwards; the best forgotten when training goes on."""
    options: dict[str, Any] = {
        "evaluate_every": 1000, "evaluate_episodes": 20, "verbose": False, "keep_best": True, "out": tmp_path / "r",
        "report_every": 500, "checkpoint_steps": 1,
    }  # fmt: skip
    with pytest.raises(KeyError):
        train("q-learning", "FrozenLake", 8000, on=[Dies()], **options)
    run = train("q-learning", "FrozenLake", 8000, resume=True, **options)
    returns = [row["evaluation/return_mean"] for row in run.metrics() if "evaluation/return_mean" in row]
    best = run.best_evaluation()
    assert best is not None and best.return_mean == max(returns)
    assert evaluate(open_run(tmp_path / "r" / "best"), episodes=20, seed=1_000_000_000).mean == best.return_mean


def test_without_assertions_a_sweep_works_too(tmp_path: Path) -> None:
    """hydra-ecosystem/hydra#2570: fails under PYTHONOPTIMIZE=1."""
    line = [*command(tmp_path / "s", "-O"), "--trials", "2", "--steps", "500", "--jobs", "2"]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, timeout=300)


def test_videos_have_pictures_and_those_of_a_resumed_run_stay(tmp_path: Path) -> None:
    """openai/gym#2145: videos of 262 bytes; recorders that overwrite what a run before them wrote."""
    iio = pytest.importorskip("imageio.v3")
    options: dict[str, Any] = {"video_every": 2000, "evaluate_every": 0, "verbose": False, "out": tmp_path / "r"}
    with pytest.raises(KeyError):
        train("q-learning", "FrozenLake", 8000, on=[Dies()], checkpoint_steps=1, **options)
    folder = tmp_path / "r" / "videos"
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    train("q-learning", "FrozenLake", 8000, resume=True, **options)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(found) == ["step-2000.mp4", "step-4000.mp4", "step-6000.mp4", "step-8000.mp4"]
    assert found["step-2000.mp4"] == first["step-2000.mp4"]
    assert all(len(list(iio.imiter(path))) > 1 for path in folder.iterdir())
    with pytest.raises(UsageError, match="videos of"):
        train("q-learning", odd(tmp_path / "odd.py", "return 1, 1.0, True, False, {}"), 100, **options | {"out": "x"})
