"""docs/tutorials: programs print what stands beneath them, and the commands of a newcomer run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from inscape.experiments.cli import main
from tests.conftest import ROOT

PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
STEP = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_programs_print_what_stands_beneath_them(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if page.stem == "language_model":
        pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    steps = STEP.findall(page.read_text(encoding="utf-8"))
    assert sum(bool(printed) for _, printed in steps) >= 3
    names: dict[str, Any] = {"__name__": page.stem}
    for program, printed in steps:
        exec(program, names)
        assert capsys.readouterr().out == printed, program


@pytest.mark.slow
def test_a_newcomers_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "tutorials" / "getting_started.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert len(lines) >= 6
    for line in lines:
        name, *words = shlex.split(line)
        assert name == "inscape"
        assert main(words) == 0, f"{line}\n{capsys.readouterr()}"
    assert Path("lake.gif").stat().st_size > 0
    assert "FrozenLake" in Path("lake.html").read_text(encoding="utf-8")
