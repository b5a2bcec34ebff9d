"""Shared by `environments.py` and `clients.py`: rows kept as JSON, so that an interrupted run goes on, and notes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def load_rows(file: Path) -> dict[str, Any]:
    """Returns the rows found so far, by name."""
    return json.loads(file.read_text()) if file.exists() else {}


def save_row(file: Path, name: str, row: dict[str, Any]) -> dict[str, Any]:
    """Puts one row into the file, which is replaced as a whole, and returns all rows."""
    rows = {**load_rows(file), name: row}
    beside = file.with_suffix(".part")
    beside.write_text(json.dumps(dict(sorted(rows.items())), indent=1, ensure_ascii=False) + "\n")
    os.replace(beside, file)
    return rows


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Returns the installed versions of these packages."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return [
        *lines,
        *("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows),
    ]


class Notes:
    """Numbers reasons, equal ones alike, for cells that have no room for them."""

    def __init__(self) -> None:
        self._reasons: dict[str, int] = {}

    def mark(self, reason: str) -> str:
        """Returns the mark of a reason: `[3]`."""
        return f"[{self._reasons.setdefault(reason, len(self._reasons) + 1)}]"

    def lines(self) -> list[str]:
        """Returns a numbered list of the reasons."""
        return [f"{number}. {reason}" for reason, number in self._reasons.items()]
