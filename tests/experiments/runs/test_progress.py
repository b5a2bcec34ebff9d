"""Progress on stderr: nothing for short jobs, a line now and then where there is no terminal, a bar where there is."""

from __future__ import annotations

import pytest

from inscape.experiments.runs import progress
from inscape.experiments.runs.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_lines_come_every_ten_seconds_with_the_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("train", 1000) as bar:
        for clock.now, done in ((1.0, 5), (5.0, 50), (10.0, 100), (12.0, 120), (20.0, 500), (40.0, 1000)):
            bar.update(done, note="well")
    assert capsys.readouterr().err.splitlines() == [
        "train: 100 of 1,000, about 90 s left, well",
        "train: 500 of 1,000, about 20 s left, well",
        "train: 1,000 of 1,000, about 0 s left, well",
    ]


def test_the_time_left_is_unknown_until_a_hundredth_is_done(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("train", 2000, done=1000) as bar:  # resumed: what was done before took none of this time
        clock.now = 30.0
        bar.update(1009)
        clock.now = 40.0
        bar.update(1500)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("train: 1,009 of 2,000, time left unknown")
    assert second.startswith("train: 1,500 of 2,000, about 40 s left")


def test_a_short_or_a_silent_job_shows_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("train", 10) as bar:
        clock.now = 1.9
        bar.update(9)
    with Progress("train", 10, enabled=False) as bar:
        clock.now = 100.0
        bar.update(9)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Progress("train", 10) as bar:
        clock.now = 3.0
        bar.update(4, note="well")
        assert bar._bar.tasks[0].completed == 4
        bar.update(40)
        assert bar._bar.tasks[0].completed == 10
    assert not bar._bar.live.is_started
