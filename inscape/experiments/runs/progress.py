"""Progress on stderr: a bar with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

DELAY = 2.0
"""Seconds before anything is shown: what is shorter needs no bar."""

LINE_EVERY = 10.0
"""Seconds between lines where stderr is not a terminal."""


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

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, note: str = "") -> None:
        """Shows that `done` of the total are done; `note` is a few words on how it goes."""
        now = time.monotonic()
        if not self.enabled or now - self.started < DELAY:
            return
        if sys.stderr.isatty():
            self._update_bar(done, note)
        elif now - self.last_line >= LINE_EVERY:
            self.last_line = now
            with suppress(BrokenPipeError):  # nobody reads it: that ends no training
                line = f"{self.description}: {done:,} of {self.total:,}, {self._left(done, now)} {note}"
                print(line, file=sys.stderr, flush=True)

    def _left(self, done: int, now: float) -> str:
        if done - self.first < (self.total - self.first) / 100:  # what compiling took says nothing of the rest
            return "time left unknown"
        return f"about {(now - self.started) * max(0, self.total - done) / (done - self.first):.0f} s left"

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
