"""Every program of docs/planning.md runs, and prints the numbers that stand beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inscape.envs.worlds.pomdp import file_format

ROOT = Path(__file__).parents[3]
PROGRAMS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "planning.md").read_text(), re.DOTALL)
PRINTED = (
    ["[42.4418", "36.0465", "[[False  True]", "[0."],
    ["0.8235294117", "0.823529411"],
    ["0.42862", "unichain", "potential-based: every optimal policy stays optimal", "-"],
    ["[0.41464", "0.00121", "0.70760"],
    ["[0. 0.]", "-0.055", "4.747222", "strategies=", "5.1908"],
    ["19.", "[0]"],
    ["listen\nlisten"],
    ["7.05876804e-01", "[3 3] 0.0 1.386"],
    ["(20, 1)", "[-"],
    ["right"],
    ["25.0", "[-"],
    ["0.0 3"],
    ["0.0 True"],
    ["[2 3]", "[ True  True]\n[ True  True]"],
)


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_the_page_says_what_its_programs_print(number, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    exec(PROGRAMS[number], {})
    printed = capsys.readouterr().out
    for words in PRINTED[number]:
        assert words in printed
    assert len(PROGRAMS) == len(PRINTED)


def test_the_example_file_is_read():
    content = file_format.read(ROOT / "examples" / "tiger.pomdp")
    assert content.actions == ("listen", "open-left", "open-right")
