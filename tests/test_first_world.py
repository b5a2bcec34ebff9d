"""docs/first-world.md: its program is built up as it says, every command runs, and its palette is the palette."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from inscape.envs.rendering.scene import DARK_PALETTE, PALETTE
from inscape.experiments.cli import main
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "first-world.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("steps", ["2000", pytest.param("20000", marks=pytest.mark.slow)])
def test_every_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], steps: str
) -> None:
    """Quickly with a tenth of the steps that the page trains for."""
    monkeypatch.chdir(tmp_path)
    made: list[str] = []
    ran = 0
    for language, block in re.findall(r"```(python|bash)\n(.*?)```", PAGE, re.DOTALL):
        if language == "python":
            # first the whole world, then its imports, then a method more
            made.insert(0, block) if block.startswith("from inscape.envs") else made.append(block)
            Path("ferry.py").write_text("".join(made))
            continue
        for line in block.splitlines():
            name, *words = shlex.split(line)
            assert name == "inscape"
            words = [steps if word == "20000" else word for word in words]
            assert main(words) == 0, f"{line}\n{capsys.readouterr()}"
            ran += 1
    assert ran == len(re.findall(r"^inscape ", PAGE, re.MULTILINE)) >= 14
    law = made[1].split("class State")[1]
    assert len([line for line in law.splitlines() if line.strip()]) <= 40
    for file in ("first.gif", "ferry.gif", "four.gif", "pictures/00000.png"):
        assert Path(file).stat().st_size > 0
    assert Path("first.gif").read_bytes() != Path("ferry.gif").read_bytes()
    page = Path("ferry.html").read_text(encoding="utf-8")
    for label in ("q-learning, learning rate 1", "q-learning, learning rate 0.1", "sarsa"):
        assert label in page


def test_the_palette_is_the_palette() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(#\w+)` \| `(#\w+)` \|", PAGE, re.MULTILINE)
    assert {name: (light, dark) for name, light, dark in rows} == {
        name: (light, DARK_PALETTE[name]) for name, light in PALETTE.items()
    }
    assert len(rows) == len(PALETTE)
