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
    from inscape.experiments.report.sections import Cell, Section

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


MOST_ROWS = 30
"""Rows of a table of an analysis that are printed; a page has all."""


def print_sections(console: Console, sections: Sequence[Section]) -> None:
    """Prints the texts and tables of a page; its curves and players are for the page alone."""
    from inscape.experiments.report.sections import Label, TableSection, TextSection

    for section in sections:
        if isinstance(section, TextSection):
            console.print(f"[bold]{escape(section.title)}[/bold]", soft_wrap=True)
            console.print(escape(section.text), soft_wrap=console.width < NARROWEST)
        elif isinstance(section, TableSection):
            words = {
                k for k in range(len(section.columns)) if any(isinstance(row[k], (str, Label)) for row in section.rows)
            }
            table = make_table(*section.columns, numbers=[c for k, c in enumerate(section.columns) if k not in words])
            for row in section.rows[:MOST_ROWS]:
                table.add_row(*(escape(_cell(cell)) for cell in row))
            print_table(console, section.title, table)
            if len(section.rows) > MOST_ROWS:
                console.print(f"[dim]and {len(section.rows) - MOST_ROWS} more rows: --save FILE.html has all[/dim]")
            if section.note:
                console.print(f"[dim]{escape(section.note)}[/dim]", soft_wrap=True)
        else:
            continue
        console.print()


def _cell(cell: Cell) -> str:
    from inscape.experiments.report.sections import Label
    from inscape.experiments.runs.statistics import Interval

    if isinstance(cell, Interval):
        return " ".join((_short(cell.estimate), f"({_short(cell.low)} to {_short(cell.high)})"))
    if isinstance(cell, Label):
        return cell.text
    if isinstance(cell, float):
        return _short(cell)
    return "–" if cell is None else f"{cell:,}" if isinstance(cell, int) else str(cell)


def _short(value: float) -> str:
    from inscape.experiments.numbers import number_text

    return number_text(float(f"{value:.3g}"))


def number(value: float) -> str:
    """Returns a value with six decimals; a dash where there is none (not a number, or infinite)."""
    return f"{round(value, 6) + 0.0:.6f}" if np.isfinite(value) else "–"  # adding 0.0 turns −0.0 into 0.0


def returns_of(trajectory: Trajectory) -> str:
    """Returns the return of an episode; of several players, all of them beside each other."""
    return " ".join(f"{total:.4g}" for total in np.atleast_1d(trajectory.total_reward))


def say_how_to_watch(console: Console, source: str, task: str) -> None:
    """Prints the command that shows what was just counted; `task` is empty where the source, a run, has its own."""
    console.print(f"See it act: inscape watch {escape(' '.join([source, task]).strip())}", soft_wrap=True)
