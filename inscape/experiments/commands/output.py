"""How commands print: a console, tables, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from inscape.errors import printable

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory

NARROWEST = 110
"""Columns assumed where the output is not a terminal, so that tables in logs keep their words."""


def make_console() -> Console:
    """Returns where a command prints: what standard output is now, and wide enough for tables where it is a file."""
    # no emoji: a world is called `file.py:Nine` and not by a picture of a nine
    console = _PrintableConsole(highlight=False, emoji=False)
    return console if console.is_terminal else _PrintableConsole(highlight=False, emoji=False, width=NARROWEST)


class _PrintableConsole(Console):
    """A console that writes out the control characters in what it is given: names in files may hold some."""

    def on_broken_pipe(self) -> None:
        """Leaves it to the command line, as where something else prints."""
        raise BrokenPipeError

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


def print_table(console: Console, title: str, table: Table) -> None:
    """Prints a table under its title, which has a line of its own: rich breaks titles at the width of the table."""
    console.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
    console.print(table)


def make_table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    """Returns an empty table with these columns; those named in `numbers` are flush right."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def number(value: float) -> str:
    """Returns a value with six decimals; a dash where there is none (not a number, or infinite)."""
    return f"{round(value, 6) + 0.0:.6f}" if np.isfinite(value) else "–"  # adding 0.0 turns −0.0 into 0.0


def returns_of(trajectory: Trajectory) -> str:
    """Returns the return of an episode; of several players, all of them beside each other."""
    return " ".join(f"{total:.4g}" for total in np.atleast_1d(trajectory.total_reward))


def say_how_to_watch(console: Console, source: str, task: str) -> None:
    """Prints the command that shows what was just counted; `task` is empty where the source, a run, has its own."""
    console.print(f"See it act: inscape watch {escape(' '.join([source, task]).strip())}", soft_wrap=True)
