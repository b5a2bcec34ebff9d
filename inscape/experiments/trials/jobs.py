"""Jobs: trials as they are handed to whatever runs them, here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inscape.experiments.trials.trial import Trial, TrialResult

ATTEMPTS = 3
"""How often a trial is begun whose process dies."""

IN_NOTEBOOK = b"__main__"
"""What a pickle says of a class that only the calling script or notebook has: other processes cannot make it."""


@dataclass(frozen=True)
class Job:
    """A trial as it is handed to a worker.

    Attributes:
        trial: what to run.
        payload: its world, pickled.
        root: where its run folder goes; None keeps none.
        attempt: how often it was begun, this time included.
    """

    trial: Trial
    payload: bytes
    root: Path | None
    attempt: int = 1


class LimitedJobs(list[Job]):
    """Jobs of which none is begun after a time.

    Args:
        jobs: in order.
        deadline: by `time.monotonic()`.
    """

    def __init__(self, jobs: Sequence[Job], deadline: float) -> None:
        super().__init__(jobs)
        self.deadline = deadline


Engine = Callable[[Sequence[Job], int | None], Iterable[TrialResult]]
"""Runs jobs, so many at once (None: as many as suit it), and yields their results as they come, in any order, one for
each job; `LimitedJobs` that were not begun in time have none."""
