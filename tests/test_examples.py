"""The examples, through the commands a reader would type."""

from __future__ import annotations

from pathlib import Path

import pytest

from inscape.experiments.cli import main
from tests.conftest import EXAMPLES

AGENT, BALANCE = f"{EXAMPLES / 'my_agent.py'}:MyAgent", f"{EXAMPLES / 'balance.py'}:Balance"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_they_are_as_short_as_promised() -> None:
    assert len((EXAMPLES / "my_agent.py").read_text().splitlines()) <= 15
    assert len((EXAMPLES / "elevator.py").read_text().splitlines()) <= 40


def test_an_agent_of_ones_own_is_checked_evaluated_watched_and_observed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", AGENT]) == 0
    assert main(["evaluate", AGENT, "FourGoals", "--world.goal", "D", "--episodes", "20"]) == 0
    assert "regret" in capsys.readouterr().out
    assert main(["watch", AGENT, "FourGoals", "--save", "episode.gif"]) == 0
    assert Path("episode.gif").read_bytes()[:3] == b"GIF"
    assert main(["observe", AGENT, "FourGoals", "--world.goal", "D", "--episodes", "1"]) == 0
    assert "most probable mind: D" in capsys.readouterr().out


def test_an_agent_balances_the_pole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", BALANCE, "CartPole", "--episodes", "10"]) == 0
    assert "mean return 500" in capsys.readouterr().out
    assert main(["check", BALANCE, "CartPole"]) == 0


def test_a_world_of_ones_own_is_trained_in_planned_in_and_observed(
    elevator_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", elevator_file]) == 0
    assert main(["train", "q-learning", elevator_file, "--steps", "200000", "--out", "run"]) == 0
    assert main(["plan", elevator_file, "--simulations", "2000"]) == 0
    assert "Optimum, by value iteration" in capsys.readouterr().out
    assert main(["observe", "run", "--goals", "fair,floor 3", "--beta", "5", "--episodes", "1"]) == 0
    assert "bits each" in capsys.readouterr().out
    assert main(["watch", "run", "--save", "lift.mp4"]) == 0
    assert main(["report", "run", "--out", "report.html"]) == 0
    assert Path("report.html").stat().st_size > 10_000
