"""The programs of docs/language.md and docs/text_worlds.md run, and its command lines can be parsed."""

from __future__ import annotations

import re
import shlex

import pytest

from inscape import resolve_task
from inscape.experiments.arguments import parsing as arguments
from inscape.experiments.arguments.train import TrainArguments
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "language.md").read_text()
WORLDS = (ROOT / "docs" / "text_worlds.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE + WORLDS, re.S)
LINES = re.findall(r"^inscape train (.*)$", PAGE, re.M)


@pytest.mark.parametrize(
    "program",
    [pytest.param(program, marks=pytest.mark.slow if "make_agent" in program else ()) for program in PROGRAMS],
    ids=range(len(PROGRAMS)),
)
def test_a_program_runs(program: str) -> None:
    exec(compile(program, "docs/language.md", "exec"), {})


@pytest.mark.parametrize("line", LINES)
def test_a_line_can_be_parsed(line: str) -> None:
    words = shlex.split(line.split("#")[0])
    groups = arguments.settings_groups(TrainArguments, words[0], resolve_task(words[1]))
    arguments.parse("train", TrainArguments, words, groups)
