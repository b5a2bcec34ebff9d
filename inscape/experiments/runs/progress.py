"""Progress: a bar with the time left on a terminal or in a notebook, elsewhere a line on stderr now and then."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from inscape import html

DELAY = 2.0
"""Seconds before anything is shown: what is shorter needs no bar."""

LINE_EVERY = 10.0
"""Seconds between lines where stderr is not a terminal."""

REDRAW_EVERY = 0.5
"""Seconds between two looks of a bar in a notebook: each is a message to the browser."""


class Progress:
    """Shows how much of a count is done, and an estimate of the time left, once a job has taken two seconds.

    Args:
        description: what is being done.
        total: the count at the end.
        done: the count at the start (a resumed job).
        enabled: False shows nothing.
    """

    def __init__(self, description: str, total: int, done: int = 0, enabled: bool = True) -> None:
        self.description, self.total, self.first, self.enabled = description, total, done, enabled
        self.started = self.last_line = time.monotonic()
        self._bar: Any = None
        self._task: Any = None
        self._cell: Any = None  # what shows the bar in a notebook
        self._latest = (done, "")

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._cell is not None:
            self._cell.update(self._in_notebook(*self._latest, ended=True))

    def update(self, done: int, note: str = "") -> None:
        """Shows that `done` of the total are done; `note` is a few words on how it goes."""
        now = time.monotonic()
        self._latest = done, note
        if not self.enabled or now - self.started < DELAY:
            return
        if in_notebook():
            if self._cell is None or now - self.last_line >= REDRAW_EVERY:
                self.last_line = now
                self._update_cell(done, note)
        elif sys.stderr.isatty():
            self._update_bar(done, note)
        elif now - self.last_line >= LINE_EVERY:
            self.last_line = now
            with suppress(BrokenPipeError):  # nobody reads it: that ends no training
                said = ", ".join(part for part in (self._left(done, now), note) if part)
                print(f"{self.description}: {done:,} of {self.total:,}, {said}", file=sys.stderr, flush=True)

    def _left(self, done: int, now: float) -> str:
        if done - self.first < (self.total - self.first) / 100:  # what compiling took says nothing of the rest
            return "time left unknown"
        return f"about {(now - self.started) * max(0, self.total - done) / (done - self.first):.0f} s left"

    def _update_cell(self, done: int, note: str) -> None:
        from IPython.display import display

        shown = self._in_notebook(done, note)
        if self._cell is None:
            self._cell = display(shown, display_id=True)
        else:
            self._cell.update(shown)

    def _in_notebook(self, done: int, note: str, ended: bool = False) -> _Shown:
        now = time.monotonic()
        left = f"{now - self.started:.1f} s" if ended else self._left(done, now)
        said = ", ".join(part for part in (f"{done:,} of {self.total:,}", left, note) if part)
        return _Shown(f"{self.description}: {said}", done / self.total if self.total else 1.0)

    def _update_bar(self, done: int, note: str) -> None:
        if self._bar is None:
            self._start_bar()
        self._bar.update(self._task, completed=min(done, self.total), note=note)

    def _start_bar(self) -> None:
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(self.description, total=self.total, completed=self.first, note="")
        self._bar.start()


class _Shown:
    """A bar as a notebook shows it; as text where it shows text."""

    def __init__(self, said: str, share: float) -> None:
        self.said, self.share = said, share

    def __repr__(self) -> str:
        return self.said

    def _repr_html_(self) -> str:
        return html.block("", html.bar(self.share), html.line(self.said))


def in_notebook() -> bool:
    """Returns whether this process is the kernel of a notebook, whose cells show more than text."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return hasattr(get_ipython(), "kernel")
