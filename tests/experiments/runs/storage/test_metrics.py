import json
import math
import random
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape.errors import UsageError
from inscape.experiments.cli import main
from inscape.experiments.report import report_for_runs
from inscape.experiments.report.packing import MAX_CURVE_POINTS
from inscape.experiments.runs.folders import create_run
from inscape.experiments.runs.run import Run
from inscape.experiments.runs.settings import RunSettings
from inscape.experiments.runs.storage import metrics
from inscape.experiments.runs.storage.metrics import METRICS, read_columns, read_rows

KEYS = ("steps", "seconds", "loss", "ré{tur}n", "rare", "absent")


def naive(data: bytes) -> list[dict[str, Any]] | int:
    """Returns the rows of a metrics file line by line, or the number of the first line that is refused."""
    lines = data.split(b"\n")
    unended = lines.pop()
    rows = []
    for number, line in enumerate([*lines, *([unended] if unended else [])], start=1):
        try:
            row = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            return number if number <= len(lines) else rows
        if not isinstance(row, dict):
            return number
        rows.append(row)
    return rows


def read(path: Path) -> list[dict[str, Any]] | int:
    try:
        return [row for rows, _ in read_rows(path) for row in rows]
    except UsageError as error:
        return int(error.found.removeprefix(f"{path}, line ").split()[0])


def same(left: object, right: object) -> bool:
    return json.dumps(left) == json.dumps(right)  # tells 1 from 1.0 and True, and NaN equals NaN


def random_value(rng: random.Random) -> object:
    numbers = (rng.gauss(0, 1), rng.randrange(99), math.nan, math.inf, -math.inf, 10**400)
    return rng.choice((*numbers, True, None, "1.5", "}\n{", "é{}", [1.0], {"a": {"b": 2}}, [{}]))


def random_row(rng: random.Random, plain: bool) -> dict[str, object]:
    row: dict[str, object] = {"steps": rng.random(), "seconds": rng.randrange(9)}
    if rng.random() < 0.1:
        row["rare"] = 1
    for key in rng.sample(("steps", "loss", "ré{tur}n", "other"), rng.randrange(4)):
        row[key] = rng.random() if plain else random_value(rng)
    return row


def random_lines(rng: random.Random, count: int, plain: bool) -> bytes:
    lines = [json.dumps(random_row(rng, plain), ensure_ascii=rng.random() < 0.5) for _ in range(count)]
    return "".join(line + rng.choice(("\n", "\n", "\r\n", " \n")) for line in lines).encode()


@pytest.mark.parametrize("block", [1, 50, 1000, metrics.BLOCK_BYTES])
@pytest.mark.parametrize("plain", [True, False])
def test_rows_and_columns_agree_with_parsing_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, plain: bool
) -> None:
    monkeypatch.setattr(metrics, "BLOCK_BYTES", block)
    rng, path = random.Random(block), tmp_path / METRICS
    for count in (0, 1, 2, 7, 150):
        data = random_lines(rng, count, plain)
        path.write_bytes(data)
        rows = naive(data)
        assert isinstance(rows, list)
        assert len(rows) == count
        assert same(read(path), rows)
        columns = read_columns(path, KEYS)
        assert columns.count == count
        for key in KEYS:
            kept = {
                i: float(row[key]) for i, row in enumerate(rows) if type(row.get(key)) is float or small(row.get(key))
            }
            np.testing.assert_array_equal(columns[key].rows, np.array(list(kept), dtype=np.int64))
            np.testing.assert_array_equal(columns[key].values, np.array(list(kept.values())))
            dense = [kept.get(i, math.nan) for i in range(count)]
            np.testing.assert_array_equal(columns[key].at(columns["seconds"].rows), np.array(dense))
            assert same(columns.last(key), kept.get(count - 1))


def small(value: object) -> bool:
    return type(value) is int and value < 2**1023


def test_a_damaged_file_is_read_or_refused_as_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, path = random.Random(1), tmp_path / METRICS
    refused = 0
    for trial in range(3000):
        monkeypatch.setattr(metrics, "BLOCK_BYTES", rng.choice((1, 30, 10_000)))
        data = bytearray(random_lines(rng, rng.randrange(1, 5), plain=trial % 2 == 0))
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(data))
            end = place + rng.randrange(3)
            data[place:end] = rng.choice(
                (b"", b"\n", b"{", b"}", b"},{", b'"', b"\\", b",", b"[", b"]", b"\xff", b"1", b"\r")
            )
            data = data or bytearray(b"\n")
        path.write_bytes(data)
        expected = naive(bytes(data))
        refused += isinstance(expected, int)
        assert same(read(path), expected), bytes(data)
    assert 500 < refused < 2900


@pytest.mark.parametrize(
    "text",
    [
        '{"a":[{}\n{}]}\n{},{}\n',  # joined by commas, three objects
        '{"a":"}\n{","b":1},{"c":2}\n',  # two
        '{"a":"}\n{","b":1}\n',  # one
        '{"a":1},{"b":[1\n2]}\n',  # two, as many as lines, but not one a line
        '{"a":1}{"b":2}\n',
        '{"a":\n1}\n{}\n{},{}\n',
    ],
)
def test_lines_are_not_taken_for_what_they_would_be_together(tmp_path: Path, text: str) -> None:
    (tmp_path / METRICS).write_text(text)
    assert read(tmp_path / METRICS) == naive(text.encode()) == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"steps": 2', "is not JSON"),
        (b"", "is not JSON"),
        (b'{"steps": 2, "a": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b'{"a": "\xe9"}', "is not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "is not UTF-8"),  # half of a surrogate pair
        (b"[1, 2]", "is not a JSON object"),
        (b"17", "is not a JSON object"),
        (b"NaN", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply"),
        (b"\x00" * 40, "is not JSON"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes, problem: str) -> None:
    (tmp_path / METRICS).write_bytes(b'{"steps": 1}\n' + line + b'\n{"steps": 3}\n')
    with pytest.raises(UsageError, match=f"line 2 {problem}: ") as caught:
        list(read_rows(tmp_path / METRICS))
    assert caught.value.expected == "one JSON object per line"
    assert len(caught.value.found) < len(str(tmp_path)) + 400


def test_a_last_row_cut_anywhere_is_left_out(tmp_path: Path) -> None:
    path, whole = tmp_path / METRICS, '{"steps": 1, "é": 2}\n{"steps": 2, "é": [{"b": 1e-5}]}'.encode()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        assert read(path) == [{"steps": 1, "é": 2}]
    path.write_bytes(whole)
    assert len(next(read_rows(path))[0]) == 2


def test_what_a_running_process_appends_meanwhile_is_not_taken_for_a_line(tmp_path: Path) -> None:
    path = tmp_path / METRICS
    path.write_text('{"steps": 1}\n{"ste')
    reading = read_rows(path)
    assert next(reading)[0] == [{"steps": 1}]
    with path.open("a") as file:
        file.write('ps": 2}\n')
    assert list(reading) == []


def test_a_file_that_cannot_be_read_is_a_usage_error_and_a_missing_one_empty(tmp_path: Path) -> None:
    assert list(read_rows(tmp_path / METRICS)) == []
    assert read_columns(tmp_path / METRICS, ["steps"]).last("steps") is None
    (tmp_path / METRICS).mkdir()
    with pytest.raises(UsageError, match=r"cannot read .*metrics\.jsonl"):
        list(read_rows(tmp_path / METRICS))


@pytest.mark.slow
def test_columns_take_no_more_memory_than_their_numbers(tmp_path: Path) -> None:
    rows, path = 40_000, tmp_path / METRICS
    with path.open("w") as file:
        for row in range(rows):
            file.write(json.dumps({"steps": row, "loss": 0.5, **{f"unread{i}": i / 7 for i in range(6)}}) + "\n")
    read_columns(path, ["steps"])
    tracemalloc.start()
    try:
        columns = read_columns(path, ["steps", "loss", "absent"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert columns.count == rows
    assert peak < 4 * 8 * rows + 10 * metrics.BLOCK_BYTES  # as dictionaries: 24 MB


# --------------------------------------------------------------------------------------------------- who reads the file

opened: list[str] | None = None


def note(event: str, details: tuple[Any, ...]) -> None:
    if event == "open" and opened is not None and str(details[0]).endswith(METRICS):
        opened.append(str(details[1]))


@pytest.fixture
def opens() -> Iterator[list[str]]:
    """The modes in which metrics files are opened."""
    global opened
    if not hasattr(note, "installed"):
        sys.addaudithook(note)  # there is no removing one
        note.installed = True  # type: ignore[attr-defined]
    opened = []
    yield opened
    opened = None


def logged_run(path: Path, seed: int = 0, rows: int = 6) -> Run:
    run = create_run(RunSettings("ppo", {"name": "FourGoals", "settings": {}}, seed, 10 * rows), path)
    with (path / METRICS).open("w") as file:
        for row in range(1, rows + 1):
            values: dict[str, Any] = {"steps": 10 * row, "seconds": row / 8, "episode_return": math.sin(row) + seed}
            if row % 3 == 0:
                values |= {
                    "evaluation/return_mean": row,
                    "evaluation/return_low": row - 1,
                    "evaluation/return_high": row + 1,
                }
            if row % 7 == 0:
                values["episode_return"] = math.nan
            file.write(json.dumps(values) + "\n")
    return run


def test_every_consumer_reads_each_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opens: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [logged_run(Path("runs") / name, seed) for seed, name in enumerate("ab")]
    opens.clear()
    report_for_runs(["a", "b"], tmp_path / "r.html")
    assert opens == ["r"] * 2 or opens == ["rb"] * 2
    opens.clear()
    assert main(["list", "runs"]) == 0
    assert len(opens) == 2
    assert capsys.readouterr().out.count("60") == 2
    opens.clear()
    assert len(runs[0].metrics()) == 6
    assert len(opens) == 1
    runs[0].truncate_metrics(30)
    assert len(opens) == 2
    assert [row["steps"] for row in runs[0].metrics()] == [10, 20, 30]


def test_a_long_runs_report_is_binned_and_keeps_its_statistics(tmp_path: Path) -> None:
    rows = 3003
    run = logged_run(tmp_path / "a", rows=rows)
    page = report_for_runs([run.path], tmp_path / "r.html").read_text()
    evaluation, returns = payload(page)["curves"]
    finite = [row for row in run.metrics() if math.isfinite(row["episode_return"])]
    curve = returns["curves"][0]
    for part, key in (("steps", "steps"), ("mean", "episode_return"), ("seconds", "seconds")):
        bins = np.array_split(np.array([row[key] for row in finite]), MAX_CURVE_POINTS)
        np.testing.assert_allclose(curve[part], [part.mean() for part in bins], rtol=1e-5)
    assert [len(evaluation["curves"][0][part]) for part in ("mean", "low", "high")] == [MAX_CURVE_POINTS] * 3
    last = "3\u202f003"
    assert f">{last}<" in page  # return after training: the last evaluation, not a bin's mean
    assert ">30\u202f030<" in page
    assert len(page) < 120_000


def payload(page: str) -> Any:
    start = page.index("<script", page.index("application/json") - 200)
    return json.loads(page[page.index(">", start) + 1 : page.index("</script>", start)])


def test_wrongly_typed_metrics_are_gaps_in_a_report(tmp_path: Path) -> None:
    run = logged_run(tmp_path / "a", rows=2)
    rows: list[dict[str, Any]] = [
        {"steps": 30, "seconds": "late", "episode_return": 5.0},
        {"steps": "many", "seconds": 4, "episode_return": 6.0},
        {"steps": 50, "episode_return": [1]},
        {"steps": 10**400, "episode_return": 10**400, "seconds": {}},
        {"steps": None, "episode_return": True, "seconds": [3]},
    ]
    with (run.path / METRICS).open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    curve = payload(report_for_runs([run.path], tmp_path / "r.html").read_text())["curves"][0]["curves"][0]
    assert curve["steps"] == [10, 20, 30]
    assert curve["mean"][2] == 5
    run.truncate_metrics(20)
    assert [row["steps"] for row in run.metrics()] == [
        10,
        20,
        "many",
        10**400,
        None,
    ]  # without a number, as without steps


def test_truncating_a_damaged_file_leaves_it_as_it_was(tmp_path: Path) -> None:
    run = logged_run(tmp_path / "a")
    path = run.path / METRICS
    path.write_bytes(damaged := path.read_bytes() + b"\xff\n")
    with pytest.raises(UsageError, match="line 7 is not UTF-8"):
        run.truncate_metrics(30)
    assert path.read_bytes() == damaged
    assert not list(run.path.glob(".*"))
    path.write_bytes(damaged[:-1])  # cut short by a kill
    run.truncate_metrics(40)
    assert path.read_bytes() == b"".join(damaged.splitlines(keepends=True)[:4])


def test_damaged_metrics_of_one_run_do_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    logged_run(Path("runs/a"))
    (logged_run(Path("runs/b")).path / METRICS).write_bytes(b"[]\n")
    assert main(["list", "runs"]) == 0
    shown = capsys.readouterr().out
    assert "line 1 is not a JSON object" in " ".join(shown.split())
    assert "60" in shown


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"mean": 1}', '{"mean": 1, "low": 1, "high": 1, "episodes": "x"}', "\xff"]
)
def test_a_damaged_evaluation_is_a_usage_error(tmp_path: Path, text: str) -> None:
    run = logged_run(tmp_path / "a")
    assert run.evaluation() is None
    (run.path / "evaluation.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"evaluation\.json"):
        run.evaluation()
    assert main(["report", str(run.path)]) == 2
