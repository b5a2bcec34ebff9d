"""What a group of fault tests counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: what was done.
        count: how often.
        wrong: how often something came of it that must not; 0 is what is wanted.
        wanted: what must not come of it, in words.
        note: other counts, or the first thing that went wrong.
    """

    what: str
    count: int
    wrong: int
    wanted: str
    note: str = ""


Group = Callable[[bool, Path], list[Row]]
"""Runs a group, in its short form or not, in an empty folder, and returns what was counted."""


def first(messages: list[str], note: str = "") -> str:
    """Returns a note that ends with the first of what went wrong."""
    return "; ".join(filter(None, [note, messages[0][:200] if messages else ""]))
