"""Rows logged since the last checkpoint: what was changed or lost among them is noticed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from inscape.errors import UsageError
from inscape.experiments.runs.folders import create_run, open_run
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.settings import RunSettings
from inscape.experiments.runs.storage.row_sums import SUMS


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with two rows that a checkpoint covers, and three after it."""
    run = create_run(RunSettings("ppo", {"name": "FourGoals", "settings": {}}, 0, 100), tmp_path / "run")
    for step in range(5):
        run.log({"steps": step, "episode_return": step / 8})
        if step == 1:
            run.save_checkpoint({"steps": 1}, 1)
    run.close()
    return run


def test_a_whole_run_is_read(run: Run) -> None:
    assert [row["steps"] for row in run.metrics()] == [0, 1, 2, 3, 4]
    assert (run.path / SUMS).read_text().count("\n") == 1 + 3


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a digit of the last row": lambda data: data[:-3] + b"9" + data[-2:],
    "the last row gone": lambda data: b"".join(data.splitlines(keepends=True)[:-1]),
    "all rows after the checkpoint gone": lambda data: b"".join(data.splitlines(keepends=True)[:2]),
    "the last row cut": lambda data: data[:-5],
    "its newline gone": lambda data: data[:-1],
    "rows swapped": lambda data: b"".join(data.splitlines(keepends=True)[i] for i in (0, 1, 3, 2, 4)),
    "a row twice": lambda data: b"".join(data.splitlines(keepends=True)[i] for i in (0, 1, 2, 2, 3, 4)),
    "a row between": lambda data: data[:-34] + b'{"steps": 3}\n' + data[-34:],
    "a covered digit": lambda data: data.replace(b"0.125", b"0.625"),
    "a key": lambda data: data.replace(b'"steps": 3', b'"stepz": 3'),
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_changed_and_lost_rows_are_refused(run: Run, what: str) -> None:
    path = run.path / "metrics.jsonl"
    path.write_bytes(DAMAGES[what](path.read_bytes()))
    for read in (lambda: open_run(run.path).metrics(), lambda: open_run(run.path).metric_columns(["steps"])):
        with pytest.raises(UsageError, match=r"damaged|changed"):
            read()


@pytest.mark.parametrize("text", ["", "x\n", "12\nzzzzzzzz\n", "-1\n", "9" * 30 + "\n", "\udcff"])
def test_sums_that_inscape_did_not_write_are_refused(run: Run, text: str) -> None:
    (run.path / SUMS).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=rf"damaged: \S*{SUMS} is not what inscape wrote"):
        open_run(run.path).metrics()


def test_a_process_killed_between_row_and_sum_leaves_a_run_that_is_read(run: Run) -> None:
    path = run.path / SUMS
    for _ in range(4):  # the last sum cut short, then gone, and so on
        path.write_bytes(path.read_bytes()[:-5])
        assert len(open_run(run.path).metrics()) == 5
    path.unlink()
    assert len(open_run(run.path).metrics()) == 5


LATER = ("a digit of the last row", "the last row gone", "the last row cut", "rows swapped", "a row twice", "a key")


@pytest.mark.parametrize("what", [*LATER, "a row that claims to be earlier", "no JSON"])
def test_resuming_forgets_rows_and_sums_after_the_checkpoint(run: Run, what: str) -> None:
    path = run.path / "metrics.jsonl"
    more = {"a row that claims to be earlier": b'{"steps": 1, "episode_return": 9}\n', "no JSON": b"what?\n"}
    path.write_bytes(path.read_bytes() + more[what] if what in more else DAMAGES[what](path.read_bytes()))
    again = open_run(run.path)
    again.truncate_metrics(1)
    again.log({"steps": 2, "episode_return": 0.5})
    again.close()
    assert [row["episode_return"] for row in open_run(run.path).metrics()] == [0.0, 0.125, 0.5]
    path.write_bytes(path.read_bytes().replace(b"0.125", b"0.126"))  # covered again, by the manifest
    with pytest.raises(UsageError, match="changed or damaged"):
        open_run(run.path).metrics()
