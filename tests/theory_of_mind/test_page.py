"""Every program of docs/theory_of_mind.md runs, and prints what was computed otherwise or is published."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "theory_of_mind.md").read_text(), re.DOTALL)
PRINTED = (
    ["{'A': 0.52", "'D': 0.0"],
    ["12 {'A': 0.5", "rate=0.1"],
    ["19.37", "1.0"],  # Cassandra's tiger.95
    ["True"],
    ["'novice': 0.0,", "'expert': 0.8"],
    ["[0.0108, 0.9677, 0.0108, 0.0108]"],
    ["1.0"],
    ["{0.0: 0.1", "5.0: 0.8"],
    ["60 ['A', 'B', 'C', 'D']"],
    ["A or B, or C or D? ", "0.53} 2.0"],  # 1 − H(0.9) = 0.531 bits
    ["['20', '19', '18', '17', '16']\nTrue\n0.45833", "0.886]"],
    ["'MatrixPurpose(care=(0.0, 0.0))': 0.1", "guilt 0.5': 0.29"],
    ["0.28 0.49 0.67 ask", "0.50 0.59 0.67 take mug"],
    ["0.39894228", "\n0.0\nact"],
    ["True True", "A 0.5", "D 0.0"],
    ["{0.3: 0.", "beliefs", "uniform", "beta 0.6985 [0.4078, 1.011]"],
    ["2 kinds of people", "0.600  A, β=40, hard: 9 participants", "0.400  B, β=10, hard: 6 participants"],
    ["its next action 0.000 bits (uniform 2.000", "(base rate 0.811)", "0.17 0.75"],
)


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_the_page_says_what_its_programs_print(
    number: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    exec(PROGRAMS[number], {})
    printed = capsys.readouterr().out
    assert len(PROGRAMS) == len(PRINTED)
    for words in PRINTED[number]:
        assert words in printed
