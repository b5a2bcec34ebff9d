"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import pytest

from inscape.experiments.runs.storage.files import replacing, write_text


def test_what_is_written_whole_takes_the_place(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_text(path, "ä")
    write_text(path, "größer")
    assert path.read_bytes() == "größer".encode()
    assert [child.name for child in tmp_path.iterdir()] == ["page.html"]


def test_what_breaks_off_leaves_the_file_of_before_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_text(path, "before")

    def write(file: IO[bytes]) -> None:
        file.write(b"aft")
        raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"), replacing(path) as file:
        write(file)
    assert path.read_text() == "before"
    assert [child.name for child in tmp_path.iterdir()] == ["page.html"]
