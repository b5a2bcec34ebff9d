"""The ten lines on each verb, in `examples/verbs`, run."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.conftest import EXAMPLES

VERBS = {
    "evaluate": ["95 % interval", "0.9 -0.9"],
    "plan": ["Plan(", "right"],
    "imagine": ["left Trajectory(imagined in CartPole", "left earns more by 5.0"],
    "observe": ["A [", "(61, 8)"],
    "solve": ["0.41464", "(16, 4)"],
    "fit": ["2 kinds of people", "uniform", "RefinedMind(beta"],
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("verb", VERBS)
def test_the_lines_on_a_verb_run(verb: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLES / "verbs" / f"{verb}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    for wanted in VERBS[verb]:
        assert wanted in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.compiled
def test_the_lines_on_training_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    runpy.run_path(str(EXAMPLES / "verbs" / "train.py"), run_name="__main__")
    assert "Run(q-learning in FrozenLake, 20,000 steps, in memory)" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_every_verb_has_its_lines_and_no_more_than_twenty() -> None:
    files = {path.stem: path for path in (EXAMPLES / "verbs").glob("*.py")}
    assert set(files) == {*VERBS, "train"}
    for path in files.values():
        assert sum(bool(line.strip()) for line in path.read_text().splitlines()) <= 20
