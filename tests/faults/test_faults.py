"""The fault groups in their short form, and the page that is written from them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.faults import __main__ as runner
from tests.faults import damage, malice, soak
from tests.faults.rows import Row


def test_damaged_results_are_never_others(tmp_path: Path) -> None:
    row = damage._of_results(tmp_path / "experiment", 40, np.random.default_rng(1))
    assert row.count == 40 and row.wrong == 0, row.note


def test_results_of_an_attacker_are_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = malice._of("results of experiments", malice.ODD, malice._results, tmp_path, monkeypatch)
    assert row.count == len(malice.ODD) and row.wrong == 0, row.note


def test_experiment_files_of_an_attacker_are_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = {name: malice.EXPERIMENTS[name] for name in ("trust in a file", "labels that lead out")}
    row = malice._of("experiment files", cases, malice._experiment, tmp_path, monkeypatch)
    assert row.wrong == 0, row.note


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in runner.GROUPS if name != "soak"])
def test_group(name: str, tmp_path: Path) -> None:
    here = Path.cwd()
    try:
        rows = runner.group(name)(True, tmp_path)
    finally:
        os.chdir(here)
    assert rows and all(row.count > 0 for row in rows)
    assert [row for row in rows if row.wrong] == []


def test_the_slope_of_memory_has_its_interval() -> None:
    """8 MB an hour, with noise, lies in its interval; the interval of a flat line holds 0."""
    rng = np.random.default_rng(0)
    seconds = np.arange(0, 1500, 5.0)
    for slope in (0.0, 8.0):
        found, low, high = soak.slope_of(seconds, 500 + slope * seconds / 3600 + rng.normal(0, 0.1, len(seconds)))
        assert low < slope < high and low < found < high and high - low < 1.0


def test_the_page_is_written_from_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{runner.BEGIN}\nold\n{runner.END}\nafter\n")
    monkeypatch.setattr(runner, "KEPT", tmp_path)
    monkeypatch.setattr(runner, "PAGE", page)
    monkeypatch.setattr(runner, "group", lambda name: lambda short, place: [Row("a | b", 1200, 0, "nothing", name)])
    for name in ("kills", "soak"):
        (tmp_path / f"{name}.json").write_text(json.dumps(runner.run_group(name, name == "soak")))
    runner.write_page(runner.kept())
    text = page.read_text()
    assert text.startswith("before") and text.endswith("after\n") and "old" not in text
    assert "1,200 | 0 | nothing | kills" in text and "In their short form: soak" in text
