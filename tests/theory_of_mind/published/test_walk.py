"""docs/theory_of_mind_walk.md: programs print what stands beneath them, and the table says what the examples make."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.theory_of_mind.published.programs import PROGRAMS, run
from tests.theory_of_mind.published.test_programs import PRINTED, SLOW

PAGE = (Path(__file__).parents[3] / "docs" / "theory_of_mind_walk.md").read_text()
STEPS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r"^\| \[(\w+)\]\(\S+\) \|.*\| `(.+?)` = (\S+) \| (printed|by hand) \|$", PAGE, re.MULTILINE)


def test_the_walk_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(STEPS) == PAGE.count("```python")
    names: dict[str, Any] = {}
    for program, printed in STEPS:
        exec(program, names)
        assert capsys.readouterr().out == printed


def test_every_program_is_in_the_table() -> None:
    assert sorted(row[0] for row in ROWS) == PROGRAMS
    assert len(PROGRAMS) >= 25
    values = [value for checks in PRINTED.values() for value, _ in checks.values()]
    assert sum(np.size([*value.values()] if isinstance(value, dict) else value) for value in values) >= 250


@pytest.mark.parametrize(
    ("name", "expression", "value"),
    [pytest.param(*row[:3], marks=pytest.mark.slow) if row[0] in SLOW else row[:3] for row in ROWS],
)
def test_the_table_says_what_the_program_makes(name: str, expression: str, value: str) -> None:
    assert float(eval(expression, dict(run(name)))) == pytest.approx(float(value), abs=5.1e-7)
